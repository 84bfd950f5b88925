//! What the operator looks at once for a whole account: the scan for drift, and the service-linked role.

use std::time::Duration;

use anyhow::{Result, ensure};
use aurora_test_support::iam_model::faults::{Effect, FaultPlan, Rule};
use aurora_test_support::wait::wait_for;
use serde_json::{Value, json};

use super::bench::{Bench, LIMIT};

const SICK: &str = "111111111111";
const WELL: &str = "222222222222";
const SCAN: &str = "GetAccountAuthorizationDetails";

/// Two accounts that are scanned, a policy in each, the scan of the first one at fault, and drift in the second.
async fn repaired_beside(effect: Effect) -> Result<Duration> {
    let bench = Bench::start(1, &[]).await?;
    let ns = bench.ns().to_owned();
    for (name, id) in [("sick", SICK), ("well", WELL)] {
        let account = bench.account(name, id, json!({ "driftScan": "Bulk" })).await?;
        bench.policy(&ns, name, json!({ "accountRef": { "name": account }, "roleName": name })).await?;
        bench.wait_policy(&ns, name, "InSync").await?;
    }
    let scans = async |id: &str, least: usize| {
        let mark = bench.server.gate().last_seq();
        wait_for(&format!("{least} scans of {id}"), LIMIT, async || {
            let scans = bench.iam_calls_since(mark, id).iter().filter(|call| call.action == SCAN).count();
            ensure!(scans >= least, "{scans} so far");
            Ok(())
        })
        .await
    };
    scans(WELL, 1).await?;
    bench.server.gate().set_faults(FaultPlan::of(1, vec![Rule::new(effect, &[SCAN]).in_account(SICK)]));
    scans(SICK, 1).await?;
    bench
        .server
        .world()
        .account(WELL)
        .lock()
        .put_role_permissions_boundary("well", "arn:aws:iam::aws:policy/CloudWatchLogsFullAccess")?;
    let edited = std::time::Instant::now();
    wait_for("the drift to be repaired", LIMIT, async || {
        let boundary = bench.snapshot(WELL)["roles"]["well"]["boundary"].clone();
        ensure!(boundary.is_null(), "{boundary}");
        Ok(())
    })
    .await?;
    let took = edited.elapsed();
    // It was the scan that found it, and it goes on.
    scans(WELL, 2).await?;
    bench.wait_policy(&ns, "well", "InSync").await?;
    Ok(took)
}

/// A scan that hangs takes half a minute to be given up: whoever waited for it would take longer than this.
const PROMPT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_scan_that_hangs_in_one_account_delays_no_repair_in_another() -> Result<()> {
    let took = repaired_beside(Effect::Latency { ms: 60_000, jitter_ms: 0 }).await?;
    println!("repaired in {took:?}");
    ensure!(took < PROMPT, "{took:?}");
    Ok(())
}

#[tokio::test]
async fn a_scan_that_is_denied_in_one_account_delays_no_repair_in_another() -> Result<()> {
    let took = repaired_beside(Effect::AccessDenied).await?;
    println!("repaired in {took:?}");
    ensure!(took < PROMPT, "{took:?}");
    Ok(())
}

#[tokio::test]
async fn an_account_says_whether_it_has_the_service_linked_role_if_that_is_known() -> Result<()> {
    let bench = Bench::start(1, &[]).await?;
    let (with, without, hidden) = ("111111111111", "222222222222", "333333333333");
    bench.server.world().account(with).lock().plant_service_linked_role("AWSServiceRoleForRDS", "rds.amazonaws.com");
    let denied = Rule::new(Effect::AccessDenied, &["GetRole"]).in_account(hidden).about("AWSServiceRoleForRDS");
    bench.server.gate().set_faults(FaultPlan::of(1, vec![denied]));
    let cases = [
        (with, json!(true), "False", "ServiceLinkedRoleOverrides"),
        (without, json!(false), "True", "NoServiceLinkedRole"),
        (hidden, Value::Null, "Unknown", "Unknown"),
    ];
    for (id, known, status, reason) in cases {
        let account = bench.account(&format!("a{id}"), id, json!({})).await?;
        let name = format!("p{id}");
        bench.policy(bench.ns(), &name, json!({ "accountRef": { "name": account } })).await?;
        bench.wait_account(&account, "InSync").await?;
        bench.wait_policy(bench.ns(), &name, "InSync").await?;
        wait_for(&format!("the service-linked role of {id}"), LIMIT, async || {
            let told = serde_json::to_value(bench.accounts().get(&account).await?.status)?;
            ensure!(told["serviceLinkedRole"] == known, "{told}");
            let object = bench.policies(bench.ns()).get(&name).await?;
            let conditions = object.status.map(|status| status.conditions).unwrap_or_default();
            let effective = conditions.iter().find(|condition| condition.type_ == "Effective");
            let said = effective.map(|it| (it.status.to_string(), it.reason.to_string()));
            ensure!(said == Some((status.to_owned(), reason.to_owned())), "{said:?}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}
