//! What is kept of an object between its reconciles. It saves reads, and tells IAM's lag from absence. Losing it costs
//! one full read.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::outputs::Outputs;
use crate::model::documents::meaning::Fingerprint;
use crate::model::names::Owner;
use crate::model::stored::PolicyObject;
use crate::pipeline::observe::KnownVersions;
use crate::pipeline::plan::Part;

/// The annotation `reconcile-at` is honoured at most this often for one object.
pub const RECONCILE_AT_PAUSE: Duration = Duration::from_secs(10);

/// The reconcile states of all objects.
#[derive(Default)]
pub struct ReconcileStates {
    states: Mutex<HashMap<Owner, Box<ReconcileState>>>,
    /// The last `reconcile-at` that was honoured, and when. Apart from the states, because the controller asks for it
    /// while an object is being reconciled.
    reconcile_at: Mutex<HashMap<Owner, (String, Instant)>>,
    /// What `spec.outputs` has published. Apart for the same reason.
    pub outputs: Outputs,
}

/// What is kept of one object.
#[derive(Clone, Debug, Default)]
pub struct ReconcileState {
    uid: String,
    /// Fingerprints of the policy's versions.
    pub versions: KnownVersions,
    /// When AWS was last seen, or made, to be as the spec says.
    pub last_in_sync: Option<Instant>,
    /// When something was last written to AWS for the object.
    pub last_write: Option<Instant>,
    /// When a `CreatePolicy` may have taken effect.
    pub policy_created: Option<Instant>,
    /// When a `CreateRole` may have taken effect.
    pub role_created: Option<Instant>,
    /// Since when IAM says that a name is taken and shows nothing under it.
    pub already_exists_since: Option<Instant>,
    /// Since when IAM does not find what a write is about.
    pub not_found_since: Option<Instant>,
    /// The policy was seen while the object was being deleted.
    pub policy_seen: bool,
    /// The role was seen while the object was being deleted.
    pub role_seen: bool,
    /// Failures in a row.
    pub failures: u32,
    failed_generation: i64,
}

impl ReconcileStates {
    /// Takes an object's state out: only one reconcile of an object runs at a time.
    ///
    /// `process_started`: a create may have happened right before the process that made it ended.
    pub fn take(&self, object: &PolicyObject, process_started: Instant) -> Box<ReconcileState> {
        self.take_known(object).unwrap_or_else(|| Box::new(ReconcileState::first(object, process_started)))
    }

    /// The same, if anything is known of the object. What is known of another one of that name stays.
    pub fn take_known(&self, object: &PolicyObject) -> Option<Box<ReconcileState>> {
        let (mut states, key) = (self.lock(), object.key());
        let same = states.get(&key).is_some_and(|state| state.uid == object.uid());
        if same { states.remove(&key) } else { None }
    }

    /// Puts the state back.
    pub fn put(&self, key: &Owner, state: Box<ReconcileState>) {
        self.lock().insert(key.clone(), state);
    }

    /// True if this version of the policy is known to say what is wanted.
    pub fn knows_version(&self, key: &Owner, policy_id: &str, version: &str, wanted: Fingerprint) -> bool {
        self.lock().get(key).is_some_and(|state| state.versions.has(policy_id, version, wanted))
    }

    /// When the operator last wrote to AWS for an object; `None`: never, as far as is known.
    pub fn last_write(&self, key: &Owner) -> Option<Instant> {
        self.lock().get(key).and_then(|state| state.last_write)
    }

    /// True if this process has reconciled the object, and so has set its next resync.
    pub fn has(&self, key: &Owner) -> bool {
        self.lock().contains_key(key)
    }

    /// Notes that a sweep saw these objects in sync.
    pub fn in_sync<'a>(&self, keys: impl IntoIterator<Item = &'a Owner>, at: Instant) {
        let mut states = self.lock();
        for key in keys {
            if let Some(state) = states.get_mut(key) {
                state.last_in_sync = state.last_in_sync.max(Some(at));
            }
        }
    }

    /// Forgets an object that is gone.
    pub fn remove(&self, key: &Owner) {
        self.lock().remove(key);
        self.lock_reconcile_at().remove(key);
        self.outputs.forget(key);
    }

    /// When the annotation `reconcile-at` may be honoured; `None`: its value is not new.
    pub fn reconcile_at_due(&self, object: &PolicyObject) -> Option<Instant> {
        let value = object.reconcile_at()?;
        match self.lock_reconcile_at().get(&object.key()) {
            Some((known, _)) if known == value => None,
            Some((_, at)) => Some(*at + RECONCILE_AT_PAUSE),
            None => Some(Instant::now()),
        }
    }

    /// Notes that this value of `reconcile-at` is honoured now; returns true if it is a new one.
    pub fn honour_reconcile_at(&self, key: &Owner, value: &str) -> bool {
        let mut honoured = self.lock_reconcile_at();
        let new = honoured.get(key).is_none_or(|(known, _)| known != value);
        if new {
            honoured.insert(key.clone(), (value.to_owned(), Instant::now()));
        }
        new
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Owner, Box<ReconcileState>>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_reconcile_at(&self) -> MutexGuard<'_, HashMap<Owner, (String, Instant)>> {
        self.reconcile_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReconcileState {
    fn first(object: &PolicyObject, process_started: Instant) -> Self {
        let hint = object.status.policy.as_ref().and_then(|policy| {
            let fingerprint = Fingerprint::from_hex(policy.document_sha256.as_ref()?)?;
            Some(KnownVersions::from_status(policy.id.as_ref()?, policy.version_id.as_ref()?, fingerprint))
        });
        // An object with our finalizer was reconciled before: a create may have happened just before this process
        // started.
        let created = object.has_finalizer().then_some(process_started);
        Self {
            uid: object.uid().to_owned(),
            versions: hint.unwrap_or_default(),
            role_created: created,
            policy_created: created.filter(|_| object.status.policy.is_some() || object.status.role.is_none()),
            ..Self::default()
        }
    }

    /// Counts a failure. A new generation starts at one.
    pub fn failed(&mut self, generation: i64) {
        if self.failed_generation != generation {
            self.failures = 0;
            self.failed_generation = generation;
        }
        self.failures = self.failures.saturating_add(1);
    }

    /// A reconcile was asked for: nothing is skipped.
    pub fn reconcile_requested(&mut self) {
        self.failures = 0;
    }

    /// When the create call of this part may have taken effect.
    pub fn created(&mut self, part: Part) -> &mut Option<Instant> {
        match part {
            Part::Policy => &mut self.policy_created,
            Part::Role => &mut self.role_created,
        }
    }
}
