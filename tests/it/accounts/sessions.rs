//! Sessions in other accounts: what they are asked for with, how often, and when they are replaced.

use anyhow::{Context, Result, ensure};
use aurora_test_support::iam_model::call_log::CallRecord;
use aurora_test_support::iam_model::faults::{Effect, FaultPlan, Rule};
use aurora_test_support::wait::wait_for;
use futures::future::try_join_all;
use serde_json::json;

use super::bench::{Bench, HUB, LIMIT, role_arn};

const ID: &str = "111111111111";
/// The operator replaces a session two minutes before its end: this one after five seconds.
const SHORT: u64 = 125;

fn assumptions(bench: &Bench, mark: u64) -> Vec<CallRecord> {
    bench.server.gate().calls_since(mark).into_iter().filter(|call| call.action == "AssumeRole").collect()
}

/// Waits for calls to IAM in the account, made with another key than this one; gives the key.
async fn next_key(bench: &Bench, before: &str) -> Result<String> {
    wait_for("calls with another session", LIMIT, async || {
        let calls = bench.iam_calls_since(0, ID);
        let last = calls.last().map(|call| call.access_key.clone()).unwrap_or_default();
        ensure!(!last.is_empty() && last != before, "the last call was signed with {last:?}");
        Ok(last)
    })
    .await
}

#[tokio::test]
async fn a_session_is_asked_for_with_the_external_id_and_tags_that_say_for_whom() -> Result<()> {
    let bench = Bench::start(1, &[]).await?;
    bench.server.world().require_external_id(&role_arn(ID), Some("right-one"));
    let chosen = json!({ "assumeRole": { "externalId": "right-one", "sessionName": "exports" } });
    let account = bench.account("prod", ID, chosen).await?;
    let status = bench.wait_account(&account, "InSync").await?.status.unwrap_or_default();
    let asked = assumptions(&bench, 0);
    let told = |name: &str| asked[0].parameters.get(name).map(String::as_str);
    assert_eq!((asked[0].account.as_str(), asked[0].outcome.as_str()), (HUB, "OK"));
    assert_eq!(told("RoleArn"), Some(role_arn(ID).as_str()));
    assert_eq!((told("ExternalId"), told("RoleSessionName")), (Some("right-one"), Some("exports")));
    let tags: Vec<_> = (1..=3)
        .map_while(|at| Some((told(&format!("Tags.member.{at}.Key"))?, told(&format!("Tags.member.{at}.Value"))?)))
        .collect();
    assert_eq!(tags, [("aurora-cluster", "bench"), ("aurora-account", account.as_str())]);
    let caller = status.caller_arn.unwrap_or_default();
    assert!(caller.ends_with("/exports"), "{caller}");
    bench.delete_account(&account).await
}

/// CloudTrail keeps it as `userAgent`: whoever reads there who made a role finds the operator.
#[tokio::test]
async fn every_call_to_aws_names_the_operator() -> Result<()> {
    let bench = Bench::start(1, &[]).await?;
    let ns = bench.ns().to_owned();
    let account = bench.account("prod", ID, json!({})).await?;
    bench.policy(&ns, "named", json!({ "accountRef": { "name": account } })).await?;
    bench.wait_policy(&ns, "named", "InSync").await?;
    let calls = bench.server.gate().calls_since(0);
    for action in ["GetCallerIdentity", "AssumeRole", "GetRole", "CreateRole"] {
        ensure!(calls.iter().any(|call| call.action == action), "no {action} in {calls:?}");
    }
    let name = concat!("aurora-log-export-operator/", env!("CARGO_PKG_VERSION"), " aws-sdk-rust/");
    let unnamed: Vec<_> = calls.iter().filter(|call| !call.user_agent.starts_with(name)).collect();
    ensure!(unnamed.is_empty(), "{unnamed:?}");
    bench.delete_policy(&ns, "named").await?;
    bench.delete_account(&account).await
}

