//! Sessions in other accounts: the parameters of `AssumeRole`, how often it is called, and when sessions are replaced.

use anyhow::{Context, Result, ensure};
use aurora_test_support::iam_model::call_log::CallRecord;
use aurora_test_support::iam_model::faults::{Effect, Rule};
use aurora_test_support::wait::wait_for;
use futures::future::try_join_all;
use serde_json::json;

use super::objects::{of_account, role_arn};
use crate::fixture::{ACCOUNT, Fixture, LIMIT};

const ID: &str = "111111111111";
/// The operator replaces a session two minutes before its end: this one after five seconds.
const SHORT: u64 = 125;

fn assumptions(fixture: &Fixture<'_>, mark: u64) -> Vec<CallRecord> {
    fixture.calls(mark).into_iter().filter(|call| call.action == "AssumeRole").collect()
}

/// Waits for calls to IAM in the account that are signed with another key than this one; returns the key.
async fn next_key(fixture: &Fixture<'_>, before: &str) -> Result<String> {
    wait_for("calls with another session", LIMIT, async || {
        let calls = fixture.calls_in(ID, 0);
        let last = calls.last().map(|call| call.access_key.clone()).unwrap_or_default();
        ensure!(!last.is_empty() && last != before, "the last call was signed with {last:?}");
        Ok(last)
    })
    .await
}

#[tokio::test]
async fn a_session_is_asked_for_with_the_external_id_and_tags_that_say_for_whom() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    fixture.aws.world().require_external_id(&role_arn(ID), Some("right-one"));
    let chosen = json!({ "assumeRole": { "externalId": "right-one", "sessionName": "exports" } });
    let account = fixture.account("prod", ID, chosen).await?;
    let status = fixture.account_ready(&account).await?;
    let asked = assumptions(&fixture, 0);
    let told = |name: &str| asked[0].parameters.get(name).map(String::as_str);
    assert_eq!((asked[0].account.as_str(), asked[0].outcome.as_str()), (ACCOUNT, "OK"));
    assert_eq!(told("RoleArn"), Some(role_arn(ID).as_str()));
    assert_eq!((told("ExternalId"), told("RoleSessionName")), (Some("right-one"), Some("exports")));
    let tags: Vec<_> = (1..=3)
        .map_while(|at| Some((told(&format!("Tags.member.{at}.Key"))?, told(&format!("Tags.member.{at}.Value"))?)))
        .collect();
    assert_eq!(tags, [("aurora-cluster", fixture.cluster()), ("aurora-account", account.as_str())]);
    assert!(status["callerArn"].as_str().is_some_and(|arn| arn.ends_with("/exports")), "{status}");
    fixture.account_deleted(&account).await
}

/// CloudTrail records it as `userAgent`.
#[tokio::test]
async fn every_call_to_aws_names_the_operator() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    let account = fixture.account("prod", ID, json!({})).await?;
    fixture.applied("named", of_account(&account)).await?;
    let calls = fixture.calls(0);
    for action in ["GetCallerIdentity", "AssumeRole", "GetRole", "CreateRole"] {
        ensure!(calls.iter().any(|call| call.action == action), "no {action} in {calls:?}");
    }
    // While calls are recorded, the application id names the operator's run.
    let name = |agent: &str| {
        agent.split(' ').any(|part| part == "app/aurora-log-export-operator" || part.starts_with("app/run-"))
    };
    let unnamed: Vec<_> = calls.iter().filter(|call| !name(&call.user_agent)).collect();
    ensure!(unnamed.is_empty(), "{unnamed:?}");
    fixture.deleted("named").await?;
    fixture.account_deleted(&account).await
}

#[tokio::test]
async fn many_objects_of_an_account_share_one_session() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    let account = fixture.account("prod", ID, json!({})).await?;
    let names: Vec<String> = (0..20).map(|number| format!("p{number}")).collect();
    let spec = of_account(&account);
    try_join_all(names.iter().map(async |name| fixture.apply(name, spec.clone()).await)).await?;
    try_join_all(names.iter().map(async |name| fixture.ready(name).await)).await?;
    let mark = fixture.mark();
    fixture.eventually_true("several resyncs", || Ok(fixture.calls_in(ID, mark).len() > 100)).await?;
    assert_eq!(assumptions(&fixture, 0).len(), 1);
    let identities = fixture.aws.gate().counts().get("GetCallerIdentity").copied();
    assert_eq!(identities, Some(2), "the operator's own, and the account's");
    Ok(())
}

#[tokio::test]
async fn a_session_is_replaced_before_its_end_and_serves_until_then() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    fixture.aws.world().set_session_seconds(SHORT);
    let account = fixture.account("prod", ID, json!({})).await?;
    fixture.applied("orders", of_account(&account)).await?;
    let version = fixture.object("orders").await?.metadata.resource_version;
    let first = next_key(&fixture, "").await?;
    let second = next_key(&fixture, &first).await?;
    let calls = fixture.calls_in(ID, 0);
    let (last_of_first, first_of_second) = (
        calls.iter().rposition(|call| call.access_key == first),
        calls.iter().position(|call| call.access_key == second),
    );
    // Concurrent calls may still use the old session; later calls do not.
    let overlap = last_of_first.unwrap_or_default().saturating_sub(first_of_second.unwrap_or_default());
    assert!(overlap < 5, "{overlap} calls with the old session after the first with the new one");
    assert!(calls.iter().all(|call| !call.outcome.contains("Token")), "{calls:?}");
    let after = fixture.object("orders").await?.metadata.resource_version;
    assert_eq!(after, version, "the status has changed");
    Ok(())
}

#[tokio::test]
async fn while_sts_is_out_of_order_the_session_in_hand_serves_to_its_end() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    fixture.aws.world().set_session_seconds(SHORT);
    let account = fixture.account("prod", ID, json!({})).await?;
    fixture.applied("orders", json!({ "accountRef": { "name": account }, "roleName": "orders" })).await?;
    fixture.set_faults([Rule::new(Effect::Unavailable, &["AssumeRole"])]);
    let failure = wait_for("a failed AssumeRole", LIMIT, async || {
        let failed = assumptions(&fixture, 0).into_iter().find(|call| call.outcome != "OK");
        Ok(failed.context("none yet")?.seq)
    })
    .await?;
    let held = fixture.calls_in(ID, 0).into_iter().rfind(|call| call.seq < failure);
    let held = held.context("no call before")?.access_key;
    // The session holds for two more minutes, in which drift is repaired.
    fixture.aws.world().account(ID).lock().update_role_description("orders", "by hand")?;
    let repaired = || Ok(fixture.snapshot(ID)["roles"]["orders"]["description"] != "by hand");
    fixture.eventually_true("the repair", repaired).await?;
    assert!(fixture.calls_in(ID, failure).iter().all(|call| call.access_key == held));
    let asked = assumptions(&fixture, 0).len();
    assert!(asked < 10, "{asked} calls of AssumeRole");
    fixture.ready("orders").await?;
    fixture.clear_faults();
    next_key(&fixture, &held).await?;
    Ok(())
}
