//! `(old status, findings, generation, now) → new status` of an `AwsAccount`. Pure; an equal status means that nothing
//! is written. `Reconciling` and `Stalled` follow kstatus: never both, absent otherwise.

use jiff::Timestamp;

use crate::api::{AwsAccountStatus as Status, Condition, ConditionType, Reason};
use crate::pipeline::port::{ErrorClass, IamError};

/// The outcome of a check of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The verified STS caller identity belongs to the account.
    Usable {
        /// ARN of the verified STS caller identity.
        caller_arn: String,
        /// Whether the account has the service-linked role; `None` if unknown.
        service_linked_role: Option<bool>,
    },
    /// The account cannot be used, or the check failed.
    Failed {
        /// Reason of `Ready`.
        reason: Reason,
        /// What failed and the next step; equal for all attempts.
        message: String,
    },
    /// The account is being deleted, and policies still use it.
    InUse {
        /// The policies that use it, and the next step.
        message: String,
    },
    /// The account is released, and waits for the finalizers of others.
    Released {
        /// What it waits for.
        message: String,
    },
}

/// Facts that are reported for every outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Number of policies that refer to the account.
    pub policies: i64,
    /// Number of orphans; `None` where the account is not swept.
    pub orphans: Option<i64>,
    /// The drift scan mode in effect, and why.
    pub drift_scan: String,
}

impl Outcome {
    /// The outcome of an error of AWS, or of the connection to it.
    pub fn of(error: &IamError) -> Self {
        let reason = match error.class {
            ErrorClass::CredentialsInvalid => Reason::CredentialsInvalid,
            ErrorClass::AccessDenied => Reason::AccessDenied,
            ErrorClass::AccountMismatch => Reason::AccountMismatch,
            // sts:AssumeRole with values that STS rejects: the role's own limits, or a Region that is not enabled.
            ErrorClass::InvalidInput | ErrorClass::LimitExceeded => Reason::AccessDenied,
            ErrorClass::Throttled
            | ErrorClass::Transient
            | ErrorClass::NotLeader
            | ErrorClass::NotFound
            | ErrorClass::AlreadyExists
            | ErrorClass::DeleteConflict => Reason::Progressing,
        };
        Self::Failed { reason, message: error.user_message() }
    }

    /// True for a failure that may be temporary: the last known state stays valid for a while.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Failed { reason: Reason::Progressing, .. })
    }
}

/// The next status.
pub fn next(old: &Status, outcome: &Outcome, facts: &Facts, generation: i64, now: Timestamp) -> Status {
    let mut next = Status {
        observed_generation: generation,
        policies: Some(facts.policies),
        orphans: facts.orphans,
        drift_scan: Some(facts.drift_scan.clone()),
        ..old.clone()
    };
    let set = |type_: ConditionType, status: &'static str, reason: Reason, message: &str| {
        super::condition_after(&old.conditions, (generation, now), type_, status, reason, message)
    };
    next.conditions = match outcome {
        Outcome::Usable { caller_arn, service_linked_role } => {
            next.caller_arn = Some(caller_arn.clone());
            next.service_linked_role = *service_linked_role;
            let message = format!("the operator's identity in this account is {caller_arn}");
            vec![set(ConditionType::Ready, "True", Reason::InSync, &message)]
        }
        Outcome::Failed { reason, message } => {
            // The last verified caller identity is no longer valid.
            next.caller_arn = None;
            let second = if outcome.may_pass() {
                set(ConditionType::Reconciling, "True", Reason::Retrying, message)
            } else {
                set(ConditionType::Stalled, "True", *reason, message)
            };
            vec![set(ConditionType::Ready, "False", *reason, message), second]
        }
        Outcome::InUse { message } => vec![
            set(ConditionType::Ready, "False", Reason::InUse, message),
            set(ConditionType::Reconciling, "True", Reason::Deleting, message),
        ],
        Outcome::Released { message } => vec![
            set(ConditionType::Ready, "False", Reason::Progressing, message),
            set(ConditionType::Reconciling, "True", Reason::Deleting, message),
        ],
    };
    next
}

