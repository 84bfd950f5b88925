//! Who else wants the same names, and who was first.

use super::View;
use crate::account::credentials::CallerIdentity;
use crate::api::policy::{Access, AuroraLogExportPolicySpec, ManagementPolicy};
use crate::desired::{Identity, desired};
use crate::names::Owner;
use crate::object::Object;
use crate::plan::Rivals;
use crate::settings::AccountFacts;

/// Earlier objects of the same account that claim the policy's or the role's name, case and path ignored.
///
/// Only admitted, enforcing, unsuspended objects claim. Earlier is by creation time, then namespace, then name.
pub(super) fn rivals(view: View<'_>, object: &Object, identity: &Identity, caller: &CallerIdentity) -> Rivals {
    let mut rivals = Rivals::default();
    let mut earliest: [Option<(_, Owner)>; 2] = [None, None];
    for other in view.index.sharing_names(&object.key()) {
        let rank = rank(&other);
        if rank >= self::rank(object) {
            continue;
        }
        let Some((spec, claimed)) = claim(view, &other, caller) else {
            continue;
        };
        let policy = spec.access.unwrap_or_default() == Access::Minimal
            && claimed.policy_name.as_str().eq_ignore_ascii_case(identity.policy_name.as_str());
        let role = claimed.role_name.as_str().eq_ignore_ascii_case(identity.role_name.as_str());
        for (claims, slot) in [policy, role].into_iter().zip(&mut earliest) {
            if claims && slot.as_ref().is_none_or(|(first, _)| rank < *first) {
                *slot = Some((rank.clone(), other.key()));
            }
        }
    }
    let [policy, role] = earliest;
    rivals.policy = policy.map(|(_, owner)| owner);
    rivals.role = role.map(|(_, owner)| owner);
    rivals
}

fn rank(object: &Object) -> (Option<jiff::Timestamp>, Owner) {
    (object.metadata.creation_timestamp.as_ref().map(|time| time.0), object.key())
}

/// What another object claims in the account of `caller`, if it is admitted there, enforcing and unsuspended.
fn claim<'a>(
    view: View<'_>,
    other: &'a Object,
    caller: &CallerIdentity,
) -> Option<(&'a AuroraLogExportPolicySpec, Identity)> {
    let spec = other.spec.as_ref().ok()?;
    if spec.suspend == Some(true) || spec.management_policy == Some(ManagementPolicy::Observe) {
        return None;
    }
    let namespace = other.metadata.namespace.as_deref().unwrap_or_default();
    let resolved = view.accounts.resolve(other.account_ref(), namespace, false).ok()?;
    if resolved.account.known_id()? != caller.account {
        return None;
    }
    let facts = AccountFacts { id: caller.account.clone(), partition: caller.partition.clone(), via: resolved.via };
    let desired = desired(&other.key(), spec, view.settings, &facts).ok()?;
    Some((spec, desired.identity))
}
