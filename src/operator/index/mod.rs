//! The index: all objects that the watch has delivered, and the names that they claim.

mod record;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;

use crate::model::account_key::AccountKey;
use crate::model::names::{Owner, default_name};
use crate::model::stored::PolicyObject;
use record::Record;

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
    /// True while this replica leads.
    leads: bool,
    /// The objects of a namespace in an account, the earliest first.
    by_namespace: HashMap<(AccountKey, Arc<str>), Vec<Rank>>,
}

struct Entry {
    object: Arc<PolicyObject>,
    /// The names that it claims, in lower case, computed when it was added.
    names: Names,
    record: Record,
}

/// Earlier objects come first: by creation time, then namespace, then name.
type Rank = (Option<Timestamp>, Owner);

/// When a name becomes free, this many objects that claim it are reconciled at once. The others wait for their next attempt.
const WOKEN: usize = 16;

/// One name, if policy and role share it, or two.
type Names = Box<[Arc<str>]>;

/// What an update of the index shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing that a reconcile would act on.
    Nothing,
    /// The annotation `reconcile-at` changed.
    Asked,
    /// The object is new, its spec, deletion or the annotation `abandon` changed, or our finalizer was removed.
    Matters,
}

impl Index {
    /// Adds or updates an object, unless the index has a newer version (the response to our own write may arrive before
    /// the watch event). `prefix` is the prefix of default names in its account.
    pub fn upsert(&self, object: impl Into<Arc<PolicyObject>>, prefix: &str) -> Change {
        let object = object.into();
        let key = object.key();
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let known = inner.objects.get(&key);
        let same = known.filter(|entry| entry.object.uid() == object.uid());
        let record = same.map(|entry| entry.record).unwrap_or_default();
        let record = record.next(same.map(|entry| &*entry.object), &object, inner.leads);
        if same.is_some_and(|entry| entry.object.resource_version() > object.resource_version()) {
            return Change::Nothing;
        }
        let change = same.map_or(Change::Matters, |entry| change(&entry.object, &object));
        inner.put(key, object, record, prefix);
        change
    }

    /// The prefix of default names in an `AwsAccount` may be another now: computes anew which names its objects claim.
    pub fn prefix_changed(&self, account: &str, prefix: &str) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let users = inner.objects.values().filter(|entry| entry.object.account_ref() == Some(account));
        for (object, record) in users.map(|entry| (entry.object.clone(), entry.record)).collect::<Vec<_>>() {
            inner.put(object.key(), object, record, prefix);
        }
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

    /// This replica leads from now on, or no longer.
    pub fn lead(&self, leads: bool) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.leads = leads;
        inner.objects.values_mut().for_each(|entry| entry.record.seen_leading = false);
    }

    /// Notes that an object that is being deleted needs nothing more in AWS. Call it before the finalizer is removed: the
    /// watch may report the removal before the API server's answer arrives.
    pub fn release(&self, object: &PolicyObject) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = inner.objects.get_mut(&object.key()).filter(|entry| entry.object.uid() == object.uid()) {
            entry.record.released = true;
        }
    }

    /// True if an object should have our finalizer: it has had it, or its status names resources.
    pub fn needs_finalizer(&self, object: &PolicyObject) -> bool {
        self.record(object).is_some_and(|record| record.needs_finalizer(object))
    }

    /// True if an object that is gone from Kubernetes may have resources in AWS that this replica must clean up, because
    /// none has released it. `last` is its last version; `is_final` says that no later version is possible.
    pub fn left_resources(&self, last: &PolicyObject, is_final: bool) -> bool {
        let leads = self.inner.read().unwrap_or_else(PoisonError::into_inner).leads;
        leads && self.record(last).is_some_and(|record| record.left_resources(last, is_final))
    }

    fn record(&self, object: &PolicyObject) -> Option<Record> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.objects.get(&object.key()).filter(|entry| entry.object.uid() == object.uid()).map(|entry| entry.record)
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

    /// The earliest objects that claim a name of this one, which need not be in the index.
    pub fn claiming_names_of(&self, object: &PolicyObject, prefix: &str) -> Vec<Owner> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let names = names(&object.key(), object, prefix);
        let others: BTreeSet<_> =
            names.iter().flat_map(|name| inner.ranks(name).iter().take(WOKEN)).map(|(_, key)| key).collect();
        others.into_iter().cloned().collect()
    }

    /// The object with this number in a namespace and an account; the earliest has number 1.
    pub fn nth_of(&self, account: &AccountKey, namespace: &str, number: usize) -> Option<Owner> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let same = inner.by_namespace.get(&(account.clone(), namespace.into()))?;
        same.get(number.checked_sub(1)?).map(|(_, key)| key.clone())
    }

    /// Objects that claim a name, ignoring case, the earliest first.
    pub fn claiming(&self, name: &str) -> Vec<Owner> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.ranks(&name.to_lowercase()).iter().map(|(_, key)| key.clone()).collect()
    }

    /// True if an object has the policy with this ARN, according to its status.
    pub fn has_policy(&self, arn: &str) -> bool {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let name = arn.rsplit('/').next().unwrap_or_default();
        let has_it = |key: &Owner| {
            let policy = inner.objects.get(key).and_then(|entry| entry.object.status.policy.as_ref());
            policy.is_some_and(|policy| policy.arn == arn)
        };
        inner.ranks(&name.to_lowercase()).iter().any(|(_, key)| has_it(key))
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

    /// Adds an object, or replaces the one of that name.
    fn put(&mut self, key: Owner, object: Arc<PolicyObject>, record: Record, prefix: &str) {
        // The stored key is shared with the workqueue and the reconcile states.
        let key = self.take(&key).unwrap_or(key);
        let names = names(&key, &object, prefix);
        let rank = (object.created(), key.clone());
        for name in &names {
            // Almost every name is claimed once: no capacity is reserved for more.
            let ranks = self.names.entry(name.clone()).or_insert_with(|| Vec::with_capacity(1));
            if let Err(position) = ranks.binary_search(&rank) {
                ranks.insert(position, rank.clone());
            }
        }
        *self.counts.entry(object.account_key()).or_default() += 1;
        let same = self.by_namespace.entry((object.account_key(), key.namespace.clone())).or_default();
        if let Err(position) = same.binary_search(&rank) {
            same.insert(position, rank);
        }
        self.objects.insert(key, Entry { object, names, record });
    }

    /// Removes an object. Returns its stored key.
    fn take(&mut self, key: &Owner) -> Option<Owner> {
        let (key, Entry { object, names, .. }) = self.objects.remove_entry(key)?;
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

/// How a new version of an object differs. A change of the status requires no reconcile: it is our own write.
fn change(old: &PolicyObject, new: &PolicyObject) -> Change {
    let matters = old.generation() != new.generation()
        || old.is_abandoned() != new.is_abandoned()
        // The addition is our own write.
        || (old.has_finalizer() && !new.has_finalizer())
        || old.is_deleting() != new.is_deleting();
    match (matters, old.reconcile_at() != new.reconcile_at()) {
        (true, _) => Change::Matters,
        (false, true) => Change::Asked,
        (false, false) => Change::Nothing,
    }
}
