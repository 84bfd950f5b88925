//! What users turn: suspend, reconcile-at, driftCheckInterval, access, tags, boundary.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use aurora_test_support::wait::wait_for;
use serde_json::json;

use super::stage::{FULL_ACCESS, LIMIT, OTHER_TRUST, READ_ONLY, Stage, message};

const FULL_LOGS: &str = "arn:aws:iam::aws:policy/CloudWatchLogsReadOnlyAccess";

#[tokio::test]
async fn a_suspended_object_makes_no_call_and_goes_on_when_it_may() -> Result<()> {
    let stage = Stage::start().await?;
    stage.applied("a", json!({})).await?;
    stage.apply("a", json!({ "suspend": true })).await?;
    stage.until("a", "Ready", "False", "Suspended").await?;
    let (name, mark) = (stage.name("a"), stage.mark());
    stage.by_hand(|iam| iam.update_assume_role_policy(&name, OTHER_TRUST))?;
    // An object that does work passes three times meanwhile.
    stage.applied("b", json!({})).await?;
    for _ in 0..3 {
        stage.by_hand(|iam| iam.update_assume_role_policy(&stage.name("b"), OTHER_TRUST))?;
        stage
            .eventually("the other object's repair", || {
                ensure!(stage.role("b")?.trust.as_str().contains("rds.amazonaws.com"));
                Ok(())
            })
            .await?;
    }
    let about = stage.name("a");
    let calls = stage.iam_calls(mark).into_iter().filter(|call| call.resource.contains(&about));
    assert_eq!(calls.count(), 0);
    stage.applied("a", json!({})).await?;
    ensure!(stage.role("a")?.trust.as_str().contains("rds.amazonaws.com"));
    stage.finish().await
}

#[tokio::test]
async fn reconcile_at_is_obeyed_at_once_and_then_at_most_every_ten_seconds() -> Result<()> {
    let stage = Stage::still().await?;
    stage.applied("a", json!({})).await?;
    let name = stage.name("a");
    stage.by_hand(|iam| iam.update_assume_role_policy(&name, OTHER_TRUST))?;
    let (asked, mark) = (Instant::now(), stage.mark());
    stage.nudge("a").await?;
    stage
        .eventually("the repair", || {
            ensure!(stage.role("a")?.trust.as_str().contains("rds.amazonaws.com"));
            Ok(())
        })
        .await?;
    ensure!(asked.elapsed() < Duration::from_secs(8), "{:?}", asked.elapsed());
    let mut requests = 0;
    wait_for("22 seconds of requests", LIMIT, async || {
        stage.nudge("a").await?;
        requests += 1;
        ensure!(asked.elapsed() > Duration::from_secs(22), "{requests} requests");
        Ok(())
    })
    .await?;
    let calls = stage.iam_calls(mark);
    let looks: Vec<u64> = calls.iter().filter(|call| call.action == "GetRole").map(|call| call.at_ms).collect();
    // At once, twice every ten seconds, and perhaps one that the start had left over.
    ensure!(requests > 20 && (3..=4).contains(&looks.len()), "{requests} requests, looks at {looks:?}");
    stage.finish().await
}

#[tokio::test]
async fn drift_check_interval_asks_for_more_looks_at_one_object() -> Result<()> {
    let stage = Stage::still().await?;
    stage.applied("often", json!({ "driftCheckInterval": "30s" })).await?;
    stage.applied("rarely", json!({})).await?;
    for name in ["often", "rarely"] {
        let name = stage.name(name);
        stage.by_hand(|iam| iam.update_assume_role_policy(&name, OTHER_TRUST))?;
    }
    let refused = stage.apply("never", json!({ "driftCheckInterval": "29s" })).await;
    ensure!(refused.is_err_and(|error| error.to_string().contains("driftCheckInterval")));
    stage
        .eventually("the repair after 30 s", || {
            ensure!(stage.role("often")?.trust.as_str().contains("rds.amazonaws.com"));
            Ok(())
        })
        .await?;
    ensure!(!stage.role("rarely")?.trust.as_str().contains("rds.amazonaws.com"));
    stage.finish().await
}

