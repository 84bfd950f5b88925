//! What a failed reconcile knows of the policy, the role and the attachment, each by itself.

use std::fmt::Write;

use crate::api::{ConditionType, Field, Reason};
use crate::pipeline::apply::{Applied, ApplyError};
use crate::pipeline::desired::Desired;
use crate::pipeline::observe::Observed;
use crate::pipeline::plan::{DANGER_OF_UNREAD, Part, Step, danger};
use crate::pipeline::port::{ErrorClass, IamError, Operation};

/// What is known of one part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PartState {
    /// It was not compared: it keeps its condition if it was in sync for this generation.
    #[default]
    Unknown,
    /// It is wrong, for the reason of the whole failure.
    Affected,
    /// It is wrong or could not be read, for this reason.
    Failed(Reason, String),
    /// It was compared, and repaired where it differed.
    InSync,
    /// The object has none.
    NotManaged,
}

/// The three parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// The managed policy.
    pub policy: PartState,
    /// The role.
    pub role: PartState,
    /// The attachment.
    pub attachment: PartState,
}

impl Parts {
    /// All three are affected.
    pub const ALL: Self =
        Self { policy: PartState::Affected, role: PartState::Affected, attachment: PartState::Affected };

    /// The part that a failed call is about.
    pub fn of(operation: Operation) -> Self {
        let mut parts = Self::default();
        if let Some(part) = condition_of(operation) {
            *parts.get_mut(part) = PartState::Affected;
        }
        parts
    }

    /// The parts that these steps are about.
    pub fn of_steps<'a>(steps: impl IntoIterator<Item = &'a Step>) -> Self {
        let mut parts = Self::default();
        for step in steps {
            *parts.get_mut(condition_of_step(step)) = PartState::Affected;
        }
        parts
    }

    fn get_mut(&mut self, part: ConditionType) -> &mut PartState {
        match part {
            ConditionType::PolicyReady => &mut self.policy,
            ConditionType::PolicyAttached => &mut self.attachment,
            _ => &mut self.role,
        }
    }
}

/// The condition that a call is about; none for calls about the account.
fn condition_of(operation: Operation) -> Option<ConditionType> {
    Some(match operation {
        Operation::AttachRolePolicy | Operation::DetachRolePolicy | Operation::ListAttachedRolePolicies => {
            ConditionType::PolicyAttached
        }
        Operation::GetCallerIdentity | Operation::AssumeRole => return None,
        operation if operation.as_str().contains("Policy") && !operation.as_str().contains("Role") => {
            ConditionType::PolicyReady
        }
        _ => ConditionType::RoleReady,
    })
}

fn condition_of_step(step: &Step) -> ConditionType {
    match (step.part, step.field) {
        (_, Field::Attachments) => ConditionType::PolicyAttached,
        (Part::Policy, _) => ConditionType::PolicyReady,
        (Part::Role, _) => ConditionType::RoleReady,
    }
}

/// Why AWS is not, or not known to be, as the spec says although a plan was carried out as far as possible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortfall {
    /// The error behind the most dangerous difference that remains.
    pub error: IamError,
    /// The error, the other calls that failed, and the other differences that remain.
    pub message: String,
    /// What is known of each part.
    pub parts: Parts,
    /// True if one of the errors may pass by itself.
    pub retry_soon: bool,
}

impl From<&IamError> for Shortfall {
    /// A read failed, and nothing was planned.
    fn from(error: &IamError) -> Self {
        let terminal = error.class.is_terminal();
        Self {
            error: error.clone(),
            message: error.user_message(),
            parts: if terminal { Parts::of(error.operation) } else { Parts::default() },
            retry_soon: !terminal,
        }
    }
}

/// A call that failed, with the steps that it prevents.
struct FailedCall<'a> {
    error: &'a IamError,
    /// Its own step first; none for a read.
    steps: Vec<&'a Step>,
}

