//! What an object that is being deleted still has in IAM, read from IAM for each attempt.

use crate::model::ownership::Tags;
use crate::pipeline::desired::Identity;
use crate::pipeline::port::{Iam, PolicyUsers, PolicyVersion, Result};

/// What an object may have left in IAM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// The role.
    pub role: Presence<RoleLeftover>,
    /// The policy.
    pub policy: Presence<PolicyLeftover>,
}

/// Whether a resource exists, and whether it is ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Presence<T> {
    /// It does not exist.
    #[default]
    Absent,
    /// It exists and is not ours, so it is kept.
    NotOurs,
    /// It exists and is ours, and its consent tag offers it to another object. It is kept, so that a handover that is under
    /// way loses nothing.
    Offered,
    /// It exists and is ours.
    Ours(T),
}

/// A role to delete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleLeftover {
    /// ARNs of attached policies.
    pub attached: Vec<String>,
    /// Names of inline policies.
    pub inline: Vec<String>,
    /// Names of instance profiles.
    pub instance_profiles: Vec<String>,
}

/// A policy to delete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyLeftover {
    /// All versions.
    pub versions: Vec<PolicyVersion>,
    /// What uses it.
    pub users: PolicyUsers,
}

/// Reads what is left in IAM.
///
/// # Errors
/// Any error of a reading call.
pub async fn observe_leftovers<I: Iam>(iam: &I, identity: &Identity) -> Result<Leftovers> {
    let ours = |tags: &Tags| identity.ownership.judge(tags).is_ours();
    let offered = |tags: &Tags| identity.ownership.is_offered_to_another(tags);
    let role = match iam.role(&identity.role_name).await? {
        None => Presence::Absent,
        Some(role) if role.arn != identity.role_arn.as_str() || !ours(&role.tags) => Presence::NotOurs,
        Some(role) if offered(&role.tags) => Presence::Offered,
        Some(_) => Presence::Ours(RoleLeftover {
            attached: iam.attached_policies(&identity.role_name).await?,
            inline: iam.inline_policies(&identity.role_name).await?,
            instance_profiles: iam.instance_profiles(&identity.role_name).await?,
        }),
    };
    let policy = match iam.policy(&identity.policy_arn).await? {
        None => Presence::Absent,
        Some(policy) if !ours(&policy.tags) => Presence::NotOurs,
        Some(policy) if offered(&policy.tags) => Presence::Offered,
        Some(_) => Presence::Ours(PolicyLeftover {
            versions: iam.policy_versions(&identity.policy_arn).await?,
            users: iam.policy_users(&identity.policy_arn).await?,
        }),
    };
    Ok(Leftovers { role, policy })
}
