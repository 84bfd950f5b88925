//! What to reconcile next. Pure, with an injected clock; one object is never reconciled twice at once.
//!
//! - Accounts take turns, and each has a limit of its own: a throttled account holds up no other.
//! - Within an account, deletions and changes come before resyncs.
//! - Within each of these, namespaces take turns, so that a busy namespace does not hold up its neighbours.
//! - Within a namespace, deletions come before changes.
//!
//! No class waits for ever: see `RESYNC_TURN` and `CHANGE_TURN` in `rings`.
//!
//! `kube::runtime::Controller` has neither priorities nor fairness, and one limit on concurrency for all accounts.

mod priority;
mod rings;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Excluded, Unbounded};
use std::time::Instant;

use crate::model::account_key::AccountKey;
use crate::model::names::Owner;
pub use priority::Priority;
use rings::AccountRings;

/// One slot of an account in this many is reserved for deletions and changes. Otherwise resyncs that wait for the account's
/// rate limit could hold all slots, and an edit would wait for the slowest of them.
const RESERVED_SHARE: usize = 4;

/// The workqueue.
#[derive(Debug)]
pub struct Workqueue {
    concurrency: usize,
    accounts: BTreeMap<AccountKey, AccountQueue>,
    /// Accounts take turns: the next search begins after this one.
    last_account: Option<AccountKey>,
    entries: HashMap<Owner, Entry>,
    timers: BTreeMap<(Instant, u64), Owner>,
    sequence: u64,
}

#[derive(Debug, Default)]
struct AccountQueue {
    running: usize,
    /// Resyncs among the running.
    resyncing: usize,
    ready: AccountRings,
}

#[derive(Debug)]
struct Entry {
    account: AccountKey,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Waits for its time.
    Timed { key: (Instant, u64), priority: Priority },
    /// Waits for its turn.
    Ready(Priority),
    /// Is being reconciled with this priority; then again at that time, if it was asked for meanwhile.
    Running(Priority, Option<(Instant, Priority)>),
}

impl Workqueue {
    /// At most `concurrency` objects of one account at once.
    pub fn new(concurrency: usize) -> Self {
        Self {
            concurrency: concurrency.max(1),
            accounts: BTreeMap::new(),
            last_account: None,
            entries: HashMap::new(),
            timers: BTreeMap::new(),
            sequence: 0,
        }
    }

    /// Asks for a reconcile of the object, at `at` or earlier.
    pub fn add(&mut self, object: &Owner, account: &AccountKey, at: Instant, priority: Priority) {
        let Some(entry) = self.entries.get_mut(object) else {
            self.insert(object, account.clone(), at, priority);
            return;
        };
        match &mut entry.state {
            State::Running(_, again) => {
                *again = Some(again.map_or((at, priority), |(time, other)| (time.min(at), other.min(priority))));
            }
            State::Ready(waiting) if *waiting <= priority => {}
            State::Ready(_) => {
                // It is due already: only its urgency changes.
                self.take_out(object);
                self.ready(object.clone(), account.clone(), priority);
            }
            State::Timed { key, priority: waiting } => {
                let (at, priority) = (at.min(key.0), priority.min(*waiting));
                self.take_out(object);
                self.insert(object, account.clone(), at, priority);
            }
        }
    }

    /// Forgets an object, unless it is being reconciled.
    pub fn remove(&mut self, object: &Owner) {
        match self.entries.get_mut(object).map(|entry| &mut entry.state) {
            Some(State::Running(_, again)) => *again = None,
            Some(_) => self.take_out(object),
            None => {}
        }
    }

    /// The next object whose time and turn has come. It counts as running from now on.
    pub fn pop(&mut self, now: Instant) -> Option<(Owner, Priority)> {
        self.wake(now);
        let account = self.next_account()?;
        let max_resyncs = self.max_resyncs();
        let queue = self.accounts.get_mut(&account)?;
        let (object, priority) = queue.ready.pop(queue.resyncing < max_resyncs)?;
        queue.running += 1;
        queue.resyncing += usize::from(priority == Priority::Resync);
        self.last_account = Some(account);
        self.entries.get_mut(&object)?.state = State::Running(priority, None);
        Some((object, priority))
    }

