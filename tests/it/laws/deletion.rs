//! Deletion leaves nothing of ours, and everything of others.

use aurora_log_export_operator::api::policy::AttachmentPolicy;
use aurora_test_support::iam_model::Iam;
use proptest::prelude::*;

use super::cases;
use super::strategies::{edits, foreigner, spec};
use super::world::{ACCOUNT, BOUNDARIES, OTHER_DOCUMENT, World, wanted};

/// A way in which others hold what is ours.
type Hold = fn(&mut Iam, role: &str, policy: &str) -> Result<(), aurora_test_support::iam_model::ApiError>;

const HOLDS: &[(&str, Hold)] = &[
    ("AdministratorAccess", |iam, role, _| iam.attach_role_policy(role, "arn:aws:iam::aws:policy/AdministratorAccess")),
    ("byhand", |iam, role, _| iam.put_role_policy(role, "byhand", OTHER_DOCUMENT)),
    ("profile-x", |iam, role, _| {
        iam.create_instance_profile("profile-x", None)?;
        iam.add_role_to_instance_profile("profile-x", role)
    }),
    ("user holder", |iam, _, policy| {
        iam.create_user("holder", None)?;
        iam.attach_user_policy("holder", policy)
    }),
    ("user bounded", |iam, _, policy| {
        iam.create_user("bounded", None)?;
        iam.put_user_permissions_boundary("bounded", policy)
    }),
];

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn deletion_after_any_prefix_of_creation_and_edit_leaves_nothing(
        specs in edits(1..=2),
        foreigners in prop::collection::vec(foreigner(), 0..3),
    ) {
        let stages: Vec<_> = specs.iter().filter_map(wanted).collect();
        let Some(first) = stages.first() else { return Ok(()) };
        let before = World::new(first.clone(), &foreigners).snapshot();
        for edited in [false, true] {
            let mut length = 0;
            loop {
                let mut world = World::new(first.clone(), &foreigners);
                if edited {
                    world.converge();
                    world.edit(stages[stages.len() - 1].clone());
                }
                let observed = world.observe().map_err(|error| TestCaseError::fail(error.to_string()))?;
                let plan = world.plan(&observed).map_err(|conflict| TestCaseError::fail(conflict.message()))?;
                if length > plan.steps.len() {
                    break;
                }
                let result = world.run(&plan.steps[..length]);
                prop_assert!(result.is_ok(), "{:?}", result);
                prop_assert_eq!(world.delete(), Ok(()));
                prop_assert_eq!(world.snapshot(), before.clone(), "after {} steps", length);
                length += 1;
            }
        }
    }

    #[test]
    fn what_others_hold_is_named_and_nothing_is_written(
        spec in spec(),
        holds in prop::sample::subsequence(HOLDS, 1..=HOLDS.len()),
    ) {
        let Some(desired) = wanted(&spec) else { return Ok(()) };
        let mut world = World::new(desired, &[]);
        world.converge();
        let identity = world.desired.identity.clone();
        let mut expected = Vec::new();
        for (name, hold) in holds {
            if hold(&mut world.iam.0.lock(), identity.role_name.as_str(), identity.policy_arn.as_str()).is_ok() {
                expected.push(name);
            }
        }
        // Exclusive removes what is attached; that is the test beside this one.
        prop_assume!(!world.desired.identity.attachments.exclusive && !expected.is_empty());
        let before = world.snapshot();
        let blockers = world.delete().err().unwrap_or_default();
        prop_assert_eq!(blockers.len(), expected.len(), "{:?}", blockers);
        for name in expected {
            prop_assert!(blockers.iter().any(|blocker| blocker.contains(name)), "{name}: {blockers:?}");
        }
        prop_assert_eq!(world.snapshot(), before);
    }
}

/// Between a read and the write that follows from it, somebody may do by hand what was to be done.
#[test]
fn what_is_gone_already_when_it_is_to_go_is_no_failure() {
    let spec = aurora_log_export_operator::api::AuroraLogExportPolicySpec {
        attachment_policy: Some(AttachmentPolicy::Exclusive),
        ..Default::default()
    };
    let Some(desired) = wanted(&spec) else { unreachable!("the spec is valid") };
    let mut world = World::new(desired, &[]);
    world.converge();
    let role = world.desired.identity.role_name.to_string();
    let boundary = format!("arn:aws:iam::{ACCOUNT}:policy/{}", BOUNDARIES[0]);
    let other = "arn:aws:iam::aws:policy/ReadOnlyAccess";
    let by_hand = |iam: &mut Iam| {
        iam.attach_role_policy(&role, other)?;
        iam.put_role_policy(&role, "byhand", OTHER_DOCUMENT)?;
        iam.put_role_permissions_boundary(&role, &boundary)
    };
    assert_eq!(by_hand(&mut world.iam.0.lock()), Ok(()));
    let Ok(observed) = world.observe() else { unreachable!("there is no fault") };
    let steps = world.plan(&observed).map(|plan| plan.steps).unwrap_or_default();
    assert_eq!(steps.len(), 3, "{steps:?}");
    let undone = |iam: &mut Iam| {
        iam.detach_role_policy(&role, other)?;
        iam.delete_role_policy(&role, "byhand")?;
        iam.delete_role_permissions_boundary(&role)
    };
    assert_eq!(undone(&mut world.iam.0.lock()), Ok(()));
    let result = world.run(&steps);
    assert!(result.is_ok(), "{result:?}");
    world.converge();
}
