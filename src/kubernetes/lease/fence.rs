//! The write fence: decides whether this process may still write. Checked before every write to AWS.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Time since boot, suspend included: a lease expires while its holder is suspended.
pub(super) fn boot_time() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    // Elsewhere (a developer's machine) the monotonic clock is the closest one.
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let time = rustix::time::clock_gettime(clock);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Decides whether the lease is held for long enough. Clones share their state.
#[derive(Clone, Debug)]
pub struct Fence(Arc<AtomicU64>);

/// Stands for a lease that never expires.
const ALWAYS: u64 = u64::MAX;
/// Closed permanently: a time in the past that no lease uses.
const RETIRED: u64 = 1;

impl Fence {
    /// Always open, for `--leader-elect=false`.
    pub fn always() -> Self {
        Self(Arc::new(AtomicU64::new(ALWAYS)))
    }

    /// Closed until this replica holds the lease; forever without an election, as in the commands.
    pub fn shut() -> Self {
        Self(Arc::new(AtomicU64::new(0)))
    }

    /// True if the lease is held for longer than `whole_timeout`, the longest time that the write may take.
    ///
    /// Reads the clock: a process that resumes after a suspend finds the fence closed, even if it has not read the
    /// Lease since.
    pub fn may_write(&self, whole_timeout: Duration) -> bool {
        match self.0.load(Ordering::SeqCst) {
            ALWAYS => true,
            until => boot_time().checked_add(whole_timeout).is_some_and(|end| end < Duration::from_nanos(until)),
        }
    }

    /// Opens the fence until that time of [`boot_time`]; `None` closes it.
    pub(super) fn set(&self, until: Option<Duration>) {
        let nanos = until.map_or(0, |until| u64::try_from(until.as_nanos()).unwrap_or(ALWAYS - 1));
        // Fails only for a retired fence, which stays as it is.
        let _ = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |old| (old != RETIRED).then_some(nanos));
    }

    /// Closes the fence permanently.
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
        let clone = fence.clone();
        assert!(!clone.may_write(Duration::ZERO));
        fence.set(Some(boot_time() + Duration::from_mins(1)));
        assert!(clone.may_write(Duration::from_secs(50)));
        assert!(!clone.may_write(Duration::from_secs(61)));
        assert!(!clone.may_write(Duration::MAX));
        fence.set(Some(boot_time()));
        assert!(!clone.may_write(Duration::ZERO), "the lease has expired");
        fence.set(None);
        assert!(!clone.may_write(Duration::ZERO));
    }

    #[test]
    fn a_retired_fence_stays_closed() {
        let fence = Fence::shut();
        fence.retire();
        fence.set(Some(boot_time() + Duration::from_mins(1)));
        assert!(!fence.may_write(Duration::ZERO));
    }

    #[test]
    fn the_longest_lease_is_still_finite() {
        let fence = Fence::shut();
        fence.set(Some(Duration::MAX));
        assert!(fence.may_write(Duration::from_mins(1)));
        assert!(!fence.may_write(Duration::MAX));
    }

    #[test]
    fn without_an_election_the_fence_is_always_open() {
        assert!(Fence::always().may_write(Duration::MAX));
    }

    #[test]
    fn the_clock_advances() {
        let earlier = boot_time();
        assert!(earlier > Duration::ZERO);
        assert!(boot_time() >= earlier);
    }
}
