//! What the operator reads once for a whole account: the sweep, and the service-linked role.

use std::time::Duration;

use anyhow::{Result, ensure};
use aurora_test_support::iam_model::faults::{Effect, Rule};
use aurora_test_support::wait::wait_for;
use serde_json::{Value, json};

use super::objects::of_account;
use crate::fixture::{FULL_ACCESS, Fixture, LIMIT};

const SICK: &str = "111111111111";
const WELL: &str = "222222222222";
const SWEEP: &str = "GetAccountAuthorizationDetails";

/// Two accounts with sweeps and a policy each, a fault in the sweep of the first, and drift in the second: how long the
/// repair takes.
async fn repaired_beside(effect: Effect) -> Result<Duration> {
    let fixture = Fixture::with(&[]).start().await?;
    for (name, id) in [("sick", SICK), ("well", WELL)] {
        let account = fixture.account(name, id, json!({ "driftScan": "Bulk" })).await?;
        fixture.applied(name, json!({ "accountRef": { "name": account }, "roleName": name })).await?;
    }
    let sweeps = async |id: &str, least: usize| {
        let mark = fixture.mark();
        let calls = || fixture.calls_in(id, mark).iter().filter(|call| call.action == SWEEP).count();
        fixture.eventually_true(&format!("{least} sweeps of {id}"), || Ok(calls() >= least)).await
    };
    sweeps(WELL, 1).await?;
    fixture.set_faults([Rule::new(effect, &[SWEEP]).in_account(SICK)]);
    sweeps(SICK, 1).await?;
    fixture.aws.world().account(WELL).lock().put_role_permissions_boundary("well", FULL_ACCESS)?;
    let edited = std::time::Instant::now();
    let repaired = || Ok(fixture.snapshot(WELL)["roles"]["well"]["boundary"].is_null());
    fixture.eventually_true("the drift to be repaired", repaired).await?;
    let took = edited.elapsed();
    // The sweep has found it, and sweeps go on.
    sweeps(WELL, 2).await?;
    fixture.ready("well").await?;
    Ok(took)
}

/// A sweep that hangs is given up after half a minute: a repair that waited for it would take longer than this.
const PROMPT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_sweep_that_hangs_in_one_account_delays_no_repair_in_another() -> Result<()> {
    let took = repaired_beside(Effect::Latency { ms: 60_000 }).await?;
    println!("repaired in {took:?}");
    ensure!(took < PROMPT, "{took:?}");
    Ok(())
}

#[tokio::test]
async fn a_sweep_that_is_denied_in_one_account_delays_no_repair_in_another() -> Result<()> {
    let took = repaired_beside(Effect::AccessDenied).await?;
    println!("repaired in {took:?}");
    ensure!(took < PROMPT, "{took:?}");
    Ok(())
}

#[tokio::test]
async fn an_account_says_whether_it_has_the_service_linked_role_if_that_is_known() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    let (with, without, hidden) = ("111111111111", "222222222222", "333333333333");
    fixture.aws.world().account(with).lock().plant_service_linked_role("AWSServiceRoleForRDS", "rds.amazonaws.com");
    let denied = Rule::new(Effect::AccessDenied, &["GetRole"]).in_account(hidden).about("AWSServiceRoleForRDS");
    fixture.set_faults([denied]);
    for (id, known) in [(with, json!(true)), (without, json!(false)), (hidden, Value::Null)] {
        let account = fixture.account(&format!("a{id}"), id, json!({})).await?;
        fixture.account_ready(&account).await?;
        wait_for(&format!("the service-linked role of {id}"), LIMIT, async || {
            let told = fixture.account_status(&account).await?;
            ensure!(told["serviceLinkedRole"] == known, "{told}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_status_of_an_account_counts_what_retained_objects_left() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    let account = fixture.account("swept", WELL, json!({ "driftScan": "Bulk" })).await?;
    fixture.applied("here", of_account(&account)).await?;
    fixture.applied("left", json!({ "accountRef": { "name": account }, "deletionPolicy": "Retain" })).await?;
    fixture.deleted("left").await?;
    wait_for("the orphan in the metrics", LIMIT, async || {
        let orphans = fixture.metric("auroralogexport_orphans", &[("account", WELL)]).await?;
        ensure!((orphans - 1.0).abs() < 0.5, "{orphans}");
        Ok(())
    })
    .await?;
    // A change of its policies brings the status up to date, at most once a minute.
    fixture.applied("later", of_account(&account)).await?;
    wait_for("the orphan in the status", LIMIT, async || {
        let status = fixture.accounts().get(&account).await?.data["status"].clone();
        ensure!(status["orphans"] == 1, "{status}");
        Ok(())
    })
    .await
}
