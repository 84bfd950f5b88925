//! The rules, one test each. `simulation` tests them together, under faults.

use super::*;

const TIMING: Timing = Timing {
    duration: Duration::from_secs(10),
    renew_every: Duration::from_secs(2),
    poll_every: Duration::from_secs(1),
};

const READ: Step = Step::Send(Request::Read);

fn at(seconds: u64) -> Duration {
    Duration::from_secs(1_000 + seconds)
}

fn stamp(seconds: u64) -> Timestamp {
    Timestamp::from_second(i64::try_from(seconds).unwrap()).unwrap()
}

fn lease(version: &str, holder: &str) -> Observed {
    let claim = Claim {
        holder: holder.to_owned(),
        duration: TIMING.duration,
        acquired: Some(stamp(1)),
        renewed: Some(stamp(2)),
        transitions: 7,
    };
    Observed { version: version.to_owned(), claim }
}

/// Takes the step due at this second and answers it at the same time.
fn step(elector: &mut Elector, second: u64, answer: Answer) -> Step {
    let step = elector.next(at(second), stamp(second));
    elector.answered(at(second), answer);
    step
}

fn written(version: &str, step: &Step) -> Answer {
    let Step::Send(Request::Create(claim) | Request::Replace { claim, .. }) = step else {
        panic!("no write: {step:?}")
    };
    Answer::Written(Observed { version: version.to_owned(), claim: claim.clone() })
}

/// Executes the write due at this second, as this version, and returns its claim.
fn write(elector: &mut Elector, second: u64, version: &str) -> Claim {
    let step = elector.next(at(second), stamp(second));
    elector.answered(at(second), written(version, &step));
    let Step::Send(Request::Create(claim) | Request::Replace { claim, .. }) = step else {
        panic!("no write: {step:?}")
    };
    claim
}

fn newcomer() -> Elector {
    Elector::new("me".to_owned(), TIMING)
}

/// A leader that created the Lease at second 0.
fn leader() -> Elector {
    let mut elector = newcomer();
    step(&mut elector, 0, Answer::Absent);
    write(&mut elector, 0, "1");
    elector
}

/// A follower that read another holder's Lease at second 0.
fn follower() -> Elector {
    let mut elector = newcomer();
    step(&mut elector, 0, Answer::Found(lease("1", "other")));
    elector
}

#[test]
fn the_first_candidate_creates_the_lease_at_once() {
    let mut elector = newcomer();
    assert_eq!(step(&mut elector, 0, Answer::Absent), READ);
    let claim = write(&mut elector, 0, "1");
    let expected = Claim {
        holder: "me".to_owned(),
        duration: TIMING.duration,
        acquired: Some(stamp(0)),
        renewed: Some(stamp(0)),
        transitions: 0,
    };
    assert_eq!(claim, expected);
    assert_eq!(elector.held_until(), Some(at(10)));
    assert_eq!(elector.next(at(0), stamp(0)), Step::WaitUntil(at(2)));
}

#[test]
fn the_duration_counts_from_when_the_request_was_sent() {
    let mut elector = leader();
    let renewal = elector.next(at(2), stamp(2));
    elector.answered(at(4), written("2", &renewal));
    assert_eq!(elector.held_until(), Some(at(12)));
}

#[test]
fn a_renewal_contains_its_version_and_keeps_the_history() {
    let mut elector = leader();
    let renewal = elector.next(at(2), stamp(2));
    let Step::Send(Request::Replace { version, claim }) = renewal else { panic!("{renewal:?}") };
    assert_eq!(version, "1");
    assert_eq!((claim.acquired, claim.renewed, claim.transitions), (Some(stamp(0)), Some(stamp(2)), 0));
}

#[test]
fn a_lost_renewal_does_not_extend_the_lease_and_is_repeated() {
    let mut elector = leader();
    step(&mut elector, 2, Answer::Failed);
    assert_eq!(elector.held_until(), Some(at(10)));
    // It was executed nevertheless, as the next write shows.
    step(&mut elector, 3, Answer::Conflict);
    let mut ours = lease("2", "me");
    ours.claim.renewed = Some(stamp(2));
    assert_eq!(step(&mut elector, 3, Answer::Found(ours)), READ);
    assert_eq!(elector.held_until(), Some(at(10)), "a read does not extend the lease");
    write(&mut elector, 3, "3");
    assert_eq!(elector.held_until(), Some(at(13)));
}

