//! The closed list of writes to AWS, and the parts of a plan.

use crate::api::{EventReason, Field};
use crate::model::names::{PolicyArn, RoleName};
use crate::model::ownership::Tags;
use crate::pipeline::desired::Identity;
use crate::pipeline::port::{NewPolicy, NewRole, Operation};

/// One write to AWS.
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
    /// Removes something: "not found" counts as success.
    Removes,
}

impl Action {
    /// The table of all actions: the call, its effect, and the reason of its event. The message about it is in
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

    /// True if the action only removes something, so that "not found" counts as success.
    pub const fn removes(&self) -> bool {
        matches!(self.row().1, Effect::Removes)
    }

    /// Reason of the event about the write.
    pub const fn event(&self) -> EventReason {
        self.row().2
    }

    /// What the write did, for the event and the log.
    pub fn describe(&self, identity: &Identity) -> String {
        let (arn, role) = (&identity.policy_arn, &identity.role_arn);
        match self {
            Self::CreatePolicy(_) => format!("created policy {arn}"),
            Self::CreatePolicyVersion { .. } => format!("created a new default version of policy {arn}"),
            Self::SetDefaultPolicyVersion { version, .. } => {
                format!("set the existing version {version} as the default of policy {arn}")
            }
            Self::DeletePolicyVersion { version, .. } => format!("deleted version {version} of policy {arn}"),
            Self::TagPolicy { .. } => format!("set tags on policy {arn}"),
            Self::UntagPolicy { .. } => format!("removed tags from policy {arn}"),
            Self::DeletePolicy { .. } => format!("deleted policy {arn}"),
            Self::CreateRole(_) => format!("created role {role}"),
            Self::PutBoundary { boundary, .. } => format!("set the permissions boundary {boundary} on role {role}"),
            Self::DeleteBoundary { .. } => format!("removed the permissions boundary from role {role}"),
            Self::TagRole { .. } => format!("set tags on role {role}"),
            Self::UntagRole { .. } => format!("removed tags from role {role}"),
            Self::UpdateTrust { .. } => format!("replaced the trust policy of role {role}"),
            Self::UpdateDescription { .. } => format!("set the description of role {role}"),
            Self::Attach { policy, .. } => format!("attached policy {policy} to role {role}"),
            Self::Detach { policy, .. } => format!("detached policy {policy} from role {role}"),
            Self::DeleteInlinePolicy { policy, .. } => format!("deleted the inline policy {policy} of role {role}"),
            Self::DeleteRole { .. } => format!("deleted role {role}"),
        }
    }
}

/// One of the two resources.
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

    /// The noun in messages.
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
    /// It is only reported: the operator did not attach it.
    LeftToOthers,
    /// It is only reported: IAM does not allow it to change.
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
    /// Indices of the earlier steps of the plan that must succeed first.
    pub needs: Vec<usize>,
}

impl Step {
    /// A step that needs no other.
    pub(super) const fn new(action: Action, part: Part, field: Field) -> Self {
        Self { action, part, field, needs: Vec::new() }
    }
}

/// The differences, and the writes that repair them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The writes, in order. After any of them, a new plan continues from the state that was reached.
    pub steps: Vec<Step>,
    /// All differences, including those that are not repaired.
    pub findings: Vec<Finding>,
    /// The adopted resources, as `policy arn:…` and `role arn:…`.
    pub adopted: Vec<(Part, String)>,
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

    /// Differences that are not repaired under `Enforce`.
    pub fn unrepaired(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.repair != Repair::Done)
    }
}
