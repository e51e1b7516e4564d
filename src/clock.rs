//! Time is an argument: code that needs the current time is given a [`Clock`].

mod state;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::calendar::{Millis, TimeSpan};

/// The largest difference that is adopted at once. Network time synchronisation stays below it.
const MAX_DRIFT: TimeSpan = TimeSpan::from_secs(2);

/// How long a larger difference must persist before it is adopted.
const SETTLING_TIME: Duration = Duration::from_secs(5 * 60);

/// 2026-01-01T00:00:00Z in milliseconds. A machine whose clock was never set reports 1970.
pub const MIN_CLOCK_MILLIS: Millis = 1_767_225_600_000;

/// A source of the current time. Clones share the same time.
#[derive(Clone)]
pub enum Clock {
    /// The system's clock, including its jumps.
    System,
    /// The system's clock, without its jumps.
    Steady(Arc<SteadyClock>),
    /// Moves only by `advance_to`, and only forward. Clones move together.
    Test(Arc<AtomicI64>),
}

impl Clock {
    /// A test clock that starts at this instant.
    pub fn new_test(start: Millis) -> Clock {
        Clock::Test(Arc::new(AtomicI64::new(start)))
    }

    /// A clock that starts at the system's time and does not follow its jumps at once.
    pub fn new_steady() -> Clock {
        Clock::Steady(Arc::new(SteadyClock::new(system_now(), Instant::now())))
    }

    /// The current time, in milliseconds since the Unix epoch.
    pub fn now(&self) -> Millis {
        match self {
            Clock::System => system_now(),
            Clock::Steady(steady) => steady.time_at(Instant::now()),
            Clock::Test(now) => now.load(Ordering::Acquire),
        }
    }

    /// The time to compare file times with. For a test clock, that is the system's time, because
    /// files are real in tests.
    pub fn file_time(&self) -> SystemTime {
        match self {
            Clock::System | Clock::Test(_) => SystemTime::now(),
            Clock::Steady(_) => {
                UNIX_EPOCH + Duration::from_millis(u64::try_from(self.now()).unwrap_or(0))
            }
        }
    }

    /// Compares a steady clock with the system's and logs jumps. Called about once a second; does
    /// nothing for other clocks.
    pub fn check_system_clock(&self) {
        if let Clock::Steady(steady) = self {
            match steady.compare_with_system(system_now(), Instant::now()) {
                ClockComparison::Unchanged => {}
                ClockComparison::Jumped(ahead) => tracing::warn!(
                    seconds = ahead.as_secs(),
                    "the system's clock jumped; hits are counted by the former time, until the \
                     jump has persisted for five minutes"
                ),
                ClockComparison::Recovered => tracing::info!("the system's clock is right again"),
                ClockComparison::Adopted(ahead) => {
                    tracing::warn!(
                        seconds = ahead.as_secs(),
                        "the jump of the system's clock has persisted for five minutes and is \
                         adopted"
                    );
                }
            }
        }
    }

    /// How far the system's clock is ahead of this one, because it jumped and the jump is not yet
    /// adopted. Negative if it is behind.
    pub fn time_ahead(&self) -> TimeSpan {
        match self {
            Clock::Steady(steady) => {
                TimeSpan::from_millis(steady.ahead_millis.load(Ordering::Relaxed))
            }
            Clock::System | Clock::Test(_) => TimeSpan::ZERO,
        }
    }

    /// Whether irreversible actions may rely on this time: five minutes have passed since the
    /// start, and no jump is pending.
    pub fn is_settled(&self) -> bool {
        match self {
            Clock::Steady(steady) => steady.is_settled(Instant::now()),
            Clock::System | Clock::Test(_) => true,
        }
    }

    /// Moves a test clock forward to `at`; an instant in the past has no effect. Returns `false`
    /// for other clocks, which cannot be moved.
    pub fn advance_to(&self, at: Millis) -> bool {
        match self {
            Clock::System | Clock::Steady(_) => false,
            Clock::Test(now) => {
                now.fetch_max(at, Ordering::AcqRel);
                true
            }
        }
    }
}

fn system_now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

/// Follows the monotonic clock, and adopts the system's time only where both agree or after the
/// difference has persisted.
///
/// Otherwise a clock that is two days ahead for a moment would close the current day for good: its
/// key is deleted, its visitors are forgotten, it is published, and all later hits belong to a day
/// in the future.
pub struct SteadyClock {
    started_at: Instant,
    /// The time at `begun`, in milliseconds since the Unix epoch.
    base_millis: AtomicI64,
    ahead_millis: AtomicI64,
    /// A jump that is not yet adopted: when it was seen, and how far the system's clock is ahead.
    pending_jump: Mutex<Option<(Instant, TimeSpan)>>,
}

/// The result of comparing the clocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ClockComparison {
    Unchanged,
    Jumped(TimeSpan),
    Recovered,
    Adopted(TimeSpan),
}

impl SteadyClock {
    fn new(system: Millis, now: Instant) -> SteadyClock {
        SteadyClock {
            started_at: now,
            base_millis: AtomicI64::new(system),
            ahead_millis: AtomicI64::new(0),
            pending_jump: Mutex::new(None),
        }
    }