#[test]
fn a_follower_waits_a_full_duration_from_its_own_read_and_then_takes_over() {
    let mut elector = follower();
    for second in 1..=9 {
        assert_eq!(step(&mut elector, second, Answer::Found(lease("1", "other"))), READ, "second {second}");
    }
    assert_eq!(step(&mut elector, 10, Answer::Found(lease("1", "other"))), READ, "clocks may differ a little");
    let Step::WaitUntil(deadline) = elector.next(at(10), stamp(10)) else { panic!("too early") };
    assert!(deadline > at(10) && deadline < at(11), "{deadline:?}");
    let claim = write(&mut elector, 11, "2");
    assert_eq!((claim.holder.as_str(), claim.acquired, claim.transitions), ("me", Some(stamp(11)), 8));
    assert_eq!(elector.held_until(), Some(at(21)));
}

#[test]
fn every_new_version_starts_the_wait_again() {
    let mut elector = follower();
    for second in 1..60 {
        let version = (second / 9).to_string();
        assert_eq!(step(&mut elector, second, Answer::Found(lease(&version, "other"))), READ);
    }
    assert_eq!(elector.held_until(), None);
}

#[test]
fn a_lease_with_a_longer_duration_is_waited_for_longer() {
    let mut longer = lease("1", "other");
    longer.claim.duration = Duration::from_mins(1);
    let mut elector = newcomer();
    for second in 0..=60 {
        assert_eq!(step(&mut elector, second, Answer::Found(longer.clone())), READ, "second {second}");
    }
    write(&mut elector, 61, "2");
}

#[test]
fn a_released_lease_is_taken_at_once() {
    let mut elector = follower();
    step(&mut elector, 1, Answer::Found(lease("2", "")));
    assert_eq!(elector.other_holder(), None, "it is free");
    let claim = write(&mut elector, 1, "3");
    assert_eq!((claim.holder.as_str(), claim.transitions), ("me", 8));
}

#[test]
fn a_restarted_process_takes_its_lease_over_at_once() {
    let mut elector = newcomer();
    step(&mut elector, 0, Answer::Found(lease("1", "me")));
    let claim = write(&mut elector, 0, "2");
    assert_eq!((claim.acquired, claim.transitions), (Some(stamp(1)), 7), "it is the same holder");
}

#[test]
fn of_two_processes_with_one_identity_the_older_one_stops() {
    let mut elector = leader();
    step(&mut elector, 2, Answer::Conflict);
    let mut theirs = lease("5", "me");
    theirs.claim.renewed = Some(stamp(1));
    step(&mut elector, 2, Answer::Found(theirs));
    assert_eq!(elector.held_until(), None);
    assert!(elector.has_namesake());
    assert!(matches!(elector.next(at(2), stamp(2)), Step::WaitUntil(_)));
}

#[test]
fn a_leader_that_finds_another_holder_stops_at_once() {
    let mut elector = leader();
    step(&mut elector, 2, Answer::Conflict);
    step(&mut elector, 2, Answer::Found(lease("5", "other")));
    assert_eq!(elector.held_until(), None);
    assert_eq!(elector.other_holder(), Some("other"));
    assert!(!elector.has_namesake());
}

#[test]
fn an_edit_by_another_client_does_not_lose_the_lease() {
    let mut elector = leader();
    step(&mut elector, 2, Answer::Conflict);
    let mut edited = lease("5", "me");
    edited.claim.renewed = Some(stamp(0));
    step(&mut elector, 2, Answer::Found(edited));
    assert_eq!(elector.held_until(), Some(at(10)));
    write(&mut elector, 2, "6");
}

#[test]
fn the_loser_of_a_race_follows() {
    let mut elector = newcomer();
    step(&mut elector, 0, Answer::Absent);
    step(&mut elector, 0, Answer::Conflict);
    step(&mut elector, 0, Answer::Found(lease("1", "other")));
    assert_eq!(elector.held_until(), None);
    assert_eq!(elector.next(at(0), stamp(0)), Step::WaitUntil(at(1)));
}

#[test]
fn after_a_deletion_the_leader_creates_it_again_and_a_follower_waits() {
    let mut elector = leader();
    step(&mut elector, 2, Answer::Absent);
    assert!(matches!(elector.next(at(2), stamp(2)), Step::Send(Request::Create(_))));
    let mut elector = follower();
    for second in 1..=11 {
        assert_eq!(step(&mut elector, second, Answer::Absent), READ, "second {second}");
    }
    assert_eq!(write(&mut elector, 12, "2").holder, "me");
}

#[test]
fn a_leader_whose_lease_expired_waits_after_a_deletion_like_a_follower() {
    for (second, at_once) in [(9, true), (10, false)] {
        let mut elector = leader();
        for failing in 2..second {
            step(&mut elector, failing, Answer::Failed);
        }
        step(&mut elector, second, Answer::Absent);
        let next = elector.next(at(second), stamp(second));
        assert_eq!(matches!(next, Step::Send(Request::Create(_))), at_once, "second {second}: {next:?}");
    }
}

