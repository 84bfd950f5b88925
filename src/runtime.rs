//! The runtime of `run`: one thread, which works on what has come together.

use std::cell::Cell;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// Probes and leases have seconds, AWS takes longer to answer.
const LONGEST_REST: Duration = Duration::from_millis(20);

/// A runtime that rests after it has worked, twenty times as long and at most 20 ms: what arrives meanwhile is worked on in
/// one go, out of warm caches.
///
/// One object alone is hardly held up, a step of it is a tenth of a millisecond of work, and AWS takes longer than the rest
/// to answer. Where hundreds are at work, which would take more than a twentieth of a processor, it saves a quarter of that
/// (`docs/benchmarks.md`).
///
/// # Errors
/// The system's, where it has no descriptor left to wait on.
pub fn resting() -> io::Result<tokio::runtime::Runtime> {
    thread_local! {
        static WOKE: Cell<Instant> = Cell::new(Instant::now());
    }
    // The work is waiting, for AWS and for the API server: on one thread no wake-up crosses to another, and the allocator
    // keeps one heap.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_unpark(|| WOKE.set(Instant::now()))
        .on_thread_park(|| thread::sleep(rest(WOKE.get().elapsed())))
        .build()
}

fn rest(worked: Duration) -> Duration {
    worked.saturating_mul(20).min(LONGEST_REST)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    #[test]
    fn the_rest_grows_with_the_work_and_nothing_waits_for_long() {
        let micros = Duration::from_micros;
        assert_eq!(rest(micros(0)), micros(0));
        assert_eq!(rest(micros(100)), micros(2_000), "one step of one object");
        assert_eq!(rest(micros(1_000)), LONGEST_REST);
        assert_eq!(rest(Duration::MAX), LONGEST_REST);
    }

    #[test]
    fn what_comes_after_much_work_is_looked_at_after_the_rest() {
        let work = Duration::from_millis(1);
        let took = resting().unwrap().block_on(async {
            tokio::time::sleep(work).await;
            let woke = Instant::now();
            while woke.elapsed() < work {}
            tokio::time::sleep(work).await;
            woke.elapsed()
        });
        assert!(took >= work + LONGEST_REST, "{took:?}");
    }
}
