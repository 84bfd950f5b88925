//! May this process still write? Asked before every write to AWS.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Time since the machine started, sleep included: a lease runs out while its holder is suspended.
pub(super) fn boot_time() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    // Elsewhere (a developer's machine) the monotonic clock is what comes closest.
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let time = rustix::time::clock_gettime(clock);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Tells whether the lease is held for long enough. Clones share one state.
#[derive(Clone, Debug)]
pub struct Fence(Arc<AtomicU64>);

/// Stands for a lease that never runs out.
const ALWAYS: u64 = u64::MAX;
/// Shut for good: long ago, and no time that a lease would name.
const RETIRED: u64 = 1;

impl Fence {
    /// Always open, for `--leader-elect=false`.
    pub fn always() -> Self {
        Self(Arc::new(AtomicU64::new(ALWAYS)))
    }

    /// Shut until the lease is won; for ever where nobody runs for it, as on the command line.
    pub fn shut() -> Self {
        Self(Arc::new(AtomicU64::new(0)))
    }

    /// True if the lease is held for longer than `whole_timeout`, the longest that the write may take.
    ///
    /// Reads the clock: a process that was stopped and goes on finds the fence shut, whatever it has heard of the lease.
    pub fn may_write(&self, whole_timeout: Duration) -> bool {
        match self.0.load(Ordering::SeqCst) {
            ALWAYS => true,
            until => boot_time().checked_add(whole_timeout).is_some_and(|end| end < Duration::from_nanos(until)),
        }
    }

    /// Opens the fence until that time of [`boot_time`]; `None` shuts it.
    pub(super) fn set(&self, until: Option<Duration>) {
        let nanos = until.map_or(0, |until| u64::try_from(until.as_nanos()).unwrap_or(ALWAYS - 1));
        // Fails only for a retired fence, which stays as it is.
        let _ = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |old| (old != RETIRED).then_some(nanos));
    }

    /// Shuts the fence for good.
    pub(super) fn retire(&self) {
        self.0.store(RETIRED, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_only_while_the_lease_outlasts_the_write() {
        let fence = Fence::shut();
        let seen_by_others = fence.clone();
        assert!(!seen_by_others.may_write(Duration::ZERO));
        fence.set(Some(boot_time() + Duration::from_mins(1)));
        assert!(seen_by_others.may_write(Duration::from_secs(50)));
        assert!(!seen_by_others.may_write(Duration::from_secs(61)));
        assert!(!seen_by_others.may_write(Duration::MAX));
        fence.set(Some(boot_time()));
        assert!(!seen_by_others.may_write(Duration::ZERO), "a lease that has run out is none");
        fence.set(None);
        assert!(!seen_by_others.may_write(Duration::ZERO));
    }

    #[test]
    fn a_retired_fence_stays_shut() {
        let fence = Fence::shut();
        fence.retire();
        fence.set(Some(boot_time() + Duration::from_mins(1)));
        assert!(!fence.may_write(Duration::ZERO));
    }

    #[test]
    fn a_lease_however_long_is_not_for_ever() {
        let fence = Fence::shut();
        fence.set(Some(Duration::MAX));
        assert!(fence.may_write(Duration::from_mins(1)));
        assert!(!fence.may_write(Duration::MAX));
    }

    #[test]
    fn without_election_always_open() {
        assert!(Fence::always().may_write(Duration::MAX));
    }

    #[test]
    fn the_clock_goes_on() {
        let earlier = boot_time();
        assert!(earlier > Duration::ZERO);
        assert!(boot_time() >= earlier);
    }
}
