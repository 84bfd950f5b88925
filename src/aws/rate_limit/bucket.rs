//! A token bucket whose rate is halved on throttling and recovers by itself. It has no clock: every call passes the
//! time.

use std::time::Duration;

/// A full bucket holds the tokens of this many seconds at the current rate.
const BURST_SECONDS: f64 = 2.0;
/// The share of the configured rate that is regained per second after a cut.
const RECOVERY_PER_SECOND: f64 = 0.05;
/// Throttling never lowers the rate below this many calls per second: only calls show that the throttling has ended.
const FLOOR: f64 = 0.5;
/// Throttled calls within this time after a cut do not cut again: they were sent before it.
const CUT_INTERVAL: Duration = Duration::from_secs(1);
/// Rates are clamped to these limits, so that arithmetic stays finite for any flag value.
const RATE_LIMITS: (f64, f64) = (0.01, 100_000.0);

/// Tokens for one kind of call.
#[derive(Debug)]
pub(super) struct Bucket {
    configured: f64,
    /// As of `updated`, like `tokens`.
    rate: f64,
    tokens: f64,
    updated: Duration,
    cut: Option<Duration>,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn new(configured: f64, now: Duration) -> Self {
        let configured = within_limits(configured);
        let tokens = burst(configured);
        Self { configured, rate: configured, tokens, updated: now, cut: None }
    }

    /// Takes a token if there is one.
    pub(super) fn take(&mut self, now: Duration) -> bool {
        self.advance(now);
        // Sums of fractions may end just below a whole number.
        let available = self.tokens >= 1.0 - 1e-9;
        if available {
            self.tokens = (self.tokens - 1.0).max(0.0);
        }
        available
    }

    /// The latest time at which the next token is available: a recovering rate may bring it earlier.
    pub(super) fn next_at(&mut self, now: Duration) -> Duration {
        self.advance(now);
        let missing = (1.0 - self.tokens).max(0.0);
        // Rounding to nanoseconds must not give a time that is too early.
        now + Duration::from_secs_f64(missing / self.rate) + Duration::from_nanos(1)
    }

    /// The current rate, in calls per second.
    pub(super) fn rate(&mut self, now: Duration) -> f64 {
        self.advance(now);
        self.rate
    }

    /// AWS throttled a call: halves the rate and empties the bucket, because AWS's own bucket is empty.
    pub(super) fn throttled(&mut self, now: Duration) {
        self.advance(now);
        if self.cut.is_some_and(|cut| now < cut + CUT_INTERVAL) {
            return;
        }
        self.cut = Some(now);
        self.rate = (self.rate / 2.0).max(FLOOR.min(self.configured)).min(self.rate);
        self.tokens = 0.0;
    }

    /// Changes the configured rate; a cut by throttling stays, in proportion.
    pub(super) fn configure(&mut self, configured: f64, now: Duration) {
        self.advance(now);
        let configured = within_limits(configured);
        self.rate *= configured / self.configured;
        self.configured = configured;
        self.tokens = self.tokens.min(burst(self.rate));
    }

    /// Updates rate and tokens to `now`. A clock that stands still or goes back changes nothing.
    fn advance(&mut self, now: Duration) {
        let Some(passed) = now.checked_sub(self.updated) else {
            return;
        };
        self.updated = now;
        let passed = passed.as_secs_f64();
        let growth = RECOVERY_PER_SECOND * self.configured;
        let growing = passed.min((self.configured - self.rate) / growth).max(0.0);
        // The integral of the rate: a ramp, then a constant.
        let earned = (self.rate + growth * growing / 2.0) * growing + self.configured * (passed - growing);
        self.rate = if growing < passed { self.configured } else { self.rate + growth * growing };
        self.tokens = (self.tokens + earned).min(burst(self.rate));
    }
}

fn burst(rate: f64) -> f64 {
    (BURST_SECONDS * rate).max(1.0)
}