    /// An object has been reconciled; `again` says when to reconcile it again, if at all. A request that came meanwhile
    /// is not lost.
    pub fn done(&mut self, object: &Owner, again: Option<(Instant, Priority)>) {
        let Some(Entry { account, state }) = self.entries.remove(object) else {
            return;
        };
        if let State::Running(priority, asked) = state {
            let next = match (asked, again) {
                (Some((at, priority)), Some((later, other))) => Some((at.min(later), priority.min(other))),
                (asked, again) => asked.or(again),
            };
            self.leave(&account, priority);
            if let Some((at, priority)) = next {
                self.insert(object, account, at, priority);
            }
        }
    }

    /// When the next timer fires.
    pub fn next_timer(&self) -> Option<Instant> {
        self.timers.keys().next().map(|(at, _)| *at)
    }

    /// How many objects are being reconciled.
    pub fn running(&self) -> usize {
        self.accounts.values().map(|account| account.running).sum()
    }

    /// True if the object is neither waiting nor being reconciled.
    pub fn is_idle(&self, object: &Owner) -> bool {
        !self.entries.contains_key(object)
    }

    fn insert(&mut self, object: &Owner, account: AccountKey, at: Instant, priority: Priority) {
        self.sequence += 1;
        let key = (at, self.sequence);
        self.timers.insert(key, object.clone());
        self.entries.insert(object.clone(), Entry { account, state: State::Timed { key, priority } });
    }

    fn ready(&mut self, object: Owner, account: AccountKey, priority: Priority) {
        self.accounts.entry(account.clone()).or_default().ready.push(object.clone(), priority);
        self.entries.insert(object, Entry { account, state: State::Ready(priority) });
    }

    fn take_out(&mut self, object: &Owner) {
        let Some(Entry { account, state }) = self.entries.remove(object) else {
            return;
        };
        match state {
            State::Timed { key, .. } => {
                self.timers.remove(&key);
            }
            State::Ready(priority) => {
                if let Some(queue) = self.accounts.get_mut(&account) {
                    queue.ready.remove(object, priority);
                }
                self.remove_if_idle(&account);
            }
            State::Running(..) => {}
        }
    }

    /// How many slots of an account resyncs may hold.
    fn max_resyncs(&self) -> usize {
        (self.concurrency - self.concurrency / RESERVED_SHARE).max(1)
    }

    /// Moves every object whose time has come to the queue of its account.
    fn wake(&mut self, now: Instant) {
        while let Some(first) = self.timers.first_entry() {
            if first.key().0 > now {
                break;
            }
            let object = first.remove();
            if let Some(Entry { account, state: State::Timed { priority, .. } }) = self.entries.remove(&object) {
                self.ready(object, account, priority);
            }
        }
    }

    fn next_account(&self) -> Option<AccountKey> {
        let max_resyncs = self.max_resyncs();
        let has_next = |(key, account): (&AccountKey, &AccountQueue)| {
            let open = account.running < self.concurrency && account.ready.has_next(account.resyncing < max_resyncs);
            open.then(|| key.clone())
        };
        let after = self
            .last_account
            .as_ref()
            .and_then(|last| self.accounts.range((Excluded(last.clone()), Unbounded)).find_map(has_next));
        after.or_else(|| self.accounts.iter().find_map(has_next))
    }

    fn leave(&mut self, key: &AccountKey, priority: Priority) {
        if let Some(account) = self.accounts.get_mut(key) {
            account.running = account.running.saturating_sub(1);
            account.resyncing = account.resyncing.saturating_sub(usize::from(priority == Priority::Resync));
        }
        self.remove_if_idle(key);
    }

    fn remove_if_idle(&mut self, key: &AccountKey) {
        if self.accounts.get(key).is_some_and(|queue| queue.running == 0 && queue.ready.is_empty()) {
            self.accounts.remove(key);
        }
    }
}
