//! `(old status, outcome, generation, now) → new status`. Pure; an equal status means that nothing is written.
//!
//! Each situation is a test in `tests/situations.rs`. `Reconciling` and `Stalled` follow kstatus: never both, absent
//! otherwise. `lastTransitionTime` moves only when a status flips.

pub mod account;
mod drift;
pub mod effective;
mod ignored;
mod parts;
mod sync_state;
mod tag_keys;
#[cfg(test)]
mod tests;

use jiff::Timestamp;

use crate::api::Field;
use crate::api::condition::whole_seconds;
use crate::api::{AuroraLogExportPolicyStatus as Status, Condition, ConditionType, OutputsStatus, Reason};
use crate::pipeline::plan::{Part, Repair};
pub use drift::{MAX_ENTRIES as MAX_DRIFT_ENTRIES, entry as drift_entry};
use drift::{MAX_MESSAGE, cut};
pub use ignored::{ignored_note, is_new_note, note_ignored};
pub use parts::{PartState, Parts, Shortfall};
pub use sync_state::SyncState;
pub use tag_keys::tag_keys_on_record;

/// The outcome of a reconcile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// AWS matches the spec, except for differences that are not repaired.
    InSync(SyncState),
    /// Like `InSync`, for an object whose spec has, or had, `outputs`.
    Published(SyncState, Publication),
    /// `Observe`: AWS differs from the spec.
    Drifted(SyncState),
    /// Work is in progress.
    Progressing {
        /// What is in progress.
        message: String,
        /// Keys of all tags that our resources may have from now on; `None`: unchanged.
        tag_keys: Option<Vec<String>>,
    },
    /// `spec.suspend`.
    Suspended,
    /// The reconcile failed.
    Failed(Failure),
    /// Deletion is in progress and not complete.
    Deleting(Failure),
    /// Deletion is complete, and the object waits for the finalizers of others.
    Released {
        /// What happened to policy and role.
        message: String,
        /// True if they were deleted, false if they were left.
        deleted: bool,
    },
}

/// The result of publishing `spec.outputs`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Publication {
    /// What is published now.
    pub outputs: Option<OutputsStatus>,
    /// Why the publication was refused, if it was.
    pub refused: Option<(Reason, String)>,
}

/// Why a reconcile failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Reason of `Ready`.
    pub reason: Reason,
    /// The AWS object, the failed action and the next step; equal for all attempts.
    pub message: String,
    /// What is known of each part.
    pub parts: Parts,
}

/// True if `Ready` is true for this generation.
pub fn is_ready(status: &Status, generation: i64) -> bool {
    condition(status, ConditionType::Ready)
        .is_some_and(|ready| ready.status == "True" && ready.observed_generation == Some(generation))
}

/// A condition by its type.
pub fn condition(status: &Status, type_: ConditionType) -> Option<&Condition> {
    status.conditions.iter().find(|condition| condition.type_ == type_.as_str())
}

