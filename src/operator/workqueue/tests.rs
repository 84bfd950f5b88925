use std::time::Duration;

use super::*;

fn owner(namespace: &str, name: &str) -> Owner {
    Owner::new(namespace, name)
}

fn pop_all(queue: &mut Workqueue, now: Instant) -> Vec<String> {
    std::iter::from_fn(|| queue.pop(now)).map(|(object, _)| object.to_string()).collect()
}

#[test]
fn a_noisy_namespace_waits_for_its_turn() {
    let (mut queue, now) = (Workqueue::new(100), Instant::now());
    for name in ["1", "2", "3"] {
        queue.add(&owner("noisy", name), &AccountKey::Own, now, Priority::Change);
    }
    queue.add(&owner("quiet", "1"), &AccountKey::Own, now, Priority::Change);
    assert_eq!(pop_all(&mut queue, now), ["noisy/1", "quiet/1", "noisy/2", "noisy/3"]);
}

#[test]
fn deletions_go_before_changes_and_these_before_resyncs() {
    let (mut queue, now) = (Workqueue::new(100), Instant::now());
    queue.add(&owner("a", "resync"), &AccountKey::Own, now, Priority::Resync);
    queue.add(&owner("a", "edit"), &AccountKey::Own, now, Priority::Change);
    queue.add(&owner("a", "delete"), &AccountKey::Own, now, Priority::Deletion);
    assert_eq!(pop_all(&mut queue, now), ["a/delete", "a/edit", "a/resync"]);
}

#[test]
fn resyncs_leave_a_slot_for_an_edit() {
    let (mut queue, now) = (Workqueue::new(4), Instant::now());
    for name in 0..10 {
        queue.add(&owner("a", &name.to_string()), &AccountKey::Own, now, Priority::Resync);
    }
    assert_eq!(pop_all(&mut queue, now).len(), 3);
    queue.add(&owner("a", "edit"), &AccountKey::Own, now, Priority::Change);
    assert_eq!(pop_all(&mut queue, now), ["a/edit"]);
    // Its end frees a slot for an edit again, not for a resync.
    queue.done(&owner("a", "edit"), None);
    assert_eq!(pop_all(&mut queue, now), [""; 0]);
    queue.done(&owner("a", "0"), None);
    assert_eq!(pop_all(&mut queue, now), ["a/3"]);
}

#[test]
fn resyncs_are_never_starved() {
    let (mut queue, now) = (Workqueue::new(100), Instant::now());
    queue.add(&owner("a", "resync"), &AccountKey::Own, now, Priority::Resync);
    for name in 0..20 {
        queue.add(&owner("a", &name.to_string()), &AccountKey::Own, now, Priority::Change);
    }
    let order = pop_all(&mut queue, now);
    assert!(order.iter().position(|object| object == "a/resync").unwrap() < 10, "{order:?}");
}

#[test]
fn a_stuck_account_holds_no_place_of_another() {
    let (mut queue, now) = (Workqueue::new(2), Instant::now());
    let stuck = AccountKey::Named("stuck".to_owned());
    for name in 0..10 {
        queue.add(&owner("a", &name.to_string()), &stuck, now, Priority::Change);
    }
    queue.add(&owner("b", "1"), &AccountKey::Named("other".to_owned()), now, Priority::Resync);
    let order = pop_all(&mut queue, now);
    assert_eq!(order.len(), 3, "two of the stuck account and the other's: {order:?}");
    assert!(order.contains(&"b/1".to_owned()));
}

#[test]
fn an_object_is_not_reconciled_twice_at_once_and_a_request_meanwhile_is_not_lost() {
    let (mut queue, now) = (Workqueue::new(10), Instant::now());
    let object = owner("a", "1");
    queue.add(&object, &AccountKey::Own, now, Priority::Change);
    assert_eq!(queue.pop(now).map(|(object, _)| object), Some(object.clone()));
    queue.add(&object, &AccountKey::Own, now, Priority::Change);
    assert_eq!(queue.pop(now), None, "it is running");
    queue.done(&object, Some((now + Duration::from_mins(10), Priority::Resync)));
    assert_eq!(queue.pop(now).map(|(object, _)| object), Some(object.clone()), "asked for while it ran");
    queue.done(&object, None);
    assert!(queue.is_idle(&object));
    assert_eq!(queue.running(), 0);
}

#[test]
fn the_earlier_of_two_times_counts() {
    let (mut queue, now) = (Workqueue::new(10), Instant::now());
    let object = owner("a", "1");
    let later = now + Duration::from_mins(1);
    queue.add(&object, &AccountKey::Own, later, Priority::Resync);
    assert_eq!(queue.pop(now), None);
    assert_eq!(queue.next_timer(), Some(later));
    queue.add(&object, &AccountKey::Own, now, Priority::Change);
    assert_eq!(queue.pop(now).map(|(object, _)| object), Some(object.clone()));
    queue.done(&object, None);
    assert_eq!(queue.pop(later), None, "it was one request");
}

#[test]
fn a_removed_object_is_forgotten() {
    let (mut queue, now) = (Workqueue::new(10), Instant::now());
    let object = owner("a", "1");
    queue.add(&object, &AccountKey::Own, now, Priority::Change);
    queue.remove(&object);
    assert_eq!(queue.pop(now), None);
    queue.add(&object, &AccountKey::Own, now, Priority::Change);
    assert_eq!(queue.pop(now).map(|(object, _)| object), Some(object.clone()));
    queue.add(&object, &AccountKey::Own, now, Priority::Change);
    queue.remove(&object);
    queue.done(&object, None);
    assert_eq!(queue.pop(now), None);
}

#[test]
fn deletions_of_one_namespace_do_not_hold_up_an_edit_in_another() {
    let (mut queue, now) = (Workqueue::new(1000), Instant::now());
    for name in 0..150 {
        queue.add(&owner("noisy", &name.to_string()), &AccountKey::Own, now, Priority::Deletion);
    }
    queue.add(&owner("quiet", "edit"), &AccountKey::Own, now, Priority::Change);
    let order = pop_all(&mut queue, now);
    assert!(order.iter().position(|object| object == "quiet/edit").unwrap() <= 1, "{:?}", &order[..5]);
}

#[test]
fn a_stream_of_deletions_does_not_starve_the_edits_of_its_own_namespace() {
    let (mut queue, now) = (Workqueue::new(1000), Instant::now());
    for name in 0..150 {
        queue.add(&owner("a", &name.to_string()), &AccountKey::Own, now, Priority::Deletion);
    }
    queue.add(&owner("a", "edit"), &AccountKey::Own, now, Priority::Change);
    let order = pop_all(&mut queue, now);
    assert!(order.iter().position(|object| object == "a/edit").unwrap() < 8, "{:?}", &order[..10]);
}
