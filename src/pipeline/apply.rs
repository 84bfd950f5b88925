//! Executes a plan, step by step. Matches without a wildcard, so that a new action cannot be forgotten.

use crate::pipeline::plan::{Action, Step};
use crate::pipeline::port::{ErrorClass, Iam, IamError, Policy, Role};

/// What was done, and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The steps that AWS confirmed, in order.
    pub done: Vec<Step>,
    /// The steps that failed, in order.
    pub failed: Vec<ApplyError>,
    /// The steps that were not tried.
    pub skipped: Vec<Skipped>,
    /// The policy, if one was created.
    pub policy: Option<Policy>,
    /// The policy's new default version, if it changed.
    pub version: Option<String>,
    /// The role, if one was created.
    pub role: Option<Role>,
}

/// A step that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct ApplyError {
    /// The step.
    pub step: Step,
    /// The error of the call.
    #[source]
    pub error: IamError,
}

/// A step that was not tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The step.
    pub step: Step,
    /// Index of the failure that prevents it, in [`Applied::failed`].
    pub cause: usize,
}

impl Applied {
    /// True if a step failed.
    pub fn is_incomplete(&self) -> bool {
        !self.failed.is_empty()
    }
}

/// Executes the steps in order. A step that fails prevents those that need it; an error that concerns the whole account
/// ([`IamError::stops_plan`]) prevents all that follow. Deleting something that does not exist is not a failure.
///
/// `note` is called with each step right before its call and again with the answer, so that the driver can record which
/// creations may have happened, and when at the latest: a call may wait long for the rate limit.
pub async fn apply<I: Iam>(iam: &I, steps: &[Step], mut note: impl FnMut(&Step) + Send) -> Applied {
    let mut applied = Applied::default();
    let mut prevented: Vec<Option<usize>> = Vec::with_capacity(steps.len());
    let mut stopped = None;
    for step in steps {
        let needed = || step.needs.iter().find_map(|&index| prevented.get(index).copied().flatten());
        if let Some(cause) = stopped.or_else(needed) {
            applied.skipped.push(Skipped { step: step.clone(), cause });
            prevented.push(Some(cause));
            continue;
        }
        note(step);
        let result = execute(iam, &step.action, &mut applied).await;
        note(step);
        match result {
            Err(error) if !(error.class == ErrorClass::NotFound && step.action.removes()) => {
                let failure = applied.failed.len();
                stopped = error.stops_plan().then_some(failure);
                prevented.push(Some(failure));
                applied.failed.push(ApplyError { step: step.clone(), error });
            }
            Ok(()) | Err(_) => {
                prevented.push(None);
                applied.done.push(step.clone());
            }
        }
    }
    applied
}

async fn execute<I: Iam>(iam: &I, action: &Action, applied: &mut Applied) -> Result<(), IamError> {
    match action {
        Action::CreatePolicy(new) => applied.policy = Some(iam.create_policy(new).await?),
        Action::CreatePolicyVersion { arn, document } => {
            applied.version = Some(iam.create_policy_version(arn, document).await?);
        }
        Action::SetDefaultPolicyVersion { arn, version } => {
            iam.set_default_policy_version(arn, version).await?;
            applied.version = Some(version.clone());
        }
        Action::DeletePolicyVersion { arn, version } => iam.delete_policy_version(arn, version).await?,
        Action::TagPolicy { arn, tags } => iam.tag_policy(arn, tags).await?,
        Action::UntagPolicy { arn, keys } => iam.untag_policy(arn, keys).await?,
        Action::DeletePolicy { arn } => iam.delete_policy(arn).await?,
        Action::CreateRole(new) => applied.role = Some(iam.create_role(new).await?),
        Action::PutBoundary { role, boundary } => iam.put_boundary(role, boundary).await?,
        Action::DeleteBoundary { role } => iam.delete_boundary(role).await?,
        Action::TagRole { role, tags } => iam.tag_role(role, tags).await?,
        Action::UntagRole { role, keys } => iam.untag_role(role, keys).await?,
        Action::UpdateTrust { role, document } => iam.update_trust(role, document).await?,
        Action::UpdateDescription { role, description } => iam.update_role_description(role, description).await?,
        Action::Attach { role, policy } => iam.attach(role, policy).await?,
        Action::Detach { role, policy } => iam.detach(role, policy).await?,
        Action::DeleteInlinePolicy { role, policy } => iam.delete_inline_policy(role, policy).await?,
        Action::DeleteRole { role } => iam.delete_role(role).await?,
    }
    Ok(())
}
