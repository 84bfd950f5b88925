//! What a repair costs, reads included: from the model's log of calls.

use anyhow::{Result, ensure};
use serde_json::json;

use super::stage::{OTHER_DOCUMENT, OTHER_TRUST, Stage};

/// Lets the operator look once, waits for the repair, and counts the calls.
async fn cost(stage: &Stage, object: &str, repair: &str) -> Result<Vec<String>> {
    let mark = stage.mark();
    stage.nudge(object).await?;
    stage
        .eventually(repair, || {
            let calls = stage.iam_calls(mark);
            let done = calls.iter().any(|call| call.action == repair && call.executed);
            ensure!(done, "{calls:?}");
            Ok(())
        })
        .await?;
    stage.event(object, "DriftRepaired").await?;
    Ok(stage.iam_calls(mark).into_iter().map(|call| call.action).collect())
}

#[tokio::test]
async fn a_repair_costs_at_most_six_calls_for_a_document_and_five_for_trust_or_attachment() -> Result<()> {
    let stage = Stage::still().await?;
    for name in ["document", "trust", "attachment"] {
        stage.applied(name, json!({})).await?;
    }
    let document = stage.policy_arn("document");
    stage.by_hand(|iam| iam.create_policy_version(&document, OTHER_DOCUMENT, true))?;
    let calls = cost(&stage, "document", "SetDefaultPolicyVersion").await?;
    println!("document: {calls:?}");
    ensure!(calls.len() <= 6, "document: {calls:?}");

    let role = stage.name("trust");
    stage.by_hand(|iam| iam.update_assume_role_policy(&role, OTHER_TRUST))?;
    let calls = cost(&stage, "trust", "UpdateAssumeRolePolicy").await?;
    println!("trust: {calls:?}");
    ensure!(calls.len() <= 5, "trust: {calls:?}");

    let (role, policy) = (stage.name("attachment"), stage.policy_arn("attachment"));
    stage.by_hand(|iam| iam.detach_role_policy(&role, &policy))?;
    let calls = cost(&stage, "attachment", "AttachRolePolicy").await?;
    println!("attachment: {calls:?}");
    ensure!(calls.len() <= 5, "attachment: {calls:?}");
    stage.finish().await
}

/// The status says which version was right. It licenses no write, so an operator that comes later reads that version: one
/// call more, also where there are as many versions as IAM keeps, and none of the others' is read.
#[tokio::test]
async fn a_document_that_was_changed_while_the_operator_was_away_costs_one_read_more() -> Result<()> {
    let mut stage = Stage::still().await?;
    stage.applied("a", json!({})).await?;
    stage.stop_operator().await?;
    let arn = stage.policy_arn("a");
    let theirs = |number: u32| OTHER_DOCUMENT.replace("GetObject", &format!("GetObject{number}"));
    stage.by_hand(|iam| {
        (2..=5).try_for_each(|number| iam.create_policy_version(&arn, &theirs(number), true).map(drop))
    })?;
    let mark = stage.mark();
    stage.start_operator().await?;
    stage
        .eventually("the repair", || {
            ensure!(stage.policy("a")?.default_version == "v1", "{:?}", stage.policy("a")?);
            Ok(())
        })
        .await?;
    stage.event("a", "DriftRepaired").await?;
    let calls: Vec<_> = stage.iam_calls(mark).into_iter().map(|call| call.action).collect();
    println!("away: {calls:?}");
    ensure!(calls.len() <= 6 + 1, "{calls:?}");
    assert_eq!(stage.versions("a")?, ["v1", "v2", "v3", "v4", "v5"]);
    stage.finish().await
}

/// The usual way, above, is that our version is still there: it is made the default again, in six calls. Where somebody
/// has deleted it as well, that is only learnt by trying, and IAM has to be asked what else there is: the attempt costs
/// its six calls, and the way to the new version comes on top.
#[tokio::test]
async fn a_document_whose_version_is_gone_too_costs_one_attempt_more_and_what_others_wrote_is_read_once() -> Result<()>
{
    let stage = Stage::still().await?;
    for name in ["create", "prune"] {
        stage.applied(name, json!({})).await?;
    }
    let arn = stage.policy_arn("create");
    stage.by_hand(|iam| {
        iam.create_policy_version(&arn, OTHER_DOCUMENT, true)?;
        iam.delete_policy_version(&arn, "v1")
    })?;
    let calls = cost(&stage, "create", "CreatePolicyVersion").await?;
    println!("create: {calls:?}");
    ensure!(calls.len() <= 6 + 7, "create: {calls:?}");
    assert_eq!(stage.versions("create")?, ["v2", "v3"]);

    let arn = stage.policy_arn("prune");
    let theirs = |number: u32| OTHER_DOCUMENT.replace("GetObject", &format!("GetObject{number}"));
    stage.by_hand(|iam| {
        iam.create_policy_version(&arn, &theirs(2), true)?;
        iam.delete_policy_version(&arn, "v1")?;
        (3..=6).try_for_each(|number| iam.create_policy_version(&arn, &theirs(number), true).map(drop))
    })?;
    assert_eq!(stage.versions("prune")?, ["v2", "v3", "v4", "v5", "v6"]);
    let calls = cost(&stage, "prune", "CreatePolicyVersion").await?;
    println!("prune: {calls:?}");
    // Four more documents of others to read, and the oldest to delete.
    ensure!(calls.len() <= 6 + 7 + 4 + 1, "prune: {calls:?}");
    assert_eq!(stage.versions("prune")?, ["v3", "v4", "v5", "v6", "v7"]);
    // What was read is known: the next time it costs the usual six.
    stage.by_hand(|iam| iam.set_default_policy_version(&arn, "v4"))?;
    let calls = cost(&stage, "prune", "SetDefaultPolicyVersion").await?;
    println!("default: {calls:?}");
    ensure!(calls.len() <= 6, "default: {calls:?}");
    stage.finish().await
}
