//! `(old status, findings, generation, now) → new status` of an `AwsAccount`. Pure; an equal status means that nothing
//! is written. `Reconciling` and `Stalled` follow kstatus: never both, absent otherwise.

use jiff::Timestamp;

use crate::api::condition::whole_seconds;
use crate::api::{AwsAccountStatus as Status, Condition, ConditionType, Reason};
use crate::pipeline::port::{ErrorClass, IamError};

/// What a look at an account came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// AWS takes us for whom the spec says.
    Usable {
        /// Who we are there.
        caller_arn: String,
        /// Has the account the service-linked role? `None`: not known.
        service_linked_role: Option<bool>,
    },
    /// It cannot be used, or nobody knows.
    Failed {
        /// Reason of `Ready`.
        reason: Reason,
        /// What failed and what to do; nothing that varies from try to try.
        message: String,
    },
    /// It is to go, and policies still need it.
    InUse {
        /// Which.
        message: String,
    },
}

/// What is told whatever the outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// How many policies refer to the account.
    pub policies: i64,
    /// The drift scan in force, and why.
    pub drift_scan: String,
}

impl Outcome {
    /// What an error of AWS, or the way to it, means for an account.
    pub fn of(error: &IamError) -> Self {
        let reason = match error.class {
            ErrorClass::CredentialsInvalid => Reason::CredentialsInvalid,
            ErrorClass::AccessDenied => Reason::AccessDenied,
            ErrorClass::AccountMismatch => Reason::AccountMismatch,
            // sts:AssumeRole with values that STS does not take: the role's own limits, or a Region that is off.
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

    /// True for a failure that may pass by itself: what was known before counts for a while.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Failed { reason: Reason::Progressing, .. })
    }
}

/// The next status.
pub fn next(old: &Status, outcome: &Outcome, facts: &Facts, generation: i64, now: Timestamp) -> Status {
    let mut next = Status {
        observed_generation: generation,
        policies: Some(facts.policies),
        drift_scan: Some(facts.drift_scan.clone()),
        ..old.clone()
    };
    let set = |type_: ConditionType, status: &'static str, reason: Reason, message: &str| {
        let since = condition(old, type_)
            .filter(|old| old.status == status)
            .map_or_else(|| whole_seconds(now), |old| old.last_transition_time.clone());
        Condition {
            type_: type_.into(),
            status: status.into(),
            reason: reason.into(),
            message: message.into(),
            last_transition_time: since,
            observed_generation: Some(generation),
        }
    };
    next.conditions = match outcome {
        Outcome::Usable { caller_arn, service_linked_role } => {
            next.caller_arn = Some(caller_arn.clone());
            next.service_linked_role = *service_linked_role;
            let message = format!("the operator works in this account as {caller_arn}");
            vec![set(ConditionType::Ready, "True", Reason::InSync, &message)]
        }
        Outcome::Failed { reason, message } => {
            // Whom AWS took us for once says nothing about now.
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
        Facts { policies, drift_scan: "PerResource: asked for".into() }
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
    fn every_outcome_has_its_row() {
        let busy = Outcome::InUse { message: "a/b needs it".into() };
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
        ] {
            let status = next(&Status::default(), &outcome, &facts(1), 3, at(0));
            assert_eq!(summary(&status), expected, "{outcome:?}");
            assert_eq!(status.observed_generation, 3);
        }
    }

    #[test]
    fn nothing_changes_where_nothing_changed() {
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
    fn whom_aws_took_us_for_is_forgotten_when_it_no_longer_does() {
        let known = next(&Status::default(), &usable(), &facts(0), 1, at(0));
        assert!(known.caller_arn.is_some());
        assert_eq!(next(&known, &failed(ErrorClass::AccessDenied), &facts(0), 1, at(1)).caller_arn, None);
    }
}
