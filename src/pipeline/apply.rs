//! Executes a plan, step by step. Matches without a wildcard, so that a new action cannot be forgotten.

use crate::pipeline::plan::{Action, Step};
use crate::pipeline::port::{ErrorClass, Iam, IamError, Policy, Role};

/// What was done, also if a later step failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The steps that AWS confirmed, in order.
    pub done: Vec<Step>,
    /// The policy, if one was created.
    pub policy: Option<Policy>,
    /// The policy's new default version, if it changed.
    pub version: Option<String>,
    /// The role, if one was created.
    pub role: Option<Role>,
}

/// A step that failed. The steps before it are in [`Applied`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct ApplyError {
    /// The step.
    pub step: Step,
    /// The error of the call.
    #[source]
    pub error: IamError,
}

/// Executes the steps in order and stops at the first that fails.
///
/// `note` is called with each step right before its call and again with the answer, so that the driver can record which
/// creations may have happened, and when at the latest: a call may wait long for the rate limit.
///
/// # Errors
/// The first step that failed. Deleting something that does not exist is not a failure.
pub async fn apply<I: Iam>(
    iam: &I,
    steps: &[Step],
    applied: &mut Applied,
    mut note: impl FnMut(&Step) + Send,
) -> Result<(), ApplyError> {
    for step in steps {
        note(step);
        let result = execute(iam, &step.action, applied).await;
        note(step);
        match result {
            Ok(()) => {}
            Err(error) if error.class == ErrorClass::NotFound && step.action.removes() => {}
            Err(error) => {
                return Err(ApplyError { step: step.clone(), error });
            }
        }
        applied.done.push(step.clone());
    }
    Ok(())
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
