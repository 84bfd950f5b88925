//! What is remembered of an object between looks. It saves reads and tells lag from absence; losing it costs a look.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::model::documents::meaning::Fingerprint;
use crate::model::names::Owner;
use crate::model::object::Object;
use crate::operator::outputs::Published;
use crate::pipeline::observe::VersionMemory;
use crate::pipeline::plan::Part;

/// The annotation `reconcile-at` is honoured at most this often for one object.
pub const RECONCILE_AT_PAUSE: Duration = Duration::from_secs(10);

/// Memories of all objects.
#[derive(Default)]
pub struct Memories {
    of: Mutex<HashMap<Owner, Box<Memory>>>,
    /// The last `reconcile-at` that was honoured, and when: asked for also while the object is at work and its memory
    /// is out.
    honoured: Mutex<HashMap<Owner, (String, Instant)>>,
    /// Its key is this process's own: nobody can make what looks like something else.
    hasher: RandomState,
}

/// What an account scan shows of a part of an object, and all else that its verdict depends on, hashed: eight bytes an
/// object and part, so that the next scan needs not work out what must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shown(NonZeroU64);

/// What is remembered of one object.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    uid: String,
    /// Fingerprints of the policy's versions.
    pub versions: VersionMemory,
    /// When AWS was last seen, or made, to be as the spec says.
    pub last_good_look: Option<Instant>,
    /// When something was last written to AWS for it.
    pub last_write: Option<Instant>,
    /// When a `CreatePolicy` may have taken effect.
    pub policy_created: Option<Instant>,
    /// When a `CreateRole` may have taken effect.
    pub role_created: Option<Instant>,
    /// Since when IAM says that a name is taken and shows nothing under it.
    pub clash_since: Option<Instant>,
    /// Since when IAM does not find what a write is about.
    pub not_found_since: Option<Instant>,
    /// When the object being deleted was first not found in AWS.
    pub absent_since: Option<Instant>,
    /// The policy was seen while the object was being deleted.
    pub policy_seen: bool,
    /// The role was seen while the object was being deleted.
    pub role_seen: bool,
    /// What `spec.outputs` has published.
    pub outputs: Option<Box<Published>>,
    /// What account scans showed of the policy and of the role when they were as the spec says.
    right: [Option<Shown>; 2],
    /// Failures in a row.
    pub failures: u32,
    failed_generation: i64,
}

impl Memories {
    /// Takes an object's memory out; there is only ever one reconcile of it.
    ///
    /// `process_began`: a create may have happened right before the process that made it ended.
    pub(super) fn take(&self, object: &Object, process_began: Instant) -> Box<Memory> {
        let known = self.of.lock().unwrap_or_else(PoisonError::into_inner).remove(&object.key());
        known
            .filter(|memory| memory.uid == object.uid())
            .unwrap_or_else(|| Box::new(Memory::first(object, process_began)))
    }

