//! Pauses between tries.

use std::time::Duration;

/// The pause after `failures` failures in a row: it doubles from `first` to `most`, with up to a quarter of jitter, so
/// that objects that failed together are not retried together.
pub fn backoff(failures: u32, first: Duration, most: Duration) -> Duration {
    let doubled = first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(16)));
    doubled.min(most).mul_f64(0.75 + 0.25 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_limit() {
        let (first, most) = (Duration::from_secs(1), Duration::from_mins(1));
        for (failures, longest) in [(1, 1), (2, 2), (3, 4), (7, 60), (100, 60)] {
            let wait = backoff(failures, first, most);
            assert!(
                wait <= Duration::from_secs(longest) && wait >= Duration::from_secs(longest).mul_f64(0.74),
                "{failures}: {wait:?}"
            );
        }
    }
}
