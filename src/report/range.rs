//! Named ranges, comparisons and the steps of a series: calendar arithmetic on dates, without time
//! zones or I/O.

use jiff::civil::{Date, Weekday};
use jiff::{Span, ToSpan};

/// A range of days by name. Ranges end today, except `Yesterday` and `LastMonth`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Named {
    Today,
    Yesterday,
    Days(i64),
    /// The month to date.
    Month,
    Year,
    /// The whole previous month.
    LastMonth,
    /// This number of calendar months; the current one, to date, is the last.
    Months(i64),
    /// From the first counted day on.
    All,
}

/// The days that a range is compared with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Against {
    /// The days right before. For a month or year to date, the same days of the previous month or
    /// year.
    Previous,
    /// The same days one year earlier.
    LastYear,
    /// As many days, from this one on.
    From(Date),
}

/// Length of a step of a series.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interval {
    Hour,
    Day,
    Week,
    Month,
}

/// The first day of a week.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum WeekStart {
    #[default]
    Monday,
    Saturday,
    Sunday,
}

impl WeekStart {
    pub const ACCEPTED: &str = "monday, saturday or sunday";

    /// By its lower-case English name; `None` for other days.
    pub fn parse(word: &str) -> Option<WeekStart> {
        Some(match word {
            "monday" => WeekStart::Monday,
            "saturday" => WeekStart::Saturday,
            "sunday" => WeekStart::Sunday,
            _ => return None,
        })
    }

    fn weekday(self) -> Weekday {
        match self {
            WeekStart::Monday => Weekday::Monday,
            WeekStart::Saturday => Weekday::Saturday,
            WeekStart::Sunday => Weekday::Sunday,
        }
    }
}

/// Longest range, in days, with steps of an hour.
pub const HOURLY_DAYS: i64 = 14;

impl Named {
    pub const ACCEPTED: &str = "today, yesterday, 7d, 28d, 30d, 90d, month, last_month, 12mo, year or all";

    /// By its name in a query string; `None` for unknown names.
    pub fn parse(word: &str) -> Option<Named> {
        Some(match word {
            "today" => Named::Today,
            "yesterday" => Named::Yesterday,
            "7d" => Named::Days(7),
            "28d" => Named::Days(28),
            "30d" => Named::Days(30),
            "90d" => Named::Days(90),

            "month" => Named::Month,
            "last_month" => Named::LastMonth,
            "12mo" => Named::Months(12),
            "year" => Named::Year,
            "all" => Named::All,
            _ => return None,
        })
    }

    /// First and last day, both inclusive. `kept` is the number of days that totals are kept.
    pub fn days(self, today: Date, kept: i64) -> (Date, Date) {
        let back = |days: i64| before(today, days.days());
        match self {
            Named::Today => (today, today),
            Named::Yesterday => (back(1), back(1)),
            Named::Days(days) => (back(days - 1), today),
            Named::Month => (today.first_of_month(), today),
            Named::Year => (today.first_of_year(), today),
            Named::LastMonth => {
                let last = before(today.first_of_month(), 1.day());
                (last.first_of_month(), last)
            }
            Named::Months(months) => (before(today.first_of_month(), (months - 1).months()), today),
            Named::All => (back(kept - 1), today),
        }
    }
}

impl Against {
    /// First and last day of the comparison, both inclusive. `named` is the name the range was
    /// asked by, if any.
    pub fn days(self, named: Option<Named>, (from, to): (Date, Date)) -> (Date, Date) {
        let length = (to - from).get_days();
        let same_length = |first: Date| (first, first.checked_add(length.days()).unwrap_or(to));
        match (self, named) {
            (Against::From(first), _) => same_length(first),
            (Against::LastYear, _) | (Against::Previous, Some(Named::Year)) => {
                (before(from, 1.year()), before(to, 1.year()))
            }
            (Against::Previous, Some(Named::Month)) => (before(from, 1.month()), before(to, 1.month())),
            (Against::Previous, _) => same_length(before(from, (i64::from(length) + 1).days())),
        }
    }
}

impl Interval {
    pub const ACCEPTED: &str = "hour (of at most 14 days), day, week or month";

