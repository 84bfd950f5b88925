//! The objects that the watch has seen, and which of them claim which name.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use crate::model::account_key::AccountKey;
use crate::model::names::{Owner, default_name};
use crate::model::stored::PolicyObject;

/// All objects, shared between the watch and the reconciles.
#[derive(Default)]
pub struct Index {
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    objects: HashMap<Owner, Entry>,
    /// Lower-case names of policies and roles → who might claim them. Names are unique per account whatever their
    /// case; accounts are told apart when a claim is judged.
    names: HashMap<Arc<str>, Vec<Owner>>,
    /// How many objects each account has.
    counts: HashMap<AccountKey, usize>,
}

struct Entry {
    object: Arc<PolicyObject>,
    /// The names it wants, in lower case, as of when it was taken in.
    names: Names,
}

/// One name for policy and role, or two.
type Names = Box<[Arc<str>]>;

/// What an update of the index changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Spec, annotations or deletion changed, or our finalizer was removed: the object needs a reconcile.
    pub matters: bool,
    /// It is another object than before under that name.
    pub replaced: bool,
}

impl Index {
    /// Takes in an object, unless a newer state of it is known (the answer to our own write may come before the watch).
    /// `prefix` stands before default names in its account.
    pub fn upsert(&self, object: impl Into<Arc<PolicyObject>>, prefix: &str) -> Change {
        let object = object.into();
        let key = object.key();
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let change = match inner.objects.get(&key).map(|entry| &entry.object) {
            None => Change { matters: true, replaced: true },
            Some(old) => {
                let replaced = old.uid() != object.uid();
                if !replaced && old.resource_version() > object.resource_version() {
                    return Change { matters: false, replaced: false };
                }
                Change { matters: replaced || differs(old, &object), replaced }
            }
        };
        // The known key is shared with the workqueue and the reconcile states.
        let key = inner.take_out(&key).unwrap_or(key);
        let names = names(&key, &object, prefix);
        for name in &names {
            // Almost every name is wanted once: no room is kept for more.
            inner.names.entry(name.clone()).or_insert_with(|| Vec::with_capacity(1)).push(key.clone());
        }
        *inner.counts.entry(object.account_key()).or_default() += 1;
        inner.objects.insert(key, Entry { object, names });
        change
    }

    /// Takes in the answer to our own write, unless the object is gone or another one by now, or the watch has brought a
    /// newer state. Returns the newest state.
    pub fn update(&self, answer: PolicyObject, prefix: &str) -> Arc<PolicyObject> {
        let answer = Arc::new(answer);
        let key = answer.key();
        if self.get(&key).is_some_and(|known| known.uid() == answer.uid()) {
            self.upsert(answer.clone(), prefix);
        }
        self.get(&key).filter(|known| known.uid() == answer.uid()).unwrap_or(answer)
    }

    /// Removes an object that is gone. Returns the other objects that want its names.
    pub fn remove(&self, key: &Owner) -> Vec<Owner> {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let rivals = inner.sharing(key);
        inner.take_out(key);
        rivals
    }

    /// Objects of a namespace (none: of all) that a fresh list of it did not show: they were deleted unseen.
    pub fn missing_from(&self, namespace: Option<&str>, seen: &BTreeSet<Owner>) -> Vec<Owner> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let listed = |key: &Owner| namespace.is_none_or(|namespace| *key.namespace == *namespace);
        inner.objects.keys().filter(|key| listed(key) && !seen.contains(*key)).cloned().collect()
    }

    /// The objects that refer to an `AwsAccount`.
    pub fn users_of(&self, account: &str) -> Vec<Arc<PolicyObject>> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner
            .objects
            .values()
            .filter(|entry| entry.object.account_ref() == Some(account))
            .map(|entry| entry.object.clone())
            .collect()
    }

    /// An object.
    pub fn get(&self, key: &Owner) -> Option<Arc<PolicyObject>> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).objects.get(key).map(|entry| entry.object.clone())
    }

    /// All keys.
    pub fn keys(&self) -> Vec<Owner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).objects.keys().cloned().collect()
    }

    /// All objects.
    pub fn all(&self) -> Vec<Arc<PolicyObject>> {
        self.inner
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .objects
            .values()
            .map(|entry| entry.object.clone())
            .collect()
    }

    /// How many objects work in an account.
    pub fn count_of(&self, account: &AccountKey) -> usize {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.counts.get(account).copied().unwrap_or_default()
    }

    /// Objects that want a name, case ignored.
    pub fn claiming(&self, name: &str) -> Vec<Owner> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.names.get(name.to_lowercase().as_str()).into_iter().flatten().cloned().collect()
    }

    /// Other objects that share a name with this one, whatever their account.
    pub fn sharing_names(&self, key: &Owner) -> Vec<Arc<PolicyObject>> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.sharing(key).iter().filter_map(|key| inner.objects.get(key)).map(|entry| entry.object.clone()).collect()
    }
}

