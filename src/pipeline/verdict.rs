//! What a page says about one object. Pure.

use crate::api::policy::AttachmentPolicy;
use crate::api::{AuroraLogExportPolicyStatus, DriftEntry};
use crate::model::documents::Meaning;
use crate::model::documents::meaning::Fingerprint;
use crate::model::ownership::Standing;
use crate::pipeline::desired::Desired;
use crate::pipeline::observe::ObservedRole;
use crate::pipeline::plan::{Field, Repair, role_differences};

/// Is the role as the spec and the status say, as far as a page tells?
pub fn role_in_sync(desired: &Desired, status: &AuroraLogExportPolicyStatus, role: &ObservedRole) -> bool {
    let identity = &desired.identity;
    let same = role.arn == identity.role_arn.as_str()
        && status
            .role
            .as_ref()
            .and_then(|known| known.id.as_ref())
            .is_none_or(|id| *id == role.id || role.id.is_empty());
    if !same || identity.ownership.judge(&role.tags) != Standing::Ours {
        return false;
    }
    let plan = role_differences(desired, role, &status.tag_keys);
    if !plan.is_empty() {
        return false;
    }
    // Attachments of others are reported, not repaired: new ones, and ones that went, are news too.
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

/// Is the policy's document as the spec says? `known`: its version was seen to be right before.
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
