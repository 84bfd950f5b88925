//! The rate limit of one AWS account: the calls per second that all its objects share.
//!
//! IAM throttles per account, so every call to AWS, retries included, first waits here. The rate is halved when AWS
//! throttles, and recovers slowly. Waiters are served in order of arrival, but background calls form a line of
//! their own, and only the first of them joins the others. Fairness between objects and namespaces is the workqueue's
//! task.

mod bucket;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use bucket::Bucket;

/// A waiter notices a raised rate within this time.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Reads and writes have separate limits, as in AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// `Get…`, `List…`.
    Read,
    /// Everything else.
    Write,
}

/// Whether a user waits for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// A user waits: an object was created, changed or deleted.
    Interactive,
    /// No user waits: resyncs and sweeps.
    Background,
}

/// Calls per second, as configured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// For [`CallKind::Read`].
    pub reads_per_second: f64,
    /// For [`CallKind::Write`].
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

/// The rate limit of one account; clones share it.
#[derive(Clone, Debug)]
pub struct RateLimit(Arc<[Limit; 2]>);

impl RateLimit {
    /// Both buckets are full. Invalid rates (zero, negative, not a number) become one call in 100 s.
    pub fn new(rates: Rates) -> Self {
        Self(Arc::new([CallKind::Read, CallKind::Write].map(|kind| Limit::new(rates.of(kind)))))
    }

    /// Waits until one call may be made, and returns how long it waited. Dropping the future takes no token.
    pub async fn acquire(&self, kind: CallKind, urgency: Urgency) -> Duration {
        let asked = Instant::now();
        let limit = self.limit(kind);
        let _background = match urgency {
            Urgency::Background => Some(limit.background.lock().await),
            Urgency::Interactive => None,
        };
        let _turn = limit.turn.lock().await;
        loop {
            let wait = {
                let now = limit.start.elapsed();
                let mut bucket = limit.bucket();
                if bucket.take(now) {
                    return asked.elapsed();
                }
                bucket.next_at(now).saturating_sub(now)
            };
            tokio::time::sleep(wait.min(LONGEST_SLEEP)).await;
        }
    }

    /// AWS throttled a call: halves the rate, at most once per second.
    pub fn throttled(&self, kind: CallKind) {
        let limit = self.limit(kind);
        limit.bucket().throttled(limit.start.elapsed());
    }

    /// The current rate, in calls per second.
    pub fn rate(&self, kind: CallKind) -> f64 {
        let limit = self.limit(kind);
        limit.bucket().rate(limit.start.elapsed())
    }

    /// Changes the configured rates.
    pub fn set_rates(&self, rates: Rates) {
        for kind in [CallKind::Read, CallKind::Write] {
            let limit = self.limit(kind);
            limit.bucket().configure(rates.of(kind), limit.start.elapsed());
        }
    }

    fn limit(&self, kind: CallKind) -> &Limit {
        &self.0[kind as usize]
    }
}

/// The limit of one kind of call.
#[derive(Debug)]
struct Limit {
    /// Origin of the bucket's clock.
    start: Instant,
    bucket: Mutex<Bucket>,
    /// Held by the waiter that takes the next token. Tokio's mutex is fair: first in, first out.
    turn: tokio::sync::Mutex<()>,
    /// Held by the first of the background calls.
    background: tokio::sync::Mutex<()>,
}

impl Limit {
    fn new(rate: f64) -> Self {
        Self {
            start: Instant::now(),
            bucket: Mutex::new(Bucket::new(rate, Duration::ZERO)),
            turn: tokio::sync::Mutex::default(),
            background: tokio::sync::Mutex::default(),
        }
    }

    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        // No code under the lock can panic.
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
