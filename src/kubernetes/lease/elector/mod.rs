//! The rules of the election, without clock, network or Kubernetes: what to do next, and the meaning of an answer.
//!
//! The caller passes every time, on a clock that runs while the machine or the process is suspended. One request is in
//! progress at a time; the caller applies a timeout to it and reports [`Answer::Failed`].

use std::collections::VecDeque;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

/// The rates of two clocks may differ by one part in this many before a successor could start too early.
const CLOCK_TOLERANCE: u32 = 64;
/// How many of our last writes are remembered, so that a Lease that one of them left is recognized as ours, even if the
/// write had no answer.
const REMEMBERED_WRITES: usize = 32;

/// The content of a Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    /// Empty: the lease is free.
    pub(super) holder: String,
    /// How long the holder may lead without a renewal.
    pub(super) duration: Duration,
    pub(super) acquired: Option<Timestamp>,
    /// Never compared with a clock: it only distinguishes our own writes from those of others.
    pub(super) renewed: Option<Timestamp>,
    pub(super) transitions: i32,
}

/// A Lease as the API server returned it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Observed {
    /// `metadata.resourceVersion`; changes with every write.
    pub(super) version: String,
    pub(super) claim: Claim,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Do nothing before this time.
    WaitUntil(Duration),
    /// Send this to the API server.
    Send(Request),
    /// Finished: released, or nothing to release.
    Done,
}

/// A request to the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Read the Lease.
    Read,
    /// Create it.
    Create(Claim),
    /// Replace this version of it.
    Replace { version: String, claim: Claim },
}

/// The result of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// [`Request::Read`] found this.
    Found(Observed),
    /// [`Request::Create`] or [`Request::Replace`] was executed.
    Written(Observed),
    /// There is no such Lease.
    Absent,
    /// Another write was faster.
    Conflict,
    /// No answer, or none that shows whether the request was executed.
    Failed,
}

/// The intervals of an election.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    pub(super) duration: Duration,
    pub(super) renew_every: Duration,
    pub(super) poll_every: Duration,
}

/// The Lease as last read, and since when it is known to be unchanged.
#[derive(Debug)]
enum Known {
    /// Absent at every read from `since` to `seen`.
    Absent {
        since: Duration,
        seen: Duration,
    },
    Present {
        observed: Observed,
        since: Duration,
        ours: bool,
    },
}

#[derive(Debug)]
struct InProgress {
    sent: Duration,
    writes: bool,
}

/// One candidate.
#[derive(Debug)]
pub(super) struct Elector {
    identity: String,
    timing: Timing,
    known: Option<Known>,
    /// `known` may be out of date: read before the next write.
    reread: bool,
    /// True until a Lease was read. Only then our identity on it means that this process replaces its holder.
    newcomer: bool,
    /// Timestamps of our writes.
    stamps: VecDeque<Timestamp>,
    held_until: Option<Duration>,
    request: Option<InProgress>,
    due: Duration,
    conflicts: u32,
    releasing: bool,
}

impl Elector {
    pub(super) fn new(identity: String, timing: Timing) -> Self {
        Self {
            identity,
            timing,
            known: None,
            reread: true,
            newcomer: true,
            stamps: VecDeque::new(),
            held_until: None,
            request: None,
            due: Duration::ZERO,
            conflicts: 0,
            releasing: false,
        }
    }

    /// When the held lease expires, possibly in the past; `None` if it is not held.
    pub(super) fn held_until(&self) -> Option<Duration> {
        self.held_until
    }

    /// The known holder of the Lease, if it is not this process.
    pub(super) fn other_holder(&self) -> Option<&str> {
        match &self.known {
            Some(Known::Present { observed, ours: false, .. }) if !observed.claim.holder.is_empty() => {
                Some(&observed.claim.holder)
            }
            _ => None,
        }
    }

    /// True if another process with the same identity holds the Lease.
    pub(super) fn has_namesake(&self) -> bool {
        self.other_holder() == Some(self.identity.as_str())
    }

    /// Starts the release: from now on the lease is not held, and the next steps write this to the Lease.
    pub(super) fn release(&mut self, now: Duration) {
        // An abandoned write may have been executed, so our identity may be on the Lease even if the last answer had
        // another holder. A process that never wrote has nothing to read.
        let abandoned = self.request.take().is_some_and(|request| request.writes);
        self.reread = !self.stamps.is_empty() && (self.reread || abandoned || !self.ours());
        self.releasing = true;
        self.held_until = None;
        self.due = now;
    }

    /// Returns what to do at `now`. `wall` is the timestamp of a write, in whole microseconds like in a Lease.
    ///
    /// Send the request after this call: its time counts from `now`.
    pub(super) fn next(&mut self, now: Duration, wall: Timestamp) -> Step {
        if self.releasing && !self.reread && !self.ours() {
            return Step::Done;
        }
        if now < self.due {
            return Step::WaitUntil(self.due);
        }
        let request = match &self.known {
            None => Request::Read,
            _ if self.reread => Request::Read,
            Some(Known::Absent { .. }) if self.may_claim(now) => Request::Create(self.claim(wall)),
            Some(Known::Present { observed, .. }) if self.may_claim(now) => {
                Request::Replace { version: observed.version.clone(), claim: self.claim(wall) }
            }
            Some(_) => Request::Read,
        };
        let writes = request != Request::Read;
        if writes {
            self.stamps.push_back(wall);
            if self.stamps.len() > REMEMBERED_WRITES {
                self.stamps.pop_front();
            }
        }
        self.request = Some(InProgress { sent: now, writes });
        Step::Send(request)
    }

