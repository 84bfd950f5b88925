//! What deleting an object takes: what is there, what holds it, and the ordered writes. Reads and a pure plan.

use super::{Action, Field, Part, Step};
use crate::api::policy::AttachmentPolicy;
use crate::model::ownership::{Standing, Tags};
use crate::pipeline::desired::Identity;
use crate::pipeline::port::{Iam, PolicyUsers, PolicyVersion, Result};

/// What an object may have left in IAM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remains {
    /// The role.
    pub role: Presence<RemainingRole>,
    /// The policy.
    pub policy: Presence<RemainingPolicy>,
}

/// Is a resource there, and is it ours?
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Presence<T> {
    /// IAM does not know it.
    #[default]
    Absent,
    /// It is there, and not ours: it stays.
    NotOurs,
    /// It is there, and ours.
    Ours(T),
}

/// A role that must go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemainingRole {
    /// ARNs of attached policies.
    pub attached: Vec<String>,
    /// Names of inline policies.
    pub inline: Vec<String>,
    /// Names of instance profiles.
    pub instance_profiles: Vec<String>,
}

/// A policy that must go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemainingPolicy {
    /// All versions.
    pub versions: Vec<PolicyVersion>,
    /// Who uses it.
    pub users: PolicyUsers,
}

/// Reads what is left.
///
/// # Errors
/// Any error of a reading call.
pub async fn remains<I: Iam>(iam: &I, identity: &Identity) -> Result<Remains> {
    let ours = |tags: &Tags| matches!(identity.ownership.judge(tags), Standing::Ours | Standing::OursBeforeRestore);
    let role = match iam.role(&identity.role_name).await? {
        None => Presence::Absent,
        Some(role) if role.arn != identity.role_arn.as_str() || !ours(&role.tags) => Presence::NotOurs,
        Some(_) => Presence::Ours(RemainingRole {
            attached: iam.attached_policies(&identity.role_name).await?,
            inline: iam.inline_policies(&identity.role_name).await?,
            instance_profiles: iam.instance_profiles(&identity.role_name).await?,
        }),
    };
    let policy = match iam.policy(&identity.policy_arn).await? {
        None => Presence::Absent,
        Some(policy) if !ours(&policy.tags) => Presence::NotOurs,
        Some(_) => Presence::Ours(RemainingPolicy {
            versions: iam.policy_versions(&identity.policy_arn).await?,
            users: iam.policy_users(&identity.policy_arn).await?,
        }),
    };
    Ok(Remains { role, policy })
}

/// The writes that remove what is left: detach, delete the role, delete versions, delete the policy.
///
/// # Errors
/// What holds the resources, one sentence each: then nothing is written, so that nothing is left half deleted.
pub fn plan(
    identity: &Identity,
    remains: &Remains,
    attachments: AttachmentPolicy,
) -> std::result::Result<Vec<Step>, Vec<String>> {
    let mut blockers = Vec::new();
    let mut steps = Vec::new();
    if let Presence::Ours(role) = &remains.role {
        plan_role(identity, role, attachments, &mut steps, &mut blockers);
    }
    if let Presence::Ours(policy) = &remains.policy {
        let role_goes = matches!(remains.role, Presence::Ours(_));
        plan_policy(identity, policy, role_goes, &mut steps, &mut blockers);
    }
    if blockers.is_empty() { Ok(steps) } else { Err(blockers) }
}

fn plan_role(
    identity: &Identity,
    role: &RemainingRole,
    attachments: AttachmentPolicy,
    steps: &mut Vec<Step>,
    blockers: &mut Vec<String>,
) {
    let RemainingRole { attached, inline, instance_profiles } = role;
    let name = &identity.role_name;
    let exclusive = attachments == AttachmentPolicy::Exclusive;
    let mut push = |action, field| {
        steps.push(Step { action, part: Part::Role, field });
    };
    for policy in attached {
        let ours = policy == identity.policy_arn.as_str() || policy == identity.full_access_arn.as_str();
        if ours || exclusive {
            push(Action::Detach { role: name.clone(), policy: policy.clone() }, Field::Attachments);
        } else {
            blockers.push(format!("role {name} has policy {policy} attached by others: detach it"));
        }
    }
    for policy in inline {
        if exclusive {
            push(Action::DeleteInlinePolicy { role: name.clone(), policy: policy.clone() }, Field::InlinePolicies);
        } else {
            blockers.push(format!("role {name} has the inline policy {policy}: delete it"));
        }
    }
    for profile in instance_profiles {
        blockers.push(format!("role {name} is in the instance profile {profile}: remove it there"));
    }
    push(Action::DeleteRole { role: name.clone() }, Field::Existence);
}

fn plan_policy(
    identity: &Identity,
    policy: &RemainingPolicy,
    role_goes: bool,
    steps: &mut Vec<Step>,
    blockers: &mut Vec<String>,
) {
    let RemainingPolicy { versions, users: PolicyUsers { roles, users, groups, bounded } } = policy;
    let arn = &identity.policy_arn;
    // Our own role goes first, and its boundary with it; a role of that name that is not ours stays.
    let others = roles
        .iter()
        .filter(|role| !role_goes || !role.eq_ignore_ascii_case(identity.role_name.as_str()))
        .map(|role| format!("role {role}"))
        .chain(users.iter().map(|user| format!("user {user}")))
        .chain(groups.iter().map(|group| format!("group {group}")));
    blockers.extend(others.map(|holder| format!("policy {arn} is attached to {holder}: detach it")));
    let own = format!("role {}", identity.role_name);
    blockers.extend(
        bounded
            .iter()
            .filter(|holder| !role_goes || !holder.eq_ignore_ascii_case(&own))
            .map(|holder| format!("policy {arn} is the permissions boundary of {holder}: remove it")),
    );
    let mut push = |action| {
        steps.push(Step { action, part: Part::Policy, field: Field::Existence });
    };
    for version in versions.iter().filter(|version| !version.is_default) {
        push(Action::DeletePolicyVersion { arn: arn.clone(), version: version.id.clone() });
    }
    push(Action::DeletePolicy { arn: arn.clone() });
}
