//! A fault at any one call, and entities that IAM does not show yet: a retry gets there all the same.

use aurora_log_export_operator::pipeline::desired::Desired;
use aurora_log_export_operator::pipeline::port::ErrorClass;
use aurora_test_support::iam_model::ApiError;
use aurora_test_support::iam_model::handle::Fault;
use proptest::prelude::*;

use super::cases;
use super::strategies::{edits, spec};
use super::world::{Pass, World, wanted, without_ids};

fn kinds() -> [Fault; 4] {
    [
        Fault::FailBefore(ApiError::throttling()),
        Fault::FailBefore(ApiError::service_failure()),
        Fault::FailBefore(ApiError::access_denied("not now")),
        Fault::LoseAnswerAfter,
    ]
}

/// Lets the fault strike the `position`-th call from now; returns the world's call number to tell whether it did.
fn strike(world: &World, position: u64, fault: Fault) -> u64 {
    let at = world.iam.0.last_seq() + position;
    world.iam.0.set_hook(move |call| if call.seq == at { fault.clone() } else { Fault::None });
    at
}

fn prepared(stages: &[Desired]) -> World {
    let mut world = World::new(stages[0].clone(), &[]);
    if let [_, last] = stages {
        world.first_pass();
        world.edit(last.clone());
    }
    world
}

proptest! {
    #![proptest_config(cases(25))]

    #[test]
    fn a_fault_at_any_call_of_a_change_is_got_over(specs in edits(1..=2)) {
        let stages: Vec<_> = specs.iter().filter_map(wanted).collect();
        if stages.is_empty() { return Ok(()) }
        let mut whole = prepared(&stages);
        whole.converge();
        let expected = without_ids(whole.snapshot());
        for fault in kinds() {
            for position in 1.. {
                let mut world = prepared(&stages);
                let at = strike(&world, position, fault.clone());
                let pass = world.first_pass();
                let struck = world.iam.0.last_seq() >= at;
                prop_assert!(!struck || matches!(pass, Pass::Failed(_)), "call {}: {:?}", position, pass);
                world.iam.0.clear_hook();
                world.converge();
                prop_assert_eq!(without_ids(world.snapshot()), expected.clone(), "{:?} at call {}", fault, position);
                if !struck {
                    prop_assert!(position > 3, "a change takes several calls");
                    break;
                }
            }
        }
    }

    #[test]
    fn a_fault_at_any_call_of_a_deletion_is_got_over(spec in spec()) {
        let Some(desired) = wanted(&spec) else { return Ok(()) };
        let empty = World::new(desired.clone(), &[]).snapshot();
        for fault in kinds() {
            for position in 1.. {
                let mut world = World::new(desired.clone(), &[]);
                world.converge();
                let at = strike(&world, position, fault.clone());
                let first = world.delete();
                let struck = world.iam.0.last_seq() >= at;
                prop_assert_eq!(first.is_err(), struck, "{:?} at call {}: {:?}", fault, position, first);
                world.iam.0.clear_hook();
                prop_assert_eq!(world.delete(), Ok(()));
                prop_assert_eq!(world.snapshot(), empty.clone(), "{:?} at call {}", fault, position);
                if !struck {
                    break;
                }
            }
        }
    }

    #[test]
    fn what_iam_does_not_show_yet_is_waited_for(spec in spec(), delay in 1_u64..60_000, pause in 500_u64..20_000) {
        let Some(desired) = wanted(&spec) else { return Ok(()) };
        let mut plain = World::new(desired.clone(), &[]);
        plain.converge();
        let mut world = World::new(desired, &[]);
        world.iam.0.lock().settings.visibility_delay_ms = delay;
        let mut pass = world.first_pass();
        // A policy and then a role may each take the whole delay, and one pass more finds all in sync.
        let most = 2 * delay.div_ceil(pause) + 2;
        for _ in 0..most {
            match &pass {
                Pass::InSync(_) => break,
                Pass::Changed(_) => {}
                Pass::Failed(error) => prop_assert!(
                    matches!(error.class, ErrorClass::NotFound | ErrorClass::AlreadyExists), "{error}"
                ),
                Pass::Conflict(conflict) => prop_assert!(false, "{}", conflict.message()),
            }
            world.iam.0.lock().advance_ms(pause);
            pass = world.pass();
        }
        prop_assert!(matches!(pass, Pass::InSync(_)), "{pass:?}");
        prop_assert_eq!(without_ids(world.snapshot()), without_ids(plain.snapshot()));
    }
}
