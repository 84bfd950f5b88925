//! The rules one by one; how they hold together under stress is `simulation`'s matter.

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

/// Takes the step due at that second and answers it in the same moment.
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

/// The claim of the write due at that second, which the API server carries out as that version.
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

/// Created the Lease at second 0.
fn leader() -> Elector {
    let mut elector = newcomer();
    step(&mut elector, 0, Answer::Absent);
    write(&mut elector, 0, "1");
    elector
}

/// Saw another's Lease at second 0.
fn follower() -> Elector {
    let mut elector = newcomer();
    step(&mut elector, 0, Answer::Found(lease("1", "other")));
    elector
}

#[test]
fn the_first_creates_the_lease_at_once() {
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
fn the_lease_counts_from_before_it_was_asked_for() {
    let mut elector = leader();
    let renewal = elector.next(at(2), stamp(2));
    elector.answered(at(4), written("2", &renewal));
    assert_eq!(elector.held_until(), Some(at(12)));
}

#[test]
fn a_renewal_names_its_version_and_keeps_the_history() {
    let mut elector = leader();
    let renewal = elector.next(at(2), stamp(2));
    let Step::Send(Request::Replace { version, claim }) = renewal else { panic!("{renewal:?}") };
    assert_eq!(version, "1");
    assert_eq!((claim.acquired, claim.renewed, claim.transitions), (Some(stamp(0)), Some(stamp(2)), 0));
}

#[test]
fn a_lost_renewal_extends_nothing_and_is_repeated() {
    let mut elector = leader();
    step(&mut elector, 2, Answer::Failed);
    assert_eq!(elector.held_until(), Some(at(10)));
    // It was carried out all the same, as the next one finds.
    step(&mut elector, 3, Answer::Conflict);
    let mut ours = lease("2", "me");
    ours.claim.renewed = Some(stamp(2));
    assert_eq!(step(&mut elector, 3, Answer::Found(ours)), READ);
    assert_eq!(elector.held_until(), Some(at(10)), "reading extends nothing");
    write(&mut elector, 3, "3");
    assert_eq!(elector.held_until(), Some(at(13)));
}

#[test]
fn a_follower_waits_a_full_duration_from_its_own_look_and_then_takes_over() {
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
fn a_holder_that_promised_longer_is_given_longer() {
    let mut patient = lease("1", "other");
    patient.claim.duration = Duration::from_mins(1);
    let mut elector = newcomer();
    for second in 0..=60 {
        assert_eq!(step(&mut elector, second, Answer::Found(patient.clone())), READ, "second {second}");
    }
    write(&mut elector, 61, "2");
}

#[test]
fn a_released_lease_is_taken_at_once() {
    let mut elector = follower();
    step(&mut elector, 1, Answer::Found(lease("2", "")));
    assert_eq!(elector.other_holder(), None, "nobody holds it");
    let claim = write(&mut elector, 1, "3");
    assert_eq!((claim.holder.as_str(), claim.transitions), ("me", 8));
}

#[test]
fn a_restarted_process_takes_its_own_place_at_once() {
    let mut elector = newcomer();
    step(&mut elector, 0, Answer::Found(lease("1", "me")));
    let claim = write(&mut elector, 0, "2");
    assert_eq!((claim.acquired, claim.transitions), (Some(stamp(1)), 7), "it is the same holder");
}

#[test]
fn the_older_of_two_namesakes_gives_way() {
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
fn an_edit_by_somebody_else_does_not_cost_the_lease() {
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
fn after_a_deletion_the_leader_makes_it_again_and_a_follower_waits() {
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
fn a_leader_whose_time_is_up_waits_after_a_deletion_like_everybody_else() {
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
fn the_last_32_writes_are_known_again_and_no_older_one() {
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
fn an_absence_that_was_not_watched_counts_for_nothing() {
    let mut elector = follower();
    step(&mut elector, 1, Answer::Absent);
    // Frozen; who knows what came and went meanwhile.
    for second in 20..=30 {
        assert_eq!(step(&mut elector, second, Answer::Absent), READ, "second {second}");
    }
}

#[test]
fn an_absence_counts_from_when_it_was_asked_for() {
    let mut elector = newcomer();
    assert_eq!(elector.next(at(0), stamp(0)), READ);
    elector.answered(at(20), Answer::Absent);
    assert_eq!(step(&mut elector, 21, Answer::Absent), READ, "the answer was old");
    assert!(matches!(elector.next(at(21), stamp(21)), Step::Send(Request::Create(_))));
}

#[test]
fn a_conflict_overcome_is_forgotten() {
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
fn conflicts_in_a_row_do_not_become_a_storm() {
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
fn a_request_that_came_to_nothing_is_repeated_after_a_poll() {
    for mut elector in [newcomer(), follower(), leader()] {
        step(&mut elector, 5, Answer::Failed);
        assert_eq!(elector.next(at(5), stamp(5)), Step::WaitUntil(at(6)));
        assert!(matches!(elector.next(at(6), stamp(6)), Step::Send(_)));
    }
}

#[test]
fn a_release_empties_the_holder_and_shuts_first() {
    let mut elector = leader();
    elector.release(at(1));
    assert_eq!(elector.held_until(), None);
    let claim = write(&mut elector, 1, "2");
    assert_eq!((claim.holder.as_str(), claim.acquired, claim.transitions), ("", Some(stamp(0)), 0));
    assert_eq!(elector.held_until(), None);
    assert_eq!(elector.next(at(1), stamp(1)), Step::Done);
}

#[test]
fn a_release_during_a_renewal_finds_out_what_became_of_it() {
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
fn who_holds_nothing_has_nothing_to_release() {
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
