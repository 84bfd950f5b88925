//! The index: all objects that the watch has delivered, and the names that they claim.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;

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
    /// Lower-case names of policies and roles, with the objects that claim them, the earliest first. IAM names are unique
    /// per account and case insensitive. Whether two objects share an account is decided later, when the claim is checked.
    names: HashMap<Arc<str>, Vec<Rank>>,
    /// Number of objects per account.
    counts: HashMap<AccountKey, usize>,
    /// The objects of a namespace in an account, the earliest first.
    by_namespace: HashMap<(AccountKey, Arc<str>), Vec<Rank>>,
}

struct Entry {
    object: Arc<PolicyObject>,
    /// The names that it claims, in lower case, computed when it was added.
    names: Names,
}

/// Earlier objects come first: by creation time, then namespace, then name.
type Rank = (Option<Timestamp>, Owner);

/// When a name becomes free, so many objects that claim it are reconciled at once. The others wait for their next attempt.
const WOKEN: usize = 16;

/// One name, if policy and role share it, or two.
type Names = Box<[Arc<str>]>;

/// The result of an update of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The object needs a reconcile.
    pub matters: bool,
    /// Nothing but the annotation `reconcile-at` changed.
    pub only_asked: bool,
    /// True if the object is new or was replaced by another one of the same name.
    pub replaced: bool,
}

impl Index {
    /// Adds or updates an object, unless the index has a newer version (the response to our own write may arrive before
    /// the watch event). `prefix` is the prefix of default names in its account.
    pub fn upsert(&self, object: impl Into<Arc<PolicyObject>>, prefix: &str) -> Change {
        let object = object.into();
        let key = object.key();
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let change = match inner.objects.get(&key).map(|entry| &entry.object) {
            None => Change { matters: true, only_asked: false, replaced: true },
            Some(old) => {
                let replaced = old.uid() != object.uid();
                if !replaced && old.resource_version() > object.resource_version() {
                    return Change { matters: false, only_asked: false, replaced: false };
                }
                let differs = replaced || differs(old, &object);
                let asked = old.reconcile_at() != object.reconcile_at();
                Change { matters: differs || asked, only_asked: !differs, replaced }
            }
        };
        // The stored key is shared with the workqueue and the reconcile states.
        let key = inner.take(&key).unwrap_or(key);
        let names = names(&key, &object, prefix);
        let rank = (object.created(), key.clone());
        for name in &names {
            // Almost every name is claimed once: no capacity is reserved for more.
            let ranks = inner.names.entry(name.clone()).or_insert_with(|| Vec::with_capacity(1));
            if let Err(position) = ranks.binary_search(&rank) {
                ranks.insert(position, rank.clone());
            }
        }
        *inner.counts.entry(object.account_key()).or_default() += 1;
        let same = inner.by_namespace.entry((object.account_key(), key.namespace.clone())).or_default();
        if let Err(position) = same.binary_search(&rank) {
            same.insert(position, rank);
        }
        inner.objects.insert(key, Entry { object, names });
        change
    }

    /// Updates an object with the response to our own write, unless the object was deleted or replaced meanwhile, or
    /// the watch has delivered a newer version. Returns the newest version.
    pub fn update(&self, response: PolicyObject, prefix: &str) -> Arc<PolicyObject> {
        let response = Arc::new(response);
        let key = response.key();
        if self.get(&key).is_some_and(|known| known.uid() == response.uid()) {
            self.upsert(response.clone(), prefix);
        }
        self.get(&key).filter(|known| known.uid() == response.uid()).unwrap_or(response)
    }

    /// Removes an object that was deleted. Returns the objects that can claim its names now.
    pub fn remove(&self, key: &Owner) -> Vec<Owner> {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let others = inner.rivals(key);
        inner.take(key);
        others
    }

    /// Objects of a namespace (`None`: of all namespaces) that are not in a new list: their deletion was not observed.
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

    /// Number of objects in an account.
    pub fn count_of(&self, account: &AccountKey) -> usize {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.counts.get(account).copied().unwrap_or_default()
    }