    /// By its name in a query string; `None` for unknown names.
    pub fn parse(word: &str) -> Option<Interval> {
        Some(match word {
            "hour" => Interval::Hour,
            "day" => Interval::Day,
            "week" => Interval::Week,
            "month" => Interval::Month,
            _ => return None,
        })
    }

    /// The interval used for a range of `days` days unless another is asked for.
    pub fn usual(days: i64) -> Interval {
        match days {
            ..=2 => Interval::Hour,
            3..=92 => Interval::Day,
            93..=366 => Interval::Week,
            _ => Interval::Month,
        }
    }

    /// As in query strings and answers.
    pub fn name(self) -> &'static str {
        match self {
            Interval::Hour => "hour",
            Interval::Day => "day",
            Interval::Week => "week",
            Interval::Month => "month",
        }
    }

    /// First day of the step that `day` belongs to.
    pub fn step_of(self, day: Date, week: WeekStart) -> Date {
        match self {
            Interval::Hour | Interval::Day => day,
            Interval::Week => before(day, i64::from(day.weekday().since(week.weekday())).days()),
            Interval::Month => day.first_of_month(),
        }
    }
}

/// `day` minus `span`, clamped to 1970-01-01, where the store's days begin.
fn before(day: Date, span: Span) -> Date {
    day.checked_sub(span).unwrap_or(Date::constant(1970, 1, 1)).max(Date::constant(1970, 1, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> Date {
        text.parse().unwrap()
    }

    fn shown((from, to): (Date, Date)) -> String {
        format!("{from} {to}")
    }

    #[test]
    fn a_name_is_days_that_end_today() {
        for (word, expected) in [
            ("today", "2026-03-31 2026-03-31"),
            ("yesterday", "2026-03-30 2026-03-30"),
            ("7d", "2026-03-25 2026-03-31"),
            ("28d", "2026-03-04 2026-03-31"),
            ("30d", "2026-03-02 2026-03-31"),
            ("90d", "2026-01-01 2026-03-31"),
            ("month", "2026-03-01 2026-03-31"),
            ("year", "2026-01-01 2026-03-31"),
            ("last_month", "2026-02-01 2026-02-28"),
            ("12mo", "2025-04-01 2026-03-31"),
            ("all", "2024-03-01 2026-03-31"),
        ] {
            assert_eq!(shown(Named::parse(word).unwrap().days(date("2026-03-31"), 761)), expected, "{word}");
        }
        assert_eq!(Named::parse("8d"), None);
    }

    #[test]
    fn a_comparison_is_as_long_as_its_range_or_the_same_days_of_another_month_or_year() {
        let march = (date("2026-03-01"), date("2026-03-31"));
        let week = (date("2026-03-25"), date("2026-03-31"));
        for (against, named, range, expected) in [
            (Against::Previous, None, week, "2026-03-18 2026-03-24"),
            (Against::Previous, Some(Named::Month), march, "2026-02-01 2026-02-28"),
            (Against::Previous, Some(Named::Year), (date("2026-01-01"), march.1), "2025-01-01 2025-03-31"),
            (Against::LastYear, None, week, "2025-03-25 2025-03-31"),
            (Against::LastYear, None, (date("2024-02-29"), date("2024-02-29")), "2023-02-28 2023-02-28"),
            (Against::From(date("2026-01-05")), None, week, "2026-01-05 2026-01-11"),
        ] {
            assert_eq!(shown(against.days(named, range)), expected, "{against:?} {named:?}");
        }
    }

    #[test]
    fn a_week_begins_on_monday_or_where_the_reader_is_used_to() {
        for (day, week, expected) in [
            ("2026-03-29", WeekStart::Monday, "2026-03-23"),
            ("2026-03-30", WeekStart::Monday, "2026-03-30"),
            ("2026-03-28", WeekStart::Sunday, "2026-03-22"),
            ("2026-03-29", WeekStart::Sunday, "2026-03-29"),
            ("2026-03-27", WeekStart::Saturday, "2026-03-21"),
        ] {
            assert_eq!(Interval::Week.step_of(date(day), week).to_string(), expected, "{day} {week:?}");
        }
        assert_eq!(
            [2, 3, 92, 93, 367].map(|days| Interval::usual(days).name()),
            ["hour", "day", "day", "week", "month"]
        );
    }
}