    /// Puts it back.
    pub(super) fn put(&self, key: &Owner, memory: Box<Memory>) {
        self.of.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), memory);
    }

    /// Does an account scan show the policy as it was last seen to be right?
    pub fn knows_version(&self, key: &Owner, policy_id: &str, version: &str, wanted: Fingerprint) -> bool {
        let memories = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        memories.get(key).is_some_and(|memory| memory.versions.says(policy_id, version, wanted))
    }

    /// What an account scan shows of a part of an object, to be compared with what other scans show of it.
    pub fn shown(&self, what: impl Hash) -> Shown {
        Shown(NonZeroU64::new(self.hasher.hash_one(what)).unwrap_or(NonZeroU64::MIN))
    }

    /// Did a scan show this part just so when it was as the spec says?
    pub fn knows_right(&self, key: &Owner, part: Part, shown: Shown) -> bool {
        let memories = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        memories.get(key).is_some_and(|memory| memory.right[part as usize] == Some(shown))
    }

    /// A scan showed this part just so, and it is as the spec says.
    pub fn remember_right(&self, key: &Owner, part: Part, shown: Shown) {
        let mut memories = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(memory) = memories.get_mut(key) {
            memory.right[part as usize] = Some(shown);
        }
    }

    /// When the operator last wrote to AWS for an object; `None`: never, as far as is known.
    pub fn last_write(&self, key: &Owner) -> Option<Instant> {
        let memories = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        memories.get(key).and_then(|memory| memory.last_write)
    }

    /// Has this process looked at an object (and so decided when to look again)?
    pub fn has_looked(&self, key: &Owner) -> bool {
        self.of.lock().unwrap_or_else(PoisonError::into_inner).contains_key(key)
    }

    /// An account scan saw these objects in sync.
    pub fn seen_in_sync<'a>(&self, keys: impl IntoIterator<Item = &'a Owner>, at: Instant) {
        let mut memories = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            if let Some(memory) = memories.get_mut(key) {
                memory.last_good_look = memory.last_good_look.max(Some(at));
            }
        }
    }

    /// The object is gone.
    pub fn forget(&self, key: &Owner) {
        self.of.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        self.honoured.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// When the annotation `reconcile-at`, if its value is new, may be honoured; `None`: it is not new.
    pub fn reconcile_at_due(&self, object: &Object) -> Option<Instant> {
        let value = object.reconcile_at()?;
        let honoured = self.honoured.lock().unwrap_or_else(PoisonError::into_inner);
        match honoured.get(&object.key()) {
            Some((known, _)) if known == value => None,
            Some((_, at)) => Some(*at + RECONCILE_AT_PAUSE),
            None => Some(Instant::now()),
        }
    }

    /// The object is looked at: this value of `reconcile-at` has been honoured. Is it a new one?
    pub(super) fn honour_reconcile_at(&self, key: &Owner, value: &str) -> bool {
        let mut honoured = self.honoured.lock().unwrap_or_else(PoisonError::into_inner);
        let new = honoured.get(key).is_none_or(|(known, _)| known != value);
        if new {
            honoured.insert(key.clone(), (value.to_owned(), Instant::now()));
        }
        new
    }
}

impl Memory {
    fn first(object: &Object, process_began: Instant) -> Self {
        let hinted = object.status.policy.as_ref().and_then(|policy| {
            let print = Fingerprint::from_hex(policy.document_sha256.as_ref()?)?;
            Some(VersionMemory::hinted(policy.id.as_ref()?, policy.version_id.as_ref()?, print))
        });
        // An object with our finalizer was at work before: a create may have happened just before this process began.
        let created = object.has_finalizer().then_some(process_began);
        Self {
            uid: object.uid().to_owned(),
            versions: hinted.unwrap_or_default(),
            role_created: created,
            policy_created: created.filter(|_| object.status.policy.is_some() || object.status.role.is_none()),
            ..Self::default()
        }
    }

    /// A failure; the first of a new generation counts from one again.
    pub(super) fn failed(&mut self, generation: i64) {
        if self.failed_generation != generation {
            self.failures = 0;
            self.failed_generation = generation;
        }
        self.failures = self.failures.saturating_add(1);
    }

    /// Somebody asked for a look: everything is looked at.
    pub(super) fn asked(&mut self) {
        self.outputs = None;
        self.failures = 0;
    }

    /// A create of this part is about to be sent.
    pub(super) fn creating(&mut self, part: Part) {
        *self.created(part) = Some(Instant::now());
    }

    /// AWS answered that it did not create this part.
    pub(super) fn not_created(&mut self, part: Part, before: Option<Instant>) {
        *self.created(part) = before;
    }

    pub(super) fn created(&mut self, part: Part) -> &mut Option<Instant> {
        match part {
            Part::Policy => &mut self.policy_created,
            Part::Role => &mut self.role_created,
        }
    }
}