fn within_limits(rate: f64) -> f64 {
    let (low, high) = RATE_LIMITS;
    if rate.is_nan() { low } else { rate.clamp(low, high) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn near(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-6
    }

    #[test]
    fn the_rate_is_halved_at_once_and_recovers_within_ten_seconds() {
        let mut bucket = Bucket::new(10.0, seconds(0.0));
        bucket.throttled(seconds(5.0));
        assert!(near(bucket.rate(seconds(5.0)), 5.0));
        assert!(!bucket.take(seconds(5.0)), "the bucket is empty after throttling");
        assert!(near(bucket.rate(seconds(7.0)), 6.0));
        let earned = (0..100).filter(|_| bucket.take(seconds(7.0))).count();
        assert_eq!(earned, 11, "two seconds at 5 to 6 a second");
        assert!(near(bucket.rate(seconds(15.0)), 10.0));
        assert!(near(bucket.rate(seconds(500.0)), 10.0));
    }

    #[test]
    fn a_burst_of_throttles_counts_once() {
        let mut bucket = Bucket::new(10.0, seconds(0.0));
        for late in [0.0, 0.1, 0.5, 0.99] {
            bucket.throttled(seconds(1.0 + late));
        }
        assert!(bucket.rate(seconds(1.99)) > 5.0);
        bucket.throttled(seconds(2.0));
        assert!(near(bucket.rate(seconds(2.0)), 5.5 / 2.0));
    }

    #[test]
    fn throttling_stops_at_the_floor_and_never_raises_a_low_rate() {
        let mut bucket = Bucket::new(10.0, seconds(0.0));
        let mut slow = Bucket::new(0.2, seconds(0.0));
        for second in 1..100_u32 {
            bucket.throttled(seconds(second.into()));
            slow.throttled(seconds(second.into()));
            assert!(bucket.rate(seconds(second.into())) >= FLOOR);
            assert!(slow.rate(seconds(second.into())) <= 0.2);
        }
        assert!(bucket.rate(seconds(99.0)) < 1.0);
    }

    #[test]
    fn a_changed_setting_keeps_the_cut_in_proportion() {
        let mut bucket = Bucket::new(10.0, seconds(0.0));
        bucket.throttled(seconds(1.0));
        bucket.configure(20.0, seconds(1.0));
        assert!(near(bucket.rate(seconds(1.0)), 10.0));
        bucket.configure(2.0, seconds(100.0));
        assert!(near(bucket.rate(seconds(100.0)), 2.0));
        let taken = (0..100).filter(|_| bucket.take(seconds(100.0))).count();
        assert_eq!(taken, 4, "the burst follows the rate");
    }

    #[test]
    fn invalid_rates_still_allow_calls() {
        for invalid in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -3.0] {
            let mut bucket = Bucket::new(invalid, seconds(0.0));
            assert!(bucket.take(seconds(0.0)));
            bucket.configure(invalid, seconds(0.0));
            let next = bucket.next_at(seconds(1.0));
            assert!(bucket.take(next), "{invalid}");
        }
    }

    proptest! {
        /// In any interval, at most the calls of the configured rate and of one full bucket are allowed.
        #[test]
        fn never_more_than_rate_and_burst(
            rate in 0.05..200.0_f64,
            steps in prop::collection::vec((0..3_u8, 0..3_000_u64, 0..40_u32), 1..50),
        ) {
            let mut bucket = Bucket::new(rate, Duration::ZERO);
            let mut now = Duration::ZERO;
            let mut used: Vec<Duration> = Vec::new();
            for (what, wait, takes) in steps {
                now += Duration::from_millis(wait);
                match what {
                    0 => bucket.throttled(now),
                    _ => (0..takes).for_each(|_| if bucket.take(now) { used.push(now) }),
                }
            }
            for (first, from) in used.iter().enumerate() {
                for (last, to) in used.iter().enumerate().skip(first) {
                    let calls = f64::from(u32::try_from(last - first + 1).unwrap_or(u32::MAX));
                    let allowed = rate * to.saturating_sub(*from).as_secs_f64() + burst(rate);
                    prop_assert!(calls <= allowed + 1e-6, "{calls} calls from {from:?} to {to:?}, {allowed} allowed");
                }
            }
        }

        /// At the returned time there is a token.
        #[test]
        fn the_next_token_is_there_when_promised(
            rate in 0.05..200.0_f64,
            steps in prop::collection::vec((any::<bool>(), 0..3_000_u64), 1..80),
        ) {
            let mut bucket = Bucket::new(rate, Duration::ZERO);
            let mut now = Duration::ZERO;
            for (throttle, wait) in steps {
                now += Duration::from_millis(wait);
                if throttle { bucket.throttled(now) }
                while bucket.take(now) {}
                now = bucket.next_at(now);
                prop_assert!(bucket.take(now));
            }
        }
    }
}
