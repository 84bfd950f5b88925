//! Finds objects and accounts that are stuck, or that wait for a person.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::report::{Check, Report};
use crate::api::{ConditionType, Reason};
use crate::cli::age::format_age;
use crate::cli::explain::advice;
use crate::model::stored::{AccountObject, PolicyObject};
use crate::pipeline::status::{account, condition, ignored_note};

/// Within this time, a healthy operator reconciles a new object and finishes a deletion.
const STUCK_AFTER_SECONDS: i64 = 120;

/// Reports an object that is not ready, or whose deletion does not end.
pub(super) fn object(object: &PolicyObject, now: Timestamp, report: &mut Report) {
    let key = object.key();
    ignored(&key.to_string(), &object.ignored, report);
    let explain = format!("kubectl alep explain {key}");
    let age = |time: Option<&Time>| time.map_or(0, |time| now.duration_since(time.0).as_secs());
    let ready = condition(&object.status, ConditionType::Ready);
    let reason = ready.and_then(|ready| Reason::from_name(&ready.reason));
    if let Some(since) = &object.metadata.deletion_timestamp {
        if age(Some(since)) > STUCK_AFTER_SECONDS {
            let why = match (ready, reason) {
                (Some(ready), Some(Reason::DeletionBlocked)) => ready.message.to_string(),
                (Some(ready), Some(reason)) if reason != Reason::InSync => format!("{reason}: {}", ready.message),
                _ if object.has_finalizer() => "the operator has not finished the deletion".to_owned(),
                _ => "another finalizer blocks the deletion".to_owned(),
            };
            let message = format!("{key} has been terminating for {}: {why}", format_age(since.0, now));
            report.find(Check::Objects, message, explain);
        }
        return;
    }
    let Some(ready) = ready else {
        if age(object.metadata.creation_timestamp.as_ref()) > STUCK_AFTER_SECONDS {
            let message = format!("{key} has never been reconciled: no operator watches its namespace");
            let fix = "check that the operator runs, and that its --watch-namespace includes this namespace";
            report.find(Check::Objects, message, fix);
        }
        return;
    };
    if ready.observed_generation != Some(object.generation()) {
        let message = format!("{key} has a newer spec, which has not been reconciled");
        report.find(Check::Objects, message, explain);
        return;
    }
    // Suspend and Observe are choices of the user.
    if ready.status == "True" || matches!(reason, Some(Reason::Suspended | Reason::DriftDetected)) {
        return;
    }
    if reason == Some(Reason::Progressing) && age(Some(&ready.last_transition_time)) <= STUCK_AFTER_SECONDS {
        return;
    }
    let fix = reason.map_or_else(|| explain.clone(), |reason| format!("{} ({explain})", advice(reason).next_step));
    report.find(Check::Objects, format!("{key} is not ready: {}: {}", ready.reason, ready.message), fix);
}

/// Warns of fields of a newer version.
fn ignored(what: &str, ignored: &[String], report: &mut Report) {
    if let Some(note) = ignored_note(ignored) {
        let fix = "update the operator, or remove the fields from the spec";
        report.warn(Check::Objects, format!("{what}: {note}"), fix);
    }
}

