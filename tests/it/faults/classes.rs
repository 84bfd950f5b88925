//! What AWS says, or does not say, and what users see of it: over the wire, one object for each way to fail, all at once
//! under one operator, so that they also must not delay each other.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aurora_log_export_operator::pipeline::port::ErrorClass;
use aurora_log_export_operator::pipeline::port::codes::CODES;
use aurora_test_support::iam_model::call_log::CallRecord;
use aurora_test_support::iam_model::faults::{Effect, FaultPlan, Rule};
use aurora_test_support::operator::Operator;
use aurora_test_support::ports::free_port;
use aurora_test_support::wait::wait_for;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, DynamicObject, ListParams};
use serde_json::json;

use super::site::{LIMIT, Site, condition, message, says};

/// Looks often, and tries again after 10 s at most where a person must act.
const FLAGS: [&str; 1] = ["--drift-check-interval=1s"];

/// One way to fail, and what is to be seen of it.
struct Case {
    name: String,
    /// The call that fails.
    action: &'static str,
    effect: Effect,
    reason: &'static str,
    stalled: bool,
    /// In the message.
    says: Vec<String>,
}

fn case(name: &str, action: &'static str, effect: Effect, reason: &'static str, says: &[&str]) -> Case {
    Case {
        name: name.to_owned(),
        action,
        effect,
        reason,
        stalled: !["AwsUnavailable", "Throttled", "Progressing"].contains(&reason),
        says: says.iter().map(|&text| text.to_owned()).collect(),
    }
}

fn error(code: &str, status: u16) -> Effect {
    Effect::Error { code: code.to_owned(), status, message: "it is said so".to_owned() }
}

/// Written by hand, from the documentation of the API: what users rely on.
#[rustfmt::skip]
fn documented() -> Vec<Case> {
    let (repeated, unavailable) = ("retries automatically", "AwsUnavailable");
    vec![
        case("throttled", "CreatePolicy", Effect::Throttle, "Throttled", &["iam:CreatePolicy", "Rate exceeded", repeated]),
        case("denied-write", "CreateRole", Effect::AccessDenied, "AccessDenied", &["iam:CreateRole", "operator's IAM policy"]),
        case("denied-read", "GetRole", Effect::AccessDenied, "AccessDenied", &["iam:GetRole", "operator's IAM policy"]),
        case("denied-attach", "AttachRolePolicy", Effect::AccessDenied, "AccessDenied", &["iam:AttachRolePolicy"]),
        case("expired", "CreatePolicy", error("ExpiredToken", 403), "CredentialsInvalid", &["ExpiredToken", "credentials"]),
        case("quota", "AttachRolePolicy", error("LimitExceeded", 409), "LimitExceeded", &["iam:AttachRolePolicy", "Service Quotas"]),
        case("malformed", "CreatePolicy", error("MalformedPolicyDocument", 400), "InvalidSpec", &["MalformedPolicyDocument", "correct the spec"]),
        case("taken-policy", "CreatePolicy", error("EntityAlreadyExists", 409), "Conflict", &["policy arn:aws:iam::", "another name"]),
        case("taken-role", "CreateRole", error("EntityAlreadyExists", 409), "Conflict", &["role arn:aws:iam::", "another name"]),
        case("lagging", "AttachRolePolicy", error("NoSuchEntity", 404), "Progressing", &["waiting for IAM to show"]),
        case("server-error", "CreateRole", Effect::ServiceFailure, unavailable, &["iam:CreateRole", "ServiceFailure", repeated]),
        case("load-balancer", "CreateRole", Effect::Unavailable, unavailable, &["iam:CreateRole", "503", repeated]),
        case("unknown-refusal", "CreateRole", error("SomethingNew", 400), "InvalidSpec", &["SomethingNew"]),
        case("unknown-failure", "CreateRole", error("SomethingNew", 502), unavailable, &["SomethingNew", repeated]),
        case("reset", "GetRole", Effect::DropConnection, unavailable, &["iam:GetRole", "Connection", repeated]),
        case("lost", "GetRole", Effect::LoseAnswer, unavailable, &["iam:GetRole", "Connection", repeated]),
        case("truncated", "CreateRole", error("ServiceUnavailable", 503), unavailable, &["iam:CreateRole", repeated]),
        case("truncated-read", "GetPolicy", Effect::TruncateBody, unavailable, &["iam:GetPolicy", repeated]),
        case("malformed-read", "GetPolicy", Effect::MalformedBody, unavailable, &["iam:GetPolicy", repeated]),
    ]
}

