//! Repairs in AWS must not show in Argo CD: by each of its ways to apply and to compare.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use aurora_test_support::apply::manifest;
use aurora_test_support::iam_model::{Iam, Tags};
use aurora_test_support::wait::wait_for;
use serde_json::Value;

use super::stage::{LIMIT, Stage, Variant, complete, iam_name};

const ROUNDS: usize = 20;
/// Fewer comparisons than this while repairs went on would prove little.
const COMPARISONS: usize = 5;
const OBJECT: &str = "audit";
const OTHER_TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
const OTHER_DOCUMENT: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}"#;
const SPEC: &str = "{description: Exports audit logs, tags: {team: shop}, scope: {regions: [eu-west-1, us-east-1]}}";

/// Applied and compared in each of Argo CD's ways.
const APPS: [(&str, Variant); 3] = [
    ("drift-as-the-sample", Variant { server_side_apply: false, server_side_diff: false }),
    ("drift-server-side-apply", Variant { server_side_apply: true, server_side_diff: false }),
    ("drift-server-side-both", Variant { server_side_apply: true, server_side_diff: true }),
];

/// Twenty repairs of each object: Synced and Healthy in every seen.
pub(super) async fn synced_through_repairs(stage: &mut Stage) -> Result<()> {
    ensure!(
        !stage
            .env
            .kubectl(&["-n", super::server::NAMESPACE, "get", "configmap", "argocd-cm", "-o", "yaml"])
            .await?
            .contains("ignoreDifferences"),
        "argocd-cm ignores differences"
    );
    let files: Vec<_> =
        APPS.iter().map(|(app, _)| (format!("{app}/{OBJECT}.yaml"), manifest(app, OBJECT, SPEC))).collect();
    let files: Vec<_> = files.iter().map(|(path, text)| (path.as_str(), Some(text.as_str()))).collect();
    let commit = stage.git.push("Three ways to sync", &files)?;
    for (app, variant) in APPS {
        stage.create_app(app, variant).await?;
    }
    for (app, _) in APPS {
        stage.until_state(app, &commit, "Synced Healthy").await?;
    }
    let began = Instant::now();
    let sound = stage.iam().snapshot();
    let repaired = stage.operator.metric("auroralogexport_drift_repaired_total", &[]).await?;
    for round in 0..ROUNDS {
        for (app, _) in APPS {
            edit(&mut stage.aws.world().account(super::stage::ACCOUNT).lock(), &iam_name(app, OBJECT), round)?;
        }
        wait_for(&format!("the repairs of round {round}"), LIMIT, async || {
            let now = stage.iam().snapshot();
            APPS.iter().try_for_each(|(app, _)| same(&sound, &now, &iam_name(app, OBJECT)))
        })
        .await?;
    }
    let took = began.elapsed().as_secs_f64();
    let repaired = stage.operator.metric("auroralogexport_drift_repaired_total", &[]).await? - repaired;
    #[allow(clippy::cast_precision_loss)] // 60
    let expected = (ROUNDS * APPS.len()) as f64;
    ensure!(repaired >= expected, "{repaired} repairs were counted, {expected} were to be made");
    for (app, _) in APPS {
        stage.until_compared_again(app, 1).await?;
        let observations = stage.history.of(app, began);
        if let Some(seen) = observations.iter().find(|seen| seen.state() != "Synced Healthy") {
            anyhow::bail!("{app} was {} amid repairs: {}", seen.state(), seen.message);
        }
        let mut compared: Vec<_> = observations.iter().map(|seen| &seen.compared).collect();
        compared.dedup();
        ensure!(compared.len() >= COMPARISONS, "{app} was compared {} times only", compared.len());
        stage.no_diff(app).await?;
        let (observations, compared) = (observations.len(), compared.len());
        stage.say(&format!(
            "4. {app}: {ROUNDS} repairs in {took:.0} s, Synced and Healthy in all {observations} observations ({compared} comparisons)"
        ));
    }
    Ok(())
}

/// The actions on live objects leave no difference behind either.
pub(super) async fn synced_through_actions(stage: &mut Stage) -> Result<()> {
    let commit = stage.history.last(APPS[0].0).context("it was seen")?.revision;
    let began = Instant::now();
    for (action, state) in
        [("suspend", "Synced Suspended"), ("resume", "Synced Healthy"), ("reconcile", "Synced Healthy")]
    {
        for (app, _) in APPS {
            stage.action(app, OBJECT, action).await?;
        }
        for (app, _) in APPS {
            stage.until_state(app, &commit, state).await?;
            stage.until_compared_again(app, 1).await?;
        }
        stage.say(&format!("6. action {action} on the live objects: {state}"));
    }
    for (app, _) in APPS {
        let live = ["-n", app, "get", "alep", OBJECT, "-o", "json"];
        let live: Value = serde_json::from_str(&stage.env.kubectl(&live).await?)?;
        ensure!(live["spec"]["suspend"] == false, "resume left spec.suspend {}", live["spec"]["suspend"]);
        let asked = live["metadata"]["annotations"]["auroralogexport.dev/reconcile-at"].as_str();
        ensure!(asked.is_some(), "reconcile set no annotation");
        let observations = stage.history.of(app, began);
        let out = observations.iter().find(|seen| seen.sync != "Synced");
        ensure!(out.is_none(), "{app} was not Synced: {out:?}");
        stage.no_diff(app).await?;
    }
    Ok(())
}

/// What a person changes by hand, another thing in each round.
fn edit(iam: &mut Iam, name: &str, round: usize) -> Result<()> {
    let arn = iam.attached_to(name).into_iter().next().with_context(|| format!("nothing is attached to {name}"))?;
    match round % 5 {
        0 => iam.detach_role_policy(name, &arn)?,
        1 => iam.update_assume_role_policy(name, OTHER_TRUST)?,
        2 => iam.untag_role(name, &["team".to_owned()])?,
        3 => iam.create_policy_version(&arn, OTHER_DOCUMENT, true).map(drop)?,
        _ => iam.tag_policy(&arn, &Tags::from([("team".to_owned(), "theirs".to_owned())]))?,
    }
    Ok(())
}

/// Is policy, role and attachment of this name as it was?
fn same(before: &Value, now: &Value, name: &str) -> Result<()> {
    ensure!(complete(now, name), "{name} is not complete");
    let role = (&before["roles"][name], &now["roles"][name]);
    ensure!(role.0 == role.1, "the role was {}, and is {}", role.0, role.1);
    let policy = (&before["policies"][name], &now["policies"][name]);
    for field in ["defaultVersion", "tags"] {
        ensure!(policy.0[field] == policy.1[field], "{field} was {}, and is {}", policy.0[field], policy.1[field]);
    }
    Ok(())
}
