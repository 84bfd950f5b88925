//! How often an object is read, and how often an account is swept. Pure: durations in, durations out.

use std::time::Duration;

/// Between two reads of an object that no sweep checks, where nothing is configured.
pub const DEFAULT_INTERVAL: Duration = Duration::from_mins(10);
/// Between two sweeps of an account, where nothing is configured.
pub const DEFAULT_SWEEP_INTERVAL: Duration = Duration::from_mins(1);
/// Policy tags and role descriptions are missing from a sweep: each object is read once per this many
/// sweeps, and at least every hour.
const SWEEPS_PER_RESYNC: u32 = 60;
const LONGEST_INTERVAL: Duration = Duration::from_hours(1);

/// The configured intervals.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResyncIntervals {
    /// `spec.driftCheckInterval`.
    pub object: Option<Duration>,
    /// `--drift-check-interval`.
    pub operator: Option<Duration>,
}

impl ResyncIntervals {
    /// Between two reads of an object that no sweep checks. An object that has not been seen in sync for three
    /// intervals is reported as not ready.
    pub fn interval(self) -> Duration {
        self.object.or(self.operator).unwrap_or(DEFAULT_INTERVAL)
    }

    /// Between two sweeps of an account. An object's own interval does not change it.
    pub fn sweep_interval(self) -> Duration {
        self.operator.unwrap_or(DEFAULT_SWEEP_INTERVAL)
    }

    /// Between two reads of an object that sweeps check: rare, unless the object asks for more than sweeps give.
    pub fn interval_beside_sweeps(self) -> Duration {
        self.shorter_than_sweeps().unwrap_or((self.sweep_interval() * SWEEPS_PER_RESYNC).min(LONGEST_INTERVAL))
    }

    /// The latest first read of an object in sync after the operator has started. The first sweep checks it earlier.
    pub fn first_read(self) -> Duration {
        self.shorter_than_sweeps().unwrap_or(LONGEST_INTERVAL)
    }

    fn shorter_than_sweeps(self) -> Option<Duration> {
        self.object.filter(|wanted| *wanted < self.sweep_interval())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNSET: ResyncIntervals = ResyncIntervals { object: None, operator: None };

    fn operator(seconds: u64) -> ResyncIntervals {
        ResyncIntervals { operator: Some(Duration::from_secs(seconds)), ..UNSET }
    }

    fn object(seconds: u64) -> ResyncIntervals {
        ResyncIntervals { object: Some(Duration::from_secs(seconds)), ..UNSET }
    }

    #[test]
    fn by_default_accounts_are_swept_every_minute_and_objects_read_every_ten() {
        assert_eq!(UNSET.sweep_interval(), Duration::from_mins(1));
        assert_eq!(UNSET.interval(), Duration::from_mins(10));
    }

    #[test]
    fn the_operators_flag_sets_both() {
        let intervals = operator(7);
        assert_eq!(
            (intervals.sweep_interval(), intervals.interval()),
            (Duration::from_secs(7), Duration::from_secs(7))
        );
    }

    #[test]
    fn an_objects_own_interval_never_changes_that_of_sweeps() {
        for flag in [UNSET, operator(1), operator(3600)] {
            for own in [30, 60, 7200] {
                let intervals = ResyncIntervals { operator: flag.operator, ..object(own) };
                assert_eq!(intervals.interval(), Duration::from_secs(own));
                assert_eq!(intervals.sweep_interval(), flag.sweep_interval());
            }
        }
    }

    #[test]
    fn beside_sweeps_an_object_is_read_within_an_hour_or_as_often_as_it_asks() {
        assert_eq!(UNSET.interval_beside_sweeps(), Duration::from_hours(1));
        assert_eq!(operator(1).interval_beside_sweeps(), Duration::from_mins(1));
        assert_eq!(operator(3600).interval_beside_sweeps(), Duration::from_hours(1));
        let own =
            |seconds| ResyncIntervals { operator: operator(300).operator, ..object(seconds) }.interval_beside_sweeps();
        assert_eq!(own(30), Duration::from_secs(30), "more often than it is swept");
        // Sweeps check it that often anyway.
        assert_eq!((own(300), own(3600)), (Duration::from_hours(1), Duration::from_hours(1)));
    }

    #[test]
    fn after_a_start_the_sweep_comes_first_unless_the_object_asks_for_more() {
        assert_eq!(operator(1).first_read(), Duration::from_hours(1));
        assert_eq!(object(30).first_read(), Duration::from_secs(30));
        assert_eq!(object(60).first_read(), Duration::from_hours(1));
    }
}
