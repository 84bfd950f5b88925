use super::*;

fn owner(namespace: &str, name: &str) -> Owner {
    Owner::new(namespace, name)
}

fn pop_all(queue: &mut Queue, now: Instant) -> Vec<String> {
    std::iter::from_fn(|| queue.pop(now)).map(|(object, _)| object.to_string()).collect()
}

#[test]
fn a_noisy_namespace_waits_for_its_turn() {
    let (mut queue, now) = (Queue::new(100), Instant::now());
    for name in ["1", "2", "3"] {
        queue.add(&owner("noisy", name), &None, now, Priority::Change);
    }
    queue.add(&owner("quiet", "1"), &None, now, Priority::Change);
    assert_eq!(pop_all(&mut queue, now), ["noisy/1", "quiet/1", "noisy/2", "noisy/3"]);
}

#[test]
fn deletions_go_before_changes_and_these_before_periodic_looks() {
    let (mut queue, now) = (Queue::new(100), Instant::now());
    queue.add(&owner("a", "look"), &None, now, Priority::Periodic);
    queue.add(&owner("a", "edit"), &None, now, Priority::Change);
    queue.add(&owner("a", "delete"), &None, now, Priority::Deletion);
    assert_eq!(pop_all(&mut queue, now), ["a/delete", "a/edit", "a/look"]);
}

#[test]
fn looks_leave_a_place_for_an_edit() {
    let (mut queue, now) = (Queue::new(4), Instant::now());
    for name in 0..10 {
        queue.add(&owner("a", &name.to_string()), &None, now, Priority::Periodic);
    }
    assert_eq!(pop_all(&mut queue, now).len(), 3);
    queue.add(&owner("a", "edit"), &None, now, Priority::Change);
    assert_eq!(pop_all(&mut queue, now), ["a/edit"]);
    // Its end makes room for an edit again, not for a look.
    queue.done(&owner("a", "edit"), None);
    assert_eq!(pop_all(&mut queue, now), [""; 0]);
    queue.done(&owner("a", "0"), None);
    assert_eq!(pop_all(&mut queue, now), ["a/3"]);
}

#[test]
fn periodic_looks_are_never_starved() {
    let (mut queue, now) = (Queue::new(100), Instant::now());
    queue.add(&owner("a", "look"), &None, now, Priority::Periodic);
    for name in 0..20 {
        queue.add(&owner("a", &name.to_string()), &None, now, Priority::Change);
    }
    let order = pop_all(&mut queue, now);
    assert!(order.iter().position(|object| object == "a/look").unwrap() < 10, "{order:?}");
}

#[test]
fn a_stuck_account_holds_no_place_of_another() {
    let (mut queue, now) = (Queue::new(2), Instant::now());
    let stuck = Some("stuck".to_owned());
    for name in 0..10 {
        queue.add(&owner("a", &name.to_string()), &stuck, now, Priority::Change);
    }
    queue.add(&owner("b", "1"), &Some("other".to_owned()), now, Priority::Periodic);
    let order = pop_all(&mut queue, now);
    assert_eq!(order.len(), 3, "two of the stuck account and the other's: {order:?}");
    assert!(order.contains(&"b/1".to_owned()));
}

#[test]
fn an_object_is_not_reconciled_twice_at_once_and_a_request_meanwhile_is_not_lost() {
    let (mut queue, now) = (Queue::new(10), Instant::now());
    let object = owner("a", "1");
    queue.add(&object, &None, now, Priority::Change);
    assert_eq!(queue.pop(now).map(|(object, _)| object), Some(object.clone()));
    queue.add(&object, &None, now, Priority::Change);
    assert_eq!(queue.pop(now), None, "it is running");
    queue.done(&object, Some((now + Duration::from_mins(10), Priority::Periodic)));
    assert_eq!(queue.pop(now).map(|(object, _)| object), Some(object.clone()), "asked for while it ran");
    queue.done(&object, None);
    assert!(queue.is_idle(&object));
    assert_eq!(queue.running(), 0);
}

#[test]
fn the_earlier_of_two_times_counts() {
    let (mut queue, now) = (Queue::new(10), Instant::now());
    let object = owner("a", "1");
    let later = now + Duration::from_mins(1);
    queue.add(&object, &None, later, Priority::Periodic);
    assert_eq!(queue.pop(now), None);
    assert_eq!(queue.next_timer(), Some(later));
    queue.add(&object, &None, now, Priority::Change);
    assert_eq!(queue.pop(now).map(|(object, _)| object), Some(object.clone()));
    queue.done(&object, None);
    assert_eq!(queue.pop(later), None, "it was one request");
}

#[test]
fn a_removed_object_is_forgotten() {
    let (mut queue, now) = (Queue::new(10), Instant::now());
    let object = owner("a", "1");
    queue.add(&object, &None, now, Priority::Change);
    queue.remove(&object);
    assert_eq!(queue.pop(now), None);
    queue.add(&object, &None, now, Priority::Change);
    assert_eq!(queue.pop(now).map(|(object, _)| object), Some(object.clone()));
    queue.add(&object, &None, now, Priority::Change);
    queue.remove(&object);
    queue.done(&object, None);
    assert_eq!(queue.pop(now), None);
}

#[test]
fn backoff_doubles_up_to_its_limit() {
    let (first, most) = (Duration::from_secs(1), Duration::from_mins(1));
    for (failures, longest) in [(1, 1), (2, 2), (3, 4), (7, 60), (100, 60)] {
        let wait = backoff(failures, first, most);
        assert!(
            wait <= Duration::from_secs(longest) && wait >= Duration::from_secs(longest).mul_f64(0.74),
            "{failures}: {wait:?}"
        );
    }
}
