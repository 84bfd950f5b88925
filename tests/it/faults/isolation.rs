//! A broken object does not delay others, and the operator stays within its rate limit while AWS or the API server is
//! unavailable and when it is back.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use aurora_test_support::iam_model::call_log::CallRecord;
use aurora_test_support::iam_model::faults::{Effect, Rule};
use aurora_test_support::link::Link;
use serde_json::json;

use crate::fixture::{Fixture, RDS_TRUST, tags};

/// As set in these tests.
const READS_PER_SECOND: usize = 20;
/// A full bucket holds what two seconds yield.
const BURST_SECONDS: usize = 2;
const OBJECTS: usize = 25;
const ABSENCE: Duration = Duration::from_secs(8);
const AFTERMATH: Duration = Duration::from_secs(10);

#[tokio::test]
async fn broken_objects_delay_nobody() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
    let denied = Rule::new(Effect::AccessDenied, &["*"]).about(&fixture.name("denied"));
    let failing = Rule::new(Effect::ServiceFailure, &["*"]).about(&fixture.name("failing"));
    let hanging = Rule::new(Effect::Latency { ms: 15_000 }, &["*"]).about(&fixture.name("hanging"));
    fixture.set_faults([denied, failing, hanging]);
    fixture.foreign_role("taken", RDS_TRUST, &tags(&[]))?;
    for broken in ["denied", "failing", "hanging", "taken"] {
        fixture.apply(broken, json!({})).await?;
    }
    // Too large for IAM, which the API server cannot know.
    let groups: Vec<String> = (0..50).map(|number| format!("/aws/rds/{number}-{}", "x".repeat(400))).collect();
    fixture.apply("oversized", json!({ "scope": { "logGroups": groups } })).await?;
    for (name, reason) in
        [("denied", "AccessDenied"), ("failing", "AwsUnavailable"), ("taken", "Conflict"), ("oversized", "InvalidSpec")]
    {
        fixture.not_ready(name, reason).await?;
    }
    // The operator makes no call that AWS would refuse.
    let asked = fixture.calls(0).into_iter().find(|call| call.resource.contains(&fixture.name("oversized")));
    ensure!(asked.is_none(), "{asked:?}");
    let began = Instant::now();
    fixture.applied("sound", json!({})).await?;
    let took = began.elapsed();
    println!("a sound object was ready after {took:?}");
    // Less than one call of the one that hangs.
    assert!(took < Duration::from_secs(15), "{took:?}");
    fixture.clear_faults();
    fixture.finish().await
}

#[tokio::test]
async fn a_new_object_that_is_retried_goes_before_resyncs() -> Result<()> {
    let reads = 4;
    let limit = format!("--iam-reads-per-second={reads}");
    let fixture = Fixture::with(&["--drift-scan=per-resource", &limit]).start().await?;
    // Their resyncs need many times the rate limit, so that some always wait.
    let others = 40;
    fixture.applied_many(others).await?;
    let failing = Rule::new(Effect::ServiceFailure, &["CreateRole"]).about(&fixture.name("late")).times(3);
    fixture.set_faults([failing]);
    let began = Instant::now();
    fixture.applied("late", json!({})).await?;
    let took = began.elapsed();
    println!("ready after {took:?}");
    // A resync takes two reads: at the end of the queue, each attempt would wait for `others` resyncs.
    let queue = Duration::from_secs(2 * others as u64 / reads);
    assert!(took < queue, "{took:?} is more than {queue:?}");
    fixture.finish().await
}

/// Objects in sync, and the network link between their operator and the API server.
async fn in_sync() -> Result<(Fixture<'static>, Link)> {
    let reads = format!("--iam-reads-per-second={READS_PER_SECOND}");
    // Shorter than an absence, so that every object is resynced in it; failures are reported after three intervals.
    let flags = ["--drift-check-interval=7s", "--drift-scan=per-resource", &reads];
    let mut fixture = Fixture::with(&flags).prepare().await?;
    let link = fixture.start_behind_link().await?;
    fixture.applied_many(OBJECTS).await?;
    Ok((fixture, link))
}

/// Reads of IAM since a mark.
fn reads(fixture: &Fixture<'_>, mark: u64) -> Vec<CallRecord> {
    let mut calls = fixture.calls(mark);
    calls.retain(|call| call.action != "GetCallerIdentity");
    calls
}

fn within_rate_limit(reads: usize, time: Duration) -> Result<()> {
    let seconds = usize::try_from(time.as_secs())? + 1;
    let allowed = READS_PER_SECOND * (seconds + BURST_SECONDS);
    println!("{reads} calls in {seconds} s, {allowed} allowed");
    ensure!(reads <= allowed, "{reads} calls in {seconds} s, {allowed} allowed");
    Ok(())
}

/// The objects as they were last written to.
async fn written(fixture: &Fixture<'_>) -> Result<BTreeSet<(Option<String>, Option<String>)>> {
    let objects = fixture.objects().await?.into_iter();
    Ok(objects.map(|object| (object.metadata.name, object.metadata.resource_version)).collect())
}

#[tokio::test]
async fn the_absence_of_aws_makes_no_storm_and_neither_does_its_return() -> Result<()> {
    let (fixture, _link) = in_sync().await?;
    let before = written(&fixture).await?;
    fixture.set_faults([Rule::new(Effect::DropConnection, &["*"])]);
    let mark = fixture.mark();
    // Calls are counted over a time that is known.
    tokio::time::sleep(ABSENCE).await;
    within_rate_limit(reads(&fixture, mark).len(), ABSENCE)?;
    // Within 3 intervals the status does not change.
    assert_eq!(written(&fixture).await?, before);
    fixture.clear_faults();
    let mark = fixture.mark();
    // Calls are counted over a time that is known.
    tokio::time::sleep(AFTERMATH).await;
    within_rate_limit(reads(&fixture, mark).len(), AFTERMATH)?;
    fixture.all_ready(OBJECTS).await?;
    assert_eq!(written(&fixture).await?, before);
    fixture.finish().await
}

#[tokio::test]
async fn the_absence_of_the_api_server_makes_no_storm_and_neither_does_its_return() -> Result<()> {
    let (fixture, link) = in_sync().await?;
    let before = written(&fixture).await?;
    link.cut();
    let mark = fixture.mark();
    // What happens meanwhile is not lost.
    fixture.apply("late", json!({})).await?;
    fixture.delete("o0").await?;
    // Calls are counted over a time that is known.
    tokio::time::sleep(ABSENCE).await;
    // Resyncs of objects in sync go on: they need no API server.
    let resyncs = reads(&fixture, mark).len();
    ensure!(resyncs > 0, "there was no resync");
    within_rate_limit(resyncs, ABSENCE)?;
    link.mend();
    let mark = fixture.mark();
    // Calls are counted over a time that is known.
    tokio::time::sleep(AFTERMATH).await;
    within_rate_limit(reads(&fixture, mark).len(), AFTERMATH)?;
    fixture.ready("late").await?;
    fixture.gone("o0").await?;
    fixture.eventually_true("the role to be deleted", || Ok(fixture.role("o0").is_err())).await?;
    let (after, name) = (written(&fixture).await?, |name: &str| Some(name.to_owned()));
    let changed: BTreeSet<_> = after.symmetric_difference(&before).map(|(name, _)| name.clone()).collect();
    assert_eq!(changed, BTreeSet::from([name("late"), name("o0")]));
    fixture.finish().await
}
