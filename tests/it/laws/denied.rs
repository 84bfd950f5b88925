//! AWS denies some operations: whatever needs none of them is in force after one reconcile, and each part of the status
//! tells the truth.

use std::collections::BTreeSet;

use aurora_log_export_operator::model::documents::Meaning;
use aurora_log_export_operator::pipeline::status::{PartState, Shortfall};
use aurora_test_support::iam_model::handle::Fault;
use aurora_test_support::iam_model::{Action, ApiError};
use proptest::prelude::*;
use proptest::sample::subsequence;
use serde_json::Value;

use super::cases;
use super::drift::{EDITS, Edit, Expected, OTHER_POLICY, by_hand};
use super::strategies::edits;
use super::world::{World, wanted};

use Action::{
    AttachRolePolicy, CreatePolicy, CreatePolicyVersion, CreateRole, DeletePolicyVersion,
    DeleteRolePermissionsBoundary, DeleteRolePolicy, DetachRolePolicy, GetPolicy, GetPolicyVersion, GetRole,
    ListAttachedRolePolicies, ListPolicyVersions, ListRolePolicies, PutRolePermissionsBoundary,
    SetDefaultPolicyVersion, TagPolicy, TagRole, UpdateAssumeRolePolicy, UpdateRoleDescription,
};

/// Every operation that a repair may need.
const OPERATIONS: &[Action] = &[
    AttachRolePolicy,
    CreatePolicy,
    CreatePolicyVersion,
    CreateRole,
    DeletePolicyVersion,
    DeleteRolePermissionsBoundary,
    DeleteRolePolicy,
    DetachRolePolicy,
    GetPolicy,
    GetPolicyVersion,
    GetRole,
    ListAttachedRolePolicies,
    ListPolicyVersions,
    ListRolePolicies,
    PutRolePermissionsBoundary,
    SetDefaultPolicyVersion,
    TagPolicy,
    TagRole,
    UpdateAssumeRolePolicy,
    UpdateRoleDescription,
];

/// The properties of the role and the policy, the operations that each needs at most, and whether it is in force.
fn properties(world: &World, edits: &[Edit]) -> Vec<(&'static str, Vec<Action>, bool)> {
    let (desired, snapshot) = (&world.desired, world.snapshot());
    let role = &snapshot["roles"][desired.identity.role_name.as_str()];
    let policy = &snapshot["policies"][desired.identity.policy_name.as_str()];
    let attached = |arn: &str| role["attached"].as_array().is_some_and(|arns| arns.iter().any(|held| held == arn));
    let tagged = |resource: &Value| desired.tags.iter().all(|(key, value)| resource["tags"][key] == value.as_str());
    let (policy_gone, role_gone) = (edits.contains(&Edit::PolicyGone), edits.contains(&Edit::RoleGone));
    let mut exists = vec![];
    if policy_gone && desired.policy.is_some() {
        exists.extend([GetRole, GetPolicy, CreatePolicy]);
    }
    let mut role_exists = vec![GetRole];
    if role_gone {
        role_exists.extend(exists.iter().copied().chain([GetPolicy, CreateRole]));
    }
    let of_role = |more: &[Action]| role_exists.iter().chain(more).copied().collect::<Vec<_>>();
    let mut attach = of_role(&[ListAttachedRolePolicies, GetPolicy, AttachRolePolicy]);
    attach.extend(&exists);
    let trust = Meaning::of(role["trust"].as_str().unwrap_or_default()) == desired.trust.meaning();
    let boundary = role["boundary"].as_str() == desired.boundary.as_deref() && !role.is_null();
    let description = role["description"].as_str().unwrap_or_default() == desired.description && !role.is_null();
    let exclusive = desired.identity.attachments.exclusive;
    let mut properties = vec![
        ("trust", of_role(&[UpdateAssumeRolePolicy]), trust),
        ("boundary", of_role(&[PutRolePermissionsBoundary, DeleteRolePermissionsBoundary]), boundary),
        ("description", of_role(&[UpdateRoleDescription]), description),
        ("role tags", of_role(&[TagRole]), tagged(role)),
        ("attachment", attach, attached(desired.attachment().as_str())),
        (
            "other attachments",
            of_role(&[ListAttachedRolePolicies, DetachRolePolicy]),
            !(exclusive && attached(OTHER_POLICY)),
        ),
        (
            "inline policies",
            of_role(&[ListRolePolicies, DeleteRolePolicy]),
            !(exclusive && role["inline"]["byhand"].is_string()),
        ),
    ];
    if let Some(wanted) = &desired.policy {
        let version = policy["defaultVersion"].as_str().unwrap_or_default();
        let text = policy["versions"][version].as_str().unwrap_or_default();
        let mut document = vec![GetPolicy, GetPolicyVersion, ListPolicyVersions];
        document.extend([DeletePolicyVersion, CreatePolicyVersion, SetDefaultPolicyVersion]);
        document.extend(&exists);
        let mut tags = vec![GetPolicy, TagPolicy];
        tags.extend(&exists);
        properties.push(("document", document, Meaning::of(text) == wanted.document.meaning()));
        properties.push(("policy tags", tags, tagged(policy)));
    }
    properties
}

/// What the status says of the part of a property.
fn state<'a>(shortfall: &'a Shortfall, property: &str) -> &'a PartState {
    match property {
        "document" | "policy tags" => &shortfall.parts.policy,
        "attachment" | "other attachments" => &shortfall.parts.attachment,
        _ => &shortfall.parts.role,
    }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn whatever_needs_no_denied_operation_is_in_force_after_one_reconcile(
        specs in edits(1..=2),
        edits in subsequence(EDITS, 1..=8),
        denied in subsequence(OPERATIONS, 1..=6),
        restarts in any::<bool>(),
    ) {
        let Some(mut world) = World::converged(specs.iter().filter_map(wanted), &[]) else { return Ok(()) };
        for edit in &edits {
            by_hand(&world, *edit, &mut Expected::new()).map_err(|error| TestCaseError::fail(format!("{edit:?}: {error}")))?;
        }
        if restarts {
            world.restart();
        }
        let forbidden: BTreeSet<&str> = denied.iter().map(|action| action.name()).collect();
        world.iam.0.set_hook(move |call| {
            if forbidden.contains(call.action.name()) {
                Fault::FailBefore(ApiError::access_denied("not now"))
            } else {
                Fault::None
            }
        });
        let told = world.pass_denied().map_err(TestCaseError::fail)?;
        world.iam.0.clear_hook();
        for (property, needs, in_force) in properties(&world, &edits) {
            let blocked = needs.iter().find(|need| denied.contains(need));
            prop_assert!(in_force || blocked.is_some(), "{property}: {edits:?}, denied {denied:?}: {told:#?}");
            if let (Some(shortfall), false) = (&told, in_force) {
                let state = state(shortfall, property);
                prop_assert!(matches!(state, PartState::Failed(..)), "{property} is wrong, and its part is {state:?}");
            }
            prop_assert!(told.is_some() || in_force, "{property} is wrong, and nothing is told");
        }
        world.converge();
    }
}
