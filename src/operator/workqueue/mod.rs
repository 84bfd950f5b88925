//! What to reconcile next: fair between accounts, namespaces and objects, urgent work first. Pure, with an injected
//! clock; one object is never reconciled twice at once.
//!
//! Why not `kube::runtime::Controller`: its queue knows neither priority nor fairness, and one limit on concurrency for
//! all would let a throttled account hold the places of every other.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::aws::rate_limit::Priority;
use crate::model::names::Owner;

const CLASSES: usize = 3;
/// Every so many objects of a lane, a periodic one goes first, so that urgent work never starves it.
const PERIODIC_TURN: u32 = 8;
/// One in so many places of a lane is not for periodic looks: those that wait for their account's budget would hold
/// them all, and an edit would wait for the slowest.
const KEPT_FREE: usize = 4;

/// The account whose turn and limit an object counts against: the name of its `AwsAccount`.
pub type Lane = Option<String>;

/// The queue.
#[derive(Debug)]
pub struct Queue {
    concurrency: usize,
    lanes: BTreeMap<Lane, LaneState>,
    /// Lanes take turns: where the next search begins.
    last_lane: Option<Lane>,
    entries: HashMap<Owner, Entry>,
    timers: BTreeMap<(Instant, u64), Owner>,
    sequence: u64,
}

#[derive(Debug, Default)]
struct LaneState {
    running: usize,
    /// Of these, periodic looks.
    looking: usize,
    turn: u32,
    classes: [Round; CLASSES],
}

/// Namespaces take turns, and objects within a namespace.
#[derive(Debug, Default)]
struct Round {
    namespaces: VecDeque<Arc<str>>,
    objects: HashMap<Arc<str>, VecDeque<Owner>>,
}

#[derive(Debug)]
struct Entry {
    lane: Lane,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Waits for its time.
    Timed { key: (Instant, u64), priority: Priority },
    /// Waits for its turn.
    Ready(Priority),
    /// Is being reconciled in this class; then at that time again, if anybody asked meanwhile.
    Running(Priority, Option<(Instant, Priority)>),
}

impl Queue {
    /// At most `concurrency` objects of one lane at once.
    pub fn new(concurrency: usize) -> Self {
        Self {
            concurrency: concurrency.max(1),
            lanes: BTreeMap::new(),
            last_lane: None,
            entries: HashMap::new(),
            timers: BTreeMap::new(),
            sequence: 0,
        }
    }

