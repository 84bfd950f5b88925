//! Decides from a page of a sweep whether an object is in sync. Pure.

use jiff::Timestamp;

use crate::api::policy::ManagementPolicy;
use crate::api::{AuroraLogExportPolicyStatus, ConditionType, DriftEntry, Field};
use crate::model::documents::Meaning;
use crate::model::documents::meaning::Fingerprint;
use crate::model::ownership::OwnershipVerdict;
use crate::model::stored::PolicyObject;
use crate::pipeline::desired::Desired;
use crate::pipeline::plan::role_differences;
use crate::pipeline::port::{LastUse, ObservedRole};
use crate::pipeline::status::{MAX_DRIFT_ENTRIES, condition, drift_entry, effective, is_ready};

/// True if a sweep can check the object: according to its status, AWS matches this generation of its spec, and it has the
/// finalizer that it needs. A restore or a person may have removed that one; only a reconcile puts it back.
pub fn is_checked_by_sweeps(object: &PolicyObject) -> bool {
    let Ok(spec) = &object.spec else { return false };
    let held = object.has_finalizer() || spec.management_policy == Some(ManagementPolicy::Observe);
    held && !object.is_deleting() && is_ready(&object.status, object.generation())
}

/// True if the role matches the spec and the status, as far as a page shows it.
pub fn role_in_sync(
    desired: &Desired,
    status: &AuroraLogExportPolicyStatus,
    role: &ObservedRole,
    now: Timestamp,
) -> bool {
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
    let (_, reason) = effective::judge(role.last_use, now);
    let reported = condition(status, ConditionType::Effective).is_some_and(|known| known.reason == reason.as_str());
    if role.last_use != LastUse::NotTold && !reported {
        return false;
    }
    // Attachments of others are reported, not repaired. A new one, or one that was removed, needs a new report.
    let seen: Vec<_> = plan.findings.iter().map(drift_entry).collect();
    let mut known = status.drift.iter().filter(|entry| is_attachment(entry));
    let complete = status.drift.len() < MAX_DRIFT_ENTRIES;
    let count = known.clone().count();
    known.all(|entry| seen.contains(entry)) && (count == seen.len() || !complete)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pipeline::plan::tests::{role, wanted};
    use crate::pipeline::status::drift_entry;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    /// The status after a reconcile that found this role.
    fn status(desired: &Desired, found: &ObservedRole) -> AuroraLogExportPolicyStatus {
        let findings = role_differences(desired, found, &[]).findings;
        let drift = findings.iter().take(MAX_DRIFT_ENTRIES).map(drift_entry).collect();
        AuroraLogExportPolicyStatus { drift, ..AuroraLogExportPolicyStatus::default() }
    }

    #[test]
    fn a_role_is_in_sync_while_the_attachments_of_others_are_those_that_were_reported() {
        let desired = wanted(json!({}));
        let with = |attached: usize| {
            let mut found = role(&desired);
            // An ARN with a long path is cut in the status.
            let others = (0..attached).map(|number| format!("arn:aws:iam::1:policy/{number}/{}", "x".repeat(300)));
            found.attached.extend(others);
            found
        };
        for attached in [0, 1, 20, MAX_DRIFT_ENTRIES + 8] {
            let status = status(&desired, &with(attached));
            assert!(role_in_sync(&desired, &status, &with(attached), NOW), "{attached}");
        }
        let one = status(&desired, &with(1));
        assert!(!role_in_sync(&desired, &one, &with(2), NOW), "another one was attached");
        assert!(!role_in_sync(&desired, &one, &with(0), NOW), "it was detached");
    }
}
