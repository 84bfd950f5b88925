//! The IAM port: the calls that the operator makes to IAM, in domain types. Types of the AWS SDK do not pass it.
//!
//! [`crate::aws`] is the adapter to the real IAM. Every failed call returns an [`IamError`], which is classified once.

pub mod codes;
pub mod error;
mod observed;

use std::future::Future;

pub use error::{ErrorClass, IamError, Operation};
pub use observed::{LastUse, ObservedRole};

use crate::model::names::{IamPath, PolicyArn, PolicyName, RoleName};
use crate::model::ownership::Tags;

/// A role as `GetRole` returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// ARN, path included.
    pub arn: String,
    /// Stable id, `AROA…`.
    pub id: String,
    /// Description; empty when there is none.
    pub description: String,
    /// Trust policy, decoded.
    pub trust: String,
    /// ARN of the permissions boundary.
    pub boundary: Option<String>,
    /// Tags.
    pub tags: Tags,
    /// Last use.
    pub last_use: LastUse,
}

/// A managed policy as `GetPolicy` returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// ARN, path included.
    pub arn: String,
    /// Stable id, `ANPA…`.
    pub id: String,
    /// Description; it cannot be changed.
    pub description: String,
    /// Id of the default version, `v1`, `v2`, …
    pub default_version: String,
    /// Tags.
    pub tags: Tags,
}

/// One version of a managed policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyVersion {
    /// `v1`, `v2`, …; never reused.
    pub id: String,
    /// True for the default version.
    pub is_default: bool,
}

/// The number in the id of a policy's version, which orders versions by age.
pub fn version_number(id: &str) -> u64 {
    id.trim_start_matches('v').parse().unwrap_or(0)
}

/// The roles, users and groups that use a managed policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyUsers {
    /// Roles that have it attached.
    pub roles: Vec<String>,
    /// Users that have it attached.
    pub users: Vec<String>,
    /// Groups that have it attached.
    pub groups: Vec<String>,
    /// `role x` and `user y` that have it as permissions boundary.
    pub bounded: Vec<String>,
}

/// Parameters of a new policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPolicy {
    /// Name.
    pub name: PolicyName,
    /// Path.
    pub path: IamPath,
    /// Compact JSON.
    pub document: String,
    /// Description.
    pub description: String,
    /// Tags, ownership included.
    pub tags: Tags,
}

/// Parameters of a new role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRole {
    /// Name.
    pub name: RoleName,
    /// Path.
    pub path: IamPath,
    /// Compact JSON.
    pub trust: String,
    /// Description.
    pub description: String,
    /// Permissions boundary.
    pub boundary: Option<String>,
    /// Tags, ownership included.
    pub tags: Tags,
}

/// Result of a call.
pub type Result<T> = std::result::Result<T, IamError>;

/// Declares the port's async methods. Their futures are `Send`.
macro_rules! port {
    ($($(#[$doc:meta])* fn $name:ident(&self $(, $arg:ident: $ty:ty)*) -> $result:ty;)+) => {
        /// The calls that the operator makes to IAM. `None` from a read means `NoSuchEntity`.
        pub trait Iam: Send + Sync {
            $($(#[$doc])* fn $name(&self $(, $arg: $ty)*) -> impl Future<Output = Result<$result>> + Send;)+
        }
    };
}

port! {
    /// `GetRole`. IAM finds a role by name, regardless of its path: compare the ARN.
    fn role(&self, name: &RoleName) -> Option<Role>;
    /// `ListAttachedRolePolicies`, all pages.
    fn attached_policies(&self, role: &RoleName) -> Vec<String>;
    /// `ListRolePolicies`, all pages: names of the inline policies.
    fn inline_policies(&self, role: &RoleName) -> Vec<String>;
    /// `ListInstanceProfilesForRole`, all pages: names of the instance profiles.
    fn instance_profiles(&self, role: &RoleName) -> Vec<String>;
    /// `GetPolicy`.
    fn policy(&self, arn: &PolicyArn) -> Option<Policy>;
    /// `ListPolicyVersions`, all pages.
    fn policy_versions(&self, arn: &PolicyArn) -> Vec<PolicyVersion>;
    /// `GetPolicyVersion`: the decoded document.
    fn policy_document(&self, arn: &PolicyArn, version: &str) -> Option<String>;
    /// `ListEntitiesForPolicy`, all pages, attachments and boundaries.
    fn policy_users(&self, arn: &PolicyArn) -> PolicyUsers;

    /// `CreatePolicy`.
    fn create_policy(&self, policy: &NewPolicy) -> Policy;
    /// `CreatePolicyVersion` as the default: returns its id.
    fn create_policy_version(&self, arn: &PolicyArn, document: &str) -> String;
    /// `SetDefaultPolicyVersion`.
    fn set_default_policy_version(&self, arn: &PolicyArn, version: &str) -> ();
    /// `DeletePolicyVersion`.
    fn delete_policy_version(&self, arn: &PolicyArn, version: &str) -> ();
    /// `TagPolicy`.
    fn tag_policy(&self, arn: &PolicyArn, tags: &Tags) -> ();
    /// `UntagPolicy`.
    fn untag_policy(&self, arn: &PolicyArn, keys: &[String]) -> ();
    /// `DeletePolicy`.
    fn delete_policy(&self, arn: &PolicyArn) -> ();
    /// `CreateRole`.
    fn create_role(&self, role: &NewRole) -> Role;
    /// `UpdateAssumeRolePolicy`.
    fn update_trust(&self, role: &RoleName, document: &str) -> ();
    /// `UpdateRoleDescription`, which leaves the rest of the role alone.
    fn update_role_description(&self, role: &RoleName, description: &str) -> ();
    /// `PutRolePermissionsBoundary`.
    fn put_boundary(&self, role: &RoleName, boundary: &str) -> ();
    /// `DeleteRolePermissionsBoundary`.
    fn delete_boundary(&self, role: &RoleName) -> ();
    /// `TagRole`.
    fn tag_role(&self, role: &RoleName, tags: &Tags) -> ();
    /// `UntagRole`.
    fn untag_role(&self, role: &RoleName, keys: &[String]) -> ();
    /// `AttachRolePolicy`.
    fn attach(&self, role: &RoleName, policy: &str) -> ();
    /// `DetachRolePolicy`.
    fn detach(&self, role: &RoleName, policy: &str) -> ();
    /// `DeleteRolePolicy`: an inline policy.
    fn delete_inline_policy(&self, role: &RoleName, policy: &str) -> ();
    /// `DeleteRole`.
    fn delete_role(&self, role: &RoleName) -> ();
}
