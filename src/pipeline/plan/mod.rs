//! `(Desired, Observed) → Plan`: the differences, and the ordered writes that repair them. Pure.
//!
//! `managementPolicy: Observe`, the command `plan` and `status.drift` show the same plan without executing it.

pub mod action;
mod compare;
pub mod deletion;
mod order;
#[cfg(test)]
pub(in crate::pipeline) mod tests;

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
pub use order::{DANGER_OF_UNREAD, danger};

/// Claims of others on the same names that come before the object's own. If a resource exists, its tags decide; otherwise
/// the first claim does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EarlierClaims {
    /// Who claims the policy's name.
    pub policy: Option<Claimant>,
    /// Who claims the role's name.
    pub role: Option<Claimant>,
}

/// Who has the first claim on a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimant {
    /// An object that was created earlier.
    Object(Owner),
    /// The namespace whose objects have such default names.
    Namespace(String),
}

/// The policy or the role is not this object's. Nothing is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conflict {
    /// Who owns or claims the policy, and the next step.
    pub policy: Option<String>,
    /// Who owns or claims the role, and the next step.
    pub role: Option<String>,
}

impl Conflict {
    /// One message for both.
    pub fn message(&self) -> String {
        self.policy.iter().chain(&self.role).cloned().collect::<Vec<_>>().join("; ")
    }
}

/// Decides ownership, compares, and orders the writes. What could not be read is neither judged nor compared, and nothing
/// is created then.
///
/// `former_tag_keys` are keys that this object has set on its resources before. Those that are no longer wanted are
/// removed.
///
/// # Errors
/// [`Conflict`] if the policy or the role is not this object's.
pub fn plan(
    desired: &Desired,
    observed: &Observed,
    claims: &EarlierClaims,
    former_tag_keys: &[String],
) -> Result<Plan, Conflict> {
    let policy = if observed.knows_policy() {
        judge_policy(desired, observed.policy.as_ref(), claims.policy.as_ref())
    } else {
        Ok(None)
    };
    let role = if observed.knows_role(&desired.identity.ownership) {
        judge_role(desired, observed.role.as_ref(), claims.role.as_ref())
    } else {
        Ok(None)
    };
    match (policy, role) {
        (Ok(policy), Ok(role)) => {
            let mut plan = compare::compare(desired, observed, former_tag_keys);
            plan.adopted.extend(policy.map(|what| (Part::Policy, what)));
            plan.adopted.extend(role.map(|what| (Part::Role, what)));
            let adopted: Vec<Part> = plan.adopted.iter().map(|(part, _)| *part).collect();
            order::order(&mut plan.steps, desired, &adopted);
            Ok(plan)
        }
        (policy, role) => Err(Conflict { policy: policy.err(), role: role.err() }),
    }
}

/// The differences of a role of ours, without its policy: sweeps read roles and policies separately.
pub fn role_differences(desired: &Desired, role: &ObservedRole, former_tag_keys: &[String]) -> Plan {
    let mut plan = compare::compare_role(desired, role, former_tag_keys);
    order::order(&mut plan.steps, desired, &[]);
    plan
}

/// `Ok(Some(what))`: it is adopted. `Err(message)`: it is a conflict.
type Verdict = Result<Option<String>, String>;

fn judge_policy(desired: &Desired, observed: Option<&ObservedPolicy>, earlier: Option<&Claimant>) -> Verdict {
    let identity = &desired.identity;
    let what = format!("policy {}", identity.policy_arn);
    let Some(policy) = observed else {
        return match earlier {
            Some(earlier) if desired.policy.is_some() => Err(claimed(&what, earlier)),
            _ => Ok(None),
        };
    };
    if desired.policy.is_none() {
        // FullAccess manages no policy, so a policy that is not ours is no conflict.
        return Ok(None);
    }
    judge_tags(desired, &policy.tags, &what, earlier, || Ok(()))
}

fn judge_role(desired: &Desired, observed: Option<&ObservedRole>, earlier: Option<&Claimant>) -> Verdict {
    let identity = &desired.identity;
    let what = format!("role {}", identity.role_arn);
    let Some(role) = observed else {
        return earlier.map_or(Ok(None), |earlier| Err(claimed(&what, earlier)));
    };
    // IAM's calls take a name and ignore the path (and may ignore case): the ARN shows whether it is the same role.
    if role.arn != identity.role_arn.as_str() {
        return Err(format!(
            "{what} cannot be created: IAM already has {}, and role names are unique regardless of path and case; \
             create a new object with another spec.roleName, or delete that role",
            role.arn
        ));
    }
    judge_tags(desired, &role.tags, &what, earlier, || {
        if !Meaning::of(&role.trust).trusts_only_rds() {
            return Err("its trust policy does not allow rds.amazonaws.com alone".to_owned());
        }
        let other = role.attached.iter().find(|arn| *arn != desired.attachment().as_str());
        match other.or(role.inline.first()) {
            Some(policy) => Err(format!("it has another policy ({policy})")),
            None => Ok(()),
        }
    })
}

fn claimed(what: &str, claimant: &Claimant) -> String {
    match claimant {
        Claimant::Object(earlier) => format!(
            "{what} is claimed by {earlier}, which is the earlier object; create a new object with another name, or delete \
             {earlier}"
        ),
        Claimant::Namespace(namespace) => format!(
            "{what} has a name that is reserved for objects in namespace {namespace}; create a new object with another name"
        ),
    }
}

fn judge_tags(
    desired: &Desired,
    tags: &Tags,
    what: &str,
    earlier: Option<&Claimant>,
    fit_for_adoption: impl FnOnce() -> Result<(), String>,
) -> Verdict {
    let ownership = &desired.identity.ownership;
    let consent = || {
        format!(
            "to adopt it, tag it {TAG_ADOPTABLE_BY} = {} and set spec.adoptionPolicy: Tagged; otherwise choose another name",
            ownership.consent()
        )
    };
    let consented = desired.adoption != AdoptionPolicy::Never && ownership.has_consent(tags);
    match ownership.judge(tags) {
        OwnershipVerdict::Ours | OwnershipVerdict::OursBeforeRestore => Ok(None),
        // The consent tag names this object, so it also decides between competing claims.
        _ if consented => Ok(Some(what.to_owned())),
        OwnershipVerdict::Others { description, .. } => Err(format!(
            "{what} belongs to {description}; if that object does not exist any more, delete the resource in AWS; {}",
            consent()
        )),
        OwnershipVerdict::Unowned if desired.adoption == AdoptionPolicy::Always => {
            if let Some(earlier) = earlier {
                return Err(claimed(what, earlier));
            }
            match fit_for_adoption() {
                Ok(()) => Ok(Some(what.to_owned())),
                Err(why) => Err(format!("{what} exists and is not adopted, because {why}; {}", consent())),
            }
        }
        OwnershipVerdict::Unowned => Err(format!("{what} exists and is not managed by this object; {}", consent())),
    }
}