    /// Asks for an object to be looked at, at `at` or earlier.
    pub fn add(&mut self, object: &Owner, lane: &Lane, at: Instant, priority: Priority) {
        let Some(entry) = self.entries.get_mut(object) else {
            self.insert(object, lane.clone(), at, priority);
            return;
        };
        match &mut entry.state {
            State::Running(_, again) => {
                *again = Some(again.map_or((at, priority), |(time, other)| (time.min(at), other.min(priority))));
            }
            State::Ready(waiting) if *waiting <= priority => {}
            State::Ready(_) => {
                self.take_out(object);
                self.insert(object, lane.clone(), at, priority);
            }
            State::Timed { key, priority: waiting } => {
                let (at, priority) = (at.min(key.0), priority.min(*waiting));
                self.take_out(object);
                self.insert(object, lane.clone(), at, priority);
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

    /// The next object whose time and turn has come, now counted as running.
    pub fn pop(&mut self, now: Instant) -> Option<(Owner, Priority)> {
        self.wake(now);
        let lane = self.next_lane()?;
        let most_looks = self.most_looks();
        let state = self.lanes.get_mut(&lane)?;
        let (object, priority) = state.pop(most_looks)?;
        state.running += 1;
        state.looking += usize::from(priority == Priority::Periodic);
        self.last_lane = Some(lane);
        self.entries.get_mut(&object)?.state = State::Running(priority, None);
        Some((object, priority))
    }

    /// An object has been reconciled; `again` says when to look again, if at all. A request that came meanwhile is
    /// not lost.
    pub fn done(&mut self, object: &Owner, again: Option<(Instant, Priority)>) {
        let Some(Entry { lane, state }) = self.entries.remove(object) else {
            return;
        };
        if let State::Running(class, asked) = state {
            let next = match (asked, again) {
                (Some((at, priority)), Some((later, other))) => Some((at.min(later), priority.min(other))),
                (asked, again) => asked.or(again),
            };
            self.leave(&lane, class);
            if let Some((at, priority)) = next {
                self.insert(object, lane, at, priority);
            }
        }
    }

    /// When the next timer goes off.
    pub fn next_timer(&self) -> Option<Instant> {
        self.timers.keys().next().map(|(at, _)| *at)
    }

    /// How many objects are being reconciled.
    pub fn running(&self) -> usize {
        self.lanes.values().map(|lane| lane.running).sum()
    }

    /// Nothing of an object is waiting or running.
    pub fn is_idle(&self, object: &Owner) -> bool {
        !self.entries.contains_key(object)
    }

    fn insert(&mut self, object: &Owner, lane: Lane, at: Instant, priority: Priority) {
        self.sequence += 1;
        let key = (at, self.sequence);
        self.timers.insert(key, object.clone());
        self.entries.insert(object.clone(), Entry { lane, state: State::Timed { key, priority } });
    }

    fn take_out(&mut self, object: &Owner) {
        let Some(Entry { lane, state }) = self.entries.remove(object) else {
            return;
        };
        match state {
            State::Timed { key, .. } => {
                self.timers.remove(&key);
            }
            State::Ready(priority) => {
                if let Some(lane) = self.lanes.get_mut(&lane) {
                    lane.classes[priority as usize].remove(object);
                }
            }
            State::Running(..) => {}
        }
    }

    /// How many places of a lane periodic looks may hold.
    fn most_looks(&self) -> usize {
        (self.concurrency - self.concurrency / KEPT_FREE).max(1)
    }

    /// Moves everything whose time has come to its lane.
    fn wake(&mut self, now: Instant) {
        while let Some(first) = self.timers.first_entry() {
            if first.key().0 > now {
                break;
            }
            let object = first.remove();
            let Some(entry) = self.entries.get_mut(&object) else {
                continue;
            };
            let State::Timed { priority, .. } = entry.state else {
                continue;
            };
            entry.state = State::Ready(priority);
            self.lanes.entry(entry.lane.clone()).or_default().classes[priority as usize].push(object);
        }
    }

    fn next_lane(&self) -> Option<Lane> {
        let most_looks = self.most_looks();
        let open = |(lane, state): (&Lane, &LaneState)| {
            (state.running < self.concurrency && state.has_next(most_looks)).then(|| lane.clone())
        };
        let after = self.last_lane.as_ref().and_then(|last| {
            use std::ops::Bound::{Excluded, Unbounded};
            self.lanes.range((Excluded(last.clone()), Unbounded)).find_map(open)
        });
        after.or_else(|| self.lanes.iter().find_map(open))
    }

    fn leave(&mut self, lane: &Lane, class: Priority) {
        if let Some(state) = self.lanes.get_mut(lane) {
            state.running = state.running.saturating_sub(1);
            state.looking = state.looking.saturating_sub(usize::from(class == Priority::Periodic));
            if state.running == 0 && state.classes.iter().all(|round| round.namespaces.is_empty()) {
                self.lanes.remove(lane);
            }
        }
    }
}

impl LaneState {
    /// Its classes, the most urgent first; periodic looks only while they have a place.
    fn open(&self, most_looks: usize) -> &'static [Priority] {
        const ALL: [Priority; CLASSES] = [Priority::Deletion, Priority::Change, Priority::Periodic];
        if self.looking < most_looks { &ALL } else { &ALL[..CLASSES - 1] }
    }

    fn has_next(&self, most_looks: usize) -> bool {
        self.open(most_looks).iter().any(|class| !self.classes[*class as usize].namespaces.is_empty())
    }

    fn pop(&mut self, most_looks: usize) -> Option<(Owner, Priority)> {
        self.turn = self.turn.wrapping_add(1);
        let open = self.open(most_looks);
        let periodic_first = self.turn.is_multiple_of(PERIODIC_TURN) && open.contains(&Priority::Periodic);
        let first = periodic_first.then_some(&Priority::Periodic);
        first.into_iter().chain(open).find_map(|class| Some((self.classes[*class as usize].pop()?, *class)))
    }
}

impl Round {
    fn push(&mut self, object: Owner) {
        let waiting = self.objects.entry(object.namespace.clone()).or_default();
        if waiting.is_empty() {
            self.namespaces.push_back(object.namespace.clone());
        }
        waiting.push_back(object);
    }

    fn pop(&mut self) -> Option<Owner> {
        let namespace = self.namespaces.pop_front()?;
        let waiting = self.objects.get_mut(&namespace)?;
        let object = waiting.pop_front();
        if waiting.is_empty() {
            self.objects.remove(&namespace);
        } else {
            self.namespaces.push_back(namespace);
        }
        object
    }

    fn remove(&mut self, object: &Owner) {
        let Some(waiting) = self.objects.get_mut(&object.namespace) else {
            return;
        };
        waiting.retain(|other| other != object);
        if waiting.is_empty() {
            self.objects.remove(&object.namespace);
            self.namespaces.retain(|namespace| *namespace != object.namespace);
        }
    }
}

/// How long until the next try after `failures` failures in a row: doubling from `first` to `most`, with up to a
/// quarter of jitter so that objects do not march in step.
pub fn backoff(failures: u32, first: Duration, most: Duration) -> Duration {
    let doubled = first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(16)));
    let limit = doubled.min(most);
    limit.mul_f64(0.75 + 0.25 * fastrand::f64())
}
