use serde_json::{Value, json};

use super::*;
use crate::api::FINALIZER;

fn object(metadata: Value, status: Value) -> PolicyObject {
    let mut whole = json!({ "namespace": "shop", "name": "orders", "generation": 2, "finalizers": [FINALIZER] });
    for (key, value) in metadata.as_object().unwrap() {
        whole[key] = value.clone();
    }
    serde_json::from_value(json!({ "metadata": whole, "spec": {}, "status": status })).unwrap()
}

fn ready(status: &str, reason: &str, message: &str, more: Value) -> Value {
    let condition = |type_: &str, status: &str, reason: &str, message: &str| {
        json!({ "type": type_, "status": status, "reason": reason, "message": message,
                "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 2 })
    };
    let mut conditions = vec![condition("Ready", status, reason, message)];
    conditions.extend(more.as_array().unwrap().clone());
    json!({ "observedGeneration": 2, "conditions": conditions })
}

fn text(object: &PolicyObject) -> String {
    let now = "2026-01-01T02:30:00Z".parse().unwrap();
    explain(object, now, Paint::plain())
}

#[test]
fn every_reason_has_a_meaning_and_a_next_step() {
    for reason in Reason::ALL {
        let Advice { meaning, next_step, .. } = advice(*reason);
        assert!(meaning.ends_with('.') && next_step.ends_with(['.', ')']), "{reason}");
        let shown = text(&object(json!({}), ready("False", reason.as_str(), "why", json!([]))));
        assert!(shown.contains(meaning) && shown.contains(next_step), "{reason}: {shown}");
        assert!(!shown.contains("{name"), "{reason}: {shown}");
    }
}

#[test]
fn a_healthy_object_is_ready_and_its_role_is_shown() {
    let mut status = ready("True", "InSync", "all is well", json!([]));
    status["accountId"] = json!("123456789012");
    status["role"] = json!({ "name": "r", "arn": "arn:aws:iam::123456789012:role/r" });
    let shown = text(&object(json!({}), status));
    assert!(shown.starts_with("shop/orders  Ready\n"), "{shown}");
    assert!(shown.contains("role     arn:aws:iam::123456789012:role/r"), "{shown}");
    assert!(shown.contains("for 2h"), "{shown}");
    assert!(!shown.contains("Message"), "{shown}");
}

#[test]
fn a_conflict_shows_the_owner_and_a_command() {
    let shown = text(&object(json!({}), ready("False", "Conflict", "role r belongs to web/x", json!([]))));
    assert!(shown.contains("not ready: Conflict"), "{shown}");
    assert!(shown.contains("Message\n  role r belongs to web/x"), "{shown}");
    assert!(shown.contains("$ kubectl alep plan shop/orders"), "{shown}");
}

#[test]
fn conditions_of_an_older_generation_are_not_shown_as_the_present_state() {
    let shown = text(&object(json!({ "generation": 3 }), ready("True", "InSync", "", json!([]))));
    assert!(shown.contains("changed since the last reconcile"), "{shown}");
    let shown = text(&object(json!({}), json!({ "observedGeneration": -1 })));
    assert!(shown.contains("not reconciled yet"), "{shown}");
}

#[test]
fn a_blocked_deletion_shows_the_annotation_that_abandons_the_object() {
    let shown = text(&object(
        json!({ "deletionTimestamp": "2026-01-01T00:00:00Z" }),
        ready("False", "DeletionBlocked", "role r is in the instance profile p", json!([])),
    ));
    assert!(shown.contains("being deleted: DeletionBlocked"), "{shown}");
    assert!(shown.contains("kubectl annotate alep orders -n shop auroralogexport.dev/abandon=true"), "{shown}");
}

#[test]
fn a_role_that_nothing_uses_is_reported_although_it_is_ready() {
    let effective = json!([{ "type": "Effective", "status": "Unknown", "reason": "NotAssumed", "message": "",
                             "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 2 }]);
    let shown = text(&object(json!({}), ready("True", "InSync", "", effective)));
    assert!(shown.contains("no use of the role") && shown.contains("AWSServiceRoleForRDS"), "{shown}");
}

#[test]
fn the_next_retry_is_shown_if_there_is_one() {
    for (reason, part) in [
        ("AccessDenied", Some("pauses that grow to 5 minutes")),
        ("Throttled", Some("at most 60 s after the last one")),
        ("DriftDetected", Some("--drift-check-interval")),
        ("Suspended", None),
    ] {
        let shown = text(&object(json!({}), ready("False", reason, "why", json!([]))));
        match part {
            Some(part) => {
                assert!(shown.contains("Next retry") && shown.contains(part), "{reason}: {shown}");
                assert!(shown.contains("kubectl annotate alep orders -n shop --overwrite"), "{reason}: {shown}");
            }
            None => assert!(!shown.contains("Next retry"), "{reason}: {shown}"),
        }
    }
    assert!(!text(&object(json!({}), ready("True", "InSync", "", json!([])))).contains("Next retry"));
}