impl FailedCall<'_> {
    /// `None`, which comes first, is an error of the whole account: it explains everything else.
    fn danger(&self) -> Option<u8> {
        match self.error.class {
            ErrorClass::NotLeader | ErrorClass::CredentialsInvalid | ErrorClass::AccountMismatch => None,
            _ => Some(self.steps.iter().map(|step| danger(step)).min().unwrap_or(DANGER_OF_UNREAD)),
        }
    }
}

impl Shortfall {
    /// `None` if every read was allowed and every step was executed.
    pub fn of(desired: &Desired, observed: &Observed, applied: &Applied) -> Option<Self> {
        let mut calls: Vec<_> = observed.denied.iter().map(|error| FailedCall { error, steps: Vec::new() }).collect();
        for (index, ApplyError { step, error }) in applied.failed.iter().enumerate() {
            let prevented =
                applied.skipped.iter().filter(|skipped| skipped.cause == index).map(|skipped| &skipped.step);
            calls.push(FailedCall { error, steps: std::iter::once(step).chain(prevented).collect() });
        }
        calls.sort_by_key(FailedCall::danger);
        let worst = calls.first()?;
        let exists = (
            observed.policy.is_some() || applied.policy.is_some() || desired.policy.is_none(),
            observed.role.is_some() || applied.role.is_some(),
        );
        Some(Self {
            error: worst.error.clone(),
            message: message(&calls)?,
            parts: parts(desired, &calls, exists),
            retry_soon: calls.iter().any(|call| !call.error.class.is_terminal()),
        })
    }
}

fn message(calls: &[FailedCall<'_>]) -> Option<String> {
    let (worst, others) = calls.split_first()?;
    let mut permissions: Vec<_> = others.iter().map(|call| call.error.operation.permission()).collect();
    permissions.sort_unstable();
    permissions.dedup();
    permissions.retain(|permission| *permission != worst.error.operation.permission());
    let mut steps: Vec<_> = calls.iter().flat_map(|call| &call.steps).collect();
    steps.sort_by_key(|step| danger(step));
    let own = worst.steps.first().map(|step| (step.part, step.field));
    let mut remaining: Vec<String> = Vec::new();
    for step in steps.iter().filter(|step| Some((step.part, step.field)) != own) {
        let name = format!("{} {}", step.part.noun(), step.field.as_str());
        if !remaining.contains(&name) {
            remaining.push(name);
        }
    }
    let mut message = worst.error.user_message();
    for (intro, items) in [("also failed", permissions), ("also not repaired", remaining)] {
        if !items.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(message, "; {intro}: {}", items.join(", "));
        }
    }
    Some(message)
}

/// The worst error of each part. A part that no failure concerns was compared and repaired, if it `exists`: policy, role.
fn parts(desired: &Desired, calls: &[FailedCall<'_>], exists: (bool, bool)) -> Parts {
    let managed = if desired.policy.is_some() { PartState::InSync } else { PartState::NotManaged };
    let mut parts = Parts { policy: managed, role: PartState::InSync, attachment: PartState::InSync };
    // From the least to the most dangerous, so that the worst one stays.
    for FailedCall { error, steps } in calls.iter().rev() {
        let failed = PartState::Failed(error.class.reason(), error.user_message());
        for step in steps {
            *parts.get_mut(condition_of_step(step)) = failed.clone();
        }
        if steps.is_empty() {
            let mut hidden = vec![condition_of(error.operation).unwrap_or(ConditionType::RoleReady)];
            // Without the role, or without the policy to attach, nothing is known of the attachment either.
            if error.operation == Operation::GetRole
                || error.operation == Operation::GetPolicy && desired.policy.is_some()
            {
                hidden.push(ConditionType::PolicyAttached);
            }
            for part in hidden {
                *parts.get_mut(part) = failed.clone();
            }
        }
    }
    // What is missing, and was not created because something else could not be read.
    let worst = calls.first().map(|call| PartState::Failed(call.error.class.reason(), call.error.user_message()));
    for (part, exists) in
        [(&mut parts.policy, exists.0), (&mut parts.role, exists.1), (&mut parts.attachment, exists.0 && exists.1)]
    {
        if !exists && *part == PartState::InSync {
            *part = worst.clone().unwrap_or_default();
        }
    }
    parts
}
