//! The budget of one AWS account: how many calls a second all its objects together may make.
//!
//! IAM throttles by account, so every call to AWS, retries included, first asks here. The rates fall at once when
//! AWS throttles and recover slowly; who waits is served by urgency and in turn, so that a busy namespace costs its
//! neighbours nothing. Memory grows with the number of waiters only.

mod bucket;
mod queue;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use bucket::Bucket;
use queue::{Queue, Ticket};

/// AWS counts calls that read and calls that change apart, and so do we.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// `Get…`, `List…`.
    Read,
    /// Everything else.
    Write,
}

/// Calls a second, as configured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Of [`CallKind::Read`].
    pub reads_per_second: f64,
    /// Of [`CallKind::Write`].
    pub writes_per_second: f64,
}

impl Rates {
    fn of(self, kind: CallKind) -> f64 {
        match kind {
            CallKind::Read => self.reads_per_second,
            CallKind::Write => self.writes_per_second,
        }
    }
}

/// How urgent a call is; the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Somebody waits for an object to go.
    Deletion,
    /// Somebody changed an object.
    Change,
    /// Nobody waits: checks for drift, scans.
    Periodic,
}

/// For whom a call is made. For calls of the account itself (scans) any name will do, for example the account's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    /// Namespaces of one class take turns.
    pub namespace: Arc<str>,
    /// Objects of one namespace take turns.
    pub object: Arc<str>,
    /// Class of the call.
    pub priority: Priority,
}

/// The budget of one account; clones share it.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Lanes>);

#[derive(Debug)]
struct Lanes {
    read: Arc<Lane>,
    write: Arc<Lane>,
}

impl Budget {
    /// Both buckets full. Rates that make no sense (zero, negative, not a number) become one call in 100 s.
    pub fn new(rates: Rates) -> Self {
        let lane = |kind| Arc::new(Lane::new(rates.of(kind)));
        Self(Arc::new(Lanes { read: lane(CallKind::Read), write: lane(CallKind::Write) }))
    }

    /// Waits until the caller may make one call, and returns how long that took.
    ///
    /// Dropping the future gives the place in the queue, or the token, back. Needs a Tokio runtime.
    pub async fn acquire(&self, kind: CallKind, caller: &Caller) -> Duration {
        let asked = Instant::now();
        let mut place = Lane::enter(self.lane(kind), caller);
        // The sender sits in the queue, which `place` keeps alive; it goes only by being used.
        place.served = (&mut place.turn).await.is_ok();
        asked.elapsed()
    }

    /// To be called when AWS answered that calls come too fast: halves the rate, at most once a second.
    pub fn throttled(&self, kind: CallKind) {
        let lane = self.lane(kind);
        lane.lock().bucket.throttled(lane.now());
    }

    /// Calls a second that are allowed at present.
    pub fn rate(&self, kind: CallKind) -> f64 {
        let lane = self.lane(kind);
        lane.lock().bucket.rate(lane.now())
    }

    /// Changes the configured rates; waiters profit at once.
    pub fn set_rates(&self, rates: Rates) {
        for kind in [CallKind::Read, CallKind::Write] {
            let lane = self.lane(kind);
            lane.lock().bucket.configure(rates.of(kind), lane.now());
            lane.changed.notify_one();
        }
    }

    fn lane(&self, kind: CallKind) -> &Arc<Lane> {
        match kind {
            CallKind::Read => &self.0.read,
            CallKind::Write => &self.0.write,
        }
    }
}

/// One kind of call: its tokens, its waiters, and a task that brings them together while somebody waits.
#[derive(Debug)]
struct Lane {
    /// Zero of the bucket's time.
    start: Instant,
    state: Mutex<State>,
    /// Tokens may be there earlier than the task expects.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    bucket: Bucket,
    queue: Queue<oneshot::Sender<()>>,
    /// A task is serving the queue.
    served: bool,
}

impl Lane {
    fn new(rate: f64) -> Self {
        let state = State { bucket: Bucket::new(rate, Duration::ZERO), queue: Queue::default(), served: false };
        Self { start: Instant::now(), state: Mutex::new(state), changed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock, and a half-done change would cost a token at most.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Queues up, is served at once if it can be, and otherwise makes sure that a task serves the queue.
    fn enter(lane: &Arc<Self>, caller: &Caller) -> Place {
        let (sender, turn) = oneshot::channel();
        let mut state = lane.lock();
        let ticket = state.queue.push(caller, sender);
        let next = state.serve(lane.now());
        let start = next.is_some() && !state.served;
        state.served |= start;
        drop(state);
        if start {
            tokio::spawn(Self::serve_queue(Serving { lane: lane.clone(), done: false }));
        }
        Place { lane: lane.clone(), ticket, turn, served: false }
    }

    async fn serve_queue(mut serving: Serving) {
        let lane = serving.lane.clone();
        loop {
            let next = {
                let mut state = lane.lock();
                let Some(next) = state.serve(lane.now()) else {
                    // Under the same lock as the look at the queue: whoever comes next starts a task.
                    state.served = false;
                    serving.done = true;
                    return;
                };
                next
            };
            tokio::select! {
                () = sleep_until(lane.start + next) => {}
                () = lane.changed.notified() => {}
            }
        }
    }
}

impl State {
    /// Serves waiters while there are tokens. Returns when to come back, if somebody is left.
    fn serve(&mut self, now: Duration) -> Option<Duration> {
        while !self.queue.is_empty() {
            if !self.bucket.take(now) {
                return Some(self.bucket.next_at(now));
            }
            if self.queue.pop().is_some_and(|waiter| waiter.send(()).is_err()) {
                self.bucket.give_back();
            }
        }
        None
    }
}

/// The task that serves a lane. If its runtime ends before the queue does, the next to enter starts another.
struct Serving {
    lane: Arc<Lane>,
    done: bool,
}

impl Drop for Serving {
    fn drop(&mut self) {
        if !self.done {
            self.lane.lock().served = false;
        }
    }
}

/// A place in the queue, left when dropped.
struct Place {
    lane: Arc<Lane>,
    ticket: Ticket,
    turn: oneshot::Receiver<()>,
    /// The token was used.
    served: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.served {
            return;
        }
        let mut state = self.lane.lock();
        // Not in the queue any more: its turn came and nobody took the token.
        if state.queue.remove(&self.ticket).is_none() {
            state.bucket.give_back();
            drop(state);
            self.lane.changed.notify_one();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests;
