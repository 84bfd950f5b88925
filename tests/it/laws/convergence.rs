//! After `apply` there is nothing left to do, whatever came before.

use proptest::prelude::*;

use super::cases;
use super::strategies::{edits, foreigner, spec};
use super::world::{Pass, World, wanted, without_ids};

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn after_apply_the_plan_is_empty_and_aws_is_as_the_spec_says(
        specs in edits(1..=4),
        foreigners in prop::collection::vec(foreigner(), 0..3),
    ) {
        let mut stages = specs.iter().filter_map(wanted);
        let Some(first) = stages.next() else { return Ok(()) };
        let mut world = World::new(first, &foreigners);
        let pass = world.first_pass();
        prop_assert!(matches!(pass, Pass::Changed(_)), "{pass:?}");
        for next in std::iter::once(None).chain(stages.map(Some)) {
            if let Some(desired) = next {
                world.edit(desired);
                let pass = world.pass();
                prop_assert!(matches!(pass, Pass::Changed(_) | Pass::InSync(_)), "{pass:?}");
            }
            let observed = world.observe().map_err(|error| TestCaseError::fail(error.to_string()))?;
            let plan = world.plan(&observed).map_err(|conflict| TestCaseError::fail(conflict.message()))?;
            prop_assert!(plan.is_empty(), "{plan:#?}");
            world.assert_as_the_spec_says();
        }
    }

    #[test]
    fn a_plan_run_twice_is_a_plan_run_once(spec in spec()) {
        let Some(desired) = wanted(&spec) else { return Ok(()) };
        let mut world = World::new(desired, &[]);
        world.first_pass();
        let (once, seq) = (world.snapshot(), world.iam.0.last_seq());
        for restart in [false, true] {
            if restart {
                world.restart();
            }
            let pass = world.pass();
            prop_assert!(matches!(pass, Pass::InSync(_)), "{pass:?}");
        }
        prop_assert_eq!(world.snapshot(), once);
        prop_assert_eq!(world.writes_since(seq), Vec::<String>::new());
    }

    #[test]
    fn the_same_observation_gives_the_same_plan(specs in edits(2..=2)) {
        let [Some(before), Some(after)] = [wanted(&specs[0]), wanted(&specs[1])] else { return Ok(()) };
        let mut world = World::new(before, &[]);
        world.first_pass();
        world.edit(after);
        let observed = world.observe().map_err(|error| TestCaseError::fail(error.to_string()))?;
        let again = { world.restart(); world.observe().map_err(|error| TestCaseError::fail(error.to_string()))? };
        let (one, two) = (world.plan(&observed), world.plan(&again));
        // Who lists versions anew may know more of them; what is to be done is the same.
        prop_assert_eq!(one.map(|plan| plan.findings), two.map(|plan| plan.findings));
    }

    #[test]
    fn any_prefix_of_a_plan_and_a_fresh_reconcile_end_where_the_whole_plan_does(specs in edits(1..=2)) {
        let stages: Vec<_> = specs.iter().filter_map(wanted).collect();
        let Some((last, before)) = stages.split_last() else { return Ok(()) };
        let prepared = || {
            let mut world = World::new(before.first().unwrap_or(last).clone(), &[]);
            if !before.is_empty() {
                world.first_pass();
            }
            world.edit(last.clone());
            world
        };
        let mut whole = prepared();
        whole.converge();
        let expected = without_ids(whole.snapshot());
        let mut length = 0;
        loop {
            let mut world = prepared();
            let observed = world.observe().map_err(|error| TestCaseError::fail(error.to_string()))?;
            let plan = world.plan(&observed).map_err(|conflict| TestCaseError::fail(conflict.message()))?;
            if length > plan.steps.len() {
                break;
            }
            let result = world.run(&plan.steps[..length]);
            prop_assert!(result.is_ok(), "{:?}", result);
            world.restart();
            world.converge();
            prop_assert_eq!(without_ids(world.snapshot()), expected.clone(), "after {} steps", length);
            length += 1;
        }
    }

    #[test]
    fn versions_are_reused_or_pruned_and_never_more_than_five(
        specs in edits(3..=4),
        order in prop::collection::vec(0_usize..4, 10..25),
        restarts in any::<bool>(),
    ) {
        let stages: Vec<_> = specs.iter().filter_map(wanted).filter(|desired| desired.policy.is_some()).collect();
        let Some(first) = stages.first() else { return Ok(()) };
        let mut world = World::new(first.clone(), &[]);
        world.first_pass();
        let mut made = vec![first.policy.as_ref().map(|policy| policy.fingerprint)];
        for index in order {
            let next = &stages[index % stages.len()];
            world.edit(next.clone());
            if restarts {
                world.restart();
            }
            let seq = world.iam.0.last_seq();
            world.converge();
            prop_assert!(world.versions() <= 5);
            let writes = world.writes_since(seq);
            let created = writes.iter().any(|call| call == "CreatePolicyVersion");
            // Four documents fit into five versions: what was said once is never said anew.
            let print = next.policy.as_ref().map(|policy| policy.fingerprint);
            prop_assert_eq!(created, !made.contains(&print));
            prop_assert!(!writes.iter().any(|call| call == "DeletePolicyVersion"));
            if created {
                made.push(print);
            }
        }
    }
}

#[test]
fn a_sixth_document_prunes_the_oldest_version_that_is_not_the_default() {
    use aurora_log_export_operator::api::AuroraLogExportPolicySpec;
    use aurora_log_export_operator::api::policy::Scope;

    let stage = |number: usize| {
        let scope = Scope { log_groups: Some(vec![format!("/aws/rds/{number}")]), ..Scope::default() };
        wanted(&AuroraLogExportPolicySpec { scope: Some(scope), ..AuroraLogExportPolicySpec::default() })
    };
    let Some(first) = stage(0) else { unreachable!("the spec is valid") };
    let mut world = World::new(first, &[]);
    world.first_pass();
    for number in 1..12 {
        let Some(next) = stage(number) else { unreachable!("the spec is valid") };
        world.edit(next);
        let seq = world.iam.0.last_seq();
        world.converge();
        assert_eq!(world.versions(), 5.min(number + 1));
        let pruned = world.writes_since(seq).iter().filter(|call| *call == "DeletePolicyVersion").count();
        assert_eq!(pruned, usize::from(number >= 5), "edit {number}");
    }
    let snapshot = world.snapshot();
    let versions = &snapshot["policies"]["shop.orders"]["versions"];
    assert!(versions["v12"].is_string() && versions["v8"].is_string() && versions["v7"].is_null());
}
