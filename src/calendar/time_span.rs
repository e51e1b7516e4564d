//! Lengths of time.

use std::ops::{Add, AddAssign, Mul, Sub};

use super::day::Millis;

/// A length of time in whole milliseconds; negative for a time that runs backwards. Added to an
/// instant ([`Millis`]) it gives another one. All sums stop at the ends of 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct TimeSpan(i64);

impl TimeSpan {
    /// No time.
    pub const ZERO: TimeSpan = TimeSpan(0);

    /// The time of `millis` milliseconds.
    pub const fn from_millis(millis: i64) -> TimeSpan {
        TimeSpan(millis)
    }

    /// The time of `secs` seconds.
    pub const fn from_secs(secs: u32) -> TimeSpan {
        TimeSpan(secs as i64 * 1000)
    }

    /// The time from one instant to another; negative if `later` is the earlier one.
    pub const fn between(earlier: Millis, later: Millis) -> TimeSpan {
        TimeSpan(later.saturating_sub(earlier))
    }

    /// In milliseconds.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// In whole seconds, rounded towards zero.
    pub const fn as_secs(self) -> i64 {
        self.0 / 1000
    }

    /// Its length without its sign.
    pub const fn abs(self) -> TimeSpan {
        TimeSpan(self.0.saturating_abs())
    }
}

impl Add<TimeSpan> for Millis {
    type Output = Millis;

    fn add(self, by: TimeSpan) -> Millis {
        self.saturating_add(by.0)
    }
}

impl AddAssign<TimeSpan> for Millis {
    fn add_assign(&mut self, by: TimeSpan) {
        *self = *self + by;
    }
}

impl Sub<TimeSpan> for Millis {
    type Output = Millis;

    fn sub(self, by: TimeSpan) -> Millis {
        self.saturating_sub(by.0)
    }
}

impl Add for TimeSpan {
    type Output = TimeSpan;

    fn add(self, other: TimeSpan) -> TimeSpan {
        TimeSpan(self.0.saturating_add(other.0))
    }
}

impl Sub for TimeSpan {
    type Output = TimeSpan;

    fn sub(self, other: TimeSpan) -> TimeSpan {
        TimeSpan(self.0.saturating_sub(other.0))
    }
}

impl Mul<TimeSpan> for i64 {
    type Output = TimeSpan;

    fn mul(self, span: TimeSpan) -> TimeSpan {
        TimeSpan(span.0.saturating_mul(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_and_a_length_give_an_instant() {
        let minute = TimeSpan::from_secs(60);
        assert_eq!((1_000 + minute, 61_000 - minute), (61_000, 1_000));
        let mut at: Millis = 5;
        at += 2 * minute;
        assert_eq!(at, 120_005);
        assert_eq!(TimeSpan::between(at, 5), TimeSpan::from_millis(-120_000));
        assert_eq!(TimeSpan::between(at, 5).abs(), minute + minute);
        assert_eq!(TimeSpan::from_millis(-2_001).as_secs(), -2);
    }

    #[test]
    fn sums_stop_at_the_ends_of_the_numbers() {
        let second = TimeSpan::from_secs(1);
        assert_eq!(Millis::MAX + second, Millis::MAX);
        assert_eq!(Millis::MIN - second, Millis::MIN);
        assert_eq!(
            TimeSpan::between(Millis::MIN, Millis::MAX),
            TimeSpan::from_millis(i64::MAX)
        );
    }
}
