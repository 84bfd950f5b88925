//! The same against moto, which knows nothing of our model: the two must not agree by accident.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use aurora_test_support::aws_query::{QueryClient, Service};
use aurora_test_support::operator::{Operator, OperatorOptions};
use aurora_test_support::wait::wait_for;
use serde_json::json;

use super::stage::{LIMIT, OTHER_DOCUMENT, OTHER_TRUST, Stage};
use crate::emulators::MotoBystanders;

/// A stage whose operator talks to moto, and what others have there.
async fn stage() -> Result<(Stage, QueryClient, MotoBystanders)> {
    let mut stage = Stage::without_operator(&[]).await?;
    let bystanders = MotoBystanders::before(stage.env, &stage.name("a")).await?;
    stage.operator = Some(Operator::start(stage.env, options(&stage, "--drift-check-interval=2s")).await?);
    let aws = stage.env.aws();
    Ok((stage, aws, bystanders))
}

/// An operator of this stage; where nothing else is said, its AWS is moto.
fn options(stage: &Stage, interval: &str) -> OperatorOptions {
    let (watch, cluster) =
        (format!("--watch-namespace={}", stage.namespace), format!("--cluster-name={}", stage.cluster()));
    OperatorOptions::new(env!("CARGO_BIN_EXE_aurora-log-export-operator")).arguments([
        watch.as_str(),
        cluster.as_str(),
        interval,
    ])
}

#[tokio::test]
async fn drift_is_repaired_and_a_deletion_leaves_nothing_on_moto() -> Result<()> {
    let (mut stage, aws, bystanders) = stage().await?;
    let status = stage.applied("a", json!({ "tags": { "team": "shop" } })).await?;
    let text = |path: &str| status.pointer(path).and_then(|it| it.as_str()).unwrap_or_default().to_owned();
    let (arn, role) = (text("/policy/arn"), text("/role/name"));
    let (document, trust) = (aws.policy_document(&arn).await?, aws.trust_document(&role).await?);
    let edits = [
        (
            "CreatePolicyVersion",
            vec![("PolicyArn", arn.as_str()), ("PolicyDocument", OTHER_DOCUMENT), ("SetAsDefault", "true")],
        ),
        ("UpdateAssumeRolePolicy", vec![("RoleName", role.as_str()), ("PolicyDocument", OTHER_TRUST)]),
        ("DetachRolePolicy", vec![("RoleName", role.as_str()), ("PolicyArn", arn.as_str())]),
        ("UntagRole", vec![("RoleName", role.as_str()), ("TagKeys.member.1", "team")]),
    ];
    for (action, parameters) in &edits {
        aws.call(Service::Iam, action, parameters).await?;
    }
    wait_for("all four to be repaired", LIMIT, async || {
        ensure!(aws.policy_document(&arn).await? == document, "document");
        ensure!(aws.trust_document(&role).await? == trust, "trust");
        ensure!(aws.attached_policies(&role).await? == [arn.clone()], "attachment");
        let found = aws.call(Service::Iam, "GetRole", &[("RoleName", &role)]).await?;
        ensure!(found.contains("<Key>team</Key>"), "{found}");
        Ok(())
    })
    .await?;
    stage.ready("a").await?;
    stage.deleted("a").await?;
    ensure!(aws.call(Service::Iam, "GetRole", &[("RoleName", &role)]).await.is_err());
    ensure!(aws.call(Service::Iam, "GetPolicy", &[("PolicyArn", &arn)]).await.is_err());
    stage.stop_operator().await?;
    bystanders.untouched().await
}

#[tokio::test]
async fn an_existing_role_is_a_conflict_until_it_consents_on_moto() -> Result<()> {
    let (mut stage, aws, bystanders) = stage().await?;
    let role = stage.name("a");
    let path = super::stage::PATH;
    aws.call(
        Service::Iam,
        "CreateRole",
        &[("RoleName", &role), ("Path", path), ("AssumeRolePolicyDocument", OTHER_TRUST)],
    )
    .await?;
    stage.apply("a", json!({ "adoptionPolicy": "Tagged" })).await?;
    stage.until("a", "Ready", "False", "Conflict").await?;
    assert_eq!(aws.trust_document(&role).await?, serde_json::from_str::<serde_json::Value>(OTHER_TRUST)?);
    for (key, value) in stage.consent("a") {
        let parameters = [("RoleName", role.as_str()), ("Tags.member.1.Key", &key), ("Tags.member.1.Value", &value)];
        aws.call(Service::Iam, "TagRole", &parameters).await?;
    }
    stage.ready("a").await?;
    stage.event("a", "Adopted").await?;
    stage.deleted("a").await?;
    ensure!(aws.call(Service::Iam, "GetRole", &[("RoleName", &role)]).await.is_err());
    stage.stop_operator().await?;
    bystanders.untouched().await
}

/// What a few objects cost from their creation to their end, with no look for drift between: requests by operation and
/// outcome.
async fn cost_of_lives(stage: &Stage) -> Result<BTreeSet<String>> {
    let names = ["a", "b", "c"];
    for name in names {
        stage.applied(name, json!({ "tags": { "team": "shop" } })).await?;
    }
    for name in names {
        stage.deleted(name).await?;
    }
    let metrics = stage.operator.as_ref().context("no operator")?.metrics().await?;
    let requests = metrics.lines().filter(|line| line.starts_with("auroralogexport_iam_requests_total{"));
    Ok(requests.filter_map(|line| Some(line.split_once("operation=")?.1.to_owned())).collect())
}

/// What is counted at the model (`cargo xtask bench`) is what it costs elsewhere.
#[tokio::test]
async fn a_life_costs_as_many_calls_on_moto_as_on_the_model() -> Result<()> {
    const STILL: &str = "--drift-check-interval=1h";

    let mut on_moto = Stage::without_operator(&[]).await?;
    on_moto.operator = Some(Operator::start(on_moto.env, options(&on_moto, STILL)).await?);
    let mut on_model = Stage::without_operator(&[]).await?;
    let model = options(&on_model, STILL).aws_endpoint(&on_model.server.url());
    on_model.operator = Some(Operator::start(on_model.env, model).await?);
    let (moto, model) = (cost_of_lives(&on_moto).await?, cost_of_lives(&on_model).await?);
    ensure!(moto.contains(r#""CreateRole",outcome="success"} 3"#), "{moto:?}");
    assert_eq!(moto, model);
    for mut stage in [on_moto, on_model] {
        stage.stop_operator().await?;
    }
    Ok(())
}
