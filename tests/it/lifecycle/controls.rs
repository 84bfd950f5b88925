//! The controls of an object: suspend, reconcile-at, driftCheckInterval, access, tags, boundary.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aurora_test_support::iam_model::{CreatePolicy, Tags};
use aurora_test_support::wait::wait_for;
use serde_json::json;

use super::{contested, start, still};
use crate::fixture::{ACCOUNT, FULL_ACCESS, LIMIT, OTHER_DOCUMENT, READ_ONLY, actions, tags};

const FULL_LOGS: &str = "arn:aws:iam::aws:policy/CloudWatchLogsReadOnlyAccess";

#[tokio::test]
async fn a_suspended_object_makes_no_call_and_goes_on_when_it_may() -> Result<()> {
    let fixture = start().await?;
    fixture.applied("a", json!({})).await?;
    fixture.apply("a", json!({ "suspend": true })).await?;
    fixture.not_ready("a", "Suspended").await?;
    let mark = fixture.mark();
    fixture.break_trust("a")?;
    // Another object is repaired three times meanwhile.
    fixture.applied("b", json!({})).await?;
    for _ in 0..3 {
        fixture.break_trust("b")?;
        fixture.trust_repaired("b").await?;
    }
    let about = fixture.name("a");
    let calls = fixture.iam_calls(mark).into_iter().filter(|call| call.resource.contains(&about));
    assert_eq!(calls.count(), 0);
    fixture.applied("a", json!({})).await?;
    ensure!(fixture.trust("a")?.contains("rds.amazonaws.com"));
    fixture.finish().await
}

#[tokio::test]
async fn reconcile_at_is_obeyed_at_once_and_then_at_most_every_ten_seconds() -> Result<()> {
    let fixture = still().await?;
    fixture.applied("a", json!({})).await?;
    fixture.break_trust("a")?;
    let (asked, mark) = (Instant::now(), fixture.mark());
    fixture.nudge("a").await?;
    fixture.trust_repaired("a").await?;
    ensure!(asked.elapsed() < Duration::from_secs(8), "{:?}", asked.elapsed());
    let mut requests = 0;
    wait_for("22 seconds of requests", LIMIT, async || {
        fixture.nudge("a").await?;
        // A value that was honoured before is no way around the limit.
        fixture.annotate("a", "auroralogexport.dev/reconcile-at", "first").await?;
        requests += 1;
        ensure!(asked.elapsed() > Duration::from_secs(22), "{requests} requests");
        Ok(())
    })
    .await?;
    let calls = fixture.iam_calls(mark);
    let resyncs: Vec<u64> = calls.iter().filter(|call| call.action == "GetRole").map(|call| call.at_ms).collect();
    // At once, twice every ten seconds, and perhaps one left over from the start.
    ensure!(requests > 20 && (3..=4).contains(&resyncs.len()), "{requests} requests, resyncs at {resyncs:?}");
    fixture.finish().await
}

#[tokio::test]
async fn drift_check_interval_resyncs_one_object_more_often() -> Result<()> {
    let fixture = still().await?;
    fixture.applied("often", json!({ "driftCheckInterval": "30s" })).await?;
    fixture.applied("rarely", json!({})).await?;
    for name in ["often", "rarely"] {
        fixture.break_trust(name)?;
    }
    let refused = fixture.apply("never", json!({ "driftCheckInterval": "29s" })).await;
    ensure!(refused.is_err_and(|error| error.to_string().contains("driftCheckInterval")));
    fixture.trust_repaired("often").await?;
    ensure!(!fixture.trust("rarely")?.contains("rds.amazonaws.com"));
    fixture.finish().await
}

#[tokio::test]
async fn in_bulk_mode_it_adds_resyncs_and_no_sweeps() -> Result<()> {
    const SWEEP: &str = "GetAccountAuthorizationDetails";
    let flags = ["--drift-scan=bulk", "--drift-check-interval=10m"];
    let mut fixture = contested(&flags).start().await?;
    fixture.applied("often", json!({ "driftCheckInterval": "30s" })).await?;
    fixture.applied("rarely", json!({})).await?;
    // Also by an operator that finds both in sync at its start: it makes its first sweep and no other.
    let mark = fixture.mark();
    fixture.restart_with(&flags).await?;
    let sweeps = |mark: u64| fixture.iam_calls(mark).iter().filter(|call| call.action == SWEEP).count();
    wait_for("the first sweep", LIMIT, async || {
        ensure!(fixture.metrics_have("auroralogexport_orphans{").await?);
        Ok(())
    })
    .await?;
    let swept = sweeps(mark);
    ensure!(swept > 0, "the first sweep is in the call log");
    // 30 s is the shortest interval; twice, as the resyncs have to go on after a repair.
    for round in 0..2 {
        for name in ["often", "rarely"] {
            fixture.break_trust(name)?;
        }
        let mark = fixture.mark();
        fixture.trust_repaired("often").await.with_context(|| format!("round {round}"))?;
        // One resync of four reads, and its write.
        let about = fixture.name("often");
        let calls = fixture.iam_calls(mark).into_iter().filter(|call| call.resource.ends_with(&about));
        let calls: Vec<_> = calls.map(|call| call.action).collect();
        ensure!(calls.len() <= 5 && calls.contains(&"UpdateAssumeRolePolicy".to_owned()), "{calls:?}");
    }
    ensure!(!fixture.trust("rarely")?.contains("rds.amazonaws.com"), "its interval is not over");
    assert_eq!(sweeps(mark), swept, "the resyncs of one object are no sweeps");
    fixture.finish().await
}