/// Reports an account that is not ready.
pub(super) fn account(object: &AccountObject, report: &mut Report) {
    let name = object.name();
    ignored(&format!("AwsAccount {name}"), &object.ignored, report);
    match account::condition(&object.status, ConditionType::Ready) {
        Some(ready) if ready.status == "True" => {}
        Some(ready) => {
            let fix = Reason::from_name(&ready.reason)
                .map_or("kubectl describe awsaccounts", |reason| advice(reason).next_step);
            let message = format!("AwsAccount {name} is not ready: {}: {}", ready.reason, ready.message);
            report.find(Check::Accounts, message, fix);
        }
        None => report.find(
            Check::Accounts,
            format!("AwsAccount {name} has never been checked"),
            "check that the operator runs and holds the Lease",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::FINALIZER;
    use serde_json::{Value, json};

    const NOW: &str = "2026-01-01T01:00:00Z";

    fn findings(metadata: Value, status: Value) -> Vec<(String, String)> {
        let mut whole = json!({ "namespace": "shop", "name": "orders", "generation": 2, "finalizers": [FINALIZER],
                                "creationTimestamp": "2026-01-01T00:00:00Z" });
        for (key, value) in metadata.as_object().unwrap() {
            whole[key] = value.clone();
        }
        let read: PolicyObject =
            serde_json::from_value(json!({ "metadata": whole, "spec": {}, "status": status })).unwrap();
        let mut report = Report::default();
        object(&read, NOW.parse().unwrap(), &mut report);
        report.findings.into_iter().map(|finding| (finding.message, finding.fix)).collect()
    }

    fn ready(status: &str, reason: &str, since: &str) -> Value {
        json!({ "conditions": [{ "type": "Ready", "status": status, "reason": reason, "message": "why",
                                 "lastTransitionTime": since, "observedGeneration": 2 }] })
    }

    const LONG_AGO: &str = "2026-01-01T00:00:00Z";
    const JUST_NOW: &str = "2026-01-01T00:59:30Z";

    #[test]
    fn objects_that_are_ready_suspended_observed_or_new_are_no_findings() {
        for (metadata, status) in [
            (json!({}), ready("True", "InSync", LONG_AGO)),
            (json!({}), ready("False", "Suspended", LONG_AGO)),
            (json!({}), ready("False", "DriftDetected", LONG_AGO)),
            (json!({}), ready("False", "Progressing", JUST_NOW)),
            (json!({ "creationTimestamp": JUST_NOW }), json!({})),
            (json!({ "deletionTimestamp": JUST_NOW }), ready("True", "InSync", LONG_AGO)),
        ] {
            assert_eq!(findings(metadata, status.clone()), [], "{status}");
        }
    }

    #[test]
    fn every_account_that_cannot_be_used_is_found_with_a_fix() {
        let findings = |status: Value| {
            let read: AccountObject = serde_json::from_value(json!({
                "apiVersion": "auroralogexport.dev/v1alpha1", "kind": "AwsAccount", "metadata": { "name": "prod" },
                "spec": { "accountId": "111122223333" }, "status": status }))
            .unwrap();
            let mut report = Report::default();
            account(&read, &mut report);
            report.findings.into_iter().map(|finding| (finding.message, finding.fix)).collect::<Vec<_>>()
        };
        assert_eq!(findings(ready("True", "InSync", LONG_AGO)), []);
        let unseen = findings(json!({ "observedGeneration": -1 }));
        assert!(unseen.len() == 1 && unseen[0].0.contains("prod has never been checked"), "{unseen:?}");
        for reason in ["Progressing", "CredentialsInvalid", "AccessDenied", "AccountMismatch", "InUse"] {
            let found = findings(ready("False", reason, LONG_AGO));
            let message = format!("AwsAccount prod is not ready: {reason}: why");
            let fix = advice(Reason::from_name(reason).unwrap()).next_step.to_owned();
            assert_eq!(found, [(message, fix)]);
        }
    }

    #[test]
    fn every_stuck_object_is_found_with_its_reason() {
        for (metadata, status, part) in [
            (json!({}), json!({}), "never been reconciled"),
            (json!({ "generation": 3 }), ready("True", "InSync", LONG_AGO), "newer spec"),
            (json!({}), ready("False", "Progressing", LONG_AGO), "Progressing"),
            (
                json!({ "deletionTimestamp": LONG_AGO }),
                ready("False", "DeletionBlocked", LONG_AGO),
                "terminating for 60m: why",
            ),
            (json!({ "deletionTimestamp": LONG_AGO, "finalizers": ["other"] }), json!({}), "another finalizer"),
        ] {
            let found = findings(metadata, status);
            assert!(found.len() == 1 && found[0].0.contains(part), "{part}: {found:?}");
        }
        for reason in [
            "Conflict",
            "AccessDenied",
            "InvalidSpec",
            "IdentityChanged",
            "CredentialsInvalid",
            "Throttled",
            "LimitExceeded",
            "AccountNotReady",
            "NotPermitted",
            "AwsUnavailable",
        ] {
            let found = findings(json!({}), ready("False", reason, LONG_AGO));
            assert!(found.len() == 1 && found[0].0.contains(reason), "{reason}: {found:?}");
            let named = advice(Reason::from_name(reason).unwrap()).next_step;
            assert!(found[0].1.contains(named), "{reason}: {found:?}");
        }
    }
}
