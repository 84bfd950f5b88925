//! The closed list of what the operator can do to AWS, and of what can differ.

use crate::model::names::{PolicyArn, RoleName};
use crate::model::ownership::Tags;
use crate::pipeline::port::{NewPolicy, NewRole};

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Create the policy, tags included.
    CreatePolicy(NewPolicy),
    /// Create a version and make it the default.
    CreatePolicyVersion {
        /// Of this policy.
        arn: PolicyArn,
        /// Compact JSON.
        document: String,
    },
    /// Make an existing version the default again.
    SetDefaultPolicyVersion {
        /// Of this policy.
        arn: PolicyArn,
        /// Its id.
        version: String,
    },
    /// Delete a version that is not the default.
    DeletePolicyVersion {
        /// Of this policy.
        arn: PolicyArn,
        /// Its id.
        version: String,
    },
    /// Set tags.
    TagPolicy {
        /// Of this policy.
        arn: PolicyArn,
        /// Keys and values.
        tags: Tags,
    },
    /// Remove tags.
    UntagPolicy {
        /// Of this policy.
        arn: PolicyArn,
        /// Their keys.
        keys: Vec<String>,
    },
    /// Delete the policy.
    DeletePolicy {
        /// This policy.
        arn: PolicyArn,
    },
    /// Create the role, boundary and tags included.
    CreateRole(NewRole),
    /// Set the permissions boundary.
    PutBoundary {
        /// Of this role.
        role: RoleName,
        /// ARN of the boundary.
        boundary: String,
    },
    /// Remove the permissions boundary.
    DeleteBoundary {
        /// Of this role.
        role: RoleName,
    },
    /// Set tags.
    TagRole {
        /// Of this role.
        role: RoleName,
        /// Keys and values.
        tags: Tags,
    },
    /// Remove tags.
    UntagRole {
        /// Of this role.
        role: RoleName,
        /// Their keys.
        keys: Vec<String>,
    },
    /// Replace the trust policy.
    UpdateTrust {
        /// Of this role.
        role: RoleName,
        /// Compact JSON.
        document: String,
    },
    /// Set the description.
    UpdateDescription {
        /// Of this role.
        role: RoleName,
        /// The text.
        description: String,
    },
    /// Attach a managed policy.
    Attach {
        /// To this role.
        role: RoleName,
        /// ARN of the policy.
        policy: String,
    },
    /// Detach a managed policy.
    Detach {
        /// From this role.
        role: RoleName,
        /// ARN of the policy.
        policy: String,
    },
    /// Delete an inline policy.
    DeleteInlinePolicy {
        /// Of this role.
        role: RoleName,
        /// Its name.
        policy: String,
    },
    /// Delete the role.
    DeleteRole {
        /// This role.
        role: RoleName,
    },
}

/// Which of the two resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The managed policy.
    Policy,
    /// The role.
    Role,
}

impl Part {
    /// As it stands in `status.drift`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "Policy",
            Self::Role => "Role",
        }
    }
}

/// What can differ: the label of `drift_repaired_total{field}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// It is not there, or there although it should not be.
    Existence,
    /// The policy document.
    Document,
    /// Which version is the default.
    DefaultVersion,
    /// The trust policy.
    Trust,
    /// The description.
    Description,
    /// The permissions boundary.
    PermissionsBoundary,
    /// A tag.
    Tags,
    /// A managed policy attached to the role.
    Attachments,
    /// An inline policy of the role.
    InlinePolicies,
}

impl Field {
    /// Every field, in the order of the reference docs.
    pub const ALL: &'static [Self] = &[
        Self::Existence,
        Self::Document,
        Self::DefaultVersion,
        Self::Trust,
        Self::Description,
        Self::PermissionsBoundary,
        Self::Tags,
        Self::Attachments,
        Self::InlinePolicies,
    ];

    /// As it stands in `status.drift` and in the metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Existence => "existence",
            Self::Document => "document",
            Self::DefaultVersion => "defaultVersion",
            Self::Trust => "trust",
            Self::Description => "description",
            Self::PermissionsBoundary => "permissionsBoundary",
            Self::Tags => "tags",
            Self::Attachments => "attachments",
            Self::InlinePolicies => "inlinePolicies",
        }
    }
}

/// One difference between the spec and AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Of policy or role.
    pub part: Part,
    /// What differs.
    pub field: Field,
    /// Which of several, for example the tag's key.
    pub item: Option<String>,
    /// What the spec wants.
    pub expected: String,
    /// What AWS has.
    pub actual: String,
    /// Can and may it be repaired?
    pub repair: Repair,
}

/// What happens to a difference under `managementPolicy: Enforce`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// It is repaired.
    Done,
    /// It is left alone: somebody else attached it.
    LeftToOthers,
    /// It is left alone: IAM fixes it at creation.
    Impossible,
}

/// A write and the difference that causes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The write.
    pub action: Action,
    /// Of policy or role.
    pub part: Part,
    /// What differs.
    pub field: Field,
}
