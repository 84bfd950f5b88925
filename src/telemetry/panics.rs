//! Panics. In a reconcile, a sweep or the check of an account a panic is contained: it is logged and counted, and the
//! work is retried. Anywhere else a panic ends the process, because the state that it leaves behind is unknown.

use std::fmt::Display;
use std::panic::{self, AssertUnwindSafe};

use futures::FutureExt;

/// Exit code after a panic, as in other Rust programs.
const EXIT_CODE: i32 = 101;

tokio::task_local! {
    /// Set while work with contained panics is polled.
    static CONTAINED: ();
}

/// The work panicked. The log has the message and the location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panicked;

/// Installs a hook that logs panics and ends the process after a panic that is not contained.
pub fn install_hook() {
    panic::set_hook(Box::new(|info| {
        let message = info.payload_as_str().unwrap_or("no message");
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        if CONTAINED.try_with(|()| ()).is_ok() {
            tracing::error!(location, "panic: {message}; this is a bug, please report it; the work is retried");
        } else {
            tracing::error!(location, "panic: {message}; this is a bug, please report it; the process exits");
            std::process::exit(EXIT_CODE);
        }
    }));
}

/// Runs work and contains its panics. State that the work shares must stay consistent if the work stops at any point.
///
/// # Errors
/// If the work panicked.
pub async fn contain<T>(work: impl Future<Output = T>) -> Result<T, Panicked> {
    CONTAINED.scope((), AssertUnwindSafe(work).catch_unwind()).await.map_err(|_| Panicked)
}

/// Debug builds panic here if the environment variable `ALEP_TEST_PANIC` names this place, so that tests can check the
/// consequences.
///
/// # Panics
/// Only in debug builds, and only if the variable names this place.
pub fn inject(place: &dyn Display) {
    let injected =
        cfg!(debug_assertions) && std::env::var("ALEP_TEST_PANIC").is_ok_and(|named| named == place.to_string());
    #[allow(clippy::panic, clippy::manual_assert, reason = "a test asked for it")]
    if injected {
        panic!("injected at {place}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_contained_panic_is_an_error_and_the_task_goes_on() {
        let index = 7;
        let result = contain(async { [1, 2, 3][std::hint::black_box(index)] }).await;
        assert_eq!(result, Err(Panicked));
        assert_eq!(contain(async { 5 }).await, Ok(5));
    }
}
