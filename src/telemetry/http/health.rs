//! Is the process alive, and is it ready? Told by those who know, read by the probes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Liveness and readiness of the process; clones share it.
#[derive(Clone, Debug)]
pub struct Health(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    beat_limit: Duration,
    last_beat: Mutex<Instant>,
    /// By name; `Some` is what is wrong.
    checks: Mutex<BTreeMap<&'static str, Option<String>>>,
}

/// A probe's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whether all is well.
    pub ok: bool,
    /// One line for each check.
    pub details: String,
}

impl Health {
    /// Alive as long as [`heartbeat`](Self::heartbeat) comes more often than every `beat_limit`; starting counts as one.
    pub fn new(beat_limit: Duration) -> Self {
        let last_beat = Mutex::new(Instant::now());
        Self(Arc::new(Inner { beat_limit, last_beat, checks: Mutex::default() }))
    }

    /// Says that the main loop still turns.
    pub fn heartbeat(&self) {
        *lock(&self.0.last_beat) = Instant::now();
    }

    /// Adds a check to readiness. It fails until it is told to be in order. A second one of the same name is the same.
    pub fn check(&self, name: &'static str) -> CheckHandle {
        let handle = CheckHandle { health: self.clone(), name };
        lock(&self.0.checks).entry(name).or_insert_with(|| Some("still starting".to_owned()));
        handle
    }

    /// The answer of `/livez`.
    pub fn live(&self) -> Report {
        let age = lock(&self.0.last_beat).elapsed();
        let limit = self.0.beat_limit;
        let ok = age < limit;
        let details = if ok {
            "[+]heartbeat ok\n".to_owned()
        } else {
            format!("[-]heartbeat failed: none for {} s, at most {} s allowed\n", age.as_secs(), limit.as_secs())
        };
        Report { ok, details }
    }

    /// The answer of `/readyz`.
    pub fn ready(&self) -> Report {
        let mut report = Report { ok: true, details: String::new() };
        for (name, wrong) in lock(&self.0.checks).iter() {
            // Writing to a String cannot fail.
            let _ = match wrong {
                None => writeln!(report.details, "[+]{name} ok"),
                Some(reason) => writeln!(report.details, "[-]{name} failed: {reason}"),
            };
            report.ok &= wrong.is_none();
        }
        report
    }
}

/// One check of readiness.
#[derive(Clone, Debug)]
pub struct CheckHandle {
    health: Health,
    name: &'static str,
}

impl CheckHandle {
    /// All is well.
    pub fn ok(&self) {
        self.set(None);
    }

    /// Something is wrong; the reason is shown to whoever asks `/readyz`, so it names no secrets.
    pub fn failing(&self, reason: impl Into<String>) {
        self.set(Some(reason.into()));
    }

    fn set(&self, wrong: Option<String>) {
        lock(&self.health.0.checks).insert(self.name, wrong);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every update is a single assignment: what a panicking thread leaves behind is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_every_check_says_so() {
        let health = Health::new(Duration::from_mins(1));
        assert!(health.ready().ok, "nothing to wait for");
        let (crds, lease) = (health.check("crds"), health.clone().check("lease"));
        assert!(!health.ready().ok);
        crds.ok();
        lease.failing("no Role");
        assert_eq!(health.ready().details, "[+]crds ok\n[-]lease failed: no Role\n");
        lease.ok();
        assert!(health.ready().ok);
        health.check("lease");
        assert!(health.ready().ok, "asking again for a check changes nothing");
    }

    #[test]
    fn live_while_the_heart_beats() {
        let health = Health::new(Duration::from_mins(1));
        assert!(health.live().ok, "starting counts");
        let late = Health::new(Duration::ZERO);
        assert!(!late.live().ok);
        assert!(late.live().details.contains("at most 0 s"), "{}", late.live().details);
        let long_ago = Instant::now().checked_sub(Duration::from_mins(2));
        if let Some(long_ago) = long_ago {
            *lock(&health.0.last_beat) = long_ago;
            assert!(!health.live().ok);
        }
        health.heartbeat();
        assert!(health.live().ok);
    }
}
