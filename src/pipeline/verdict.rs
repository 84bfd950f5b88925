//! Decides from a page of a sweep whether an object is in sync. Pure.

use crate::api::policy::{AttachmentPolicy, ManagementPolicy};
use crate::api::{AuroraLogExportPolicyStatus, DriftEntry, Field};
use crate::model::documents::Meaning;
use crate::model::documents::meaning::Fingerprint;
use crate::model::ownership::OwnershipVerdict;
use crate::model::stored::PolicyObject;
use crate::pipeline::desired::Desired;
use crate::pipeline::plan::{Repair, role_differences};
use crate::pipeline::port::ObservedRole;
use crate::pipeline::status::is_ready;

/// True if a sweep can check the object: according to its status, AWS matches this generation of its spec, and it has the
/// finalizer that it needs. A restore or a person may have removed that one; only a reconcile puts it back.
pub fn is_checked_by_sweeps(object: &PolicyObject) -> bool {
    let Ok(spec) = &object.spec else { return false };
    let held = object.has_finalizer() || spec.management_policy == Some(ManagementPolicy::Observe);
    held && !object.is_deleting() && is_ready(&object.status, object.generation())
}

/// True if the role matches the spec and the status, as far as a page shows it.
pub fn role_in_sync(desired: &Desired, status: &AuroraLogExportPolicyStatus, role: &ObservedRole) -> bool {
    let identity = &desired.identity;
    let same = role.arn == identity.role_arn.as_str()
        && status
            .role
            .as_ref()
            .and_then(|known| known.id.as_ref())
            .is_none_or(|id| *id == role.id || role.id.is_empty());
    if !same || identity.ownership.judge(&role.tags) != OwnershipVerdict::Ours {
        return false;
    }
    let plan = role_differences(desired, role, &status.tag_keys);
    if !plan.is_empty() {
        return false;
    }
    // Attachments of others are reported, not repaired. A new one, or one that was removed, needs a new report.
    let mut seen: Vec<_> = plan
        .findings
        .iter()
        .filter(|finding| finding.repair == Repair::LeftToOthers)
        .map(|finding| (finding.field.as_str(), finding.actual.as_str()))
        .collect();
    let mut known: Vec<_> = status
        .drift
        .iter()
        .filter(|entry| is_attachment(entry))
        .map(|entry| (entry.field.as_str(), entry.actual.as_str()))
        .collect();
    seen.sort_unstable();
    known.sort_unstable();
    desired.attachments == AttachmentPolicy::Exclusive || seen == known
}

fn is_attachment(entry: &DriftEntry) -> bool {
    entry.field == Field::Attachments.as_str() || entry.field == Field::InlinePolicies.as_str()
}

/// True if the policy's document matches the spec. `known`: the version is already known to match.
pub fn policy_in_sync(
    status: &AuroraLogExportPolicyStatus,
    wanted: Fingerprint,
    id: &str,
    known: bool,
    document: impl FnOnce() -> String,
) -> bool {
    let same =
        status.policy.as_ref().and_then(|known| known.id.as_ref()).is_none_or(|known| known == id || id.is_empty());
    same && (known || Meaning::of(&document()).fingerprint() == wanted)
}
