//! Liveness and readiness of the process. Its parts report them, the probes read them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Liveness and readiness of the process; clones share their state.
#[derive(Clone, Debug)]
pub struct Health(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    beat_limit: Duration,
    last_beat: Mutex<Instant>,
    /// By name; `Some` is the reason of a failing check.
    checks: Mutex<BTreeMap<&'static str, Option<String>>>,
}

/// The result of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// True if every check passes.
    pub ok: bool,
    /// One line for each check.
    pub details: String,
}

impl Health {
    /// Live as long as the last [`heartbeat`](Self::heartbeat) is more recent than `beat_limit`; the start counts as
    /// one.
    pub fn new(beat_limit: Duration) -> Self {
        let last_beat = Mutex::new(Instant::now());
        Self(Arc::new(Inner { beat_limit, last_beat, checks: Mutex::default() }))
    }

    /// Reports that the main loop still runs.
    pub fn heartbeat(&self) {
        *lock(&self.0.last_beat) = Instant::now();
    }

    /// Adds a readiness check, which fails until its first [`ok`](CheckHandle::ok). The same name returns the same
    /// check.
    pub fn check(&self, name: &'static str) -> CheckHandle {
        let handle = CheckHandle { health: self.clone(), name };
        lock(&self.0.checks).entry(name).or_insert_with(|| Some("still starting".to_owned()));
        handle
    }

    /// The result for `/livez`.
    pub fn live(&self) -> Report {
        let age = lock(&self.0.last_beat).elapsed();
        let limit = self.0.beat_limit;
        let ok = age < limit;
        let details = if ok {
            "[+]heartbeat ok\n".to_owned()
        } else {
            format!("[-]heartbeat failed: last one {} s ago, limit {} s\n", age.as_secs(), limit.as_secs())
        };
        Report { ok, details }
    }

    /// The result for `/readyz`.
    pub fn ready(&self) -> Report {
        let mut report = Report { ok: true, details: String::new() };
        for (name, failure) in lock(&self.0.checks).iter() {
            // Writing to a String cannot fail.
            let _ = match failure {
                None => writeln!(report.details, "[+]{name} ok"),
                Some(reason) => writeln!(report.details, "[-]{name} failed: {reason}"),
            };
            report.ok &= failure.is_none();
        }
        report
    }
}

/// One readiness check.
#[derive(Clone, Debug)]
pub struct CheckHandle {
    health: Health,
    name: &'static str,
}

impl CheckHandle {
    /// Reports that the check passes.
    pub fn ok(&self) {
        self.set(None);
    }

    /// Reports that the check fails. `/readyz` shows the reason to every client, so it must not contain secrets.
    pub fn failing(&self, reason: impl Into<String>) {
        self.set(Some(reason.into()));
    }

    fn set(&self, failure: Option<String>) {
        lock(&self.health.0.checks).insert(self.name, failure);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every update is a single assignment: after a panic the data is still consistent.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_every_check_passes() {
        let health = Health::new(Duration::from_mins(1));
        assert!(health.ready().ok, "no checks");
        let (crds, lease) = (health.check("crds"), health.clone().check("lease"));
        assert!(!health.ready().ok);
        crds.ok();
        lease.failing("no Role");
        assert_eq!(health.ready().details, "[+]crds ok\n[-]lease failed: no Role\n");
        lease.ok();
        assert!(health.ready().ok);
        health.check("lease");
        assert!(health.ready().ok, "adding the same check changes nothing");
    }

    #[test]
    fn live_while_heartbeats_come() {
        let health = Health::new(Duration::from_mins(1));
        assert!(health.live().ok, "the start counts");
        let late = Health::new(Duration::ZERO);
        assert!(!late.live().ok);
        assert!(late.live().details.contains("limit 0 s"), "{}", late.live().details);
        let long_ago = Instant::now().checked_sub(Duration::from_mins(2));
        if let Some(long_ago) = long_ago {
            *lock(&health.0.last_beat) = long_ago;
            assert!(!health.live().ok);
        }
        health.heartbeat();
        assert!(health.live().ok);
    }
}