#[tokio::test]
async fn access_switches_both_ways_without_a_gap_and_leaves_nothing_behind() -> Result<()> {
    let fixture = still().await?;
    fixture.applied("a", json!({})).await?;
    let order = |mark: u64| {
        let writes = actions(fixture.writes(mark));
        let at = |action: &str| writes.iter().position(|write| write == action);
        (at("AttachRolePolicy"), at("DetachRolePolicy"))
    };
    let mark = fixture.mark();
    let status = fixture.applied("a", json!({ "access": "FullAccess" })).await?;
    assert_eq!(fixture.attached("a"), [FULL_ACCESS]);
    ensure!(fixture.policy("a").is_err(), "our own policy is no longer wanted");
    ensure!(status["policy"].is_null(), "{status}");
    let (attach, detach) = order(mark);
    ensure!(attach.is_some() && attach < detach, "{:?}", fixture.writes(mark));

    let mark = fixture.mark();
    fixture.applied("a", json!({ "access": "Minimal" })).await?;
    assert_eq!(fixture.attached("a"), [fixture.policy_arn("a")]);
    let (attach, detach) = order(mark);
    ensure!(attach.is_some() && attach < detach, "{:?}", fixture.writes(mark));

    fixture.applied("a", json!({ "access": "FullAccess" })).await?;
    fixture.deleted("a").await?;
    fixture.nothing_left("a")?;
    fixture.finish().await
}

#[tokio::test]
async fn full_access_needs_the_operators_permission() -> Result<()> {
    let fixture = contested(&["--allow-full-access=false"]).start().await?;
    let mark = fixture.mark();
    fixture.apply("a", json!({ "access": "FullAccess" })).await?;
    let said = fixture.refusal("a", "NotPermitted").await?;
    ensure!(said.contains("--allow-full-access"), "{said}");
    assert_eq!(fixture.iam_calls(mark), []);
    fixture.finish().await
}

#[tokio::test]
async fn tags_are_added_changed_and_removed_on_both() -> Result<()> {
    let fixture = still().await?;
    let ours = fixture.ownership("a").await?;
    let check = |wanted: &[(&str, &str)]| -> Result<()> {
        let mut all = ours.clone();
        all.extend(tags(wanted));
        assert_eq!(fixture.role("a")?.tags, all);
        assert_eq!(fixture.policy("a")?.tags, all);
        Ok(())
    };
    fixture.applied("a", json!({ "tags": { "team": "shop" } })).await?;
    check(&[("team", "shop")])?;
    fixture.applied("a", json!({ "tags": { "team": "shop", "stage": "test" } })).await?;
    check(&[("team", "shop"), ("stage", "test")])?;
    fixture.applied("a", json!({ "tags": { "team": "bills", "stage": "" } })).await?;
    check(&[("team", "bills"), ("stage", "")])?;
    fixture.applied("a", json!({ "tags": { "stage": "" } })).await?;
    check(&[("stage", "")])?;
    fixture.applied("a", json!({})).await?;
    check(&[])?;
    fixture.finish().await
}

#[tokio::test]
async fn a_tag_key_that_is_only_respelt_keeps_its_value() -> Result<()> {
    let fixture = start().await?;
    fixture.applied("a", json!({ "tags": { "team": "shop" } })).await?;
    fixture.applied("a", json!({ "tags": { "Team": "shop" } })).await?;
    let spelt = |tags: &Tags| {
        let found = tags.iter().filter(|(key, _)| key.eq_ignore_ascii_case("team"));
        found.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>()
    };
    assert_eq!(spelt(&fixture.policy("a")?.tags), ["Team=shop"]);
    assert_eq!(spelt(&fixture.role("a")?.tags).len(), 1);
    // It has come to rest.
    let mark = fixture.mark();
    fixture.nudge("a").await?;
    fixture.resyncs(2).await?;
    assert_eq!(fixture.writes(mark), []);
    fixture.finish().await
}

#[tokio::test]
async fn a_boundary_is_set_changed_and_removed() -> Result<()> {
    let fixture = still().await?;
    fixture.applied("a", json!({ "permissionsBoundary": READ_ONLY })).await?;
    assert_eq!(fixture.role("a")?.boundary.as_deref(), Some(READ_ONLY));
    fixture.applied("a", json!({ "permissionsBoundary": FULL_LOGS })).await?;
    assert_eq!(fixture.role("a")?.boundary.as_deref(), Some(FULL_LOGS));
    fixture.applied("a", json!({})).await?;
    assert_eq!(fixture.role("a")?.boundary, None);
    fixture.applied("a", json!({ "permissionsBoundary": READ_ONLY })).await?;
    assert_eq!(fixture.role("a")?.boundary.as_deref(), Some(READ_ONLY));
    // A boundary that does not exist is an error of the spec until it exists.
    let missing = format!("arn:aws:iam::{ACCOUNT}:policy/boundary");
    fixture.apply("a", json!({ "permissionsBoundary": missing })).await?;
    let said = fixture.refusal("a", "InvalidSpec").await?;
    ensure!(said.contains("permissionsBoundary"), "{said}");
    let boundary =
        CreatePolicy { name: "boundary".to_owned(), document: OTHER_DOCUMENT.to_owned(), ..CreatePolicy::default() };
    fixture.by_hand(|iam| iam.create_policy(&boundary))?;
    fixture.ready("a").await?;
    fixture.finish().await
}
