//! What the index says of objects, and of those that are gone.

use super::*;
use serde_json::json;

fn object(namespace: &str, name: &str, version: u64, spec: serde_json::Value) -> PolicyObject {
    serde_json::from_value(json!({
        "metadata": { "namespace": namespace, "name": name, "uid": format!("{namespace}/{name}"),
                      "resourceVersion": version.to_string(), "generation": 1 },
        "spec": spec,
    }))
    .unwrap()
}

#[test]
fn an_event_older_than_our_own_write_is_ignored() {
    let index = Index::default();
    assert_eq!(index.upsert(object("a", "x", 5, json!({})), ""), Change::Matters);
    let mut stale = object("a", "x", 4, json!({ "suspend": true }));
    stale.metadata.generation = Some(0);
    assert_eq!(index.upsert(stale, ""), Change::Nothing);
    assert_eq!(index.get(&Owner::new("a", "x")).unwrap().resource_version(), Some(5));
}

#[test]
fn the_response_to_our_own_write_is_used_unless_the_object_was_deleted_or_is_newer() {
    let index = Index::default();
    let version = || index.get(&Owner::new("a", "x")).and_then(|object| object.resource_version());
    assert_eq!(index.update(object("a", "x", 5, json!({})), "").resource_version(), Some(5));
    assert_eq!(version(), None, "a deleted object does not come back");
    index.upsert(object("a", "x", 5, json!({})), "");
    // Compared as numbers: as text, 10 comes before 5.
    assert_eq!(index.update(object("a", "x", 10, json!({})), "").resource_version(), Some(10));
    assert_eq!(index.update(object("a", "x", 9, json!({})), "").resource_version(), Some(10));
    let mut recreated = object("a", "x", 11, json!({}));
    recreated.metadata.uid = Some("recreated".to_owned());
    index.update(recreated, "");
    assert_eq!(version(), Some(10), "a response for another object of this name is ignored");
}

#[test]
fn objects_are_counted_by_account() {
    let index = Index::default();
    let count = |account: &str| index.count_of(&AccountKey::Named(account.to_owned()));
    index.upsert(object("a", "x", 1, json!({ "accountRef": { "name": "prod" } })), "");
    index.upsert(object("a", "x", 2, json!({ "accountRef": { "name": "prod" }, "suspend": true })), "");
    index.upsert(object("a", "y", 1, json!({})), "");
    assert_eq!((count("prod"), count("other"), index.count_of(&AccountKey::Own)), (1, 0, 1));
    index.remove(&Owner::new("a", "x"));
    assert_eq!(count("prod"), 0);
}

#[test]
fn a_list_of_one_namespace_does_not_affect_another() {
    let index = Index::default();
    index.upsert(object("a", "x", 1, json!({})), "");
    index.upsert(object("b", "y", 2, json!({})), "");
    let seen = BTreeSet::new();
    assert_eq!(index.missing_from(Some("a"), &seen), [Owner::new("a", "x")]);
    assert_eq!(index.missing_from(None, &seen).len(), 2);
}

#[test]
fn our_own_status_write_does_not_cause_a_reconcile() {
    let index = Index::default();
    index.upsert(object("a", "x", 5, json!({})), "");
    let mut written = object("a", "x", 6, json!({}));
    written.status.observed_generation = 1;
    assert_eq!(index.upsert(written, ""), Change::Nothing);
}

#[test]
fn names_that_differ_only_in_case_are_shared() {
    let index = Index::default();
    index.upsert(object("a", "x", 1, json!({ "roleName": "Exports" })), "");
    let other = object("b", "y", 2, json!({ "roleName": "exports" }));
    index.upsert(other, "");
    assert_eq!(index.rivals(&Owner::new("b", "y")), [Owner::new("a", "x")]);
    assert_eq!(index.remove(&Owner::new("a", "x")), [Owner::new("b", "y")], "the object that waits for the name");
    assert!(index.rivals(&Owner::new("b", "y")).is_empty());
}

/// 10,000 objects that claim one name cost what 10,000 objects cost.
#[test]
fn a_claim_stops_at_the_earliest_claimant_and_a_free_name_wakes_only_a_few() {
    let index = Index::default();
    let names = (0..10_000).map(|number| format!("x{number:05}"));
    let objects: Vec<_> = names.map(|name| object("a", &name, 1, json!({ "roleName": "exports" }))).collect();
    for object in &objects {
        index.upsert(object.clone(), "");
    }
    let mut checked = 0;
    for object in &objects {
        index.earlier(object, "Exports", |_| {
            checked += 1;
            true
        });
    }
    assert_eq!(checked, 9_999, "one each, but for the earliest");
    let woken = index.remove(&objects[0].key());
    assert_eq!((woken.len(), &woken[0]), (WOKEN, &objects[1].key()));
}

/// An object with these finalizers, deleting or not, whose status names a role or not.
fn version(version: u64, finalizers: &[&str], deleting: bool, role: bool) -> PolicyObject {
    let mut object = object("a", "x", version, json!({}));
    object.metadata.finalizers = Some(finalizers.iter().map(|&finalizer| finalizer.to_owned()).collect());
    object.metadata.deletion_timestamp =
        deleting.then(|| serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap());
    object.status.role = role.then(Default::default);
    object
}

const OURS: &[&str] = &[crate::api::FINALIZER];

fn index(leads: bool, versions: &[PolicyObject]) -> Index {
    let index = Index::default();
    index.lead(leads);
    for version in versions {
        index.upsert(version.clone(), "");
    }
    index
}

#[test]
fn an_object_that_was_not_released_leaves_resources_also_if_its_last_version_has_no_finalizer() {
    for (versions, left) in [
        // Never in AWS.
        (vec![version(1, &[], false, false)], false),
        (vec![version(1, &[], false, true)], true),
        (vec![version(1, OURS, false, false)], true),
        // It lost the finalizer before its status named the role, or while it was being deleted.
        (vec![version(1, OURS, false, false), version(2, &[], false, false)], true),
        (vec![version(1, OURS, true, true), version(2, &["theirs"], true, true)], true),
        // First seen as released: another process did that.
        (vec![version(1, &["theirs"], true, true)], false),
    ] {
        let last = versions.last().unwrap();
        assert_eq!(index(true, &versions).left_resources(last, true), left, "{versions:?}");
        assert!(!index(false, &versions).left_resources(last, true), "a standby cleans up nothing: {versions:?}");
    }
}

#[test]
fn a_released_object_leaves_nothing_unless_it_was_edited_afterwards() {
    let deleting = version(1, OURS, true, true);
    let index = index(true, std::slice::from_ref(&deleting));
    index.release(&deleting);
    let mut edited = version(2, OURS, true, true);
    assert!(!index.left_resources(&edited, true));
    edited.metadata.generation = Some(2);
    index.upsert(edited.clone(), "");
    assert!(index.left_resources(&edited, true));
}

#[test]
fn what_another_replica_may_have_released_is_not_cleaned_up_after_a_list() {
    let held = version(1, OURS, false, true);
    let index = index(false, std::slice::from_ref(&held));
    index.lead(true);
    assert!(!index.left_resources(&held, false), "it may have been released before this replica led");
    assert!(index.left_resources(&held, true), "the watch shows that it was not");
    index.upsert(held.clone(), "");
    assert!(index.left_resources(&held, false));
}
