//! What users see of AWS's errors and missing answers: over the wire, with one object for each kind of failure, all at once
//! under one operator, so that they must not delay each other either.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aurora_log_export_operator::pipeline::port::ErrorClass;
use aurora_log_export_operator::pipeline::port::codes::CODES;
use aurora_test_support::iam_model::call_log::CallRecord;
use aurora_test_support::iam_model::faults::{Effect, Rule};
use aurora_test_support::ports::free_port;
use aurora_test_support::wait::wait_for;
use kube::api::DynamicObject;
use serde_json::json;

use crate::fixture::{Fixture, LIMIT, condition, message, says};

/// A failure, and what users see of it.
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

/// Written by hand, from the documentation of the API.
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

/// Every code of the table, on a call where it has no special meaning.
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
    let mut fixture = Fixture::with(&[]).prepare().await?;
    let mut cases: Vec<Case> = documented().into_iter().chain(every_code()).collect();
    cases.retain(|case| chosen(case.reason));
    // A rule strikes where the resource's name contains this; no name of a case holds an underscore.
    let mark = |case: &Case| format!("_{}_", case.name);
    let rules = cases.iter().map(|case| Rule::new(case.effect.clone(), &[case.action]).about(&mark(case)));
    fixture.set_faults(rules);
    fixture.start_operator().await?;
    for case in &cases {
        let name = format!("x{}x", mark(case));
        let spec = json!({ "roleName": name, "policyName": name });
        fixture.apply(&case.name, spec).await?;
    }
    let mut waiting: Vec<&Case> = cases.iter().collect();
    wait_for("every failure to be told", LIMIT, async || {
        let objects = fixture.objects().await?;
        let mut missing = Vec::new();
        // A reason that was seen once is enough: lag, for example, becomes another reason after a minute.
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
    fixture.clear_faults();
    fixture.all_ready(cases.len()).await?;
    fixture.finish().await
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
    let fixture = Fixture::with(&[]).start().await?;
    fixture.set_faults([Rule::new(Effect::Latency { ms: 6000 }, &["CreateRole"]).times(1)]);
    fixture.applied("slow", json!({})).await?;
    let events = fixture.events().await?;
    let told = events.iter().any(|event| {
        let note = event.note.as_deref().unwrap_or_default();
        event.reason.as_deref() == Some("AwsUnavailable") && note.contains("iam:CreateRole") && note.contains("Timeout")
    });
    ensure!(told, "{events:#?}");
    assert_eq!(fixture.versions("slow")?.len(), 1);
    fixture.finish().await
}

/// An operator, and the object `silent`, about whose role IAM answers nothing.
async fn never_answered() -> Result<Fixture<'static>> {
    let fixture = Fixture::with(&[]).start().await?;
    let rule = Rule::new(Effect::Latency { ms: 600_000 }, &["GetRole"]).about(&fixture.name("silent"));
    fixture.set_faults([rule]);
    fixture.apply("silent", json!({})).await?;
    Ok(fixture)
}

fn reads_of_silent(fixture: &Fixture<'_>) -> Vec<CallRecord> {
    let mut calls = fixture.calls(0);
    calls.retain(|call| call.action == "GetRole" && call.resource.contains(&fixture.name("silent")));
    calls
}

#[tokio::test]
async fn a_read_that_is_never_answered_is_given_up_reported_and_repeated_after_a_pause() -> Result<()> {
    let fixture = never_answered().await?;
    let began = Instant::now();
    let status = fixture.not_ready("silent", "AwsUnavailable").await?;
    let took = began.elapsed();
    println!("given up after {took:?}");
    let message = message(&status);
    for text in ["iam:GetRole", "Timeout", "no response within 20 s", "retries automatically"] {
        assert!(message.contains(text), "{message}");
    }
    assert!(condition(&status, "Reconciling").is_some(), "{status}");
    // One call at a time: the second is made only after the first was given up.
    let calls = reads_of_silent(&fixture);
    assert!(calls.len() <= 2, "{calls:#?}");
    // Other objects do not wait for it.
    fixture.applied("other", json!({})).await?;
    fixture.clear_faults();
    fixture.ready("silent").await?;
    let calls = reads_of_silent(&fixture);
    for (earlier, later) in calls.iter().zip(&calls[1..]).filter(|(earlier, _)| earlier.outcome == "pending") {
        let pause = later.at_ms - earlier.at_ms;
        // 20 s, and the shortest pause after the first failure less its jitter.
        assert!(pause >= 20_500, "{pause} ms after {earlier:?}");
    }
    fixture.finish().await
}

