//! Objects and accounts that wait for a person, or for nobody.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::report::{Check, Report};
use crate::api::{AwsAccount, Condition, ConditionType, Reason};
use crate::cli::age::format_age;
use crate::cli::explain::advice;
use crate::model::stored::PolicyObject;
use crate::pipeline::status::condition;

/// A healthy operator has looked at an object, or removed it, within this time.
const PATIENCE_SECONDS: i64 = 120;

/// Is the object waiting, and for whom?
pub(super) fn object(object: &PolicyObject, now: Timestamp, report: &mut Report) {
    let key = object.key();
    let explain = format!("kubectl alep explain {key}");
    let age = |time: Option<&Time>| time.map_or(0, |time| now.duration_since(time.0).as_secs());
    let ready = condition(&object.status, ConditionType::Ready);
    let reason = ready.and_then(|ready| Reason::from_name(&ready.reason));
    if let Some(since) = &object.metadata.deletion_timestamp {
        if age(Some(since)) > PATIENCE_SECONDS {
            let why = match (ready, reason) {
                (Some(ready), Some(Reason::DeletionBlocked)) => ready.message.to_string(),
                (Some(ready), Some(reason)) if reason != Reason::InSync => format!("{reason}: {}", ready.message),
                _ if object.has_finalizer() => "no operator has finished it".to_owned(),
                _ => "another finalizer holds it".to_owned(),
            };
            let message = format!("{key} has been deleting for {}: {why}", format_age(since.0, now));
            report.find(Check::Objects, message, explain);
        }
        return;
    }
    let Some(ready) = ready else {
        if age(object.metadata.creation_timestamp.as_ref()) > PATIENCE_SECONDS {
            let message = format!("{key} was never looked at: no operator watches its namespace");
            report.find(Check::Objects, message, "look whether the operator runs, and at its --watch-namespace");
        }
        return;
    };
    if ready.observed_generation != Some(object.generation()) {
        let message = format!("{key} has a newer spec than the operator has looked at");
        report.find(Check::Objects, message, explain);
        return;
    }
    // Suspended and observing are what somebody chose.
    if ready.status == "True" || matches!(reason, Some(Reason::Suspended | Reason::DriftDetected)) {
        return;
    }
    if reason == Some(Reason::Progressing) && age(Some(&ready.last_transition_time)) <= PATIENCE_SECONDS {
        return;
    }
    let fix = reason.map_or_else(|| explain.clone(), |reason| format!("{} ({explain})", advice(reason).next_step));
    report.find(Check::Objects, format!("{key} is not ready: {}: {}", ready.reason, ready.message), fix);
}

/// Is the account ready?
pub(super) fn account(account: &AwsAccount, report: &mut Report) {
    let name = account.name_any();
    let ready: Option<&Condition> = account
        .status
        .as_ref()
        .and_then(|status| status.conditions.iter().find(|condition| condition.type_ == "Ready"));
    match ready {
        Some(ready) if ready.status == "True" => {}
        Some(ready) => {
            let fix = Reason::from_name(&ready.reason)
                .map_or("kubectl describe awsaccounts", |reason| advice(reason).next_step);
            let message = format!("AwsAccount {name} is not ready: {}: {}", ready.reason, ready.message);
            report.find(Check::Accounts, message, fix);
        }
        None => report.find(
            Check::Accounts,
            format!("AwsAccount {name} was never looked at"),
            "look whether the operator runs and leads",
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
    fn what_is_well_or_chosen_or_under_way_is_no_finding() {
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
    fn every_account_that_cannot_be_used_is_found_with_what_to_do() {
        let findings = |status: Value| {
            let read: AwsAccount = serde_json::from_value(json!({
                "apiVersion": "auroralogexport.dev/v1alpha1", "kind": "AwsAccount", "metadata": { "name": "prod" },
                "spec": { "accountId": "111122223333" }, "status": status }))
            .unwrap();
            let mut report = Report::default();
            account(&read, &mut report);
            report.findings.into_iter().map(|finding| (finding.message, finding.fix)).collect::<Vec<_>>()
        };
        assert_eq!(findings(ready("True", "InSync", LONG_AGO)), []);
        let unseen = findings(json!({ "observedGeneration": -1 }));
        assert!(unseen.len() == 1 && unseen[0].0.contains("prod was never looked at"), "{unseen:?}");
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
            (json!({}), json!({}), "never looked at"),
            (json!({ "generation": 3 }), ready("True", "InSync", LONG_AGO), "newer spec"),
            (json!({}), ready("False", "Progressing", LONG_AGO), "Progressing"),
            (
                json!({ "deletionTimestamp": LONG_AGO }),
                ready("False", "DeletionBlocked", LONG_AGO),
                "deleting for 60m: why",
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
