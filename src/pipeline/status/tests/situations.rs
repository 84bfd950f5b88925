//! Each situation: its conditions, and the status that tools compute from them.

use super::{
    Failure, Outcome, PartState, Parts, at, condition, failed, finding, kstatus, next, progressing, shown, sync_state,
};
use crate::api::Field;
use crate::api::{AuroraLogExportPolicyStatus as Status, ConditionType, OutputsStatus, Reason};
use crate::pipeline::plan::{Part, Repair};
use crate::pipeline::port::LastUse;
use crate::pipeline::status::{Publication, is_ready};

use ConditionType::{Drifted, Effective, PolicyAttached, PolicyReady, Ready, Reconciling, RoleReady, Stalled};

fn first(outcome: &Outcome) -> Status {
    next(&Status::default(), outcome, 1, at(0))
}

fn all_shown(status: &Status, types: [ConditionType; 4]) -> [String; 4] {
    types.map(|type_| shown(status, type_))
}

const KSTATUS: [ConditionType; 4] = [Ready, Reconciling, Stalled, Drifted];

#[test]
fn before_the_first_reconcile_tools_see_it_in_progress() {
    let status = Status::default();
    assert_eq!(status.observed_generation, -1);
    assert_eq!(kstatus(&status, 1), "InProgress");
    assert!(!is_ready(&status, 1));
}

#[test]
fn new_generation_at_work() {
    let status = first(&progressing());
    assert_eq!(all_shown(&status, KSTATUS), ["False Progressing", "True Progressing", "-", "-"]);
    assert_eq!(kstatus(&status, 1), "InProgress");
    assert_eq!(shown(&status, RoleReady), "Unknown Progressing");
    assert_eq!(status.tag_keys, ["team"]);
}

#[test]
fn throttled_or_unavailable_before_it_was_in_sync() {
    for reason in [Reason::Throttled, Reason::AwsUnavailable] {
        let status = first(&failed(reason));
        assert_eq!(all_shown(&status, KSTATUS), [&format!("False {reason}"), "True Retrying", "-", "-"]);
        assert_eq!(kstatus(&status, 1), "InProgress");
    }
}

#[test]
fn failures_that_require_manual_action() {
    for reason in [
        Reason::InvalidSpec,
        Reason::Conflict,
        Reason::IdentityChanged,
        Reason::AccessDenied,
        Reason::CredentialsInvalid,
        Reason::NotPermitted,
        Reason::LimitExceeded,
        Reason::AccountNotReady,
    ] {
        let status = first(&failed(reason));
        assert_eq!(all_shown(&status, KSTATUS), [&format!("False {reason}"), "-", &format!("True {reason}"), "-"]);
        assert_eq!(kstatus(&status, 1), "Failed");
    }
}

#[test]
fn suspended() {
    let status = first(&Outcome::Suspended);
    assert_eq!(all_shown(&status, KSTATUS), ["False Suspended", "-", "True Suspended", "-"]);
    assert_eq!(kstatus(&status, 1), "Failed");
}

#[test]
fn observe_with_drift() {
    let findings = vec![
        finding(Part::Policy, Field::Document, Repair::Done),
        finding(Part::Role, Field::Attachments, Repair::Done),
    ];
    let status = first(&Outcome::Drifted(sync_state(findings)));
    assert_eq!(all_shown(&status, KSTATUS), ["False DriftDetected", "-", "True DriftDetected", "True DriftDetected"]);
    assert_eq!(kstatus(&status, 1), "Failed");
    assert_eq!(
        all_shown(&status, [PolicyReady, RoleReady, PolicyAttached, Effective]),
        ["False DriftDetected", "True InSync", "False DriftDetected", "Unknown NotAssumed"]
    );
    let message = &condition(&status, Ready).unwrap().message;
    assert!(message.contains("policy document, role attachments"), "{message}");
    assert_eq!(status.drift.len(), 2);
    assert_eq!((status.drift[0].resource.as_str(), status.drift[0].field.as_str()), ("Policy", "document"));
}

