//! Time is an argument: code that needs the current time is given a [`Clock`].

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::event::Millis;

/// The largest difference, in milliseconds, that is adopted at once. Network time synchronisation
/// stays below it.
const DRIFT: Millis = 2_000;

/// How long a larger difference must persist before it is adopted.
const SECOND_LOOK: Duration = Duration::from_secs(5 * 60);

/// A source of the current time. Clones share the same time.
#[derive(Clone)]
pub enum Clock {
    /// The system's clock, including its jumps.
    System,
    /// The system's clock, without its jumps.
    Steady(Arc<Steady>),
    /// Only moves when told to, and only forward. Clones move together.
    Test(Arc<AtomicI64>),
}

impl Clock {
    /// A test clock that starts at this instant.
    pub fn test(start: Millis) -> Clock {
        Clock::Test(Arc::new(AtomicI64::new(start)))
    }

    /// A clock that starts at the system's time and does not follow its jumps at once.
    pub fn steady() -> Clock {
        Clock::Steady(Arc::new(Steady::new(system_now(), Instant::now())))
    }

    /// The current time, in milliseconds since the Unix epoch.
    pub fn now(&self) -> Millis {
        match self {
            Clock::System => system_now(),
            Clock::Steady(steady) => steady.at(Instant::now()),
            Clock::Test(now) => now.load(Ordering::Acquire),
        }
    }

    /// The time to compare file times with. For a test clock, that is the system's time, because
    /// files are real in tests.
    pub fn file_time(&self) -> SystemTime {
        match self {
            Clock::System | Clock::Test(_) => SystemTime::now(),
            Clock::Steady(_) => UNIX_EPOCH + Duration::from_millis(u64::try_from(self.now()).unwrap_or(0)),
        }
    }

    /// Compares a steady clock with the system's and logs jumps. Called about once a second; does
    /// nothing for other clocks.
    pub fn look(&self) {
        if let Clock::Steady(steady) = self {
            match steady.look(system_now(), Instant::now()) {
                Look::Same => {}
                Look::Jumped(millis) => tracing::warn!(
                    seconds = millis / 1000,
                    "the system's clock jumped; hits are counted as if it had not, until it has stood for five minutes"
                ),
                Look::Back => tracing::info!("the system's clock is right again"),
                Look::Believed(millis) => {
                    tracing::warn!(
                        seconds = millis / 1000,
                        "the system's clock has stood for five minutes; it is followed"
                    );
                }
            }
        }
    }

