//! Drift repair, adoption, deletion and the number of calls against moto, which shares no code with the IAM model.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use aurora_test_support::aws_query::{QueryClient, Service};
use aurora_test_support::wait::wait_for;
use serde_json::json;

use crate::emulators::MotoBystanders;
use crate::fixture::{Fixture, LIMIT, OTHER_DOCUMENT, OTHER_TRUST, PATH};

/// A fixture whose operator calls moto, and the resources of others there.
async fn on_moto() -> Result<(Fixture<'static>, QueryClient, MotoBystanders)> {
    let mut fixture = Fixture::with(&["--drift-check-interval=2s"]).prepare().await?;
    let bystanders = MotoBystanders::before(fixture.env, &fixture.name("a")).await?;
    fixture.start_operator_on_moto().await?;
    let aws = fixture.env.aws();
    Ok((fixture, aws, bystanders))
}

#[tokio::test]
async fn drift_is_repaired_and_a_deletion_leaves_nothing_on_moto() -> Result<()> {
    let (fixture, aws, bystanders) = on_moto().await?;
    let status = fixture.applied("a", json!({ "tags": { "team": "shop" } })).await?;
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
    fixture.ready("a").await?;
    fixture.deleted("a").await?;
    ensure!(aws.call(Service::Iam, "GetRole", &[("RoleName", &role)]).await.is_err());
    ensure!(aws.call(Service::Iam, "GetPolicy", &[("PolicyArn", &arn)]).await.is_err());
    fixture.finish().await?;
    bystanders.untouched().await
}

#[tokio::test]
async fn an_existing_role_is_a_conflict_until_it_consents_on_moto() -> Result<()> {
    let (fixture, aws, bystanders) = on_moto().await?;
    let role = fixture.name("a");
    let parameters = [("RoleName", role.as_str()), ("Path", PATH), ("AssumeRolePolicyDocument", OTHER_TRUST)];
    aws.call(Service::Iam, "CreateRole", &parameters).await?;
    fixture.apply("a", json!({ "adoptionPolicy": "Tagged" })).await?;
    fixture.not_ready("a", "Conflict").await?;
    assert_eq!(aws.trust_document(&role).await?, serde_json::from_str::<serde_json::Value>(OTHER_TRUST)?);
    for (key, value) in fixture.consent("a") {
        let parameters = [("RoleName", role.as_str()), ("Tags.member.1.Key", &key), ("Tags.member.1.Value", &value)];
        aws.call(Service::Iam, "TagRole", &parameters).await?;
    }
    fixture.ready("a").await?;
    fixture.event("a", "Adopted").await?;
    fixture.deleted("a").await?;
    ensure!(aws.call(Service::Iam, "GetRole", &[("RoleName", &role)]).await.is_err());
    fixture.finish().await?;
    bystanders.untouched().await
}

/// The requests of a few objects from creation to deletion, by operation and outcome.
async fn cost_of_lives(fixture: &Fixture<'_>) -> Result<BTreeSet<String>> {
    let names = ["a", "b", "c"];
    for name in names {
        fixture.applied(name, json!({ "tags": { "team": "shop" } })).await?;
    }
    for name in names {
        fixture.deleted(name).await?;
    }
    let metrics = fixture.operator()?.metrics().await?;
    let requests = metrics.lines().filter(|line| line.starts_with("auroralogexport_iam_requests_total{"));
    Ok(requests.filter_map(|line| Some(line.split_once("operation=")?.1.to_owned())).collect())
}

/// The counts of `cargo xtask bench`, which uses the model, hold for another implementation of IAM.
#[tokio::test]
async fn a_life_costs_as_many_calls_on_moto_as_on_the_model() -> Result<()> {
    const STILL: &str = "--drift-check-interval=1h";

    let mut on_moto = Fixture::with(&[STILL]).prepare().await?;
    on_moto.start_operator_on_moto().await?;
    let on_model = Fixture::with(&[STILL]).start().await?;
    let (moto, model) = (cost_of_lives(&on_moto).await?, cost_of_lives(&on_model).await?);
    ensure!(moto.contains(r#""CreateRole",outcome="success"} 3"#), "{moto:?}");
    assert_eq!(moto, model);
    on_moto.finish().await?;
    on_model.finish().await
}
