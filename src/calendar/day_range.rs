//! Ranges of days and of hours, which say which of their ends they include.

use jiff::civil::Date;

use super::day::Day;

/// Calendar days from the first to the last, both inclusive. It holds at least one day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DayRange {
    first: Day,
    last: Day,
}

impl DayRange {
    /// The days from `first` to `last`, both inclusive; `None` if `last` is before `first`.
    pub fn new(first: Day, last: Day) -> Option<DayRange> {
        (first <= last).then_some(DayRange { first, last })
    }

    /// `days` days from `first` on, at least one; ends with the last day that [`Day`] can hold.
    pub fn with_length(first: Day, days: u32) -> DayRange {
        let last = u32::from(first.as_number()).saturating_add(days.max(1) - 1);
        DayRange {
            first,
            last: Day::from_number(u16::try_from(last).unwrap_or(u16::MAX)),
        }
    }

    /// The first day, inclusive.
    pub const fn first(self) -> Day {
        self.first
    }

    /// The last day, inclusive.
    pub const fn last(self) -> Day {
        self.last
    }

    /// The number of days, at least 1.
    pub fn count_days(self) -> u32 {
        u32::from(self.last.as_number() - self.first.as_number()) + 1
    }

    /// Whether `day` is one of the days.
    pub fn contains(self, day: Day) -> bool {
        (self.first..=self.last).contains(&day)
    }

    /// Each day, in order.
    pub fn iter(self) -> impl Iterator<Item = Day> {
        (self.first.as_number()..=self.last.as_number()).map(Day::from_number)
    }

    /// The same days as calendar dates.
    pub fn to_dates(self) -> DateRange {
        DateRange {
            first: self.first.to_date(),
            last: self.last.to_date(),
        }
    }
}

/// Calendar dates from the first to the last, both inclusive, of the whole calendar. Nothing is
/// said about their order: a [`DayRange`] is a range that was checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DateRange {
    /// The first date, inclusive.
    pub first: Date,
    /// The last date, inclusive.
    pub last: Date,
}

impl DateRange {
    /// The number of dates; 0 or less if the last is before the first.
    pub fn count_days(self) -> i64 {
        i64::from((self.last - self.first).get_days()) + 1
    }

    /// The same dates as days; `None` if they are reversed or outside the range of
    /// [`Day::from_date`].
    pub fn to_days(self) -> Option<DayRange> {
        DayRange::new(Day::from_date(self.first)?, Day::from_date(self.last)?)
    }
}

/// A span of hours, as Unix times in seconds at which hours begin. Empty if `until` is not after
/// `from`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HourRange {
    /// Start of the first hour, inclusive.
    pub from: u32,
    /// End of the last hour, exclusive.
    pub until: u32,
}

impl HourRange {
    /// Whether it holds no hour.
    pub const fn is_empty(self) -> bool {
        self.until <= self.from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(number: u16) -> Day {
        Day::from_number(number)
    }

    #[test]
    fn both_ends_belong_to_a_range_of_days() {
        let week = DayRange::new(day(10), day(16)).unwrap();
        assert_eq!(week.count_days(), 7);
        assert_eq!(
            [9, 10, 16, 17].map(|n| week.contains(day(n))),
            [false, true, true, false]
        );
        let days: Vec<u16> = week.iter().map(Day::as_number).collect();
        assert_eq!(days, [10, 11, 12, 13, 14, 15, 16]);
        assert_eq!(DayRange::with_length(day(10), 7), week);
        assert_eq!(week.to_dates().count_days(), 7);
        assert_eq!(week.to_dates().to_days(), Some(week));
    }

    #[test]
    fn a_range_is_never_reversed_and_never_leaves_the_calendar() {
        assert_eq!(DayRange::new(day(11), day(10)), None);
        assert_eq!(DayRange::new(day(10), day(10)).unwrap().count_days(), 1);
        let end = DayRange::with_length(day(u16::MAX - 1), u32::MAX);
        assert_eq!((end.last(), end.count_days()), (day(u16::MAX), 2));
        let reversed = DateRange {
            first: jiff::civil::date(2026, 3, 2),
            last: jiff::civil::date(2026, 3, 1),
        };
        assert_eq!((reversed.count_days(), reversed.to_days()), (0, None));
    }
}
