//! Roles and policies found in the account.

use crate::pipeline::port::{Policy, PolicyUsers, Role};

/// A role that trusts RDS.
#[derive(Clone, Debug)]
pub(super) struct FoundRole {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) role: Role,
    pub(super) attached: Vec<String>,
    pub(super) inline: Vec<String>,
    pub(super) instance_profiles: Vec<String>,
}

/// A customer-managed policy.
#[derive(Clone, Debug)]
pub(super) struct FoundPolicy {
    pub(super) policy: Policy,
    /// The document of the default version.
    pub(super) document: String,
    pub(super) users: PolicyUsers,
}
