//! The plan of a deletion: what blocks it, and the ordered writes that delete the resources. Pure.

use super::action::{Action, Part, Step};
use crate::api::Field;
use crate::pipeline::desired::Identity;
use crate::pipeline::leftovers::{Leftovers, PolicyLeftover, Presence, RoleLeftover};
use crate::pipeline::port::PolicyUsers;

/// The writes that delete what is left: detach, delete the role, delete versions, delete the policy. The role needs that
/// nothing is attached to it, the policy that it is not in use.
///
/// # Errors
/// What blocks the deletion, one sentence each. Nothing is written then, so that nothing is left half deleted.
pub fn plan_deletion(identity: &Identity, leftovers: &Leftovers) -> std::result::Result<Vec<Step>, Vec<String>> {
    let mut blockers = Vec::new();
    let mut steps = Vec::new();
    if let Presence::Ours(role) = &leftovers.role {
        let owns_policy = matches!(leftovers.policy, Presence::Ours(_) | Presence::Offered);
        plan_role(identity, role, owns_policy, &mut steps, &mut blockers);
    }
    if let Presence::Ours(policy) = &leftovers.policy {
        let role_is_deleted = matches!(leftovers.role, Presence::Ours(_));
        plan_policy(identity, policy, role_is_deleted, &mut steps, &mut blockers);
    }
    if blockers.is_empty() { Ok(steps) } else { Err(blockers) }
}

fn plan_role(
    identity: &Identity,
    role: &RoleLeftover,
    owns_policy: bool,
    steps: &mut Vec<Step>,
    blockers: &mut Vec<String>,
) {
    let RoleLeftover { attached, inline, instance_profiles } = role;
    let name = &identity.role_name;
    let mut push = |action, field| {
        steps.push(Step::new(action, Part::Role, field));
    };
    for policy in attached {
        // A spec can name a protected policy of others as the object's own.
        let own = policy == identity.policy_arn.as_str() && (owns_policy || !identity.attachments.protects(policy));
        let ours = own || policy == identity.full_access_arn.as_str();
        if ours || identity.attachments.detaches(policy) {
            push(Action::Detach { role: name.clone(), policy: policy.clone() }, Field::Attachments);
        } else if identity.attachments.protects(policy) {
            blockers.push(format!(
                "role {name} has policy {policy}, which the guardrail protectedPolicies protects: ask the platform team to \
                 detach it"
            ));
        } else {
            blockers.push(format!("role {name} has policy {policy}, which the operator did not attach: detach it"));
        }
    }
    for policy in inline {
        if identity.attachments.exclusive {
            push(Action::DeleteInlinePolicy { role: name.clone(), policy: policy.clone() }, Field::InlinePolicies);
        } else {
            blockers.push(format!("role {name} has the inline policy {policy}: delete it"));
        }
    }
    for profile in instance_profiles {
        blockers.push(format!("role {name} is in the instance profile {profile}: remove it from the profile"));
    }
    let needs = (0..steps.len()).collect();
    steps.push(Step { needs, ..Step::new(Action::DeleteRole { role: name.clone() }, Part::Role, Field::Existence) });
}

fn plan_policy(
    identity: &Identity,
    policy: &PolicyLeftover,
    role_is_deleted: bool,
    steps: &mut Vec<Step>,
    blockers: &mut Vec<String>,
) {
    let PolicyLeftover { versions, users: PolicyUsers { roles, users, groups, bounded } } = policy;
    let arn = &identity.policy_arn;
    // Our own role is deleted first, with its boundary. A role of that name that is not ours is kept.
    let others = roles
        .iter()
        .filter(|role| !role_is_deleted || !role.eq_ignore_ascii_case(identity.role_name.as_str()))
        .map(|role| format!("role {role}"))
        .chain(users.iter().map(|user| format!("user {user}")))
        .chain(groups.iter().map(|group| format!("group {group}")));
    blockers.extend(others.map(|holder| format!("policy {arn} is attached to {holder}: detach it")));
    let own = format!("role {}", identity.role_name);
    blockers.extend(
        bounded
            .iter()
            .filter(|holder| !role_is_deleted || !holder.eq_ignore_ascii_case(&own))
            .map(|holder| format!("policy {arn} is the permissions boundary of {holder}: remove the boundary")),
    );
    // A policy that our own role does not have as its boundary can be deleted although the role cannot.
    let detached = |step: &Step| matches!(&step.action, Action::Detach { policy, .. } if policy == arn.as_str());
    let releases = match steps.iter().position(detached) {
        Some(detach) if !bounded.iter().any(|holder| holder.eq_ignore_ascii_case(&own)) => vec![detach],
        _ => (0..steps.len()).collect(),
    };
    let step = |action, needs| Step { needs, ..Step::new(action, Part::Policy, Field::Existence) };
    let mut needs = releases.clone();
    for version in versions.iter().filter(|version| !version.is_default) {
        let delete = Action::DeletePolicyVersion { arn: arn.clone(), version: version.id.clone() };
        needs.push(steps.len());
        steps.push(step(delete, releases.clone()));
    }
    steps.push(step(Action::DeletePolicy { arn: arn.clone() }, needs));
}
