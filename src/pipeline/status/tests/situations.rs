//! Each row of the table: conditions, and what tools make of them.

use super::{Affected, Failure, Outcome, at, condition, failed, finding, kstatus, look, next, progressing, says};
use crate::api::Field;
use crate::api::{AuroraLogExportPolicyStatus as Status, ConditionType, OutputsStatus, Reason};
use crate::pipeline::plan::{Part, Repair};
use crate::pipeline::status::{Publication, is_ready};

use ConditionType::{Drifted, Effective, PolicyAttached, PolicyReady, Ready, Reconciling, RoleReady, Stalled};

fn first(outcome: &Outcome) -> Status {
    next(&Status::default(), outcome, 1, at(0))
}

fn said(status: &Status, types: [ConditionType; 4]) -> [String; 4] {
    types.map(|type_| says(status, type_))
}

const KSTATUS: [ConditionType; 4] = [Ready, Reconciling, Stalled, Drifted];

#[test]
fn before_the_first_look_nobody_takes_it_for_done() {
    let status = Status::default();
    assert_eq!(status.observed_generation, -1);
    assert_eq!(kstatus(&status, 1), "InProgress");
    assert!(!is_ready(&status, 1));
}

#[test]
fn new_generation_at_work() {
    let status = first(&progressing());
    assert_eq!(said(&status, KSTATUS), ["False Progressing", "True Progressing", "-", "-"]);
    assert_eq!(kstatus(&status, 1), "InProgress");
    assert_eq!(says(&status, RoleReady), "Unknown Progressing");
    assert_eq!(status.tag_keys, ["team"]);
}

#[test]
fn throttled_or_unavailable_before_it_was_in_sync() {
    for reason in [Reason::Throttled, Reason::AwsUnavailable] {
        let status = first(&failed(reason));
        assert_eq!(said(&status, KSTATUS), [&format!("False {reason}"), "True Retrying", "-", "-"]);
        assert_eq!(kstatus(&status, 1), "InProgress");
    }
}

#[test]
fn what_a_person_must_mend() {
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
        assert_eq!(said(&status, KSTATUS), [&format!("False {reason}"), "-", &format!("True {reason}"), "-"]);
        assert_eq!(kstatus(&status, 1), "Failed");
    }
}

#[test]
fn suspended() {
    let status = first(&Outcome::Suspended);
    assert_eq!(said(&status, KSTATUS), ["False Suspended", "-", "True Suspended", "-"]);
    assert_eq!(kstatus(&status, 1), "Failed");
}

#[test]
fn observe_with_drift() {
    let findings = vec![
        finding(Part::Policy, Field::Document, Repair::Done),
        finding(Part::Role, Field::Attachments, Repair::Done),
    ];
    let status = first(&Outcome::Drifted(look(findings)));
    assert_eq!(said(&status, KSTATUS), ["False DriftDetected", "-", "True DriftDetected", "True DriftDetected"]);
    assert_eq!(kstatus(&status, 1), "Failed");
    assert_eq!(
        said(&status, [PolicyReady, RoleReady, PolicyAttached, Effective]),
        ["False DriftDetected", "True InSync", "False DriftDetected", "True NoServiceLinkedRole"]
    );
    let message = &condition(&status, Ready).unwrap().message;
    assert!(message.contains("policy document, role attachments"), "{message}");
    assert_eq!(status.drift.len(), 2);
    assert_eq!((status.drift[0].resource.as_str(), status.drift[0].field.as_str()), ("Policy", "document"));
}

#[test]
fn in_sync() {
    let status = first(&Outcome::InSync(look(Vec::new())));
    assert_eq!(said(&status, KSTATUS), ["True InSync", "-", "-", "False NoDrift"]);
    assert_eq!(
        said(&status, [PolicyReady, RoleReady, PolicyAttached, Effective]),
        ["True InSync", "True InSync", "True InSync", "True NoServiceLinkedRole"]
    );
    assert_eq!(kstatus(&status, 1), "Current");
    assert_eq!((status.account_id.as_deref(), status.partition.as_deref()), (Some("123456789012"), Some("aws")));
    assert_eq!(status.role.as_ref().map(|role| role.name.as_str()), Some("shop.orders"));
    assert!(is_ready(&status, 1) && !is_ready(&status, 2), "a new generation is not ready by the old one's word");
    assert_eq!(kstatus(&status, 2), "InProgress");
}

#[test]
fn foreign_attachments_and_a_policys_description_do_not_touch_ready() {
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
        let status = first(&Outcome::InSync(look(findings)));
        assert_eq!(said(&status, KSTATUS), ["True InSync", "-", "-", &format!("True {reason}")]);
        assert_eq!(kstatus(&status, 1), "Current");
        assert_eq!(status.drift.len(), count);
        // All that is known is told, also where one reason stands for two.
        let message = &condition(&status, Drifted).unwrap().message;
        assert_eq!(message.contains("others attached"), reason == "UnexpectedAttachments", "{message}");
        assert_eq!(message.contains("description"), count == 2 || reason == "ImmutableInAws", "{message}");
    }
}

