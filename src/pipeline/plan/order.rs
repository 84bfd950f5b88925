//! The order of the steps of a plan, and which steps need which. Pure.
//!
//! What protects the role comes first: a step that AWS refuses must not delay it. A step that needs no other is executed
//! although others failed.

use super::action::{Action, Part, Step};
use crate::api::{Field, RESERVED_TAG_PREFIX};
use crate::model::ownership::Tags;
use crate::pipeline::desired::Desired;

/// Sorts the steps and records what each needs. `adopted`: these resources become ours with the first step about them.
pub(super) fn order(steps: &mut [Step], desired: &Desired, adopted: &[Part]) {
    steps.sort_by_key(|step| stage(&step.action, desired));
    for index in 1..steps.len() {
        let (earlier, rest) = steps.split_at_mut(index);
        rest[0].needs = (0..index).filter(|&before| needs(&rest[0], &earlier[before], adopted)).collect();
    }
}

/// When a step is executed; steps of one stage keep their order.
fn stage(action: &Action, desired: &Desired) -> u8 {
    match action {
        // A resource that is adopted, or that carries an old cluster's tags, becomes ours before it is changed.
        Action::TagPolicy { tags, .. } | Action::TagRole { tags, .. } if records_ownership(tags) => 0,
        // Before the trust policy and the attachment: the operator may change only roles behind their boundary.
        Action::PutBoundary { .. } => 1,
        Action::UpdateTrust { .. } => 2,
        Action::CreatePolicyVersion { .. } | Action::SetDefaultPolicyVersion { .. } => 3,
        Action::DeletePolicyVersion { .. } if desired.policy.is_some() => 3,
        // Before ours is attached: IAM limits the number of policies of a role.
        Action::Detach { policy, .. } if *policy != desired.superseded_attachment().as_str() => 4,
        Action::DeleteInlinePolicy { .. } => 4,
        Action::CreatePolicy(_) => 5,
        Action::CreateRole(_) => 6,
        Action::Attach { .. } => 7,
        // The new policy is attached before the old one is detached.
        Action::Detach { .. } => 8,
        Action::DeletePolicyVersion { .. } | Action::DeletePolicy { .. } => 9,
        Action::DeleteBoundary { .. } => 10,
        // Removals come first: IAM allows only 50 tags.
        Action::UntagPolicy { .. } | Action::UntagRole { .. } => 11,
        Action::TagPolicy { .. } | Action::TagRole { .. } => 12,
        Action::UpdateDescription { .. } => 13,
        Action::DeleteRole { .. } => 14,
    }
}

/// True if the step makes sense, or is allowed, only after the earlier one.
fn needs(step: &Step, earlier: &Step, adopted: &[Part]) -> bool {
    let takes_over = |part: Part| earlier.part == part && adopted.contains(&part) && is_ownership(&earlier.action);
    if takes_over(step.part) {
        return true;
    }
    match &step.action {
        // IAM refuses a name that is taken when the policy is created: there is no role without its policy.
        Action::CreateRole(_) => matches!(earlier.action, Action::CreatePolicy(_)),
        Action::Attach { .. } => {
            matches!(earlier.action, Action::CreatePolicy(_) | Action::CreateRole(_)) || takes_over(Part::Policy)
        }
        Action::CreatePolicyVersion { .. } => matches!(earlier.action, Action::DeletePolicyVersion { .. }),
        Action::Detach { .. } => matches!(earlier.action, Action::Attach { .. }),
        Action::DeletePolicyVersion { arn, .. } | Action::DeletePolicy { arn } => match &earlier.action {
            Action::Attach { .. } => true,
            Action::Detach { policy, .. } => policy == arn.as_str(),
            Action::DeletePolicyVersion { .. } => matches!(step.action, Action::DeletePolicy { .. }),
            _ => false,
        },
        _ => false,
    }
}

fn is_ownership(action: &Action) -> bool {
    matches!(action, Action::TagPolicy { tags, .. } | Action::TagRole { tags, .. } if records_ownership(tags))
}

fn records_ownership(tags: &Tags) -> bool {
    tags.keys().any(|key| key.starts_with(RESERVED_TAG_PREFIX))
}

/// How dangerous it is that something could not be read: a difference that protects the role may be hidden.
pub const DANGER_OF_UNREAD: u8 = 3;

/// How dangerous a difference is while it is not repaired; 0 is the most dangerous.
pub fn danger(step: &Step) -> u8 {
    match (step.field, &step.action) {
        (Field::Trust, _) => 0,
        (Field::Document | Field::DefaultVersion, _) => 1,
        (Field::PermissionsBoundary, _) => 2,
        // 3 is DANGER_OF_UNREAD.
        (Field::Attachments, Action::Detach { .. }) => 4,
        (Field::InlinePolicies, _) => 5,
        (Field::Existence, _) => 6,
        (Field::Attachments, _) => 7,
        (Field::Tags, _) => 8,
        (Field::Description, _) => 9,
    }
}
