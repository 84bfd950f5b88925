//! The closed list of what the operator writes to AWS, and what a plan consists of.

use crate::api::{EventReason, Field};
use crate::model::names::{PolicyArn, RoleName};
use crate::model::ownership::Tags;
use crate::pipeline::desired::Identity;
use crate::pipeline::port::{NewPolicy, NewRole, Operation};

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Creates the policy, tags included.
    CreatePolicy(NewPolicy),
    /// Creates a version and makes it the default.
    CreatePolicyVersion {
        /// The policy.
        arn: PolicyArn,
        /// Compact JSON.
        document: String,
    },
    /// Makes an existing version the default again.
    SetDefaultPolicyVersion {
        /// The policy.
        arn: PolicyArn,
        /// Id of the version.
        version: String,
    },
    /// Deletes a version that is not the default.
    DeletePolicyVersion {
        /// The policy.
        arn: PolicyArn,
        /// Id of the version.
        version: String,
    },
    /// Sets tags.
    TagPolicy {
        /// The policy.
        arn: PolicyArn,
        /// Keys and values.
        tags: Tags,
    },
    /// Removes tags.
    UntagPolicy {
        /// The policy.
        arn: PolicyArn,
        /// Keys.
        keys: Vec<String>,
    },
    /// Deletes the policy.
    DeletePolicy {
        /// The policy.
        arn: PolicyArn,
    },
    /// Creates the role, boundary and tags included.
    CreateRole(NewRole),
    /// Sets the permissions boundary.
    PutBoundary {
        /// The role.
        role: RoleName,
        /// ARN of the boundary.
        boundary: String,
    },
    /// Removes the permissions boundary.
    DeleteBoundary {
        /// The role.
        role: RoleName,
    },
    /// Sets tags.
    TagRole {
        /// The role.
        role: RoleName,
        /// Keys and values.
        tags: Tags,
    },
    /// Removes tags.
    UntagRole {
        /// The role.
        role: RoleName,
        /// Keys.
        keys: Vec<String>,
    },
    /// Replaces the trust policy.
    UpdateTrust {
        /// The role.
        role: RoleName,
        /// Compact JSON.
        document: String,
    },
    /// Sets the description.
    UpdateDescription {
        /// The role.
        role: RoleName,
        /// The text.
        description: String,
    },
    /// Attaches a managed policy.
    Attach {
        /// The role.
        role: RoleName,
        /// ARN of the policy.
        policy: String,
    },
    /// Detaches a managed policy.
    Detach {
        /// The role.
        role: RoleName,
        /// ARN of the policy.
        policy: String,
    },
    /// Deletes an inline policy.
    DeleteInlinePolicy {
        /// The role.
        role: RoleName,
        /// Name of the inline policy.
        policy: String,
    },
    /// Deletes the role.
    DeleteRole {
        /// The role.
        role: RoleName,
    },
}

/// What kind of change a write is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// Creates a policy or a role.
    Creates,
    /// Changes what exists.
    Changes,
    /// Takes something away: "not found" means that it is done.
    Removes,
}

impl Action {
    /// The table of all actions: the call, its effect, and the reason of its event. The sentence about it is in
    /// [`Self::describe`], its execution in [`crate::pipeline::apply`].
    const fn row(&self) -> (Operation, Effect, EventReason) {
        use Effect::{Changes, Creates, Removes};
        use EventReason as Event;
        match self {
            Self::CreatePolicy(_) => (Operation::CreatePolicy, Creates, Event::PolicyCreated),
            Self::CreatePolicyVersion { .. } => (Operation::CreatePolicyVersion, Changes, Event::PolicyVersionCreated),
            Self::SetDefaultPolicyVersion { .. } => {
                (Operation::SetDefaultPolicyVersion, Changes, Event::PolicyVersionCreated)
            }
            Self::DeletePolicyVersion { .. } => (Operation::DeletePolicyVersion, Removes, Event::PolicyVersionPruned),
            Self::TagPolicy { .. } => (Operation::TagPolicy, Changes, Event::PolicyVersionCreated),
            Self::UntagPolicy { .. } => (Operation::UntagPolicy, Changes, Event::PolicyVersionCreated),
            Self::DeletePolicy { .. } => (Operation::DeletePolicy, Removes, Event::Deleted),
            Self::CreateRole(_) => (Operation::CreateRole, Creates, Event::RoleCreated),
            Self::PutBoundary { .. } => (Operation::PutRolePermissionsBoundary, Changes, Event::RoleUpdated),
            Self::DeleteBoundary { .. } => (Operation::DeleteRolePermissionsBoundary, Removes, Event::RoleUpdated),
            Self::TagRole { .. } => (Operation::TagRole, Changes, Event::RoleUpdated),
            Self::UntagRole { .. } => (Operation::UntagRole, Changes, Event::RoleUpdated),
            Self::UpdateTrust { .. } => (Operation::UpdateAssumeRolePolicy, Changes, Event::RoleUpdated),
            Self::UpdateDescription { .. } => (Operation::UpdateRoleDescription, Changes, Event::RoleUpdated),
            Self::Attach { .. } => (Operation::AttachRolePolicy, Changes, Event::PolicyAttached),
            Self::Detach { .. } => (Operation::DetachRolePolicy, Removes, Event::PolicyDetached),
            Self::DeleteInlinePolicy { .. } => (Operation::DeleteRolePolicy, Removes, Event::PolicyDetached),
            Self::DeleteRole { .. } => (Operation::DeleteRole, Removes, Event::Deleted),
        }
    }

