//! `(Desired, Observed) → Plan`: what differs, and the ordered writes that end it. Pure.
//!
//! `managementPolicy: Observe`, `plan` on the command line and `status.drift` are this same value, printed instead
//! of executed.

pub mod action;
mod compare;
pub mod deletion;
#[cfg(test)]
mod tests;

use crate::api::TAG_ADOPTABLE_BY;
use crate::api::policy::AdoptionPolicy;
use crate::model::documents::Meaning;
use crate::model::names::Owner;
use crate::model::ownership::{OwnershipVerdict, Tags};
use crate::pipeline::desired::Desired;
use crate::pipeline::observe::{Observed, ObservedPolicy};
use crate::pipeline::port::ObservedRole;

pub use action::{Action, Finding, Part, Plan, Repair, Step};
pub use compare::NONE;

/// Earlier objects that claim the same names. Where a resource exists, its tags decide; where none does, the earlier
/// object has the name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EarlierClaims {
    /// The object that claims the policy's name.
    pub policy: Option<Owner>,
    /// The object that claims the role's name.
    pub role: Option<Owner>,
}

/// Policy or role belong to somebody else: nothing is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conflict {
    /// Whose the policy is, and what to do.
    pub policy: Option<String>,
    /// Whose the role is, and what to do.
    pub role: Option<String>,
}

impl Conflict {
    /// One message for both.
    pub fn message(&self) -> String {
        self.policy.iter().chain(&self.role).cloned().collect::<Vec<_>>().join("; ")
    }
}

/// Compares, judges ownership, and orders the writes.
///
/// `former_tag_keys` are keys that this object has put on its resources before: those that the spec no longer has
/// are removed.
///
/// # Errors
/// [`Conflict`] if policy or role are somebody else's.
pub fn plan(
    desired: &Desired,
    observed: &Observed,
    claims: &EarlierClaims,
    former_tag_keys: &[String],
) -> Result<Plan, Conflict> {
    let policy = judge_policy(desired, observed.policy.as_ref(), claims.policy.as_ref());
    let role = judge_role(desired, observed.role.as_ref(), claims.role.as_ref());
    match (policy, role) {
        (Ok(policy), Ok(role)) => {
            let mut plan = compare::compare(desired, observed, former_tag_keys);
            plan.adopted.extend(policy.into_iter().chain(role));
            Ok(plan)
        }
        (policy, role) => Err(Conflict { policy: policy.err(), role: role.err() }),
    }
}

/// The differences of a role of ours, judged by itself: a sweep shows roles and policies apart.
pub fn role_differences(desired: &Desired, role: &ObservedRole, former_tag_keys: &[String]) -> Plan {
    compare::compare_role(desired, role, former_tag_keys)
}

/// `Ok(Some(what))`: it is taken over. `Err(message)`: it is somebody else's.
type Verdict = Result<Option<String>, String>;

fn judge_policy(desired: &Desired, observed: Option<&ObservedPolicy>, earlier: Option<&Owner>) -> Verdict {
    let identity = &desired.identity;
    let what = format!("policy {}", identity.policy_arn);
    let Some(policy) = observed else {
        return match earlier {
            Some(earlier) if desired.policy.is_some() => Err(claimed(&what, earlier)),
            _ => Ok(None),
        };
    };
    let Some(tags) = &policy.tags else { return Ok(None) };
    if desired.policy.is_none() {
        // FullAccess manages no policy: one that is not ours is none of our business.
        return Ok(None);
    }
    judge_tags(desired, tags, &what, earlier, || Ok(()))
}

fn judge_role(desired: &Desired, observed: Option<&ObservedRole>, earlier: Option<&Owner>) -> Verdict {
    let identity = &desired.identity;
    let what = format!("role {}", identity.role_arn);
    let Some(role) = observed else {
        return earlier.map_or(Ok(None), |earlier| Err(claimed(&what, earlier)));
    };
    // IAM's calls take a name and ignore the path (and may ignore case): the ARN tells whether it is the same role.
    if role.arn != identity.role_arn.as_str() {
        return Err(format!(
            "{what} cannot be made: IAM already has {}, and role names are unique whatever their path and case; choose \
             another spec.roleName in a new object, or remove that role",
            role.arn
        ));
    }
    judge_tags(desired, &role.tags, &what, earlier, || {
        if !Meaning::of(&role.trust).trusts_only_rds() {
            return Err("it trusts others than rds.amazonaws.com".to_owned());
        }
        let other = role.attached.iter().find(|arn| *arn != desired.attachment().as_str());
        match other.or(role.inline.first()) {
            Some(policy) => Err(format!("it has another policy, {policy}")),
            None => Ok(()),
        }
    })
}

fn claimed(what: &str, earlier: &Owner) -> String {
    format!(
        "{what} is claimed by {earlier}, which is the earlier object; choose another name in a new object, or delete {earlier}"
    )
}

fn judge_tags(
    desired: &Desired,
    tags: &Tags,
    what: &str,
    earlier: Option<&Owner>,
    fit_for_adoption: impl FnOnce() -> Result<(), String>,
) -> Verdict {
    let ownership = &desired.identity.ownership;
    let consent = || {
        format!(
            "tag it {TAG_ADOPTABLE_BY} = {} and set spec.adoptionPolicy: Tagged to hand it over, or choose another name",
            ownership.consent()
        )
    };
    let consented = desired.adoption != AdoptionPolicy::Never && ownership.has_consent(tags);
    match ownership.judge(tags) {
        OwnershipVerdict::Ours | OwnershipVerdict::OursBeforeRestore => Ok(None),
        // The consent names this very object: whoever wrote it has decided between the claims.
        _ if consented => Ok(Some(what.to_owned())),
        OwnershipVerdict::Others { description, .. } => Err(format!("{what} belongs to {description}; {}", consent())),
        OwnershipVerdict::Unowned if desired.adoption == AdoptionPolicy::Always => {
            if let Some(earlier) = earlier {
                return Err(claimed(what, earlier));
            }
            match fit_for_adoption() {
                Ok(()) => Ok(Some(what.to_owned())),
                Err(why) => Err(format!("{what} exists and is not taken over, because {why}; {}", consent())),
            }
        }
        OwnershipVerdict::Unowned => Err(format!("{what} exists and is not managed by this object; {}", consent())),
    }
}
