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