impl Inner {
    fn sharing(&self, key: &Owner) -> Vec<Owner> {
        let names = self.objects.get(key).into_iter().flat_map(|entry| entry.names.iter());
        let others: BTreeSet<_> = names
            .flat_map(|name| self.names.get(name).into_iter().flatten())
            .filter(|other| *other != key)
            .cloned()
            .collect();
        others.into_iter().collect()
    }

    /// Returns the key under which it was held.
    fn take_out(&mut self, key: &Owner) -> Option<Owner> {
        let (key, Entry { object, names }) = self.objects.remove_entry(key)?;
        let account = object.account_key();
        if let Some(count) = self.counts.get_mut(&account) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&account);
            }
        }
        for name in &names {
            if let Some(keys) = self.names.get_mut(name) {
                keys.retain(|other| *other != key);
                if keys.is_empty() {
                    self.names.remove(name);
                }
            }
        }
        Some(key)
    }
}

/// The names that an object wants, in lower case.
fn names(key: &Owner, object: &PolicyObject, prefix: &str) -> Names {
    let Ok(spec) = &object.spec else { return Names::default() };
    let wanted = |name: &Option<String>| {
        name.as_ref().map_or_else(|| default_name(prefix, key).to_lowercase(), |name| name.to_lowercase())
    };
    let (policy, role) = (wanted(&spec.policy_name), wanted(&spec.role_name));
    if policy == role { Box::new([policy.into()]) } else { Box::new([policy.into(), role.into()]) }
}

/// True if anything differs that a reconcile depends on. The status is our own write.
fn differs(old: &PolicyObject, new: &PolicyObject) -> bool {
    old.generation() != new.generation()
        || old.metadata.annotations != new.metadata.annotations
        // Adding it is our own write.
        || (old.has_finalizer() && !new.has_finalizer())
        || old.is_deleting() != new.is_deleting()
}

#[cfg(test)]
mod tests {
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
        assert!(index.upsert(object("a", "x", 5, json!({})), "").matters);
        let mut stale = object("a", "x", 4, json!({ "suspend": true }));
        stale.metadata.generation = Some(0);
        assert!(!index.upsert(stale, "").matters);
        assert_eq!(index.get(&Owner::new("a", "x")).unwrap().resource_version(), Some(5));
    }

    #[test]
    fn the_answer_to_our_own_write_is_taken_in_unless_the_object_is_gone_or_the_watch_knows_more() {
        let index = Index::default();
        let version = || index.get(&Owner::new("a", "x")).and_then(|object| object.resource_version());
        assert_eq!(index.update(object("a", "x", 5, json!({})), "").resource_version(), Some(5));
        assert_eq!(version(), None, "an object that is gone does not come back");
        index.upsert(object("a", "x", 5, json!({})), "");
        // As numbers: as text, 10 comes before 5.
        assert_eq!(index.update(object("a", "x", 10, json!({})), "").resource_version(), Some(10));
        assert_eq!(index.update(object("a", "x", 9, json!({})), "").resource_version(), Some(10));
        let mut recreated = object("a", "x", 11, json!({}));
        recreated.metadata.uid = Some("recreated".to_owned());
        index.update(recreated, "");
        assert_eq!(version(), Some(10), "an answer about another object of that name says nothing");
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
    fn a_list_of_one_namespace_says_nothing_about_another() {
        let index = Index::default();
        index.upsert(object("a", "x", 1, json!({})), "");
        index.upsert(object("b", "y", 2, json!({})), "");
        let seen = BTreeSet::new();
        assert_eq!(index.missing_from(Some("a"), &seen), [Owner::new("a", "x")]);
        assert_eq!(index.missing_from(None, &seen).len(), 2);
    }

    #[test]
    fn our_own_status_write_is_no_reason_to_reconcile() {
        let index = Index::default();
        index.upsert(object("a", "x", 5, json!({})), "");
        let mut written = object("a", "x", 6, json!({}));
        written.status.observed_generation = 1;
        assert!(!index.upsert(written, "").matters);
    }

    #[test]
    fn names_that_differ_only_in_case_are_shared() {
        let index = Index::default();
        index.upsert(object("a", "x", 1, json!({ "roleName": "Exports" })), "");
        let other = object("b", "y", 2, json!({ "roleName": "exports" }));
        index.upsert(other, "");
        let sharing = index.sharing_names(&Owner::new("b", "y"));
        assert_eq!(sharing.iter().map(|object| object.key()).collect::<Vec<_>>(), [Owner::new("a", "x")]);
        assert_eq!(index.remove(&Owner::new("a", "x")), [Owner::new("b", "y")], "who waited for the name is told");
        assert!(index.sharing_names(&Owner::new("b", "y")).is_empty());
    }
}
