//! The rules of the election, without clock, network or Kubernetes: what to do next, and what an answer means.
//!
//! Every time is told from outside, on a clock that keeps running while the machine or the process sleeps. One
//! request is under way at a time; whoever runs the machine gives up on it after a while and reports [`Answer::Failed`].

use std::collections::VecDeque;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

/// Two clocks may run apart by one part in this many before a successor could be early.
const CLOCK_TOLERANCE: u32 = 64;
/// Of our writes, the last so many are known again when a Lease turns up that one of them left, answered or not.
const REMEMBERED_WRITES: usize = 32;

/// What a Lease says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    /// Empty: nobody.
    pub(super) holder: String,
    /// What the holder promised to stop after.
    pub(super) duration: Duration,
    pub(super) acquired: Option<Timestamp>,
    /// Never compared with a clock: it only tells our own writes from others'.
    pub(super) renewed: Option<Timestamp>,
    pub(super) transitions: i32,
}

/// A Lease as the API server had it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Observed {
    /// `metadata.resourceVersion`; changes with every write.
    pub(super) version: String,
    pub(super) claim: Claim,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing before this time.
    WaitUntil(Duration),
    /// Send this to the API server.
    Send(Request),
    /// Released, or nothing to release.
    Done,
}

/// What the API server is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Read the Lease.
    Read,
    /// Create it.
    Create(Claim),
    /// Replace that version of it.
    Replace { version: String, claim: Claim },
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// [`Request::Read`] found this.
    Found(Observed),
    /// [`Request::Create`] or [`Request::Replace`] was carried out.
    Written(Observed),
    /// There is no such Lease.
    Absent,
    /// Somebody was faster.
    Conflict,
    /// No answer, or none that tells whether the request was carried out.
    Failed,
}

/// The intervals of an election.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    pub(super) duration: Duration,
    pub(super) renew_every: Duration,
    pub(super) poll_every: Duration,
}

/// The Lease as last seen, and since when it is known to have stood like that.
#[derive(Debug)]
enum Known {
    /// At every look from `since` to `seen`.
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
struct UnderWay {
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
    /// No Lease was ever read. Only then does our name on it mean that we are the process that replaces its holder.
    newcomer: bool,
    /// Time stamps of our writes.
    stamps: VecDeque<Timestamp>,
    held_until: Option<Duration>,
    request: Option<UnderWay>,
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

    /// When the lease that is held runs out; `None`: not held. May lie in the past.
    pub(super) fn held_until(&self) -> Option<Duration> {
        self.held_until
    }

    /// Who holds the Lease as far as is known, if it is not us.
    pub(super) fn other_holder(&self) -> Option<&str> {
        match &self.known {
            Some(Known::Present { observed, ours: false, .. }) if !observed.claim.holder.is_empty() => {
                Some(&observed.claim.holder)
            }
            _ => None,
        }
    }

    /// Another process calls itself like this one and holds the Lease.
    pub(super) fn has_namesake(&self) -> bool {
        self.other_holder() == Some(self.identity.as_str())
    }

    /// Gives up: from now on nothing is held, and the steps that follow tell others so.
    pub(super) fn release(&mut self, now: Duration) {
        // A write that nobody waits for any more may have been carried out, and our name may be on the Lease though the
        // last answer said otherwise. Who never wrote has nothing to read.
        let abandoned = self.request.take().is_some_and(|request| request.writes);
        self.reread = !self.stamps.is_empty() && (self.reread || abandoned || !self.ours());
        self.releasing = true;
        self.held_until = None;
        self.due = now;
    }

    /// What to do at `now`; `wall` stamps a write, in whole microseconds as the Lease keeps it.
    ///
    /// A request must be sent after this was asked: its time counts from `now`.
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
        self.request = Some(UnderWay { sent: now, writes });
        Step::Send(request)
    }

    /// Takes note of what became of the last request.
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
                // The answer may have been long on its way.
                let seen = request.sent;
                self.known = Some(Known::Absent { since, seen });
                self.reread = false;
                self.due = self.next_look(now);
            }
            Answer::Conflict => {
                self.reread = true;
                self.conflicts += 1;
                // The first is a lost race or a lost answer; a row of them must not become a storm.
                self.due = if self.conflicts > 1 { now + self.timing.poll_every } else { now };
            }
            // Whether a write was carried out shows when the next one meets a conflict.
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
        self.due = self.next_look(now);
    }

    fn written(&mut self, now: Duration, request: &UnderWay, observed: Observed) {
        self.known = Some(Known::Present { observed, since: now, ours: !self.releasing });
        self.reread = false;
        self.newcomer = false;
        self.conflicts = 0;
        // From before it was sent: the API server may have carried it out at any moment since.
        self.held_until = (!self.releasing).then_some(request.sent + self.timing.duration);
        self.due = request.sent + self.timing.renew_every;
    }

    fn ours(&self) -> bool {
        matches!(self.known, Some(Known::Present { ours: true, .. }))
    }

    /// May we write our name, as far as is known? The API server has the last word: it compares versions.
    fn may_claim(&self, now: Duration) -> bool {
        match &self.known {
            Some(Known::Present { ours: true, .. }) => true,
            Some(Known::Present { observed, .. }) if observed.claim.holder.is_empty() => true,
            // An absence has no version that would tell whether somebody came and went since.
            Some(Known::Absent { seen, .. }) if !self.is_fresh(*seen, now) => false,
            // Somebody deleted it: its holder may go on until its time is up, unless that is us.
            Some(Known::Absent { .. }) if self.newcomer || self.held_until.is_some_and(|until| now < until) => true,
            Some(known) => now >= self.expiry(known),
            None => false,
        }
    }

    /// When the holder must have stopped, by our own observation.
    fn expiry(&self, known: &Known) -> Duration {
        let (since, promised) = match known {
            Known::Absent { since, .. } => (*since, Duration::ZERO),
            Known::Present { observed, since, .. } => (*since, observed.claim.duration),
        };
        let wait = promised.max(self.timing.duration);
        since.saturating_add(wait).saturating_add(wait / CLOCK_TOLERANCE)
    }

    fn is_fresh(&self, seen: Duration, now: Duration) -> bool {
        now <= seen + self.timing.duration / 2
    }

    fn next_look(&self, now: Duration) -> Duration {
        if self.may_claim(now) {
            // After a conflict our own lease is there again, but so may be whoever keeps changing it.
            return if self.conflicts > 1 { now + self.timing.poll_every } else { now };
        }
        let poll = now + self.timing.poll_every;
        self.known.as_ref().map_or(poll, |known| poll.min(self.expiry(known)))
    }

    /// What we would write now.
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