    /// By how many milliseconds the system's clock is ahead of this one, because it jumped and the
    /// jump is not yet adopted. Negative if it is behind.
    pub fn ahead(&self) -> Millis {
        match self {
            Clock::Steady(steady) => steady.ahead.load(Ordering::Relaxed),
            Clock::System | Clock::Test(_) => 0,
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
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Follows the monotonic clock, and adopts the system's time only where both agree or after the
/// difference has persisted.
///
/// Otherwise a clock that is two days ahead for a moment would close the current day for good: its
/// key is deleted, its visitors are forgotten, it is published, and all later hits belong to a day
/// in the future.
pub struct Steady {
    begun: Instant,
    /// The time at `begun`, in milliseconds since the Unix epoch.
    base: AtomicI64,
    ahead: AtomicI64,
    /// A jump that is not yet adopted: when it was seen, and by how many milliseconds the system's
    /// clock is ahead.
    jump: Mutex<Option<(Instant, Millis)>>,
}

/// The result of comparing the clocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Look {
    Same,
    Jumped(Millis),
    Back,
    Believed(Millis),
}

impl Steady {
    fn new(system: Millis, now: Instant) -> Steady {
        Steady { begun: now, base: AtomicI64::new(system), ahead: AtomicI64::new(0), jump: Mutex::new(None) }
    }

    fn at(&self, now: Instant) -> Millis {
        let gone = now.saturating_duration_since(self.begun).as_millis();
        self.base.load(Ordering::Relaxed).saturating_add(i64::try_from(gone).unwrap_or(i64::MAX))
    }

    fn is_settled(&self, now: Instant) -> bool {
        self.ahead.load(Ordering::Relaxed) == 0 && now.saturating_duration_since(self.begun) >= SECOND_LOOK
    }

    fn look(&self, system: Millis, now: Instant) -> Look {
        let ahead = system.saturating_sub(self.at(now));
        let mut jump = self.jump.lock().unwrap_or_else(PoisonError::into_inner);
        if ahead.abs() <= DRIFT {
            self.follow(ahead);
            return if jump.take().is_some() { Look::Back } else { Look::Same };
        }

        self.ahead.store(ahead, Ordering::Relaxed);
        match *jump {
            Some((since, by)) if (ahead - by).abs() <= DRIFT => {
                if now.saturating_duration_since(since) < SECOND_LOOK {
                    return Look::Same;
                }
                *jump = None;
                self.follow(ahead);
                Look::Believed(ahead)
            }
            // The first jump, or one to yet another time.
            _ => {
                *jump = Some((now, ahead));
                Look::Jumped(ahead)
            }
        }
    }

    fn follow(&self, ahead: Millis) {
        self.base.fetch_add(ahead, Ordering::Relaxed);
        self.ahead.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Millis = 1_773_144_000_000;
    const TWO_DAYS: Millis = 2 * 86_400_000;

    fn at(start: Instant, secs: u64) -> Instant {
        start + Duration::from_secs(secs)
    }

    #[test]
    fn a_jump_of_a_moment_changes_no_hit_and_is_told() {
        let start = Instant::now();
        let steady = Steady::new(START, start);
        for secs in 0..20 {
            let expected = if secs == 0 { Look::Jumped(TWO_DAYS) } else { Look::Same };
            assert_eq!(steady.look(START + TWO_DAYS + secs as Millis * 1000, at(start, secs)), expected);
            assert_eq!(steady.at(at(start, secs)), START + secs as Millis * 1000);
        }
        assert_eq!(steady.ahead.load(Ordering::Relaxed), TWO_DAYS);
        assert_eq!(steady.look(START + 21_000, at(start, 21)), Look::Back);
        assert_eq!((steady.ahead.load(Ordering::Relaxed), steady.at(at(start, 22))), (0, START + 22_000));
        assert!(!steady.is_settled(at(start, 299)) && steady.is_settled(at(start, 300)));
        steady.look(START + TWO_DAYS, at(start, 301));
        assert!(!steady.is_settled(at(start, 301)));
    }

    #[test]
    fn a_clock_that_was_set_right_is_followed_after_a_second_look() {
        for by in [TWO_DAYS, -TWO_DAYS] {
            let start = Instant::now();
            let steady = Steady::new(START, start);
            let look = |secs: u64| steady.look(START + by + secs as Millis * 1000, at(start, secs));
            assert_eq!(look(1), Look::Jumped(by));
            assert!((2..301).all(|secs| look(secs) == Look::Same));
            assert_eq!(look(301), Look::Believed(by));
            assert_eq!(steady.at(at(start, 400)), START + by + 400_000);
            assert_eq!(look(401), Look::Same);
        }
    }

    #[test]
    fn a_clock_that_jumps_about_is_not_believed() {
        let start = Instant::now();
        let steady = Steady::new(START, start);
        for minute in 0..100 {
            let system = START + TWO_DAYS * (1 + Millis::from(minute as u8 % 2)) + minute as Millis * 60_000;
            assert!(matches!(steady.look(system, at(start, minute * 60)), Look::Jumped(_)));
        }
        assert_eq!(steady.at(at(start, 6000)), START + 6_000_000);
    }

    #[test]
    fn drift_is_followed_at_once() {
        let start = Instant::now();
        let steady = Steady::new(START, start);
        assert_eq!(steady.look(START + 61_500, at(start, 60)), Look::Same);
        assert_eq!(steady.at(at(start, 60)), START + 61_500);
        assert_eq!(steady.look(START + 60_000 + 60_000, at(start, 120)), Look::Same);
        assert_eq!(steady.at(at(start, 120)), START + 120_000);
    }
}
