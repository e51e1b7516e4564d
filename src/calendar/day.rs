//! Instants and calendar days, as the whole pipeline represents them.

use std::fmt;

use jiff::civil::Date;

/// An instant, as milliseconds since the Unix epoch. A length of time is a
/// [`TimeSpan`](super::TimeSpan).
pub type Millis = i64;

/// Milliseconds of a day in UTC.
const DAY_MILLIS: i64 = 86_400_000;

/// A calendar day in a site's time zone, as days since 1970-01-01 (ClickHouse's `Date`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Day(u16);

impl Day {
    /// The day of a calendar date. `None` outside 1970-01-01 to 2149-06-06 (both inclusive), the
    /// range of ClickHouse's `Date`.
    pub fn from_date(date: Date) -> Option<Day> {
        let since = date.since(Date::constant(1970, 1, 1)).ok()?;
        u16::try_from(since.get_days()).ok().map(Day)
    }

    /// The day in UTC of an instant. `None` outside the range of [`Day::from_date`].
    pub fn from_utc(at: Millis) -> Option<Day> {
        u16::try_from(at.div_euclid(DAY_MILLIS)).ok().map(Day)
    }

    /// The day that is `days` days after 1970-01-01.
    pub const fn from_number(days: u16) -> Day {
        Day(days)
    }

    /// Days since 1970-01-01, as stored.
    pub const fn as_number(self) -> u16 {
        self.0
    }

    /// The calendar date of this day.
    pub fn to_date(self) -> Date {
        Date::constant(1970, 1, 1)
            .checked_add(jiff::Span::new().days(i64::from(self.0)))
            .expect("every u16 of days lies within jiff's calendar")
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_date().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_on_the_day_that_utc_shows() {
        let day = |at| Day::from_utc(at).map(Day::as_number);
        assert_eq!(day(0), Some(0));
        assert_eq!((day(86_399_999), day(86_400_000)), (Some(0), Some(1)));
        assert_eq!(
            Day::from_utc(1_775_000_000_000).unwrap().to_string(),
            "2026-03-31"
        );
        assert_eq!((day(-1), day(i64::MAX)), (None, None));
        let last = i64::from(u16::MAX) * DAY_MILLIS;
        assert_eq!((day(last), day(last + DAY_MILLIS)), (Some(u16::MAX), None));
    }
}
