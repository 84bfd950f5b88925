//! The state of AWS after a read and the writes that followed it: the facts in a status that is in sync.

use crate::api::policy::ManagementPolicy;
use crate::api::{PolicyStatus, RoleStatus};
use crate::pipeline::apply::Applied;
use crate::pipeline::desired::Desired;
use crate::pipeline::observe::Observed;
use crate::pipeline::plan::{Finding, Part, Repair};
use crate::pipeline::port::LastUse;

/// The facts in a status that is in sync or reports drift.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncState {
    /// Account of the caller.
    pub account_id: String,
    /// Partition of the caller.
    pub partition: String,
    /// The policy that the object manages; `None` for `FullAccess`.
    pub policy: Option<PolicyStatus>,
    /// The role.
    pub role: RoleStatus,
    /// The differences that are not repaired.
    pub findings: Vec<Finding>,
    /// Keys of the tags that the object has set on its resources.
    pub tag_keys: Vec<String>,
    /// When the role was last used.
    pub last_use: LastUse,
}

impl SyncState {
    /// The state after a read and the writes that followed it. The facts about the account are left empty.
    pub fn of(
        desired: &Desired,
        observed: &Observed,
        applied: &Applied,
        findings: Vec<Finding>,
        former_tag_keys: &[String],
    ) -> Self {
        let identity = &desired.identity;
        let policy = desired.policy.as_ref().map(|wanted| {
            let (created, found) = (applied.policy.as_ref(), observed.policy.as_ref());
            let version = applied
                .version
                .clone()
                .or(created.map(|policy| policy.default_version.clone()))
                .or(found.map(|policy| policy.default_version.clone()));
            let differs = findings.iter().any(|finding| finding.part == Part::Policy && finding.repair == Repair::Done);
            PolicyStatus {
                name: identity.policy_name.to_string(),
                arn: identity.policy_arn.to_string(),
                id: created.map(|policy| &policy.id).or(found.map(|policy| &policy.id)).cloned(),
                version_id: version,
                document_sha256: (!differs).then(|| wanted.fingerprint.to_string()),
            }
        });
        // A role that was created a moment ago was not used.
        let last_use = observed.role.as_ref().map_or(LastUse::Never, |role| role.last_use);
        let role_id = applied.role.as_ref().map(|role| &role.id).or(observed.role.as_ref().map(|role| &role.id));
        Self {
            policy,
            role: RoleStatus {
                name: identity.role_name.to_string(),
                arn: identity.role_arn.to_string(),
                id: role_id.cloned(),
            },
            findings,
            last_use,
            tag_keys: match desired.management {
                ManagementPolicy::Enforce => desired.own_tag_keys(),
                ManagementPolicy::Observe => former_tag_keys.to_vec(),
            },
            ..Self::default()
        }
    }
}