#[test]
fn the_last_32_writes_are_recognized_and_no_older_one() {
    for (written, ours) in [(4, true), (3, false)] {
        let mut elector = leader();
        for second in 2..=34 {
            step(&mut elector, second, Answer::Failed);
        }
        step(&mut elector, 35, Answer::Conflict);
        let mut found = lease("9", "me");
        found.claim.renewed = Some(stamp(written));
        step(&mut elector, 35, Answer::Found(found));
        assert_eq!(elector.has_namesake(), !ours, "written in second {written}");
    }
}

#[test]
fn an_absence_that_was_not_observed_does_not_count() {
    let mut elector = follower();
    step(&mut elector, 1, Answer::Absent);
    // Frozen: a Lease may have been created and deleted meanwhile.
    for second in 20..=30 {
        assert_eq!(step(&mut elector, second, Answer::Absent), READ, "second {second}");
    }
}

#[test]
fn an_absence_counts_from_when_the_request_was_sent() {
    let mut elector = newcomer();
    assert_eq!(elector.next(at(0), stamp(0)), READ);
    elector.answered(at(20), Answer::Absent);
    assert_eq!(step(&mut elector, 21, Answer::Absent), READ, "the answer was old");
    assert!(matches!(elector.next(at(21), stamp(21)), Step::Send(Request::Create(_))));
}

#[test]
fn a_resolved_conflict_is_forgotten() {
    let mut elector = leader();
    for (second, version) in [(2, "2"), (4, "3"), (6, "4")] {
        let mut edited = lease(version, "me");
        edited.claim.renewed = Some(stamp(0));
        step(&mut elector, second, Answer::Conflict);
        assert_eq!(step(&mut elector, second, Answer::Found(edited)), READ, "at once");
        write(&mut elector, second, version);
    }
    let mut unlucky = follower();
    for second in [0, 11, 22, 33] {
        let version = second.to_string();
        step(&mut unlucky, second + 11, Answer::Conflict);
        assert_eq!(step(&mut unlucky, second + 11, Answer::Found(lease(&version, "other"))), READ, "at once");
    }
}

#[test]
fn repeated_conflicts_do_not_cause_a_storm_of_requests() {
    let mut elector = leader();
    let mut requests = 0;
    for tick in 0..100_u32 {
        let now = at(2) + Duration::from_millis(100) * tick;
        while let Step::Send(request) = elector.next(now, stamp(2)) {
            let mut found = lease("9", "me");
            found.claim.renewed = Some(stamp(2));
            let read = request == Request::Read;
            elector.answered(now, if read { Answer::Found(found) } else { Answer::Conflict });
            requests += 1;
        }
    }
    assert!((5..=12).contains(&requests), "{requests} requests in 10 s");
}

#[test]
fn a_failed_request_is_repeated_after_a_poll() {
    for mut elector in [newcomer(), follower(), leader()] {
        step(&mut elector, 5, Answer::Failed);
        assert_eq!(elector.next(at(5), stamp(5)), Step::WaitUntil(at(6)));
        assert!(matches!(elector.next(at(6), stamp(6)), Step::Send(_)));
    }
}

#[test]
fn a_release_closes_the_fence_first_and_then_clears_the_holder() {
    let mut elector = leader();
    elector.release(at(1));
    assert_eq!(elector.held_until(), None);
    let claim = write(&mut elector, 1, "2");
    assert_eq!((claim.holder.as_str(), claim.acquired, claim.transitions), ("", Some(stamp(0)), 0));
    assert_eq!(elector.held_until(), None);
    assert_eq!(elector.next(at(1), stamp(1)), Step::Done);
}

#[test]
fn a_release_during_a_renewal_reads_its_result_first() {
    let mut elector = leader();
    assert!(matches!(elector.next(at(2), stamp(2)), Step::Send(Request::Replace { .. })));
    elector.release(at(2));
    let mut ours = lease("2", "me");
    ours.claim.renewed = Some(stamp(2));
    assert_eq!(step(&mut elector, 2, Answer::Found(ours)), READ);
    assert_eq!(write(&mut elector, 2, "3").holder, "");
    assert_eq!(elector.next(at(2), stamp(2)), Step::Done);
}

#[test]
fn a_process_without_the_lease_has_nothing_to_release() {
    for mut elector in [newcomer(), follower()] {
        elector.release(at(1));
        assert_eq!(elector.next(at(1), stamp(1)), Step::Done);
    }
    let mut deposed = leader();
    step(&mut deposed, 2, Answer::Conflict);
    deposed.release(at(2));
    assert_eq!(step(&mut deposed, 2, Answer::Found(lease("5", "other"))), READ);
    assert_eq!(deposed.next(at(2), stamp(2)), Step::Done);
}