#[tokio::test]
async fn in_bulk_mode_it_asks_for_more_looks_and_never_for_more_account_scans() -> Result<()> {
    const SWEEP: &str = "GetAccountAuthorizationDetails";
    let flags = ["--drift-scan=bulk", "--drift-check-interval=10m"];
    let mut stage = Stage::with(&flags).await?;
    stage.applied("often", json!({ "driftCheckInterval": "30s" })).await?;
    stage.applied("rarely", json!({})).await?;
    // Also of an operator that finds both in sync when it comes: its first sweep says so, and no other is made.
    let mark = stage.mark();
    stage.restart_with(&flags).await?;
    let sweeps = |mark: u64| stage.iam_calls(mark).iter().filter(|call| call.action == SWEEP).count();
    wait_for("the first sweep", LIMIT, async || {
        ensure!(stage.metrics_have("auroralogexport_orphans{").await?);
        Ok(())
    })
    .await?;
    let swept = sweeps(mark);
    ensure!(swept > 0, "the first sweep is in the call log");
    // 30 s is the shortest interval; twice, as the looks have to go on after a repair.
    for round in 0..2 {
        for name in ["often", "rarely"] {
            let name = stage.name(name);
            stage.by_hand(|iam| iam.update_assume_role_policy(&name, OTHER_TRUST))?;
        }
        let mark = stage.mark();
        stage
            .eventually(&format!("repair {round}, after 30 s"), || {
                ensure!(trust(&stage, "often")?.contains("rds.amazonaws.com"));
                Ok(())
            })
            .await?;
        // One look of four reads, and its write.
        let about = stage.name("often");
        let calls = stage.iam_calls(mark).into_iter().filter(|call| call.resource.ends_with(&about));
        let calls: Vec<_> = calls.map(|call| call.action).collect();
        ensure!(calls.len() <= 5 && calls.contains(&"UpdateAssumeRolePolicy".to_owned()), "{calls:?}");
    }
    ensure!(!trust(&stage, "rarely")?.contains("rds.amazonaws.com"), "nobody has looked at it");
    assert_eq!(sweeps(mark), swept, "its looks are its own");
    stage.finish().await
}

fn trust(stage: &Stage, object: &str) -> Result<String> {
    Ok(stage.role(object)?.trust.as_str().to_owned())
}

#[tokio::test]
async fn access_switches_both_ways_without_a_gap_and_leaves_nothing_behind() -> Result<()> {
    let stage = Stage::still().await?;
    stage.applied("a", json!({})).await?;
    let order = |mark: u64| {
        let writes = stage.writes(mark);
        let at = |action: &str| writes.iter().position(|write| write == action);
        (at("AttachRolePolicy"), at("DetachRolePolicy"))
    };
    let mark = stage.mark();
    let status = stage.applied("a", json!({ "access": "FullAccess" })).await?;
    assert_eq!(stage.attached("a"), [FULL_ACCESS]);
    ensure!(stage.policy("a").is_err(), "our own policy is no longer wanted");
    ensure!(status["policy"].is_null(), "{status}");
    let (attach, detach) = order(mark);
    ensure!(attach.is_some() && attach < detach, "{:?}", stage.writes(mark));

    let mark = stage.mark();
    stage.applied("a", json!({ "access": "Minimal" })).await?;
    assert_eq!(stage.attached("a"), [stage.policy_arn("a")]);
    let (attach, detach) = order(mark);
    ensure!(attach.is_some() && attach < detach, "{:?}", stage.writes(mark));

    stage.applied("a", json!({ "access": "FullAccess" })).await?;
    stage.deleted("a").await?;
    stage.nothing_left("a")?;
    stage.finish().await
}

#[tokio::test]
async fn full_access_needs_the_operators_permission() -> Result<()> {
    let stage = Stage::with(&["--allow-full-access=false"]).await?;
    let mark = stage.mark();
    stage.apply("a", json!({ "access": "FullAccess" })).await?;
    let status = stage.until("a", "Ready", "False", "NotPermitted").await?;
    ensure!(message(&status, "Ready").contains("--allow-full-access"), "{status}");
    assert_eq!(stage.iam_calls(mark), []);
    stage.finish().await
}