    /// The call to IAM.
    pub const fn operation(&self) -> Operation {
        self.row().0
    }

    /// True for the calls that create a policy or a role.
    pub const fn creates(&self) -> bool {
        matches!(self.row().1, Effect::Creates)
    }

    /// True if the action only takes something away, so that "not found" means that it is done.
    pub const fn removes(&self) -> bool {
        matches!(self.row().1, Effect::Removes)
    }

    /// Reason of the event about the write.
    pub const fn event(&self) -> EventReason {
        self.row().2
    }

    /// What was done, for the event and the log.
    pub fn describe(&self, identity: &Identity) -> String {
        let (arn, role) = (&identity.policy_arn, &identity.role_arn);
        match self {
            Self::CreatePolicy(_) => format!("created policy {arn}"),
            Self::CreatePolicyVersion { .. } => format!("created a new default version of policy {arn}"),
            Self::SetDefaultPolicyVersion { version, .. } => {
                format!("made the existing version {version} the default of policy {arn}")
            }
            Self::DeletePolicyVersion { version, .. } => format!("deleted version {version} of policy {arn}"),
            Self::TagPolicy { .. } => format!("set tags of policy {arn}"),
            Self::UntagPolicy { .. } => format!("removed tags of policy {arn}"),
            Self::DeletePolicy { .. } => format!("deleted policy {arn}"),
            Self::CreateRole(_) => format!("created role {role}"),
            Self::PutBoundary { boundary, .. } => format!("set the permissions boundary {boundary} of role {role}"),
            Self::DeleteBoundary { .. } => format!("removed the permissions boundary of role {role}"),
            Self::TagRole { .. } => format!("set tags of role {role}"),
            Self::UntagRole { .. } => format!("removed tags of role {role}"),
            Self::UpdateTrust { .. } => format!("replaced the trust policy of role {role}"),
            Self::UpdateDescription { .. } => format!("set the description of role {role}"),
            Self::Attach { policy, .. } => format!("attached policy {policy} to role {role}"),
            Self::Detach { policy, .. } => format!("detached policy {policy} from role {role}"),
            Self::DeleteInlinePolicy { policy, .. } => format!("deleted the inline policy {policy} of role {role}"),
            Self::DeleteRole { .. } => format!("deleted role {role}"),
        }
    }
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
    /// The name in `status.drift`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "Policy",
            Self::Role => "Role",
        }
    }

    /// The word in messages.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Role => "role",
        }
    }
}

/// One difference between the spec and AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Of the policy or of the role.
    pub part: Part,
    /// What differs.
    pub field: Field,
    /// Which of several, for example the tag's key.
    pub item: Option<String>,
    /// What the spec wants.
    pub expected: String,
    /// What AWS has.
    pub actual: String,
    /// Whether it is repaired.
    pub repair: Repair,
}

/// What happens to a difference under `managementPolicy: Enforce`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// It is repaired.
    Done,
    /// It is reported: others attached it.
    LeftToOthers,
    /// It is reported: IAM fixes it at creation.
    Impossible,
}

/// A write and the difference that causes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The write.
    pub action: Action,
    /// Of the policy or of the role.
    pub part: Part,
    /// What differs.
    pub field: Field,
}

/// What differs, and the writes that end it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The writes, in order. After any prefix a fresh plan goes on from what is there.
    pub steps: Vec<Step>,
    /// All differences, those included that are not repaired.
    pub findings: Vec<Finding>,
    /// Resources that are adopted: `policy arn:…`, `role arn:…`.
    pub adopted: Vec<String>,
}

impl Plan {
    /// True if there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// True if a difference would be repaired under `Enforce`.
    pub fn is_repairable(&self) -> bool {
        self.findings.iter().any(|finding| finding.repair == Repair::Done)
    }

    /// Differences that stay under `Enforce`.
    pub fn unrepaired(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.repair != Repair::Done)
    }
}