#[tokio::test]
async fn a_call_that_hangs_does_not_hold_up_the_end() -> Result<()> {
    let fixture = never_answered().await?;
    fixture.eventually_true("the call", || Ok(!reads_of_silent(&fixture).is_empty())).await?;
    let began = Instant::now();
    fixture.finish().await?;
    let took = began.elapsed();
    println!("ended after {took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    Ok(())
}

#[tokio::test]
async fn an_endpoint_that_refuses_connections_is_named_and_tried_again() -> Result<()> {
    let mut fixture = Fixture::with(&[]).prepare().await?;
    let closed = format!("http://127.0.0.1:{}", free_port()?);
    fixture.start_operator_with(fixture.own_options().aws_endpoint(&closed)).await?;
    fixture.apply("nowhere", json!({})).await?;
    let status = fixture.not_ready("nowhere", "AwsUnavailable").await?;
    let message = message(&status);
    for text in ["sts:GetCallerIdentity", "AWS could not be reached", "retries automatically"] {
        assert!(message.contains(text), "{message}");
    }
    assert!(condition(&status, "Reconciling").is_some(), "{status}");
    fixture.finish().await
}

#[tokio::test]
async fn short_trouble_costs_an_object_in_sync_nothing_and_long_trouble_is_told() -> Result<()> {
    // Failures are reported when the last successful resync is older than 3 intervals.
    let fixture = Fixture::with(&["--drift-check-interval=3s"]).start().await?;
    for name in ["a", "b", "c"] {
        fixture.apply(name, json!({})).await?;
    }
    fixture.all_ready(3).await?;
    let before = fixture.objects().await?;
    let mut trouble = Rule::new(Effect::ServiceFailure, &["*"]);
    fixture.set_faults([trouble.clone()]);
    wait_for("every object's resync to fail", LIMIT, async || {
        let struck = fixture.aws.gate().struck()[0];
        ensure!(struck >= 6, "{struck} calls failed");
        Ok(())
    })
    .await?;
    fixture.clear_faults();
    let mark = fixture.mark();
    wait_for("another resync of every object", LIMIT, async || {
        let calls = fixture.calls(mark).len();
        ensure!(calls >= 9, "{calls} calls");
        Ok(())
    })
    .await?;
    for (before, after) in before.iter().zip(fixture.objects().await?) {
        assert_eq!(before.metadata.resource_version, after.metadata.resource_version, "{after:?}");
    }

    trouble.effect = Effect::DropConnection;
    fixture.set_faults([trouble]);
    let status = fixture.not_ready("a", "AwsUnavailable").await?;
    assert!(condition(&status, "Reconciling").is_some(), "{status}");
    fixture.clear_faults();
    fixture.all_ready(3).await?;
    fixture.finish().await
}

#[tokio::test]
async fn a_deletion_that_aws_refuses_is_told_and_goes_on_by_itself() -> Result<()> {
    let fixture = Fixture::with(&[]).start().await?;
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
        fixture.apply(&case.name, json!({})).await?;
    }
    fixture.all_ready(cases.len()).await?;
    let rules =
        cases.iter().map(|case| Rule::new(case.effect.clone(), &[case.action]).about(&fixture.name(&case.name)));
    fixture.set_faults(rules);
    for case in &cases {
        fixture.delete(&case.name).await?;
    }
    for case in &cases {
        wait_for(&case.name, LIMIT, async || {
            let object = fixture.object(&case.name).await?;
            let status = &object.data["status"];
            ensure!(says(&object, "Ready", "False", case.reason), "{status}");
            ensure!(says(&object, "Reconciling", "True", "Deleting"), "{status}");
            let message = message(status);
            ensure!(case.says.iter().all(|text| message.contains(text)), "{message}");
            Ok(())
        })
        .await?;
    }
    fixture.clear_faults();
    for case in &cases {
        fixture.gone(&case.name).await?;
    }
    let left = fixture.iam().snapshot();
    assert!(left["roles"].as_object().is_some_and(serde_json::Map::is_empty), "{left}");
    assert!(left["policies"].as_object().is_some_and(serde_json::Map::is_empty), "{left}");
    fixture.finish().await
}