/// The next status.
pub fn next(old: &Status, outcome: &Outcome, generation: i64, now: Timestamp) -> Status {
    let mut next = Status { observed_generation: generation, ..old.clone() };
    let mut conditions = Conditions { old, generation, now, new: Vec::new() };
    match outcome {
        Outcome::InSync(sync) | Outcome::Drifted(sync) | Outcome::Published(sync, _) => {
            let drifted = matches!(outcome, Outcome::Drifted(_));
            conditions.in_sync(sync, drifted);
            if let Outcome::Published(_, Publication { outputs, refused }) = outcome {
                next.outputs.clone_from(outputs);
                if let Some((reason, message)) = refused {
                    conditions.refuse(*reason, message);
                }
            }
            next.account_id = Some(sync.account_id.clone());
            next.partition = Some(sync.partition.clone());
            next.policy.clone_from(&sync.policy);
            next.role = Some(sync.role.clone());
            next.tag_keys.clone_from(&sync.tag_keys);
            next.drift = drift::entries(&sync.findings);
        }
        Outcome::Progressing { message, tag_keys } => {
            if let Some(tag_keys) = tag_keys {
                next.tag_keys.clone_from(tag_keys);
            }
            conditions.set(ConditionType::Ready, "False", Reason::Progressing, message);
            conditions.set(ConditionType::Reconciling, "True", Reason::Progressing, message);
            conditions.parts(&Parts::default(), Reason::Progressing, message);
            conditions.keep(&[ConditionType::Drifted, ConditionType::Effective]);
        }
        Outcome::Suspended => {
            let message = "spec.suspend is true: AWS is neither read nor changed; unset it to resume";
            conditions.set(ConditionType::Ready, "False", Reason::Suspended, message);
            conditions.set(ConditionType::Stalled, "True", Reason::Suspended, message);
            conditions.parts(&Parts::default(), Reason::Suspended, message);
            conditions.keep(&[ConditionType::Drifted, ConditionType::Effective]);
        }
        Outcome::Failed(failure) => {
            let Failure { reason, message, parts } = failure;
            conditions.set(ConditionType::Ready, "False", *reason, message);
            if stalls(*reason) {
                conditions.set(ConditionType::Stalled, "True", *reason, message);
            } else {
                conditions.set(ConditionType::Reconciling, "True", Reason::Retrying, message);
            }
            conditions.parts(parts, *reason, message);
            conditions.keep(&[ConditionType::Drifted, ConditionType::Effective]);
        }
        Outcome::Deleting(failure) => {
            let Failure { reason, message, parts } = failure;
            conditions.set(ConditionType::Ready, "False", *reason, message);
            conditions.set(ConditionType::Reconciling, "True", Reason::Deleting, message);
            conditions.parts(parts, *reason, message);
            conditions.keep(&[ConditionType::Drifted, ConditionType::Effective]);
        }
        Outcome::Released { message, deleted } => {
            conditions.set(ConditionType::Ready, "False", Reason::Progressing, message);
            conditions.set(ConditionType::Reconciling, "True", Reason::Deleting, message);
            let part = if *deleted { "False" } else { "Unknown" };
            for type_ in [ConditionType::PolicyReady, ConditionType::RoleReady, ConditionType::PolicyAttached] {
                conditions.set(type_, part, Reason::Progressing, message);
            }
            if *deleted {
                (next.policy, next.role) = (None, None);
                next.tag_keys.clear();
                next.drift.clear();
            }
        }
    }
    next.conditions = conditions.new;
    next
}

/// True if manual action is required.
fn stalls(reason: Reason) -> bool {
    !matches!(reason, Reason::Throttled | Reason::AwsUnavailable | Reason::Progressing)
}

/// A condition. Its transition time moves only when its status changes; a long message is cut.
fn condition_after(
    old: &[Condition],
    (generation, now): (i64, Timestamp),
    type_: ConditionType,
    status: &'static str,
    reason: Reason,
    message: &str,
) -> Condition {
    let since = old
        .iter()
        .find(|old| old.type_ == type_.as_str() && old.status == status)
        .map_or_else(|| whole_seconds(now), |old| old.last_transition_time.clone());
    Condition {
        type_: type_.into(),
        status: status.into(),
        reason: reason.into(),
        message: cut(message, MAX_MESSAGE).into(),
        last_transition_time: since,
        observed_generation: Some(generation),
    }
}

struct Conditions<'a> {
    old: &'a Status,
    generation: i64,
    now: Timestamp,
    new: Vec<Condition>,
}