#[tokio::test]
async fn tags_are_added_changed_and_removed_on_both() -> Result<()> {
    let stage = Stage::still().await?;
    let ours = stage.ownership("a").await?;
    let check = |wanted: &[(&str, &str)]| -> Result<()> {
        let mut all = ours.clone();
        all.extend(super::stage::tags(wanted));
        assert_eq!(stage.role("a")?.tags, all);
        assert_eq!(stage.policy("a")?.tags, all);
        Ok(())
    };
    stage.applied("a", json!({ "tags": { "team": "shop" } })).await?;
    check(&[("team", "shop")])?;
    stage.applied("a", json!({ "tags": { "team": "shop", "stage": "test" } })).await?;
    check(&[("team", "shop"), ("stage", "test")])?;
    stage.applied("a", json!({ "tags": { "team": "bills", "stage": "" } })).await?;
    check(&[("team", "bills"), ("stage", "")])?;
    stage.applied("a", json!({ "tags": { "stage": "" } })).await?;
    check(&[("stage", "")])?;
    stage.applied("a", json!({})).await?;
    check(&[])?;
    stage.finish().await
}

#[tokio::test]
async fn a_tag_key_that_is_only_respelt_keeps_its_value() -> Result<()> {
    let stage = Stage::start().await?;
    stage.applied("a", json!({ "tags": { "team": "shop" } })).await?;
    stage.applied("a", json!({ "tags": { "Team": "shop" } })).await?;
    let spelt = |tags: &aurora_test_support::iam_model::Tags| {
        let found = tags.iter().filter(|(key, _)| key.eq_ignore_ascii_case("team"));
        found.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>()
    };
    assert_eq!(spelt(&stage.policy("a")?.tags), ["Team=shop"]);
    assert_eq!(spelt(&stage.role("a")?.tags).len(), 1);
    // It has come to rest.
    let mark = stage.mark();
    stage.nudge("a").await?;
    stage
        .eventually("another look", || {
            ensure!(stage.iam_calls(mark).iter().filter(|call| call.action == "GetPolicy").count() >= 2);
            Ok(())
        })
        .await?;
    assert_eq!(stage.writes(mark), Vec::<String>::new());
    stage.finish().await
}

#[tokio::test]
async fn a_boundary_is_set_changed_and_removed() -> Result<()> {
    let stage = Stage::still().await?;
    stage.applied("a", json!({ "permissionsBoundary": READ_ONLY })).await?;
    assert_eq!(stage.role("a")?.boundary.as_deref(), Some(READ_ONLY));
    stage.applied("a", json!({ "permissionsBoundary": FULL_LOGS })).await?;
    assert_eq!(stage.role("a")?.boundary.as_deref(), Some(FULL_LOGS));
    stage.applied("a", json!({})).await?;
    assert_eq!(stage.role("a")?.boundary, None);
    stage.applied("a", json!({ "permissionsBoundary": READ_ONLY })).await?;
    assert_eq!(stage.role("a")?.boundary.as_deref(), Some(READ_ONLY));
    // One that does not exist is the spec's mistake, and passes once it exists.
    let missing = format!("arn:aws:iam::{}:policy/boundary", super::stage::ACCOUNT);
    stage.apply("a", json!({ "permissionsBoundary": missing })).await?;
    let status = stage.until("a", "Ready", "False", "InvalidSpec").await?;
    ensure!(message(&status, "Ready").contains("permissionsBoundary"), "{status}");
    let boundary = aurora_test_support::iam_model::CreatePolicy {
        name: "boundary".to_owned(),
        document: super::stage::OTHER_DOCUMENT.to_owned(),
        ..aurora_test_support::iam_model::CreatePolicy::default()
    };
    stage.by_hand(|iam| iam.create_policy(&boundary))?;
    stage.ready("a").await?;
    stage.finish().await
}
