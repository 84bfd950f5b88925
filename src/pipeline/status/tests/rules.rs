//! Rules that hold for every sequence of outcomes.

use crate::api::Field;
use jiff::Timestamp;
use proptest::prelude::*;

use super::super::Publication;
use super::{Failure, Outcome, PartState, Parts, Repair, SyncState, at, condition, finding, next, sync_state};
use crate::api::{AuroraLogExportPolicyStatus as Status, ConditionType, OutputsStatus, Reason};
use crate::pipeline::plan::Part;
use crate::pipeline::port::LastUse;

fn sync_states() -> impl Strategy<Value = SyncState> {
    let findings = prop::collection::vec(
        (
            prop::sample::select(vec![Part::Policy, Part::Role]),
            prop::sample::select(Field::ALL),
            prop::sample::select(vec![Repair::Done, Repair::LeftToOthers, Repair::Impossible]),
        ),
        0..4,
    );
    let last_use = prop::sample::select(vec![LastUse::NotTold, LastUse::Never, LastUse::At(Timestamp::UNIX_EPOCH)]);
    (findings, any::<bool>(), last_use).prop_map(|(findings, manages_policy, last_use)| {
        let findings = findings.into_iter().map(|(part, field, repair)| finding(part, field, repair)).collect();
        let mut state = SyncState { last_use, ..sync_state(findings) };
        if !manages_policy {
            state.policy = None;
        }
        state
    })
}

fn publication() -> impl Strategy<Value = Publication> {
    let refused = prop::option::of(
        prop::sample::select(vec![Reason::Conflict, Reason::NotPermitted])
            .prop_map(|reason| (reason, "the ConfigMap is not ours".to_owned())),
    );
    let outputs = prop::option::of(Just(OutputsStatus::default()));
    (outputs, refused).prop_map(|(outputs, refused)| Publication { outputs, refused })
}

fn part_state() -> impl Strategy<Value = PartState> {
    prop::sample::select(vec![
        PartState::Unknown,
        PartState::Affected,
        PartState::Failed(Reason::LimitExceeded, "too many".into()),
        PartState::InSync,
        PartState::NotManaged,
    ])
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let failure = || {
        (prop::sample::select(Reason::ALL), "[a-z]{0,5}", (part_state(), part_state(), part_state())).prop_map(
            |(reason, message, (policy, role, attachment))| Failure {
                reason,
                message,
                parts: Parts { policy, role, attachment },
            },
        )
    };
    prop_oneof![
        sync_states().prop_map(Outcome::InSync),
        sync_states().prop_map(Outcome::Drifted),
        (sync_states(), publication()).prop_map(|(state, publication)| Outcome::Published(state, publication)),
        "[a-z]{0,5}".prop_map(|message| Outcome::Progressing { message, tag_keys: Some(vec!["team".into()]) }),
        Just(Outcome::Suspended),
        failure().prop_map(Outcome::Failed),
        failure().prop_map(Outcome::Deleting),
        ("[a-z]{0,5}", any::<bool>()).prop_map(|(message, deleted)| Outcome::Released { message, deleted }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_rules_of_kstatus_and_of_metav1_hold_after_every_outcome(
        steps in prop::collection::vec((outcome(), 0_i64..2, 0_i64..100), 1..12),
    ) {
        let (mut status, mut generation, mut clock) = (Status::default(), 1, 0);
        for (outcome, edits, seconds) in steps {
            generation += edits;
            clock += seconds;
            let new = next(&status, &outcome, generation, at(clock));

            prop_assert_eq!(new.observed_generation, generation);
            let present = |type_| condition(&new, type_).is_some();
            prop_assert!(!(present(ConditionType::Reconciling) && present(ConditionType::Stalled)), "{:?}", outcome);
            let ready = condition(&new, ConditionType::Ready);
            prop_assert!(ready.is_some());
            let ready = ready.is_some_and(|ready| ready.status == "True");
            prop_assert_eq!(
                ready,
                !present(ConditionType::Reconciling) && !present(ConditionType::Stalled),
                "exactly one of ready, reconciling and stalled: {:?}", outcome
            );
            for one in &new.conditions {
                let same = new.conditions.iter().filter(|other| other.type_ == one.type_).count();
                prop_assert_eq!(same, 1, "{} occurs twice", &one.type_);
                prop_assert!(ConditionType::from_name(&one.type_).is_some());
                prop_assert!(Reason::from_name(&one.reason).is_some());
                prop_assert!(matches!(&*one.status, "True" | "False" | "Unknown"));
                prop_assert!(one.observed_generation.is_some_and(|of| of <= generation));
                let before = status.conditions.iter().find(|old| old.type_ == one.type_ && old.status == one.status);
                let expected = before.map_or(at(clock), |old| old.last_transition_time.0);
                prop_assert_eq!(one.last_transition_time.0, expected, "the transition time of {}", &one.type_);
            }
            for type_ in [ConditionType::PolicyReady, ConditionType::RoleReady, ConditionType::PolicyAttached] {
                prop_assert!(present(type_), "{}", type_);
            }
            prop_assert!(new.drift.len() <= 32);

            // The same outcome later changes nothing.
            prop_assert_eq!(&next(&new, &outcome, generation, at(clock + 1000)), &new);
            status = new;
        }
    }

    #[test]
    fn a_status_survives_the_api_server(steps in prop::collection::vec(outcome(), 1..4)) {
        let mut status = Status::default();
        for outcome in &steps {
            status = next(&status, outcome, 7, at(0));
        }
        let stored = serde_json::to_string(&status).unwrap();
        let read: Status = serde_json::from_str(&stored).unwrap();
        prop_assert_eq!(&read, &status);
        if let Some(last) = steps.last() {
            prop_assert_eq!(next(&read, last, 7, at(9)), read);
        }
    }
}
