//! Candidates, a Lease, and everything that can go wrong between them, in simulated time.
//!
//! Requests and answers take any time or get lost, processes freeze and are killed, their clocks start anywhere and run
//! a little apart. After every event the rule is checked: nobody's fence is open, and nobody's write is under way, while
//! another's fence is open.

mod world;

use proptest::prelude::*;

use super::*;
use world::World;

const TIMING: Timing = Timing {
    duration: Duration::from_secs(10),
    renew_every: Duration::from_secs(2),
    poll_every: Duration::from_secs(1),
};
/// The longest that a write to AWS may take; what the fence is asked for.
const WRITE_TIMEOUT: Duration = Duration::from_secs(3);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// How rough the world is.
#[derive(Clone, Copy, Debug)]
struct Faults {
    /// Of requests, of answers; percent.
    lost: u64,
    /// Longest delay of a request or an answer.
    delay: u64,
    /// Chance, each second and candidate, of a freeze of up to 25 s; per mille.
    freeze: u64,
    /// The same for a SIGKILL, after which a process of the same or of another name starts.
    kill: u64,
    /// The same for a clean shutdown.
    release: u64,
    /// Whether somebody deletes the Lease now and then. Not together with new processes, see [`Election`](crate::kubernetes::lease).
    delete: bool,
}

const CALM: Faults = Faults { lost: 0, delay: 20, freeze: 0, kill: 0, release: 0, delete: false };

fn faults() -> impl Strategy<Value = Faults> {
    let common = (0..60_u64, 1..6_000_u64, 0..40_u64);
    prop_oneof![
        (common.clone(), 0..40_u64, 0..40_u64).prop_map(|((lost, delay, freeze), kill, release)| Faults {
            lost,
            delay,
            freeze,
            kill,
            release,
            delete: false,
        }),
        common.prop_map(|(lost, delay, freeze)| Faults { lost, delay, freeze, kill: 0, release: 0, delete: true }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Safety in a rough world; and once it calms down, one leads and goes on leading.
    #[test]
    fn never_two_and_in_the_end_one(seed in any::<u64>(), candidates in 2..=3_usize, faults in faults()) {
        let mut world = World::new(seed, candidates, faults);
        world.run(Duration::from_mins(2)).map_err(TestCaseError::fail)?;
        world.faults = CALM;
        // The longest freeze ends, then the lease of one who is gone.
        world.run(Duration::from_secs(25 + 13)).map_err(TestCaseError::fail)?;
        let leaders = world.leaders();
        prop_assert_eq!(leaders.len(), 1);
        for _ in 0..60 {
            world.run(ms(500)).map_err(TestCaseError::fail)?;
            prop_assert_eq!(&world.leaders(), &leaders);
            prop_assert!(world.processes[leaders[0]].may_write(world.now, WRITE_TIMEOUT), "room for writes");
        }
    }

    /// A kill is noticed in time, by whichever candidate and at whatever moment.
    #[test]
    fn a_kill_is_followed_within_fifteen_seconds(seed in any::<u64>(), candidates in 2..=3_usize, moment in 0..4_000_u64) {
        let mut world = World::new(seed, candidates, CALM);
        world.run(ms(10_000 + moment)).map_err(TestCaseError::fail)?;
        let leader = world.leaders()[0];
        world.processes[leader].alive = false;
        world.run(ms(12_000)).map_err(TestCaseError::fail)?;
        prop_assert_eq!(world.leaders().len(), 1);
    }

    /// A clean release is followed within two seconds.
    #[test]
    fn a_release_is_followed_within_two_seconds(seed in any::<u64>(), candidates in 2..=3_usize, moment in 0..4_000_u64) {
        let mut world = World::new(seed, candidates, CALM);
        world.run(ms(10_000 + moment)).map_err(TestCaseError::fail)?;
        let leader = world.leaders()[0];
        world.processes[leader].writes_until = Duration::ZERO;
        world.release(leader);
        world.run(ms(1_300)).map_err(TestCaseError::fail)?;
        prop_assert_eq!(world.leaders().len(), 1);
        prop_assert!(world.leaders() != vec![leader]);
        prop_assert!(!world.processes[leader].alive, "the release comes to an end");
    }
}