/// Every code that is classed, on a call where it means nothing special: what the table says is what users see.
fn every_code() -> Vec<Case> {
    let special =
        |class| matches!(class, ErrorClass::NotFound | ErrorClass::AlreadyExists | ErrorClass::DeleteConflict);
    let codes = CODES.iter().filter(|(_, class)| !special(*class));
    codes
        .map(|(code, class)| Case {
            name: format!("code-{}", code.to_lowercase()),
            action: "CreatePolicy",
            // The code decides, not the status.
            effect: error(code, 400),
            reason: class.reason().as_str(),
            stalled: class.is_terminal(),
            says: ["iam:CreatePolicy", code, class.next_step()].map(str::to_owned).into(),
        })
        .collect()
}

#[tokio::test]
async fn every_way_to_fail_is_told_with_its_action_and_next_step_and_passes_by_itself() -> Result<()> {
    tell_all(&|reason| reason != "Throttled").await
}

/// By itself, because it slows down everything else in the account, as it should.
#[tokio::test]
async fn every_way_to_throttle_is_told_as_such_and_passes_by_itself() -> Result<()> {
    tell_all(&|reason| reason == "Throttled").await
}

async fn tell_all(chosen: &dyn Fn(&str) -> bool) -> Result<()> {
    let site = Site::start().await?;
    let mut cases: Vec<Case> = documented().into_iter().chain(every_code()).collect();
    cases.retain(|case| chosen(case.reason));
    // A rule strikes where the resource's name contains this; no name of a case holds an underscore.
    let mark = |case: &Case| format!("_{}_", case.name);
    let rules = cases.iter().map(|case| Rule::new(case.effect.clone(), &[case.action]).about(&mark(case)));
    site.aws.gate().set_faults(FaultPlan::of(1, rules.collect()));
    let operator = site.operator(&FLAGS).await?;
    for case in &cases {
        let name = format!("x{}x", mark(case));
        let spec = json!({ "roleName": name, "policyName": name });
        site.apply(&case.name, spec).await?;
    }
    let mut waiting: Vec<&Case> = cases.iter().collect();
    wait_for("every failure to be told", LIMIT, async || {
        let objects = site.objects().await?;
        let mut missing = Vec::new();
        // What was told once is done with: lag, for example, is another thing after a minute.
        waiting.retain(|case| {
            let object = objects.iter().find(|object| object.metadata.name.as_deref() == Some(&case.name));
            let seen = object.context("no such object").and_then(|object| {
                told(case, object).with_context(|| format!("{}: {}", case.name, object.data["status"]))
            });
            let waits = seen.is_err();
            missing.extend(seen.err());
            waits
        });
        ensure!(waiting.is_empty(), "{missing:#?}");
        Ok(())
    })
    .await?;
    site.aws.gate().clear_faults();
    site.all_ready(cases.len()).await.with_context(|| format!("the operator's log: {}", operator.log().display()))?;
    operator.stop().await?;
    Ok(())
}