    /// Records the result of the last request.
    pub(super) fn answered(&mut self, now: Duration, answer: Answer) {
        let Some(request) = self.request.take() else { return };
        match answer {
            Answer::Found(observed) => self.found(now, observed),
            Answer::Written(observed) => self.written(now, &request, observed),
            Answer::Absent => {
                let since = match self.known {
                    Some(Known::Absent { since, seen }) if self.is_fresh(seen, now) => since,
                    _ => now,
                };
                // The answer may have taken long.
                let seen = request.sent;
                self.known = Some(Known::Absent { since, seen });
                self.reread = false;
                self.due = self.next_due(now);
            }
            Answer::Conflict => {
                self.reread = true;
                self.conflicts += 1;
                // The first one is a lost race or a lost answer. A series of conflicts must not cause a storm of
                // requests.
                self.due = if self.conflicts > 1 { now + self.timing.poll_every } else { now };
            }
            // If the write was executed, the next one meets a conflict.
            Answer::Failed => self.due = now + self.timing.poll_every,
        }
    }

    fn found(&mut self, now: Duration, observed: Observed) {
        let claim = &observed.claim;
        let written_by_us = claim.renewed.is_some_and(|renewed| self.stamps.contains(&renewed));
        let ours = claim.holder == self.identity && (self.newcomer || written_by_us);
        let since = match &self.known {
            Some(Known::Present { observed: known, since, .. }) if known.version == observed.version => *since,
            _ => now,
        };
        if !ours {
            self.held_until = None;
        }
        self.known = Some(Known::Present { observed, since, ours });
        self.reread = false;
        self.newcomer = false;
        if !self.may_claim(now) {
            self.conflicts = 0;
        }
        self.due = self.next_due(now);
    }

    fn written(&mut self, now: Duration, request: &InProgress, observed: Observed) {
        self.known = Some(Known::Present { observed, since: now, ours: !self.releasing });
        self.reread = false;
        self.newcomer = false;
        self.conflicts = 0;
        // Counts from before it was sent: the API server may have executed it at any moment since.
        self.held_until = (!self.releasing).then_some(request.sent + self.timing.duration);
        self.due = request.sent + self.timing.renew_every;
    }

    fn ours(&self) -> bool {
        matches!(self.known, Some(Known::Present { ours: true, .. }))
    }

    /// True if this process may claim the Lease, as far as it knows. The API server decides: it compares versions.
    fn may_claim(&self, now: Duration) -> bool {
        match &self.known {
            Some(Known::Present { ours: true, .. }) => true,
            Some(Known::Present { observed, .. }) if observed.claim.holder.is_empty() => true,
            // An absent Lease has no version, which would show a Lease that was created and deleted since.
            Some(Known::Absent { seen, .. }) if !self.is_fresh(*seen, now) => false,
            // It was deleted: its holder may lead until the duration ends, unless the holder is this process.
            Some(Known::Absent { .. }) if self.newcomer || self.held_until.is_some_and(|until| now < until) => true,
            Some(known) => now >= self.expiry(known),
            None => false,
        }
    }

    /// When the holder must have stopped, measured by this process.
    fn expiry(&self, known: &Known) -> Duration {
        let (since, duration) = match known {
            Known::Absent { since, .. } => (*since, Duration::ZERO),
            Known::Present { observed, since, .. } => (*since, observed.claim.duration),
        };
        let wait = duration.max(self.timing.duration);
        since.saturating_add(wait).saturating_add(wait / CLOCK_TOLERANCE)
    }

    fn is_fresh(&self, seen: Duration, now: Duration) -> bool {
        now <= seen + self.timing.duration / 2
    }

    fn next_due(&self, now: Duration) -> Duration {
        if self.may_claim(now) {
            // After conflicts our lease is there again, but another client may keep changing it.
            return if self.conflicts > 1 { now + self.timing.poll_every } else { now };
        }
        let poll = now + self.timing.poll_every;
        self.known.as_ref().map_or(poll, |known| poll.min(self.expiry(known)))
    }

    /// The claim to write now.
    fn claim(&self, wall: Timestamp) -> Claim {
        let old = match &self.known {
            Some(Known::Present { observed, .. }) => Some(&observed.claim),
            _ => None,
        };
        let holder = if self.releasing { String::new() } else { self.identity.clone() };
        let (acquired, transitions) = match old {
            Some(old) if old.holder == self.identity => (old.acquired, old.transitions),
            Some(old) => (Some(wall), old.transitions.saturating_add(1)),
            None => (Some(wall), 0),
        };
        Claim { holder, duration: self.timing.duration, acquired, renewed: Some(wall), transitions }
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]
mod tests;