#[test]
fn deleting_and_blocked() {
    let failure = Failure {
        reason: Reason::DeletionBlocked,
        message: "policy x is attached to user ann: detach it".into(),
        affected: Affected::default(),
    };
    let status = first(&Outcome::Deleting(failure));
    assert_eq!(said(&status, KSTATUS), ["False DeletionBlocked", "True Deleting", "-", "-"]);
    assert!(condition(&status, Ready).unwrap().message.contains("ann"));
    assert_eq!(kstatus(&status, 1), "InProgress");
}

#[test]
fn outputs_that_were_refused_cost_ready_and_what_is_published_is_told() {
    let outputs = OutputsStatus { config_map_name: "orders-iam".into() };
    let told = Publication { outputs: Some(outputs.clone()), refused: None };
    let published = first(&Outcome::Published(look(Vec::new()), told));
    assert_eq!(said(&published, KSTATUS), ["True InSync", "-", "-", "False NoDrift"]);
    assert_eq!(published.outputs, Some(outputs));

    let refused = Publication { outputs: None, refused: Some((Reason::Conflict, "it is another's".into())) };
    let status = next(&published, &Outcome::Published(look(Vec::new()), refused), 1, at(1));
    assert_eq!(said(&status, KSTATUS), ["False Conflict", "-", "True Conflict", "False NoDrift"]);
    assert_eq!(&*condition(&status, Stalled).unwrap().message, "it is another's");
    assert_eq!(kstatus(&status, 1), "Failed");
    assert_eq!(says(&status, RoleReady), "True InSync", "AWS is as it should be");
    assert_eq!(status.outputs, None);
}

#[test]
fn the_service_linked_role_decides_effective_and_nothing_else() {
    for (known, said) in [
        (Some(false), "True NoServiceLinkedRole"),
        (Some(true), "False ServiceLinkedRoleOverrides"),
        (None, "Unknown Unknown"),
    ] {
        let mut look = look(Vec::new());
        look.service_linked_role = known;
        let status = first(&Outcome::InSync(look));
        assert_eq!(says(&status, Effective), said);
        assert_eq!(says(&status, Ready), "True InSync");
    }
}

#[test]
fn full_access_manages_no_policy() {
    let mut look = look(Vec::new());
    (look.policy, look.manages_policy) = (None, false);
    let before = first(&Outcome::InSync(super::look(Vec::new())));
    let status = next(&before, &Outcome::InSync(look), 2, at(1));
    assert_eq!(says(&status, PolicyReady), "True NotManaged");
    assert_eq!(status.policy, None, "what is gone from AWS is gone from the status");
}

#[test]
fn a_failure_is_told_of_the_parts_it_is_about() {
    let failure = |affected| Outcome::Failed(Failure { reason: Reason::AccessDenied, message: "no".into(), affected });
    let role_only = Affected { role: true, ..Affected::default() };
    let fresh = first(&failure(role_only));
    let parts = |status: &Status| [PolicyReady, RoleReady, PolicyAttached].map(|type_| says(status, type_));
    assert_eq!(parts(&fresh), ["Unknown AccessDenied", "False AccessDenied", "Unknown AccessDenied"]);
    // What was in sync for this very generation still is; for another it is not known.
    let in_sync = first(&Outcome::InSync(look(Vec::new())));
    let same = next(&in_sync, &failure(role_only), 1, at(1));
    assert_eq!(parts(&same), ["True InSync", "False AccessDenied", "True InSync"]);
    let newer = next(&in_sync, &failure(role_only), 2, at(1));
    assert_eq!(parts(&newer), ["Unknown AccessDenied", "False AccessDenied", "Unknown AccessDenied"]);
    assert_eq!(parts(&first(&failure(Affected::ALL))), ["False AccessDenied"; 3].map(str::to_owned));
}

#[test]
fn what_is_known_of_aws_stays_through_a_failure() {
    let in_sync = first(&Outcome::InSync(look(Vec::new())));
    for outcome in [progressing(), Outcome::Suspended, failed(Reason::AccessDenied)] {
        let status = next(&in_sync, &outcome, 2, at(1));
        assert_eq!((&status.role, &status.policy), (&in_sync.role, &in_sync.policy), "{outcome:?}");
        assert_eq!(condition(&status, Effective), condition(&in_sync, Effective));
        assert_eq!(status.observed_generation, 2);
    }
}

#[test]
fn drift_is_cut_to_what_a_status_holds() {
    let mut long = finding(Part::Role, Field::Tags, Repair::Done);
    (long.item, long.expected, long.actual) = (Some("team".into()), "é".repeat(256), "é".repeat(257));
    let status = first(&Outcome::Drifted(look(vec![long; 40])));
    assert_eq!(status.drift.len(), 32);
    let entry = &status.drift[0];
    assert_eq!((entry.resource.as_str(), entry.field.as_str()), ("Role", "tags.team"));
    assert_eq!(entry.expected, "é".repeat(256), "what fits is not cut");
    assert_eq!(entry.actual.chars().count(), 256);
    assert!(entry.actual.ends_with('…'));
}

#[test]
fn a_message_is_cut_to_what_people_read() {
    let outcome =
        Outcome::Failed(Failure { reason: Reason::InvalidSpec, message: "x".repeat(40_000), affected: Affected::ALL });
    let status = first(&outcome);
    assert!(status.conditions.iter().all(|condition| condition.message.chars().count() == 2048));
}
