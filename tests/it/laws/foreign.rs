//! Nothing unowned is ever in a plan: foreigners stay as they are, byte for byte, also under our own names.

use std::collections::BTreeMap;

use aurora_log_export_operator::api::policy::AdoptionPolicy;
use aurora_test_support::iam_model::{CreatePolicy, CreateRole, Iam};
use proptest::prelude::*;

use super::cases;
use super::strategies::{edits, foreign_tags, foreigner, spec};
use super::world::{OTHER_DOCUMENT, OTHER_TRUST, Pass, World, wanted};

/// Somebody's policy, role or both under our names, perhaps under another path or in other case.
#[allow(clippy::fn_params_excessive_bools)] // each is one independent circumstance
fn squat(world: &World, policy: bool, role: bool, elsewhere: bool, upper: bool, tags: &BTreeMap<String, String>) {
    let identity = &world.desired.identity;
    let spelt = |name: &str| if upper { name.to_uppercase() } else { name.to_owned() };
    let path = |own: &str| Some(if elsewhere { "/squatter/".to_owned() } else { own.to_owned() });
    let mut iam = world.iam.0.lock();
    if policy {
        let request = CreatePolicy {
            name: spelt(identity.policy_name.as_str()),
            path: path(identity.policy_path.as_str()),
            document: OTHER_DOCUMENT.to_owned(),
            tags: tags.clone(),
            ..CreatePolicy::default()
        };
        iam.create_policy(&request).map(drop).unwrap_or_default();
    }
    if role {
        let request = CreateRole {
            name: spelt(identity.role_name.as_str()),
            path: path(identity.role_path.as_str()),
            trust: OTHER_TRUST.to_owned(),
            tags: tags.clone(),
            ..CreateRole::default()
        };
        iam.create_role(&request).map(drop).unwrap_or_default();
    }
}

fn is_ours(tags: &BTreeMap<String, String>) -> bool {
    [("managed-by", "laws"), ("cluster-uid", "uid-1"), ("owner", "shop/orders")]
        .iter()
        .all(|(key, value)| tags.get(&format!("auroralogexport.dev/{key}")).is_some_and(|held| held == value))
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn foreigners_in_the_account_stay_byte_for_byte(
        specs in edits(2..=3),
        foreigners in prop::collection::vec(foreigner(), 1..5),
    ) {
        let stages: Vec<_> = specs.iter().filter_map(wanted).collect();
        let Some(first) = stages.first() else { return Ok(()) };
        let mut world = World::new(first.clone(), &foreigners);
        let before = world.snapshot();
        for stage in stages {
            world.edit(stage);
            world.converge();
        }
        let mut during = world.snapshot();
        for (kind, name) in [
            ("policies", world.desired.identity.policy_name.as_str()),
            ("roles", world.desired.identity.role_name.as_str()),
        ] {
            if let Some(resources) = during[kind].as_object_mut() {
                resources.remove(name);
            }
        }
        prop_assert_eq!(&during, &before);
        prop_assert_eq!(world.delete(), Ok(()));
        prop_assert_eq!(world.snapshot(), before);
    }

    #[test]
    fn what_stands_under_our_names_and_is_not_ours_is_left_alone(
        spec in spec(),
        (policy, role) in prop_oneof![Just((true, false)), Just((false, true)), Just((true, true))],
        elsewhere in any::<bool>(),
        upper in any::<bool>(),
        tags in foreign_tags(),
        adoption in prop_oneof![Just(AdoptionPolicy::Never), Just(AdoptionPolicy::Tagged), Just(AdoptionPolicy::Always)],
    ) {
        let Some(mut desired) = wanted(&spec) else { return Ok(()) };
        // OTHER_TRUST lets EC2 in, so a role is not taken over even under Always; a policy would be.
        prop_assume!(adoption != AdoptionPolicy::Always || !policy);
        prop_assume!(!is_ours(&tags));
        desired.adoption = adoption;
        let mut world = World::new(desired, &[]);
        squat(&world, policy, role, elsewhere, upper, &tags);
        let before = world.snapshot();
        let mut last = world.first_pass();
        for _ in 0..2 {
            last = match last {
                Pass::InSync(plan) | Pass::Changed(plan) => {
                    // FullAccess has no use for the policy's name, and a foreign policy there does no harm.
                    prop_assert!(world.desired.policy.is_none() && !role, "{plan:?}");
                    break;
                }
                Pass::Conflict(_) | Pass::Failed(_) => world.pass(),
            };
        }
        let squatters = |world: &World| {
            let snapshot = world.snapshot();
            let find = |kind: &str, name: &str| {
                let resources = snapshot[kind].as_object().cloned().unwrap_or_default();
                resources.into_iter().filter(|(held, _)| held.eq_ignore_ascii_case(name)).collect::<Vec<_>>()
            };
            (
                policy.then(|| find("policies", world.desired.identity.policy_name.as_str())),
                role.then(|| find("roles", world.desired.identity.role_name.as_str())),
            )
        };
        let after = squatters(&world);
        prop_assert_eq!(world.delete(), Ok(()));
        prop_assert_eq!(squatters(&world), after.clone());
        // Deletion took away at most what the object itself had made beside the squatter.
        prop_assert_eq!(world.snapshot(), before);
    }
}

#[test]
fn the_model_itself_takes_names_in_other_case_for_the_same() {
    let mut iam = Iam::new("123456789012");
    let request =
        |name: &str| CreateRole { name: name.to_owned(), trust: OTHER_TRUST.to_owned(), ..CreateRole::default() };
    assert!(iam.create_role(&request("shop.orders")).is_ok());
    let refused = iam.create_role(&request("SHOP.ORDERS")).err().map(|error| error.code);
    assert_eq!(refused.as_deref(), Some("EntityAlreadyExists"));
}
