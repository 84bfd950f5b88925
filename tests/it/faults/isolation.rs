//! One broken object never delays another, and nobody makes a storm: not while AWS or the API server is away, and not when
//! it is back.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aurora_test_support::iam_model::CreateRole;
use aurora_test_support::iam_model::call_log::CallRecord;
use aurora_test_support::iam_model::faults::{Effect, FaultPlan, Rule};
use aurora_test_support::link::Link;
use aurora_test_support::operator::Operator;
use aurora_test_support::wait::wait_for;
use serde_json::json;

use super::site::{LIMIT, PATH, Site, server_of};

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"rds.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
/// As set in these tests.
const READS_PER_SECOND: usize = 20;
/// A full bucket holds what two seconds yield.
const BURST_SECONDS: usize = 2;
const OBJECTS: usize = 25;
const ABSENCE: Duration = Duration::from_secs(8);
const AFTERMATH: Duration = Duration::from_secs(10);

#[tokio::test]
async fn broken_objects_delay_nobody() -> Result<()> {
    let site = Site::start().await?;
    let denied = Rule::new(Effect::AccessDenied, &["*"]).about(&site.name("denied"));
    let failing = Rule::new(Effect::ServiceFailure, &["*"]).about(&site.name("failing"));
    let hanging = Effect::Latency { ms: 4000, jitter_ms: 0 };
    let hanging = Rule::new(hanging, &["*"]).about(&site.name("hanging"));
    site.aws.gate().set_faults(FaultPlan::of(1, vec![denied, failing, hanging]));
    site.by_hand(|iam| {
        iam.create_role(&CreateRole {
            name: site.name("taken"),
            path: Some(PATH.to_owned()),
            trust: TRUST.to_owned(),
            ..CreateRole::default()
        })
    })?;
    let operator = site.operator(&["--drift-check-interval=1s"]).await?;
    for broken in ["denied", "failing", "hanging", "taken"] {
        site.apply(broken, json!({})).await?;
    }
    // Too large for IAM, which the API server cannot know.
    let groups: Vec<String> = (0..50).map(|number| format!("/aws/rds/{number}-{}", "x".repeat(400))).collect();
    site.apply("oversized", json!({ "scope": { "logGroups": groups } })).await?;
    for (name, reason) in
        [("denied", "AccessDenied"), ("failing", "AwsUnavailable"), ("taken", "Conflict"), ("oversized", "InvalidSpec")]
    {
        site.until(name, "False", reason).await?;
    }
    // What AWS would refuse is not even asked for.
    let asked = site.calls(0).into_iter().find(|call| call.resource.contains(&site.name("oversized")));
    ensure!(asked.is_none(), "{asked:?}");
    let began = Instant::now();
    site.apply("sound", json!({})).await?;
    site.ready("sound").await?;
    let took = began.elapsed();
    println!("a sound object was ready after {took:?}");
    // Less than one call of the one that hangs.
    assert!(took < Duration::from_secs(4), "{took:?}");
    site.aws.gate().clear_faults();
    operator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_new_object_that_has_to_try_again_goes_before_looks_at_others() -> Result<()> {
    let site = Site::start().await?;
    let reads = 4;
    let reads_flag = format!("--iam-reads-per-second={reads}");
    let flags = ["--drift-check-interval=1s", "--drift-scan=per-resource", reads_flag.as_str()];
    let operator = site.operator(&flags).await?;
    // Their looks ask for many times more than the budget, so that some always wait.
    let others = 40;
    for number in 0..others {
        site.apply(&format!("o{number}"), json!({})).await?;
    }
    site.all_ready(others).await?;
    let failing = Rule::new(Effect::ServiceFailure, &["CreateRole"]).about(&site.name("late")).times(3);
    site.aws.gate().set_faults(FaultPlan::of(1, vec![failing]));
    let began = Instant::now();
    site.apply("late", json!({})).await?;
    site.ready("late").await?;
    let took = began.elapsed();
    println!("ready after {took:?}");
    // Two reads a look: a place at the end of everybody's queue costs `others` looks for each try.
    let queue = Duration::from_secs(2 * others as u64 / reads);
    assert!(took < queue, "{took:?} is more than {queue:?}");
    operator.stop().await?;
    Ok(())
}

/// Objects in sync, under an operator that has a budget of its own and a wire to the API server.
async fn in_sync(site: &Site<'_>, objects: usize) -> Result<(Operator, Link)> {
    let access = site.env.install_rbac().await?;
    let link = Link::to(server_of(&access.kubeconfig)?).await?;
    let reads = format!("--iam-reads-per-second={READS_PER_SECOND}");
    // Shorter than an absence, so that everything is looked at in it; and what lasts less than thrice this is told nobody.
    let flags = ["--drift-check-interval=7s", "--drift-scan=per-resource", reads.as_str()];
    let mut options = site.options(&flags);
    options.kubeconfig = Some(site.kubeconfig_via(link.addr()).await?);
    let operator = Operator::start(site.env, options).await?;
    for number in 0..objects {
        site.apply(&format!("o{number}"), json!({})).await?;
    }
    site.all_ready(objects).await?;
    Ok((operator, link))
}

/// Reads of IAM since a mark.
fn reads(site: &Site<'_>, mark: u64) -> Vec<CallRecord> {
    let mut calls = site.calls(mark);
    calls.retain(|call| call.action != "GetCallerIdentity");
    calls
}

fn within_budget(reads: usize, time: Duration) -> Result<()> {
    let seconds = usize::try_from(time.as_secs())? + 1;
    let budget = READS_PER_SECOND * (seconds + BURST_SECONDS);
    println!("{reads} calls in {seconds} s, {budget} allowed");
    ensure!(reads <= budget, "{reads} calls in {seconds} s, {budget} allowed");
    Ok(())
}

/// The objects as they were last written to.
async fn written(site: &Site<'_>) -> Result<BTreeSet<(Option<String>, Option<String>)>> {
    let objects = site.objects().await?.into_iter();
    Ok(objects.map(|object| (object.metadata.name, object.metadata.resource_version)).collect())
}

#[tokio::test]
async fn the_absence_of_aws_makes_no_storm_and_neither_does_its_return() -> Result<()> {
    let site = Site::start().await?;
    let (operator, _link) = in_sync(&site, OBJECTS).await?;
    let before = written(&site).await?;
    let gone = Rule::new(Effect::DropConnection, &["*"]);
    site.aws.gate().set_faults(FaultPlan::of(1, vec![gone]));
    let mark = site.mark();
    // Time has to pass here: it is what is measured.
    tokio::time::sleep(ABSENCE).await;
    within_budget(reads(&site, mark).len(), ABSENCE)?;
    // Within 3 intervals nobody is told of it.
    assert_eq!(written(&site).await?, before);
    site.aws.gate().clear_faults();
    let mark = site.mark();
    // Calls are counted over a time that is known.
    tokio::time::sleep(AFTERMATH).await;
    within_budget(reads(&site, mark).len(), AFTERMATH)?;
    site.all_ready(OBJECTS).await?;
    assert_eq!(written(&site).await?, before);
    operator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn the_absence_of_the_api_server_makes_no_storm_and_neither_does_its_return() -> Result<()> {
    let site = Site::start().await?;
    let (operator, link) = in_sync(&site, OBJECTS).await?;
    let before = written(&site).await?;
    link.cut();
    let mark = site.mark();
    // What happens meanwhile is not lost.
    site.apply("late", json!({})).await?;
    site.delete("o0").await?;
    // Calls are counted over a time that is known.
    tokio::time::sleep(ABSENCE).await;
    // Drift in AWS is still looked for: what is in sync needs no API server.
    let looks = reads(&site, mark).len();
    ensure!(looks > 0, "nothing was looked at");
    within_budget(looks, ABSENCE)?;
    link.mend();
    let mark = site.mark();
    // Calls are counted over a time that is known.
    tokio::time::sleep(AFTERMATH).await;
    within_budget(reads(&site, mark).len(), AFTERMATH)?;
    site.ready("late").await?;
    site.gone("o0").await?;
    wait_for("the last role to go", LIMIT, async || {
        ensure!(site.iam().get_role(&site.name("o0")).is_err(), "it is still there");
        Ok(())
    })
    .await?;
    let (after, name) = (written(&site).await?, |name: &str| Some(name.to_owned()));
    let changed: BTreeSet<_> = after.symmetric_difference(&before).map(|(name, _)| name.clone()).collect();
    assert_eq!(changed, BTreeSet::from([name("late"), name("o0")]));
    operator.stop().await.context("after the absence")?;
    Ok(())
}
