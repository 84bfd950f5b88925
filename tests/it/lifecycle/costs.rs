//! The number of calls of a repair, reads included.

use anyhow::{Result, ensure};
use serde_json::json;

use super::still;
use crate::fixture::{Fixture, OTHER_DOCUMENT, actions};

/// Requests a reconcile, waits for the repair, and returns the calls.
async fn cost(fixture: &Fixture<'_>, object: &str, repair: &str) -> Result<Vec<String>> {
    let mark = fixture.mark();
    fixture.nudge(object).await?;
    fixture
        .eventually(repair, || {
            let calls = fixture.iam_calls(mark);
            let done = calls.iter().any(|call| call.action == repair && call.executed);
            ensure!(done, "{calls:?}");
            Ok(())
        })
        .await?;
    fixture.event(object, "DriftRepaired").await?;
    Ok(actions(fixture.iam_calls(mark)))
}

#[tokio::test]
async fn a_repair_costs_at_most_six_calls_for_a_document_and_five_for_trust_or_attachment() -> Result<()> {
    let fixture = still().await?;
    for name in ["document", "trust", "attachment"] {
        fixture.applied(name, json!({})).await?;
    }
    let document = fixture.policy_arn("document");
    fixture.by_hand(|iam| iam.create_policy_version(&document, OTHER_DOCUMENT, true))?;
    let calls = cost(&fixture, "document", "SetDefaultPolicyVersion").await?;
    println!("document: {calls:?}");
    ensure!(calls.len() <= 6, "document: {calls:?}");

    fixture.break_trust("trust")?;
    let calls = cost(&fixture, "trust", "UpdateAssumeRolePolicy").await?;
    println!("trust: {calls:?}");
    ensure!(calls.len() <= 5, "trust: {calls:?}");

    let (role, policy) = (fixture.name("attachment"), fixture.policy_arn("attachment"));
    fixture.by_hand(|iam| iam.detach_role_policy(&role, &policy))?;
    let calls = cost(&fixture, "attachment", "AttachRolePolicy").await?;
    println!("attachment: {calls:?}");
    ensure!(calls.len() <= 5, "attachment: {calls:?}");
    fixture.finish().await
}

/// The status names the version that was in sync. A new operator does not trust it for a write and reads that version, which
/// is one more call; the other versions are not read, also where there are as many as IAM keeps.
#[tokio::test]
async fn a_document_that_was_changed_while_the_operator_was_away_costs_one_read_more() -> Result<()> {
    let mut fixture = still().await?;
    fixture.applied("a", json!({})).await?;
    fixture.stop_operator().await?;
    let arn = fixture.policy_arn("a");
    let theirs = |number: u32| OTHER_DOCUMENT.replace("GetObject", &format!("GetObject{number}"));
    fixture.by_hand(|iam| {
        (2..=5).try_for_each(|number| iam.create_policy_version(&arn, &theirs(number), true).map(drop))
    })?;
    let mark = fixture.mark();
    fixture.start_operator().await?;
    fixture
        .eventually("the repair", || {
            ensure!(fixture.policy("a")?.default_version == "v1", "{:?}", fixture.policy("a")?);
            Ok(())
        })
        .await?;
    fixture.event("a", "DriftRepaired").await?;
    let calls = actions(fixture.iam_calls(mark));
    println!("away: {calls:?}");
    ensure!(calls.len() <= 6 + 1, "{calls:?}");
    assert_eq!(fixture.versions("a")?, ["v1", "v2", "v3", "v4", "v5"]);
    fixture.finish().await
}

/// Where the operator's version still exists, it becomes the default again, in six calls (see above). Where it was deleted as
/// well, the operator learns that from the failed attempt: its six calls and those for the new version add up.
#[tokio::test]
async fn a_document_whose_version_is_gone_too_costs_one_attempt_more_and_what_others_wrote_is_read_once() -> Result<()>
{
    let fixture = still().await?;
    for name in ["create", "prune"] {
        fixture.applied(name, json!({})).await?;
    }
    let arn = fixture.policy_arn("create");
    fixture.by_hand(|iam| {
        iam.create_policy_version(&arn, OTHER_DOCUMENT, true)?;
        iam.delete_policy_version(&arn, "v1")
    })?;
    let calls = cost(&fixture, "create", "CreatePolicyVersion").await?;
    println!("create: {calls:?}");
    ensure!(calls.len() <= 6 + 7, "create: {calls:?}");
    assert_eq!(fixture.versions("create")?, ["v2", "v3"]);

    let arn = fixture.policy_arn("prune");
    let theirs = |number: u32| OTHER_DOCUMENT.replace("GetObject", &format!("GetObject{number}"));
    fixture.by_hand(|iam| {
        iam.create_policy_version(&arn, &theirs(2), true)?;
        iam.delete_policy_version(&arn, "v1")?;
        (3..=6).try_for_each(|number| iam.create_policy_version(&arn, &theirs(number), true).map(drop))
    })?;
    assert_eq!(fixture.versions("prune")?, ["v2", "v3", "v4", "v5", "v6"]);
    let calls = cost(&fixture, "prune", "CreatePolicyVersion").await?;
    println!("prune: {calls:?}");
    // Four more documents of others to read, and the oldest to delete.
    ensure!(calls.len() <= 6 + 7 + 4 + 1, "prune: {calls:?}");
    assert_eq!(fixture.versions("prune")?, ["v3", "v4", "v5", "v6", "v7"]);
    // The documents are cached: the next repair costs six calls.
    fixture.by_hand(|iam| iam.set_default_policy_version(&arn, "v4"))?;
    let calls = cost(&fixture, "prune", "SetDefaultPolicyVersion").await?;
    println!("default: {calls:?}");
    ensure!(calls.len() <= 6, "default: {calls:?}");
    fixture.finish().await
}