    fn time_at(&self, now: Instant) -> Millis {
        let gone = now.saturating_duration_since(self.started_at).as_millis();
        self.base_millis
            .load(Ordering::Relaxed)
            .saturating_add(i64::try_from(gone).unwrap_or(i64::MAX))
    }

    fn is_settled(&self, now: Instant) -> bool {
        self.ahead_millis.load(Ordering::Relaxed) == 0
            && now.saturating_duration_since(self.started_at) >= SETTLING_TIME
    }

    fn compare_with_system(&self, system: Millis, now: Instant) -> ClockComparison {
        let ahead = TimeSpan::between(self.time_at(now), system);
        let mut jump = self
            .pending_jump
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if ahead.abs() <= MAX_DRIFT {
            self.adopt_system_time(ahead);
            return if jump.take().is_some() {
                ClockComparison::Recovered
            } else {
                ClockComparison::Unchanged
            };
        }

        self.ahead_millis
            .store(ahead.as_millis(), Ordering::Relaxed);
        match *jump {
            Some((since, by)) if (ahead - by).abs() <= MAX_DRIFT => {
                if now.saturating_duration_since(since) < SETTLING_TIME {
                    return ClockComparison::Unchanged;
                }
                *jump = None;
                self.adopt_system_time(ahead);
                ClockComparison::Adopted(ahead)
            }
            // The first jump, or a further one to another time.
            _ => {
                *jump = Some((now, ahead));
                ClockComparison::Jumped(ahead)
            }
        }
    }

    fn adopt_system_time(&self, ahead: TimeSpan) {
        self.base_millis
            .fetch_add(ahead.as_millis(), Ordering::Relaxed);
        self.ahead_millis.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Millis = 1_773_144_000_000;
    const TWO_DAYS: TimeSpan = TimeSpan::from_secs(2 * 86_400);

    fn at(start: Instant, secs: u64) -> Instant {
        start + Duration::from_secs(secs)
    }

    #[test]
    fn a_jump_of_a_moment_changes_no_hit_and_is_told() {
        let start = Instant::now();
        let steady = SteadyClock::new(START, start);
        for secs in 0..20 {
            let expected = if secs == 0 {
                ClockComparison::Jumped(TWO_DAYS)
            } else {
                ClockComparison::Unchanged
            };
            assert_eq!(
                steady
                    .compare_with_system(START + TWO_DAYS + secs as Millis * 1000, at(start, secs)),
                expected
            );
            assert_eq!(
                steady.time_at(at(start, secs)),
                START + secs as Millis * 1000
            );
        }
        assert_eq!(
            steady.ahead_millis.load(Ordering::Relaxed),
            TWO_DAYS.as_millis()
        );
        assert_eq!(
            steady.compare_with_system(START + 21_000, at(start, 21)),
            ClockComparison::Recovered
        );
        assert_eq!(
            (
                steady.ahead_millis.load(Ordering::Relaxed),
                steady.time_at(at(start, 22))
            ),
            (0, START + 22_000)
        );
        assert!(!steady.is_settled(at(start, 299)) && steady.is_settled(at(start, 300)));
        steady.compare_with_system(START + TWO_DAYS, at(start, 301));
        assert!(!steady.is_settled(at(start, 301)));
    }

    #[test]
    fn a_clock_that_was_set_right_is_followed_after_a_second_look() {
        for by in [TWO_DAYS, -1 * TWO_DAYS] {
            let start = Instant::now();
            let steady = SteadyClock::new(START, start);
            let look = |secs: u64| {
                steady.compare_with_system(START + by + secs as Millis * 1000, at(start, secs))
            };
            assert_eq!(look(1), ClockComparison::Jumped(by));
            assert!((2..301).all(|secs| look(secs) == ClockComparison::Unchanged));
            assert_eq!(look(301), ClockComparison::Adopted(by));
            assert_eq!(steady.time_at(at(start, 400)), START + by + 400_000);
            assert_eq!(look(401), ClockComparison::Unchanged);
        }
    }

    #[test]
    fn a_clock_that_jumps_about_is_not_believed() {
        let start = Instant::now();
        let steady = SteadyClock::new(START, start);
        for minute in 0..100 {
            let system =
                START + (1 + i64::from(minute as u8 % 2)) * TWO_DAYS + minute as i64 * 60_000;
            assert!(matches!(
                steady.compare_with_system(system, at(start, minute * 60)),
                ClockComparison::Jumped(_)
            ));
        }
        assert_eq!(steady.time_at(at(start, 6000)), START + 6_000_000);
    }

    #[test]
    fn drift_is_followed_at_once() {
        let start = Instant::now();
        let steady = SteadyClock::new(START, start);
        assert_eq!(
            steady.compare_with_system(START + 61_500, at(start, 60)),
            ClockComparison::Unchanged
        );
        assert_eq!(steady.time_at(at(start, 60)), START + 61_500);
        assert_eq!(
            steady.compare_with_system(START + 60_000 + 60_000, at(start, 120)),
            ClockComparison::Unchanged
        );
        assert_eq!(steady.time_at(at(start, 120)), START + 120_000);
    }
}
