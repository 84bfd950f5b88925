//! Requests and results of the operations: plain strings and maps, as in IAM.

use super::document::Document;
use std::collections::BTreeMap;

/// Tags by key.
pub type Tags = BTreeMap<String, String>;

/// `CreatePolicy`.
#[derive(Clone, Debug, Default)]
pub struct CreatePolicy {
    /// `PolicyName`.
    pub name: String,
    /// `Path`; none means `/`.
    pub path: Option<String>,
    /// `PolicyDocument`, as JSON text.
    pub document: String,
    /// `Description`; it cannot be changed later.
    pub description: Option<String>,
    /// `Tags`.
    pub tags: Tags,
}

/// `CreateRole`.
#[derive(Clone, Debug, Default)]
pub struct CreateRole {
    /// `RoleName`.
    pub name: String,
    /// `Path`; none means `/`.
    pub path: Option<String>,
    /// `AssumeRolePolicyDocument`, as JSON text.
    pub trust: String,
    /// `Description`.
    pub description: Option<String>,
    /// `MaxSessionDuration` in seconds; none means 3600.
    pub max_session_seconds: Option<u32>,
    /// `PermissionsBoundary`, an ARN.
    pub boundary: Option<String>,
    /// `Tags`.
    pub tags: Tags,
}

/// `UpdateRole`.
#[derive(Clone, Debug, Default)]
pub struct UpdateRole {
    /// `RoleName`.
    pub name: String,
    /// `Description`; none keeps the present one.
    pub description: Option<String>,
    /// `MaxSessionDuration`; `None` means 3600, as documented in the API reference.
    pub max_session_seconds: Option<u32>,
}

/// A managed policy. `ListPolicies` leaves description and tags out, `GetAccountAuthorizationDetails` the tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `PolicyName`.
    pub name: String,
    /// `PolicyId`, never reused.
    pub id: String,
    /// `Arn`.
    pub arn: String,
    /// `Path`.
    pub path: String,
    /// `Description`.
    pub description: Option<String>,
    /// `DefaultVersionId`.
    pub default_version: String,
    /// `AttachmentCount`.
    pub attachment_count: usize,
    /// `PermissionsBoundaryUsageCount`.
    pub boundary_count: usize,
    /// `CreateDate`, milliseconds since 1970.
    pub created_ms: u64,
    /// `UpdateDate`, milliseconds since 1970.
    pub updated_ms: u64,
    /// `Tags`.
    pub tags: Tags,
}

/// One version of a managed policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyVersion {
    /// `VersionId`: `v1`, `v2`, …
    pub id: String,
    /// `Document`; `ListPolicyVersions` leaves it out on the wire.
    pub document: Document,
    /// `IsDefaultVersion`.
    pub is_default: bool,
    /// `CreateDate`, milliseconds since 1970.
    pub created_ms: u64,
}

/// A role. `ListRoles` leaves boundary and tags out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// `RoleName`.
    pub name: String,
    /// `RoleId`, never reused.
    pub id: String,
    /// `Arn`.
    pub arn: String,
    /// `Path`.
    pub path: String,
    /// `AssumeRolePolicyDocument`.
    pub trust: Document,
    /// `Description`.
    pub description: Option<String>,
    /// `MaxSessionDuration` in seconds.
    pub max_session_seconds: u32,
    /// `PermissionsBoundary.PermissionsBoundaryArn`.
    pub boundary: Option<String>,
    /// `CreateDate`, milliseconds since 1970.
    pub created_ms: u64,
    /// `RoleLastUsed.LastUsedDate`; none if it was never used.
    pub last_used_ms: Option<u64>,
    /// Whether answers contain `RoleLastUsed`.
    pub tells_last_use: bool,
    /// `Tags`.
    pub tags: Tags,
}

/// A managed policy attached to a role or user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachedPolicy {
    /// `PolicyName`.
    pub name: String,
    /// `PolicyArn`.
    pub arn: String,
}

/// A policy embedded in a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlinePolicy {
    /// `PolicyName`.
    pub name: String,
    /// `PolicyDocument`.
    pub document: Document,
}

/// An instance profile; IAM allows one role in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceProfile {
    /// `InstanceProfileName`.
    pub name: String,
    /// `InstanceProfileId`.
    pub id: String,
    /// `Arn`.
    pub arn: String,
    /// `Path`.
    pub path: String,
    /// `CreateDate`, milliseconds since 1970.
    pub created_ms: u64,
    /// The role in it.
    pub role: Option<Role>,
}

/// A user: only the data that is needed to attach policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// `UserName`.
    pub name: String,
    /// `UserId`.
    pub id: String,
    /// `Arn`.
    pub arn: String,
    /// `Path`.
    pub path: String,
    /// `CreateDate`, milliseconds since 1970.
    pub created_ms: u64,
}

/// An entity in `ListEntitiesForPolicy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// `RoleName` or `UserName`.
    pub name: String,
    /// `RoleId` or `UserId`.
    pub id: String,
}

/// One page of `ListEntitiesForPolicy`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entities {
    /// `PolicyRoles`.
    pub roles: Vec<Named>,
    /// `PolicyUsers`.
    pub users: Vec<Named>,
    /// Marker of the next page; `None` on the last one.
    pub marker: Option<String>,
}

/// `PolicyUsageFilter` of `ListEntitiesForPolicy` and `ListPolicies`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageFilter {
    /// Attached as a permissions policy.
    PermissionsPolicy,
    /// Used as a permissions boundary.
    PermissionsBoundary,
}

/// `Scope` of `ListPolicies`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PolicyScope {
    /// Customer and AWS-managed policies.
    #[default]
    All,
    /// AWS-managed policies.
    Aws,
    /// Customer-managed policies.
    Local,
}

/// A role in `GetAccountAuthorizationDetails`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleDetail {
    /// The role, without description (AWS leaves it out).
    pub role: Role,
    /// `AttachedManagedPolicies`.
    pub attached: Vec<AttachedPolicy>,
    /// `RolePolicyList`.
    pub inline: Vec<InlinePolicy>,
    /// `InstanceProfileList`.
    pub instance_profiles: Vec<InstanceProfile>,
}

/// A policy in `GetAccountAuthorizationDetails`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyDetail {
    /// The policy, without tags (AWS leaves them out).
    pub policy: Policy,
    /// `PolicyVersionList`, newest first.
    pub versions: Vec<PolicyVersion>,
}