impl Conditions<'_> {
    fn set(&mut self, type_: ConditionType, status: &'static str, reason: Reason, message: &str) {
        let at = (self.generation, self.now);
        self.new.push(condition_after(&self.old.conditions, at, type_, status, reason, message));
    }

    /// AWS is in sync, but the object is not ready.
    fn refuse(&mut self, reason: Reason, message: &str) {
        self.new.retain(|condition| condition.type_ != ConditionType::Ready.as_str());
        self.set(ConditionType::Ready, "False", reason, message);
        self.set(ConditionType::Stalled, "True", reason, message);
    }

    /// Keeps conditions that this outcome does not determine, with the generation that they describe.
    fn keep(&mut self, types: &[ConditionType]) {
        for type_ in types {
            self.new.extend(condition(self.old, *type_).cloned());
        }
    }

    /// The three parts after a failure. Parts of which nothing is known keep their condition if they were in sync for this
    /// generation.
    fn parts(&mut self, parts: &Parts, reason: Reason, message: &str) {
        for (type_, state, what) in [
            (ConditionType::PolicyReady, &parts.policy, "the policy"),
            (ConditionType::RoleReady, &parts.role, "the role"),
            (ConditionType::PolicyAttached, &parts.attachment, "the attachment"),
        ] {
            let held = condition(self.old, type_)
                .filter(|old| old.status == "True" && old.observed_generation == Some(self.generation))
                .cloned();
            match (state, held) {
                (PartState::Affected, _) => self.set(type_, "False", reason, message),
                (PartState::Failed(reason, message), _) => self.set(type_, "False", *reason, message),
                (PartState::InSync, _) => self.set(type_, "True", Reason::InSync, &matches_spec(what)),
                (PartState::NotManaged, _) => self.set(type_, "True", Reason::NotManaged, NOT_MANAGED),
                (PartState::Unknown, Some(held)) => self.new.push(held),
                (PartState::Unknown, None) => self.set(type_, "Unknown", reason, message),
            }
        }
    }

    fn in_sync(&mut self, sync: &SyncState, drifted: bool) {
        let policy_name = sync.policy.as_ref().map(|policy| policy.arn.as_str());
        let role = sync.role.arn.as_str();
        let in_sync = match policy_name {
            Some(policy) => format!("policy {policy} and role {role} match the spec"),
            None => format!("role {role} matches the spec"),
        };
        let differing = format!(
            "AWS differs from the spec in {}, and managementPolicy is Observe; see status.drift, or set Enforce to repair it",
            drift::summary(&sync.findings)
        );
        if drifted {
            self.set(ConditionType::Ready, "False", Reason::DriftDetected, &differing);
            self.set(ConditionType::Stalled, "True", Reason::DriftDetected, &differing);
        } else {
            self.set(ConditionType::Ready, "True", Reason::InSync, &in_sync);
        }
        self.parts_in_sync(sync, drifted);
        self.drift(sync, drifted, &differing);
        let (status, reason) = effective::judge(sync.last_use, self.now);
        self.set(ConditionType::Effective, status, reason, &effective::message(reason, role));
    }

    fn parts_in_sync(&mut self, sync: &SyncState, drifted: bool) {
        let wrong = |part: Part, attachment: bool| {
            drifted
                && sync.findings.iter().any(|finding| {
                    finding.repair == Repair::Done
                        && finding.part == part
                        && (finding.field == Field::Attachments) == attachment
                })
        };
        let parts = [
            (ConditionType::PolicyReady, wrong(Part::Policy, false), "the policy"),
            (ConditionType::RoleReady, wrong(Part::Role, false), "the role"),
            (ConditionType::PolicyAttached, wrong(Part::Role, true), "the attachment"),
        ];
        for (type_, wrong, what) in parts {
            if wrong {
                self.set(
                    type_,
                    "False",
                    Reason::DriftDetected,
                    &format!("{what} differs from the spec; see status.drift"),
                );
            } else if type_ == ConditionType::PolicyReady && sync.policy.is_none() {
                self.set(type_, "True", Reason::NotManaged, NOT_MANAGED);
            } else {
                self.set(type_, "True", Reason::InSync, &matches_spec(what));
            }
        }
    }

    fn drift(&mut self, sync: &SyncState, drifted: bool, differing: &str) {
        let left =
            |repair: Repair| sync.findings.iter().filter(move |finding| finding.repair == repair).collect::<Vec<_>>();
        let (others, immutable) = (left(Repair::LeftToOthers), left(Repair::Impossible));
        let mut notes = Vec::new();
        if !others.is_empty() {
            let names: Vec<_> = others.iter().map(|finding| finding.actual.as_str()).collect();
            notes.push(format!(
                "role {} has policies that the operator did not attach: {}; remove them, or set attachmentPolicy: Exclusive",
                sync.role.arn,
                names.join(", ")
            ));
        }
        if !immutable.is_empty() {
            notes.push(
                "the policy's description differs, and IAM does not allow it to change; create a new object to change it"
                    .to_owned(),
            );
        }
        let notes = notes.join("; ");
        if drifted {
            self.set(ConditionType::Drifted, "True", Reason::DriftDetected, differing);
        } else if !others.is_empty() {
            self.set(ConditionType::Drifted, "True", Reason::UnexpectedAttachments, &notes);
        } else if !immutable.is_empty() {
            self.set(ConditionType::Drifted, "True", Reason::ImmutableInAws, &notes);
        } else {
            self.set(ConditionType::Drifted, "False", Reason::NoDrift, "no drift found");
        }
    }
}

const NOT_MANAGED: &str = "access: FullAccess manages no policy of its own";

fn matches_spec(what: &str) -> String {
    format!("{what} matches the spec")
}
