//! Objects that are gone from Kubernetes before their AWS resources were cleaned up.
//!
//! The API server removes an object without finalizers at once. Ours may have been removed a moment before, for example by
//! `kubectl replace`, or may be added at that moment. The resources of such an object are cleaned up by the deletion policy
//! of its last version. The record is kept in memory, by the leader only. After a restart or a change of the leader, what
//! is left is an orphan, which is counted and never deleted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::reconcile_state::ReconcileState;
use crate::api::FINALIZER;
use crate::model::names::Owner;
use crate::model::stored::PolicyObject;

/// See the [module](self).
#[derive(Default)]
pub struct Removed {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// By name: an object that was created again may be gone as well.
    objects: BTreeMap<Owner, Vec<Entry>>,
    /// Cleaned up since the controller asked last.
    cleaned_up: Vec<Arc<PolicyObject>>,
}

struct Entry {
    object: Arc<PolicyObject>,
    state: Option<Box<ReconcileState>>,
}

impl Removed {
    /// Adds an object, with what is known of it between two reconciles. From now on it counts as being deleted.
    pub fn add(&self, last: &PolicyObject, state: Option<Box<ReconcileState>>) {
        tracing::info!(
            object = %last.key(),
            "object was removed before its AWS resources were cleaned up; cleaning up by its deletion policy"
        );
        let mut object = last.clone();
        let now = || Time(jiff::Timestamp::now());
        object.metadata.deletion_timestamp.get_or_insert_with(now);
        if !object.has_finalizer() {
            object.metadata.finalizers.get_or_insert_default().push(FINALIZER.to_owned());
        }
        let entry = Entry { object: Arc::new(object), state };
        self.lock().objects.entry(last.key()).or_default().push(entry);
    }

    /// The objects of this name.
    pub fn of(&self, key: &Owner) -> Vec<Arc<PolicyObject>> {
        self.lock().objects.get(key).into_iter().flatten().map(|entry| entry.object.clone()).collect()
    }

    /// True if an object of this name is to be cleaned up.
    pub fn has(&self, key: &Owner) -> bool {
        self.lock().objects.contains_key(key)
    }

    /// True if this very object is to be cleaned up.
    pub fn contains(&self, object: &PolicyObject) -> bool {
        self.of(&object.key()).iter().any(|known| known.uid() == object.uid())
    }

    /// All objects.
    pub fn all(&self) -> Vec<Arc<PolicyObject>> {
        self.lock().objects.values().flatten().map(|entry| entry.object.clone()).collect()
    }

    /// Takes out what is known of an object between two reconciles.
    pub fn take_state(&self, object: &PolicyObject) -> Option<Box<ReconcileState>> {
        self.lock().entry(object)?.state.take()
    }

    /// Puts it back.
    pub fn put_state(&self, object: &PolicyObject, state: Box<ReconcileState>) {
        if let Some(entry) = self.lock().entry(object) {
            entry.state = Some(state);
        }
    }

    /// Notes that nothing more is to be done for an object.
    pub fn done(&self, object: &Arc<PolicyObject>) {
        let (mut inner, key) = (self.lock(), object.key());
        let Some(entries) = inner.objects.get_mut(&key) else { return };
        entries.retain(|entry| entry.object.uid() != object.uid());
        if entries.is_empty() {
            inner.objects.remove(&key);
        }
        inner.cleaned_up.push(object.clone());
    }

    /// The objects that were cleaned up since the last call.
    pub fn take_cleaned_up(&self) -> Vec<Arc<PolicyObject>> {
        std::mem::take(&mut self.lock().cleaned_up)
    }

    /// Forgets all: another replica leads, and this one cannot know what it does.
    pub fn clear(&self) {
        *self.lock() = Inner::default();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn entry(&mut self, object: &PolicyObject) -> Option<&mut Entry> {
        self.objects.get_mut(&object.key())?.iter_mut().find(|entry| entry.object.uid() == object.uid())
    }
}
