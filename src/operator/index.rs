//! What the watch has seen: the objects, and who claims which name.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use crate::model::names::{Owner, default_name};
use crate::model::object::{Object, Unread};

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
}

struct Entry {
    object: Arc<Object>,
    /// The names it wants, in lower case, as of when it was taken in.
    names: Names,
}

/// One name for policy and role, or two.
type Names = Box<[Arc<str>]>;

/// What a change in the index means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Spec, annotations or deletion changed, or our finalizer went: it is worth a reconcile.
    pub matters: bool,
    /// It is another object than before under that name.
    pub replaced: bool,
}

impl Index {
    /// Takes in an object, unless a newer state of it is known already (our own write answered before the watch).
    /// `prefix` stands before default names in its account.
    pub fn upsert(&self, object: impl Into<Arc<Object>>, prefix: &str) -> Change {
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
        // The key that is known already is shared with queue and memories.
        let key = inner.take_out(&key).unwrap_or(key);
        let names = names(&key, &object, prefix);
        for name in &names {
            // Almost every name is wanted once: no room is kept for more.
            inner.names.entry(name.clone()).or_insert_with(|| Vec::with_capacity(1)).push(key.clone());
        }
        inner.objects.insert(key, Entry { object, names });
        change
    }

    /// Takes in the answer to our own write, unless the object is gone or another one by now: it must not come back.
    pub fn update(&self, object: Arc<Object>, prefix: &str) {
        if self.get(&object.key()).is_some_and(|known| known.uid() == object.uid()) {
            self.upsert(object, prefix);
        }
    }

    /// An object is gone: who else wanted its names?
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
    pub fn users_of(&self, account: &str) -> Vec<Arc<Object>> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner
            .objects
            .values()
            .filter(|entry| entry.object.account_ref() == Some(account))
            .map(|entry| entry.object.clone())
            .collect()
    }

    /// An object.
    pub fn get(&self, key: &Owner) -> Option<Arc<Object>> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).objects.get(key).map(|entry| entry.object.clone())
    }

    /// What is known of an object, if that is this state of it or a newer one: our own writes are answered, and told of by
    /// the watch, in any order.
    pub fn known(&self, object: &Unread) -> Option<Arc<Object>> {
        self.get(&object.key()).filter(|known| object.is_known_by(known))
    }

    /// All keys.
    pub fn keys(&self) -> Vec<Owner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).objects.keys().cloned().collect()
    }

    /// All objects.
    pub fn all(&self) -> Vec<Arc<Object>> {
        self.inner
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .objects
            .values()
            .map(|entry| entry.object.clone())
            .collect()
    }

    /// How many objects there are of a kind.
    pub fn count(&self, wanted: impl Fn(&Object) -> bool) -> usize {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.objects.values().filter(|entry| wanted(&entry.object)).count()
    }

    /// Objects that want a name, case ignored.
    pub fn claiming(&self, name: &str) -> Vec<Owner> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.names.get(name.to_lowercase().as_str()).into_iter().flatten().cloned().collect()
    }

    /// Other objects that share a name with this one, whatever their account.
    pub fn sharing_names(&self, key: &Owner) -> Vec<Arc<Object>> {
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
        let (key, Entry { names, .. }) = self.objects.remove_entry(key)?;
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
fn names(key: &Owner, object: &Object, prefix: &str) -> Names {
    let Ok(spec) = &object.spec else { return Names::default() };
    let wanted = |name: &Option<String>| {
        name.as_ref().map_or_else(|| default_name(prefix, key).to_lowercase(), |name| name.to_lowercase())
    };
    let (policy, role) = (wanted(&spec.policy_name), wanted(&spec.role_name));
    if policy == role { Box::new([policy.into()]) } else { Box::new([policy.into(), role.into()]) }
}

/// Does anything differ that a reconcile would look at? The status is our own word.
fn differs(old: &Object, new: &Object) -> bool {
    old.generation() != new.generation()
        || old.metadata.annotations != new.metadata.annotations
        // Its coming is our own doing.
        || (old.has_finalizer() && !new.has_finalizer())
        || old.is_deleting() != new.is_deleting()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(namespace: &str, name: &str, version: u64, spec: serde_json::Value) -> Object {
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
    fn what_comes_again_is_known_and_what_is_newer_or_another_object_is_not() {
        let index = Index::default();
        let seen = |uid: &str, version: Option<&str>| {
            let metadata = json!({ "namespace": "a", "name": "x", "uid": uid, "resourceVersion": version });
            let unread: Unread = serde_json::from_value(json!({ "metadata": metadata, "spec": {} })).unwrap();
            index.known(&unread).map(|known| known.resource_version())
        };
        assert_eq!(seen("a/x", Some("5")), None, "nothing is known yet");
        index.upsert(object("a", "x", 5, json!({})), "");
        for version in ["4", "5"] {
            assert_eq!(seen("a/x", Some(version)), Some(Some(5)), "{version}");
        }
        // As numbers: as text, 10 comes before 5.
        assert_eq!(seen("a/x", Some("10")), None);
        assert_eq!(seen("recreated", Some("5")), None);
        let mut unversioned = object("a", "x", 0, json!({}));
        unversioned.metadata.resource_version = None;
        index.remove(&Owner::new("a", "x"));
        index.upsert(unversioned, "");
        assert_eq!(seen("a/x", None), None, "what has no version is read");
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
