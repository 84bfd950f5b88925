//! Deletion: what is deleted, in which order, and what blocks it.

use serde_json::json;

use super::{OTHERS_POLICY, wanted, write};
use crate::api::policy::AttachmentPolicy::{Additive, Exclusive};
use crate::pipeline::desired::Attachments;
use crate::pipeline::leftovers::{Leftovers, PolicyLeftover, Presence, RoleLeftover};
use crate::pipeline::plan::deletion::plan_deletion;
use crate::pipeline::port::{PolicyUsers, PolicyVersion};

fn version(id: &str, is_default: bool) -> PolicyVersion {
    PolicyVersion { id: id.to_owned(), is_default }
}

fn texts(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

/// The role and the policy of an object in sync.
fn leftovers() -> Leftovers {
    let own = wanted(json!({})).identity.policy_arn;
    Leftovers {
        role: Presence::Ours(RoleLeftover { attached: vec![own.to_string()], ..RoleLeftover::default() }),
        policy: Presence::Ours(PolicyLeftover {
            versions: vec![version("v3", false), version("v2", true), version("v1", false)],
            users: PolicyUsers {
                roles: texts(&["Shop.Orders"]),
                bounded: texts(&["role shop.orders"]),
                ..PolicyUsers::default()
            },
        }),
    }
}

/// The same, without the policy as the role's boundary.
pub(super) fn leftovers_without_boundary() -> Leftovers {
    let mut leftovers = leftovers();
    let Presence::Ours(policy) = &mut leftovers.policy else { unreachable!() };
    policy.users.bounded.clear();
    leftovers
}

fn writes(
    leftovers: &Leftovers,
    attachments: crate::api::policy::AttachmentPolicy,
) -> Result<Vec<String>, Vec<String>> {
    let identity = wanted(json!({ "attachmentPolicy": attachments })).identity;
    let steps = plan_deletion(&identity, leftovers)?;
    Ok(steps.iter().map(|step| write(&step.action)).collect())
}

#[test]
fn the_role_is_deleted_first_then_versions_then_the_policy() {
    assert_eq!(
        writes(&leftovers(), Additive).unwrap(),
        [
            "Detach arn:aws:iam::123456789012:policy/x/shop.orders",
            "DeleteRole",
            "DeletePolicyVersion v3",
            "DeletePolicyVersion v1",
            "DeletePolicy",
        ]
    );
}

#[test]
fn the_policy_of_full_access_is_detached() {
    let leftovers = Leftovers {
        role: Presence::Ours(RoleLeftover {
            attached: texts(&["arn:aws:iam::aws:policy/CloudWatchLogsFullAccess"]),
            ..RoleLeftover::default()
        }),
        policy: Presence::Absent,
    };
    assert_eq!(
        writes(&leftovers, Additive).unwrap(),
        ["Detach arn:aws:iam::aws:policy/CloudWatchLogsFullAccess", "DeleteRole"]
    );
}

#[test]
fn absent_resources_and_those_of_others_are_not_in_the_plan() {
    for (role, policy, expected) in [
        (Presence::Absent, Presence::Absent, 0),
        (Presence::NotOurs, Presence::NotOurs, 0),
        (leftovers().role, Presence::NotOurs, 2),
    ] {
        assert_eq!(writes(&Leftovers { role, policy }, Exclusive).unwrap().len(), expected);
    }
    let mut policy_only = leftovers();
    policy_only.role = Presence::Absent;
    let Presence::Ours(policy) = &mut policy_only.policy else { unreachable!() };
    policy.users = PolicyUsers::default();
    assert_eq!(writes(&policy_only, Additive).unwrap().last().map(String::as_str), Some("DeletePolicy"));
}

#[test]
fn a_protected_policy_blocks_a_deletion_instead_of_being_detached() {
    let mut identity = wanted(json!({ "attachmentPolicy": "Exclusive" })).identity;
    let mut held = leftovers();
    let Presence::Ours(role) = &mut held.role else { unreachable!() };
    role.attached.push(OTHERS_POLICY.to_owned());
    assert!(plan_deletion(&identity, &held).is_ok());
    identity.attachments = Attachments::exclusive_but(&[OTHERS_POLICY]);
    let blockers = plan_deletion(&identity, &held).unwrap_err();
    assert!(blockers[0].contains(OTHERS_POLICY) && blockers[0].contains("protectedPolicies"), "{blockers:?}");
    // Also where the spec calls it the object's own.
    let own = identity.policy_arn.to_string();
    identity.attachments = Attachments::exclusive_but(&[&own]);
    let mut named = leftovers();
    assert!(plan_deletion(&identity, &named).is_ok(), "it is");
    named.policy = Presence::NotOurs;
    let blockers = plan_deletion(&identity, &named).unwrap_err();
    assert!(blockers[0].contains(&own) && blockers[0].contains("protectedPolicies"), "{blockers:?}");
}

#[test]
fn each_blocker_is_named_and_nothing_is_written() {
    let mut blocked = leftovers();
    let Presence::Ours(role) = &mut blocked.role else { unreachable!() };
    role.attached.push(OTHERS_POLICY.to_owned());
    role.inline = texts(&["byhand"]);
    role.instance_profiles = texts(&["web"]);
    let Presence::Ours(policy) = &mut blocked.policy else { unreachable!() };
    policy.users = PolicyUsers {
        roles: texts(&["shop.orders", "another"]),
        users: texts(&["ann"]),
        groups: texts(&["devs"]),
        bounded: texts(&["role shop.orders", "user bob"]),
    };
    let blockers = writes(&blocked, Additive).unwrap_err();
    let named = [OTHERS_POLICY, "byhand", "profile web", "role another", "user ann", "group devs", "user bob"];
    assert_eq!(blockers.len(), named.len(), "{blockers:?}");
    for (blocker, name) in blockers.iter().zip(named) {
        assert!(blocker.contains(name), "{name}: {blocker}");
        assert!(["detach it", "delete it", "remove "].iter().any(|step| blocker.contains(step)), "{blocker}");
    }
    // Exclusive allows removing what is attached to the role, but nothing else.
    let blockers = writes(&blocked, Exclusive).unwrap_err();
    assert_eq!(blockers.len(), named.len() - 2, "{blockers:?}");
}

#[test]
fn exclusive_removes_policies_of_others_from_the_role() {
    let mut blocked = leftovers();
    blocked.policy = Presence::Absent;
    let Presence::Ours(role) = &mut blocked.role else { unreachable!() };
    role.attached = texts(&[OTHERS_POLICY]);
    role.inline = texts(&["byhand"]);
    assert_eq!(
        writes(&blocked, Exclusive).unwrap(),
        [&format!("Detach {OTHERS_POLICY}"), "DeleteInlinePolicy byhand", "DeleteRole"]
    );
}

#[test]
fn a_role_of_the_same_name_that_is_not_ours_blocks_the_policy() {
    let mut blocked = leftovers();
    blocked.role = Presence::NotOurs;
    let blockers = writes(&blocked, Exclusive).unwrap_err();
    assert_eq!(blockers.len(), 2, "{blockers:?}");
    assert!(blockers[0].contains("attached to role Shop.Orders"), "{blockers:?}");
    assert!(blockers[1].contains("boundary of role shop.orders"), "{blockers:?}");
}