fn told(case: &Case, object: &DynamicObject) -> Result<()> {
    ensure!(says(object, "Ready", "False", case.reason), "not {}", case.reason);
    let status = &object.data["status"];
    let present = |type_: &str| condition(status, type_).is_some();
    ensure!(present("Stalled") == case.stalled, "Stalled");
    ensure!(present("Reconciling") != case.stalled, "Reconciling");
    let message = message(status);
    for text in &case.says {
        ensure!(message.contains(text), "{text:?} is not in {message:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_write_without_an_answer_in_time_is_reported_and_not_done_twice() -> Result<()> {
    let site = Site::start().await?;
    let latency = Effect::Latency { ms: 6000, jitter_ms: 0 };
    let rule = Rule::new(latency, &["CreateRole"]).times(1);
    site.aws.gate().set_faults(FaultPlan::of(1, vec![rule]));
    let operator = site.operator(&FLAGS).await?;
    site.apply("slow", json!({})).await?;
    site.ready("slow").await?;
    let events: Api<Event> = Api::namespaced(site.client.clone(), &site.namespace);
    let events = events.list(&ListParams::default()).await?.items;
    let told = events.iter().any(|event| {
        let note = event.note.as_deref().unwrap_or_default();
        event.reason.as_deref() == Some("AwsUnavailable") && note.contains("iam:CreateRole") && note.contains("Timeout")
    });
    ensure!(told, "{events:#?}");
    assert_eq!(site.versions("slow")?, 1);
    operator.stop().await?;
    Ok(())
}

/// An operator, and the object `silent`, whose role IAM never says anything about.
async fn never_answered() -> Result<(Site<'static>, Operator)> {
    let site = Site::start().await?;
    let never = Effect::Latency { ms: 600_000, jitter_ms: 0 };
    let rule = Rule::new(never, &["GetRole"]).about(&site.name("silent"));
    site.aws.gate().set_faults(FaultPlan::of(1, vec![rule]));
    let operator = site.operator(&FLAGS).await?;
    site.apply("silent", json!({})).await?;
    Ok((site, operator))
}

fn reads_of_silent(site: &Site<'_>) -> Vec<CallRecord> {
    let mut calls = site.calls(0);
    calls.retain(|call| call.action == "GetRole" && call.resource.contains(&site.name("silent")));
    calls
}

#[tokio::test]
async fn a_read_that_is_never_answered_is_given_up_told_and_made_again_with_growing_pauses() -> Result<()> {
    let (site, operator) = never_answered().await?;
    let began = Instant::now();
    let status = site.until("silent", "False", "AwsUnavailable").await?;
    let took = began.elapsed();
    println!("given up after {took:?}");
    let message = message(&status);
    for text in ["iam:GetRole", "Timeout", "no response within 20 s", "retries automatically"] {
        assert!(message.contains(text), "{message}");
    }
    assert!(condition(&status, "Reconciling").is_some(), "{status}");
    // One call at a time: a second only after the first was given up.
    let calls = reads_of_silent(&site);
    assert!(calls.len() <= 2, "{calls:#?}");
    // Nobody waits with it.
    site.apply("other", json!({})).await?;
    site.ready("other").await?;
    site.aws.gate().clear_faults();
    site.ready("silent").await?;
    let calls = reads_of_silent(&site);
    for (earlier, later) in calls.iter().zip(&calls[1..]).filter(|(earlier, _)| earlier.outcome == "pending") {
        let pause = later.at_ms - earlier.at_ms;
        // 20 s, and the shortest pause after the first failure less its jitter.
        assert!(pause >= 20_500, "{pause} ms after {earlier:?}");
    }
    operator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_call_that_hangs_does_not_hold_up_the_end() -> Result<()> {
    let (site, operator) = never_answered().await?;
    wait_for("the call", LIMIT, async || {
        ensure!(!reads_of_silent(&site).is_empty(), "none");
        Ok(())
    })
    .await?;
    let began = Instant::now();
    let status = operator.stop().await?;
    let took = began.elapsed();
    println!("ended after {took:?}: {status}");
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    Ok(())
}

#[tokio::test]
async fn an_endpoint_that_refuses_connections_is_named_and_tried_again() -> Result<()> {
    let site = Site::start().await?;
    let options = site.options(&FLAGS);
    let options = options.aws_endpoint(&format!("http://127.0.0.1:{}", free_port()?));
    let operator = aurora_test_support::operator::Operator::start(site.env, options).await?;
    site.apply("nowhere", json!({})).await?;
    let status = site.until("nowhere", "False", "AwsUnavailable").await?;
    let message = message(&status);
    for text in ["sts:GetCallerIdentity", "AWS could not be reached", "retries automatically"] {
        assert!(message.contains(text), "{message}");
    }
    assert!(condition(&status, "Reconciling").is_some(), "{status}");
    operator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn short_trouble_costs_an_object_in_sync_nothing_and_long_trouble_is_told() -> Result<()> {
    let site = Site::start().await?;
    // Trouble is told when the last good look is older than 3 intervals.
    let operator = site.operator(&["--drift-check-interval=3s"]).await?;
    for name in ["a", "b", "c"] {
        site.apply(name, json!({})).await?;
    }
    site.all_ready(3).await?;
    let before = site.objects().await?;
    let mut trouble = Rule::new(Effect::ServiceFailure, &["*"]);
    site.aws.gate().set_faults(FaultPlan::of(1, vec![trouble.clone()]));
    wait_for("every object to be looked at in vain", LIMIT, async || {
        let struck = site.aws.gate().struck()[0];
        ensure!(struck >= 6, "{struck} calls failed");
        Ok(())
    })
    .await?;
    site.aws.gate().clear_faults();
    let mark = site.mark();
    wait_for("every object to be looked at again", LIMIT, async || {
        let looks = site.calls(mark).len();
        ensure!(looks >= 9, "{looks} calls");
        Ok(())
    })
    .await?;
    for (before, after) in before.iter().zip(site.objects().await?) {
        assert_eq!(before.metadata.resource_version, after.metadata.resource_version, "{after:?}");
    }

    trouble.effect = Effect::DropConnection;
    site.aws.gate().set_faults(FaultPlan::of(1, vec![trouble]));
    let status = site.until("a", "False", "AwsUnavailable").await?;
    assert!(condition(&status, "Reconciling").is_some(), "{status}");
    site.aws.gate().clear_faults();
    site.all_ready(3).await?;
    operator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_deletion_that_aws_refuses_is_told_and_goes_on_by_itself() -> Result<()> {
    let site = Site::start().await?;
    let operator = site.operator(&FLAGS).await?;
    let cases = [
        case(
            "held",
            "DeletePolicy",
            error("DeleteConflict", 409),
            "DeletionBlocked",
            &["iam:DeletePolicy", "remove what still uses it"],
        ),
        case(
            "denied",
            "DeleteRole",
            Effect::AccessDenied,
            "AccessDenied",
            &["iam:DeleteRole", "operator's IAM policy"],
        ),
        case(
            "broken",
            "DeleteRole",
            Effect::ServiceFailure,
            "AwsUnavailable",
            &["iam:DeleteRole", "retries automatically"],
        ),
    ];
    for case in &cases {
        site.apply(&case.name, json!({})).await?;
    }
    site.all_ready(cases.len()).await?;
    let rules = cases.iter().map(|case| Rule::new(case.effect.clone(), &[case.action]).about(&site.name(&case.name)));
    site.aws.gate().set_faults(FaultPlan::of(1, rules.collect()));
    for case in &cases {
        site.delete(&case.name).await?;
    }
    for case in &cases {
        wait_for(&case.name, LIMIT, async || {
            let object = site.object(&case.name).await?;
            let status = &object.data["status"];
            ensure!(says(&object, "Ready", "False", case.reason), "{status}");
            ensure!(says(&object, "Reconciling", "True", "Deleting"), "{status}");
            let message = message(status);
            ensure!(case.says.iter().all(|text| message.contains(text)), "{message}");
            Ok(())
        })
        .await?;
    }
    site.aws.gate().clear_faults();
    for case in &cases {
        site.gone(&case.name).await?;
    }
    let left = site.iam().snapshot();
    assert!(left["roles"].as_object().is_some_and(serde_json::Map::is_empty), "{left}");
    assert!(left["policies"].as_object().is_some_and(serde_json::Map::is_empty), "{left}");
    operator.stop().await?;
    Ok(())
}