    /// True if this many objects of the same namespace and account, or more, are earlier than this one.
    pub fn is_surplus(&self, object: &PolicyObject, allowed: usize) -> bool {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let key = object.key();
        let same = inner.by_namespace.get(&(object.account_key(), key.namespace.clone()));
        let rank = (object.created(), key);
        same.is_some_and(|same| same.binary_search(&rank).unwrap_or_else(|position| position) >= allowed)
    }

    /// The last of so many objects of a namespace in an account, the earliest first.
    pub fn last_of(&self, account: &AccountKey, namespace: &str, allowed: usize) -> Option<Owner> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let same = inner.by_namespace.get(&(account.clone(), namespace.into()))?;
        same.get(allowed.checked_sub(1)?).map(|(_, key)| key.clone())
    }

    /// Objects that claim a name, ignoring case, the earliest first.
    pub fn claiming(&self, name: &str) -> Vec<Owner> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.ranks(&name.to_lowercase()).iter().map(|(_, key)| key.clone()).collect()
    }

    /// The first object before this one that claims a name, ignoring case, and that `claims` accepts.
    pub fn earlier(
        &self,
        object: &PolicyObject,
        name: &str,
        mut claims: impl FnMut(&PolicyObject) -> bool,
    ) -> Option<Owner> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let own = (object.created(), object.key());
        let earlier = inner.ranks(&name.to_lowercase()).iter().take_while(|rank| **rank < own);
        earlier
            .map(|(_, key)| key)
            .find(|key| inner.objects.get(*key).is_some_and(|entry| claims(&entry.object)))
            .cloned()
    }

    /// The earliest objects, in any account, that claim a name of this one too.
    pub fn rivals(&self, key: &Owner) -> Vec<Owner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).rivals(key)
    }
}

impl Inner {
    fn ranks(&self, name: &str) -> &[Rank] {
        self.names.get(name).map_or(&[], Vec::as_slice)
    }

    fn rivals(&self, key: &Owner) -> Vec<Owner> {
        let names = self.objects.get(key).into_iter().flat_map(|entry| entry.names.iter());
        let rivals = names
            .flat_map(|name| self.ranks(name).iter().map(|(_, other)| other).filter(|other| *other != key).take(WOKEN));
        rivals.collect::<BTreeSet<_>>().into_iter().cloned().collect()
    }

    /// Removes an object. Returns its stored key.
    fn take(&mut self, key: &Owner) -> Option<Owner> {
        let (key, Entry { object, names }) = self.objects.remove_entry(key)?;
        let account = object.account_key();
        if let Some(count) = self.counts.get_mut(&account) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&account);
            }
        }
        let rank = (object.created(), key);
        let place = (account, rank.1.namespace.clone());
        if let Some(same) = self.by_namespace.get_mut(&place) {
            if let Ok(position) = same.binary_search(&rank) {
                same.remove(position);
            }
            if same.is_empty() {
                self.by_namespace.remove(&place);
            }
        }
        for name in &names {
            if let Some(ranks) = self.names.get_mut(name) {
                if let Ok(position) = ranks.binary_search(&rank) {
                    ranks.remove(position);
                }
                if ranks.is_empty() {
                    self.names.remove(name);
                }
            }
        }
        Some(rank.1)
    }
}

/// The names that an object claims, in lower case.
fn names(key: &Owner, object: &PolicyObject, prefix: &str) -> Names {
    let Ok(spec) = &object.spec else { return Names::default() };
    let claimed = |name: &Option<String>| {
        name.as_ref().map_or_else(|| default_name(prefix, key).to_lowercase(), |name| name.to_lowercase())
    };
    let (policy, role) = (claimed(&spec.policy_name), claimed(&spec.role_name));
    if policy == role { Box::new([policy.into()]) } else { Box::new([policy.into(), role.into()]) }
}

/// True if a difference requires a reconcile. A change of the status does not: it is our own write.
fn differs(old: &PolicyObject, new: &PolicyObject) -> bool {
    old.generation() != new.generation()
        || old.is_abandoned() != new.is_abandoned()
        // The addition is our own write.
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
        assert!(!index.upsert(written, "").matters);
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
}