#[tokio::test]
async fn many_objects_of_an_account_share_one_session() -> Result<()> {
    let bench = Bench::start(1, &[]).await?;
    let ns = bench.ns().to_owned();
    let account = bench.account("prod", ID, json!({})).await?;
    let names: Vec<String> = (0..20).map(|number| format!("p{number}")).collect();
    let spec = json!({ "accountRef": { "name": account } });
    try_join_all(names.iter().map(async |name| bench.policy(&ns, name, spec.clone()).await)).await?;
    try_join_all(names.iter().map(async |name| bench.wait_policy(&ns, name, "InSync").await)).await?;
    // And looked at a few times more.
    let mark = bench.server.gate().last_seq();
    wait_for("more looks", LIMIT, async || {
        let looks = bench.iam_calls_since(mark, ID).len();
        ensure!(looks > 100, "{looks} calls");
        Ok(())
    })
    .await?;
    assert_eq!(assumptions(&bench, 0).len(), 1);
    let identities = bench.server.gate().counts().get("GetCallerIdentity").copied();
    assert_eq!(identities, Some(2), "the operator's own, and the account's");
    Ok(())
}

#[tokio::test]
async fn a_session_is_replaced_before_its_end_and_serves_until_then() -> Result<()> {
    let bench = Bench::start(1, &[]).await?;
    bench.server.world().set_session_seconds(SHORT);
    let ns = bench.ns().to_owned();
    let account = bench.account("prod", ID, json!({})).await?;
    bench.policy(&ns, "orders", json!({ "accountRef": { "name": account } })).await?;
    bench.wait_policy(&ns, "orders", "InSync").await?;
    let version = bench.policies(&ns).get("orders").await?.metadata.resource_version;
    let first = next_key(&bench, "").await?;
    let second = next_key(&bench, &first).await?;
    let calls = bench.iam_calls_since(0, ID);
    let (last_of_first, first_of_second) = (
        calls.iter().rposition(|call| call.access_key == first),
        calls.iter().position(|call| call.access_key == second),
    );
    // Calls that overlap may still be under way with the old one; nothing goes back to it afterwards.
    let overlap = last_of_first.unwrap_or_default().saturating_sub(first_of_second.unwrap_or_default());
    assert!(overlap < 5, "{overlap} calls with the old session after the first with the new one");
    assert!(calls.iter().all(|call| !call.outcome.contains("Token")), "{calls:?}");
    let after = bench.policies(&ns).get("orders").await?.metadata.resource_version;
    assert_eq!(after, version, "nobody noticed");
    Ok(())
}

#[tokio::test]
async fn while_sts_is_out_of_order_the_session_in_hand_serves_to_its_end() -> Result<()> {
    let bench = Bench::start(1, &[]).await?;
    bench.server.world().set_session_seconds(SHORT);
    let ns = bench.ns().to_owned();
    let account = bench.account("prod", ID, json!({})).await?;
    bench.policy(&ns, "orders", json!({ "accountRef": { "name": account }, "roleName": "orders" })).await?;
    bench.wait_policy(&ns, "orders", "InSync").await?;
    bench.server.gate().set_faults(FaultPlan::of(1, vec![Rule::new(Effect::Unavailable, &["AssumeRole"])]));
    let in_vain = wait_for("a session that is asked for in vain", LIMIT, async || {
        let failed = assumptions(&bench, 0).into_iter().find(|call| call.outcome != "OK");
        Ok(failed.context("none yet")?.seq)
    })
    .await?;
    let held = bench.iam_calls_since(0, ID).into_iter().rfind(|call| call.seq < in_vain);
    let held = held.context("no call before")?.access_key;
    // Two minutes are left, and in them drift is repaired as ever.
    bench.server.world().account(ID).lock().update_role_description("orders", "by hand")?;
    wait_for("the repair", LIMIT / 2, async || {
        let description = bench.snapshot(ID)["roles"]["orders"]["description"].clone();
        ensure!(description != "by hand", "{description}");
        Ok(())
    })
    .await?;
    assert!(bench.iam_calls_since(in_vain, ID).iter().all(|call| call.access_key == held));
    let asked = assumptions(&bench, 0).len();
    assert!(asked < 10, "STS was asked {asked} times in vain");
    bench.wait_policy(&ns, "orders", "InSync").await?;
    bench.server.gate().clear_faults();
    next_key(&bench, &held).await?;
    Ok(())
}