#[test]
fn in_sync() {
    let status = first(&Outcome::InSync(sync_state(Vec::new())));
    assert_eq!(all_shown(&status, KSTATUS), ["True InSync", "-", "-", "False NoDrift"]);
    assert_eq!(
        all_shown(&status, [PolicyReady, RoleReady, PolicyAttached, Effective]),
        ["True InSync", "True InSync", "True InSync", "Unknown NotAssumed"]
    );
    assert_eq!(kstatus(&status, 1), "Current");
    assert_eq!((status.account_id.as_deref(), status.partition.as_deref()), (Some("123456789012"), Some("aws")));
    assert_eq!(status.role.as_ref().map(|role| role.name.as_str()), Some("shop.orders"));
    assert!(is_ready(&status, 1) && !is_ready(&status, 2), "a new generation is not ready yet");
    assert_eq!(kstatus(&status, 2), "InProgress");
}

#[test]
fn foreign_attachments_and_a_policys_description_do_not_change_ready() {
    for (findings, reason) in [
        (vec![finding(Part::Role, Field::Attachments, Repair::LeftToOthers)], "UnexpectedAttachments"),
        (vec![finding(Part::Role, Field::InlinePolicies, Repair::LeftToOthers)], "UnexpectedAttachments"),
        (vec![finding(Part::Policy, Field::Description, Repair::Impossible)], "ImmutableInAws"),
        (
            vec![
                finding(Part::Policy, Field::Description, Repair::Impossible),
                finding(Part::Role, Field::Attachments, Repair::LeftToOthers),
            ],
            "UnexpectedAttachments",
        ),
    ] {
        let count = findings.len();
        let status = first(&Outcome::InSync(sync_state(findings)));
        assert_eq!(all_shown(&status, KSTATUS), ["True InSync", "-", "-", &format!("True {reason}")]);
        assert_eq!(kstatus(&status, 1), "Current");
        assert_eq!(status.drift.len(), count);
        // The message reports every difference, also if one reason covers two.
        let message = &condition(&status, Drifted).unwrap().message;
        assert_eq!(message.contains("did not attach"), reason == "UnexpectedAttachments", "{message}");
        assert_eq!(message.contains("description"), count == 2 || reason == "ImmutableInAws", "{message}");
    }
}

#[test]
fn deleting_and_blocked() {
    let failure = Failure {
        reason: Reason::DeletionBlocked,
        message: "policy x is attached to user ann: detach it".into(),
        parts: Parts::default(),
    };
    let status = first(&Outcome::Deleting(failure));
    assert_eq!(all_shown(&status, KSTATUS), ["False DeletionBlocked", "True Deleting", "-", "-"]);
    assert!(condition(&status, Ready).unwrap().message.contains("ann"));
    assert_eq!(kstatus(&status, 1), "InProgress");
}

#[test]
fn a_released_object_that_others_hold_is_not_ready_and_has_what_it_left() {
    let before = first(&Outcome::InSync(sync_state(Vec::new())));
    for (deleted, part) in [(true, "False Progressing"), (false, "Unknown Progressing")] {
        let outcome = Outcome::Released { message: "it waits for example.com/hold".into(), deleted };
        let status = next(&before, &outcome, 2, at(1));
        assert_eq!(all_shown(&status, KSTATUS), ["False Progressing", "True Deleting", "-", "-"]);
        assert_eq!((shown(&status, PolicyReady), shown(&status, RoleReady)), (part.to_owned(), part.to_owned()));
        assert_eq!(
            (status.role.is_none(), status.policy.is_none(), status.tag_keys.is_empty()),
            (deleted, deleted, deleted)
        );
    }
}

#[test]
fn refused_outputs_make_the_object_not_ready() {
    let outputs = OutputsStatus { config_map_name: "orders-iam".into() };
    let accepted = Publication { outputs: Some(outputs.clone()), refused: None };
    let published = first(&Outcome::Published(sync_state(Vec::new()), accepted));
    assert_eq!(all_shown(&published, KSTATUS), ["True InSync", "-", "-", "False NoDrift"]);
    assert_eq!(published.outputs, Some(outputs));

    let refused = Publication { outputs: None, refused: Some((Reason::Conflict, "another object owns it".into())) };
    let status = next(&published, &Outcome::Published(sync_state(Vec::new()), refused), 1, at(1));
    assert_eq!(all_shown(&status, KSTATUS), ["False Conflict", "-", "True Conflict", "False NoDrift"]);
    assert_eq!(&*condition(&status, Stalled).unwrap().message, "another object owns it");
    assert_eq!(kstatus(&status, 1), "Failed");
    assert_eq!(shown(&status, RoleReady), "True InSync", "AWS is in sync");
    assert_eq!(status.outputs, None);
}

