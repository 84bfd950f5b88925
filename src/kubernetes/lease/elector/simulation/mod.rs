//! Candidates, a Lease and the faults between them, in simulated time.
//!
//! Requests and answers are delayed or lost, processes freeze and are killed, their clocks start at any time and differ
//! slightly in rate. After every event the rule is checked: while the fence of one process is open, no other process
//! has an open fence or a write in progress.

mod world;

use proptest::prelude::*;

use super::*;
use world::World;

const TIMING: Timing = Timing {
    duration: Duration::from_secs(10),
    renew_every: Duration::from_secs(2),
    poll_every: Duration::from_secs(1),
};
/// The longest time that a write to AWS may take, as passed to the fence.
const WRITE_TIMEOUT: Duration = Duration::from_secs(3);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The faults of the simulated world.
#[derive(Clone, Copy, Debug)]
struct Faults {
    /// Share of requests, and of answers, that are lost; percent.
    lost: u64,
    /// Longest delay of a request or an answer; milliseconds.
    delay: u64,
    /// Chance per second and candidate of a freeze of up to 25 s; per mille.
    freeze: u64,
    /// The same for a SIGKILL, after which a process with the same or another identity starts.
    kill: u64,
    /// The same for a clean shutdown.
    release: u64,
    /// Whether the Lease is deleted sometimes. Not together with new processes, see
    /// [`lease`](crate::kubernetes::lease).
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

    /// Never two leaders during faults; after they end, one process leads and keeps leading.
    #[test]
    fn never_two_leaders_and_one_after_the_faults(seed in any::<u64>(), candidates in 2..=3_usize, faults in faults()) {
        let mut world = World::new(seed, candidates, faults);
        world.run(Duration::from_mins(2)).map_err(TestCaseError::fail)?;
        world.faults = CALM;
        // The longest freeze ends, then the lease of a killed process expires.
        world.run(Duration::from_secs(25 + 13)).map_err(TestCaseError::fail)?;
        let leaders = world.leaders();
        prop_assert_eq!(leaders.len(), 1);
        for _ in 0..60 {
            world.run(ms(500)).map_err(TestCaseError::fail)?;
            prop_assert_eq!(&world.leaders(), &leaders);
            prop_assert!(world.processes[leaders[0]].may_write(world.now, WRITE_TIMEOUT), "room for writes");
        }
    }

    /// Another candidate takes over after a kill, at any time.
    #[test]
    fn another_candidate_leads_within_fifteen_seconds_after_a_kill(seed in any::<u64>(), candidates in 2..=3_usize, moment in 0..4_000_u64) {
        let mut world = World::new(seed, candidates, CALM);
        world.run(ms(10_000 + moment)).map_err(TestCaseError::fail)?;
        let leader = world.leaders()[0];
        world.processes[leader].alive = false;
        world.run(ms(12_000)).map_err(TestCaseError::fail)?;
        prop_assert_eq!(world.leaders().len(), 1);
    }

    /// Another candidate takes over within two seconds after a release.
    #[test]
    fn another_candidate_leads_within_two_seconds_after_a_release(seed in any::<u64>(), candidates in 2..=3_usize, moment in 0..4_000_u64) {
        let mut world = World::new(seed, candidates, CALM);
        world.run(ms(10_000 + moment)).map_err(TestCaseError::fail)?;
        let leader = world.leaders()[0];
        world.processes[leader].writes_until = Duration::ZERO;
        world.release(leader);
        world.run(ms(1_300)).map_err(TestCaseError::fail)?;
        prop_assert_eq!(world.leaders().len(), 1);
        prop_assert!(world.leaders() != vec![leader]);
        prop_assert!(!world.processes[leader].alive, "the release ends");
    }
}
