//! How often an object, and how often an account, is looked at. Pure: durations in, durations out.

use std::time::Duration;

/// Between looks at an object where nothing else says how long, without account scans.
pub const DEFAULT_INTERVAL: Duration = Duration::from_mins(10);
/// Between sweeps of an account where nothing else is set.
pub const DEFAULT_SWEEP_INTERVAL: Duration = Duration::from_mins(1);
/// What a sweep lacks is read once in so many sweeps, and at least every hour.
const SWEEPS_PER_LOOK: u32 = 60;
const SLOWEST_LOOK: Duration = Duration::from_hours(1);

/// What is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// `spec.driftCheckInterval`.
    pub object: Option<Duration>,
    /// `--drift-check-interval`.
    pub operator: Option<Duration>,
}

impl Pace {
    /// How old the last good look at an object may be, a third of the time that trouble may last before it is reported;
    /// and how often an object is looked at that no sweep looks at.
    pub fn interval(self) -> Duration {
        self.object.or(self.operator).unwrap_or(DEFAULT_INTERVAL)
    }

    /// Between sweeps. What an object asks for has no part in it.
    pub fn sweep_interval(self) -> Duration {
        self.operator.unwrap_or(DEFAULT_SWEEP_INTERVAL)
    }

    /// When an object in sync that sweeps look at is read by itself again: rarely, unless it asks for more looks than
    /// they give it.
    pub fn look_between_sweeps(self) -> Duration {
        self.more_often_than_swept().unwrap_or((self.sweep_interval() * SWEEPS_PER_LOOK).min(SLOWEST_LOOK))
    }

    /// When an object that is said to be in sync is read by itself, at the latest, after the operator has come: the
    /// first sweep is to look at it before.
    pub fn first_look(self) -> Duration {
        self.more_often_than_swept().unwrap_or(SLOWEST_LOOK)
    }

    fn more_often_than_swept(self) -> Option<Duration> {
        self.object.filter(|wanted| *wanted < self.sweep_interval())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Pace = Pace { object: None, operator: None };

    fn operator(seconds: u64) -> Pace {
        Pace { operator: Some(Duration::from_secs(seconds)), ..NOTHING }
    }

    fn object(seconds: u64) -> Pace {
        Pace { object: Some(Duration::from_secs(seconds)), ..NOTHING }
    }

    #[test]
    fn by_default_accounts_are_swept_every_minute_and_objects_read_every_ten() {
        assert_eq!(NOTHING.sweep_interval(), Duration::from_mins(1));
        assert_eq!(NOTHING.interval(), Duration::from_mins(10));
    }

    #[test]
    fn the_operators_flag_sets_both() {
        let pace = operator(7);
        assert_eq!((pace.sweep_interval(), pace.interval()), (Duration::from_secs(7), Duration::from_secs(7)));
    }

    #[test]
    fn an_objects_own_interval_is_its_own_and_never_that_of_sweeps() {
        for flag in [NOTHING, operator(1), operator(3600)] {
            for own in [30, 60, 7200] {
                let pace = Pace { operator: flag.operator, ..object(own) };
                assert_eq!(pace.interval(), Duration::from_secs(own));
                assert_eq!(pace.sweep_interval(), flag.sweep_interval());
            }
        }
    }

    #[test]
    fn between_sweeps_an_object_is_read_within_an_hour_or_as_often_as_it_asks() {
        assert_eq!(NOTHING.look_between_sweeps(), Duration::from_hours(1));
        assert_eq!(operator(1).look_between_sweeps(), Duration::from_mins(1));
        assert_eq!(operator(3600).look_between_sweeps(), Duration::from_hours(1));
        let own = |seconds| Pace { operator: operator(300).operator, ..object(seconds) }.look_between_sweeps();
        assert_eq!(own(30), Duration::from_secs(30), "more often than it is swept");
        // Sweeps look at it that often anyway.
        assert_eq!((own(300), own(3600)), (Duration::from_hours(1), Duration::from_hours(1)));
    }

    #[test]
    fn after_a_start_the_sweep_looks_first_unless_the_object_asks_for_more() {
        assert_eq!(operator(1).first_look(), Duration::from_hours(1));
        assert_eq!(object(30).first_look(), Duration::from_secs(30));
        assert_eq!(object(60).first_look(), Duration::from_hours(1));
    }
}