#[test]
fn the_last_use_determines_only_effective() {
    for (last_use, expected) in [
        (LastUse::At(at(0).checked_sub(jiff::SignedDuration::from_hours(1)).unwrap()), "True RoleAssumed"),
        (LastUse::Never, "Unknown NotAssumed"),
        (LastUse::NotTold, "Unknown Unknown"),
    ] {
        let mut state = sync_state(Vec::new());
        state.last_use = last_use;
        let status = first(&Outcome::InSync(state));
        assert_eq!(shown(&status, Effective), expected);
        assert_eq!(shown(&status, Ready), "True InSync");
    }
}

#[test]
fn full_access_manages_no_policy() {
    let mut state = sync_state(Vec::new());
    state.policy = None;
    let before = first(&Outcome::InSync(sync_state(Vec::new())));
    let status = next(&before, &Outcome::InSync(state), 2, at(1));
    assert_eq!(shown(&status, PolicyReady), "True NotManaged");
    assert_eq!(status.policy, None, "a deleted policy is removed from the status");
}

#[test]
fn a_failure_is_reported_for_the_affected_parts() {
    let failure = |parts: &Parts| {
        Outcome::Failed(Failure { reason: Reason::AccessDenied, message: "no".into(), parts: parts.clone() })
    };
    let role_only = Parts { role: PartState::Affected, ..Parts::default() };
    let fresh = first(&failure(&role_only));
    let parts = |status: &Status| [PolicyReady, RoleReady, PolicyAttached].map(|type_| shown(status, type_));
    assert_eq!(parts(&fresh), ["Unknown AccessDenied", "False AccessDenied", "Unknown AccessDenied"]);
    // Parts that were in sync for this generation stay so; for another generation they are unknown.
    let in_sync = first(&Outcome::InSync(sync_state(Vec::new())));
    let same = next(&in_sync, &failure(&role_only), 1, at(1));
    assert_eq!(parts(&same), ["True InSync", "False AccessDenied", "True InSync"]);
    let newer = next(&in_sync, &failure(&role_only), 2, at(1));
    assert_eq!(parts(&newer), ["Unknown AccessDenied", "False AccessDenied", "Unknown AccessDenied"]);
    assert_eq!(parts(&first(&failure(&Parts::ALL))), ["False AccessDenied"; 3].map(str::to_owned));
}

#[test]
fn a_failure_keeps_the_known_state_of_aws() {
    let in_sync = first(&Outcome::InSync(sync_state(Vec::new())));
    for outcome in [progressing(), Outcome::Suspended, failed(Reason::AccessDenied)] {
        let status = next(&in_sync, &outcome, 2, at(1));
        assert_eq!((&status.role, &status.policy), (&in_sync.role, &in_sync.policy), "{outcome:?}");
        assert_eq!(condition(&status, Effective), condition(&in_sync, Effective));
        assert_eq!(status.observed_generation, 2);
    }
}

#[test]
fn drift_is_cut_to_the_limits_of_a_status() {
    let mut long = finding(Part::Role, Field::Tags, Repair::Done);
    (long.item, long.expected, long.actual) = (Some("team".into()), "é".repeat(256), "é".repeat(257));
    let status = first(&Outcome::Drifted(sync_state(vec![long; 40])));
    assert_eq!(status.drift.len(), 32);
    let entry = &status.drift[0];
    assert_eq!((entry.resource.as_str(), entry.field.as_str()), ("Role", "tags.team"));
    assert_eq!(entry.expected, "é".repeat(256), "a value at the limit is not cut");
    assert_eq!(entry.actual.chars().count(), 256);
    assert!(entry.actual.ends_with('…'));
}

#[test]
fn a_long_message_is_cut() {
    let outcome =
        Outcome::Failed(Failure { reason: Reason::InvalidSpec, message: "x".repeat(40_000), parts: Parts::ALL });
    let status = first(&outcome);
    assert!(status.conditions.iter().all(|condition| condition.message.chars().count() == 2048));
}