/// A condition by its type.
pub fn condition(status: &Status, type_: ConditionType) -> Option<&Condition> {
    status.conditions.iter().find(|condition| condition.type_ == type_.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::port::Operation;

    fn facts(policies: i64) -> Facts {
        Facts { policies, orphans: None, drift_scan: "PerResource: set in spec.driftScan".into() }
    }

    fn usable() -> Outcome {
        Outcome::Usable {
            caller_arn: "arn:aws:sts::111122223333:assumed-role/a/b".into(),
            service_linked_role: Some(false),
        }
    }

    fn failed(class: ErrorClass) -> Outcome {
        Outcome::of(&IamError {
            class,
            operation: Operation::AssumeRole,
            resource: "role arn:aws:iam::111122223333:role/a".into(),
            code: "Code".into(),
            message: "message".into(),
        })
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn summary(status: &Status) -> Vec<String> {
        let text = |it: &Condition| format!("{}={} {}", it.type_, it.status, it.reason);
        status.conditions.iter().map(text).collect()
    }

    #[test]
    fn every_outcome_has_its_conditions() {
        let busy = Outcome::InUse { message: "a/b needs it".into() };
        let released = Outcome::Released { message: "example.com/hold".into() };
        for (outcome, expected) in [
            (usable(), &["Ready=True InSync"][..]),
            (
                failed(ErrorClass::CredentialsInvalid),
                &["Ready=False CredentialsInvalid", "Stalled=True CredentialsInvalid"],
            ),
            (failed(ErrorClass::AccessDenied), &["Ready=False AccessDenied", "Stalled=True AccessDenied"]),
            (failed(ErrorClass::AccountMismatch), &["Ready=False AccountMismatch", "Stalled=True AccountMismatch"]),
            (failed(ErrorClass::Throttled), &["Ready=False Progressing", "Reconciling=True Retrying"]),
            (failed(ErrorClass::Transient), &["Ready=False Progressing", "Reconciling=True Retrying"]),
            (busy, &["Ready=False InUse", "Reconciling=True Deleting"]),
            (released, &["Ready=False Progressing", "Reconciling=True Deleting"]),
        ] {
            let status = next(&Status::default(), &outcome, &facts(1), 3, at(0));
            assert_eq!(summary(&status), expected, "{outcome:?}");
            assert_eq!(status.observed_generation, 3);
        }
    }

    #[test]
    fn an_equal_outcome_leaves_the_status_unchanged() {
        for outcome in [usable(), failed(ErrorClass::AccessDenied), failed(ErrorClass::Transient)] {
            let first = next(&Status::default(), &outcome, &facts(1), 1, at(0));
            assert_eq!(next(&first, &outcome, &facts(1), 1, at(60)), first, "{outcome:?}");
        }
    }

    #[test]
    fn a_transition_time_moves_only_when_the_status_flips() {
        let ready = |status: &Status| condition(status, ConditionType::Ready).unwrap().last_transition_time.0;
        let first = next(&Status::default(), &failed(ErrorClass::AccessDenied), &facts(0), 1, at(0));
        let other = next(&first, &failed(ErrorClass::CredentialsInvalid), &facts(0), 1, at(60));
        assert_eq!(ready(&other), at(0), "another reason is not another status");
        assert_eq!(ready(&next(&other, &usable(), &facts(0), 1, at(90))), at(90));
    }

    #[test]
    fn the_caller_identity_is_cleared_after_a_failure() {
        let known = next(&Status::default(), &usable(), &facts(0), 1, at(0));
        assert!(known.caller_arn.is_some());
        assert_eq!(next(&known, &failed(ErrorClass::AccessDenied), &facts(0), 1, at(1)).caller_arn, None);
    }
}
