//! Named ranges, comparisons and the steps of a series: calendar arithmetic on dates, without time
//! zones or I/O.

use jiff::civil::{Date, Weekday};
use jiff::{Span, ToSpan};

use crate::calendar::DateRange;

/// A range of days by name. Ranges end today, except `Yesterday` and `LastMonth`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RangePreset {
    /// Today.
    Today,
    /// Yesterday.
    Yesterday,
    /// This number of days; today is the last.
    LastDays(i64),
    /// The month to date.
    MonthToDate,
    /// The year to date.
    YearToDate,
    /// The whole previous month.
    LastMonth,
    /// This number of calendar months; the current one, to date, is the last.
    CalendarMonths(i64),
    /// From the first counted day to today.
    AllTime,
}

/// The days that a range is compared with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ComparisonMode {
    /// The days right before. For a month or year to date, the same days of the previous month or
    /// year.
    Previous,
    /// The same days one year earlier.
    LastYear,
    /// The same number of days, from this one on.
    From(Date),
}

string_enum! {
    /// Length of a step of a series.
    pub enum SeriesInterval {
        Hour = "hour",
        Day = "day",
        Week = "week",
        Month = "month",
    }
}

string_enum! {
    /// The first day of a week.
    #[derive(Default)]
    pub enum WeekStart {
        #[default]
        Monday = "monday",
        Saturday = "saturday",
        Sunday = "sunday",
    }
}

impl WeekStart {
    /// The accepted names, for an error.
    pub const ACCEPTED: &str = "monday, saturday or sunday";

    fn to_weekday(self) -> Weekday {
        match self {
            WeekStart::Monday => Weekday::Monday,
            WeekStart::Saturday => Weekday::Saturday,
            WeekStart::Sunday => Weekday::Sunday,
        }
    }
}

/// Maximum length of a range with steps of an hour, in days.
pub const MAX_HOURLY_DAYS: i64 = 14;

impl RangePreset {
    /// The accepted names, for an error.
    pub const ACCEPTED: &str =
        "today, yesterday, 7d, 28d, 30d, 90d, month, last_month, 12mo, year or all";

    /// By its name in a query string; `None` for unknown names.
    pub fn parse(word: &str) -> Option<RangePreset> {
        Some(match word {
            "today" => RangePreset::Today,
            "yesterday" => RangePreset::Yesterday,
            "7d" => RangePreset::LastDays(7),
            "28d" => RangePreset::LastDays(28),
            "30d" => RangePreset::LastDays(30),
            "90d" => RangePreset::LastDays(90),

            "month" => RangePreset::MonthToDate,
            "last_month" => RangePreset::LastMonth,
            "12mo" => RangePreset::CalendarMonths(12),
            "year" => RangePreset::YearToDate,
            "all" => RangePreset::AllTime,
            _ => return None,
        })
    }

    /// The days of the range. `kept` is the number of days that totals are kept.
    pub fn resolve_days(self, today: Date, kept: i64) -> DateRange {
        let back = |days: i64| subtract_span(today, days.days());
        let (first, last) = match self {
            RangePreset::Today => (today, today),
            RangePreset::Yesterday => (back(1), back(1)),
            RangePreset::LastDays(days) => (back(days - 1), today),
            RangePreset::MonthToDate => (today.first_of_month(), today),
            RangePreset::YearToDate => (today.first_of_year(), today),
            RangePreset::LastMonth => {
                let last = subtract_span(today.first_of_month(), 1.day());
                (last.first_of_month(), last)
            }
            RangePreset::CalendarMonths(months) => (
                subtract_span(today.first_of_month(), (months - 1).months()),
                today,
            ),
            RangePreset::AllTime => (back(kept - 1), today),
        };
        DateRange { first, last }
    }
}

impl ComparisonMode {
    /// The days of the comparison. `named` is the requested name of the range, if any.
    pub fn resolve_days(self, named: Option<RangePreset>, range: DateRange) -> DateRange {
        let DateRange { first, last } = range;
        let length = (last - first).get_days();
        let same_length = |begin: Date| DateRange {
            first: begin,
            last: begin.checked_add(length.days()).unwrap_or(last),
        };
        let earlier = |by: Span| DateRange {
            first: subtract_span(first, by),
            last: subtract_span(last, by),
        };
        match (self, named) {
            (ComparisonMode::From(begin), _) => same_length(begin),
            (ComparisonMode::LastYear, _)
            | (ComparisonMode::Previous, Some(RangePreset::YearToDate)) => earlier(1.year()),
            (ComparisonMode::Previous, Some(RangePreset::MonthToDate)) => earlier(1.month()),
            (ComparisonMode::Previous, _) => {
                same_length(subtract_span(first, (i64::from(length) + 1).days()))
            }
        }
    }
}

impl SeriesInterval {
    /// The accepted names, for an error.
    pub const ACCEPTED: &str = "hour (of at most 14 days), day, week or month";

    /// The default interval for a range of `days` days.
    pub fn default_for_days(days: i64) -> SeriesInterval {
        match days {
            ..=2 => SeriesInterval::Hour,
            3..=92 => SeriesInterval::Day,
            93..=366 => SeriesInterval::Week,
            _ => SeriesInterval::Month,
        }
    }

    /// First day of the step that `day` belongs to.
    pub fn step_start(self, day: Date, week: WeekStart) -> Date {
        match self {
            SeriesInterval::Hour | SeriesInterval::Day => day,
            SeriesInterval::Week => subtract_span(
                day,
                i64::from(day.weekday().since(week.to_weekday())).days(),
            ),
            SeriesInterval::Month => day.first_of_month(),
        }
    }
}

/// `day` minus `span`, clamped to 1970-01-01, where the store's days begin.
fn subtract_span(day: Date, span: Span) -> Date {
    day.checked_sub(span)
        .unwrap_or(Date::constant(1970, 1, 1))
        .max(Date::constant(1970, 1, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> Date {
        text.parse().unwrap()
    }

    fn shown(range: DateRange) -> String {
        format!("{} {}", range.first, range.last)
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
            assert_eq!(
                shown(
                    RangePreset::parse(word)
                        .unwrap()
                        .resolve_days(date("2026-03-31"), 761)
                ),
                expected,
                "{word}"
            );
        }
        assert_eq!(RangePreset::parse("8d"), None);
    }

    #[test]
    fn a_comparison_is_as_long_as_its_range_or_the_same_days_of_another_month_or_year() {
        let march = (date("2026-03-01"), date("2026-03-31"));
        let week = (date("2026-03-25"), date("2026-03-31"));
        for (against, named, range, expected) in [
            (
                ComparisonMode::Previous,
                None,
                week,
                "2026-03-18 2026-03-24",
            ),
            (
                ComparisonMode::Previous,
                Some(RangePreset::MonthToDate),
                march,
                "2026-02-01 2026-02-28",
            ),
            (
                ComparisonMode::Previous,
                Some(RangePreset::YearToDate),
                (date("2026-01-01"), march.1),
                "2025-01-01 2025-03-31",
            ),
            (
                ComparisonMode::LastYear,
                None,
                week,
                "2025-03-25 2025-03-31",
            ),
            (
                ComparisonMode::LastYear,
                None,
                (date("2024-02-29"), date("2024-02-29")),
                "2023-02-28 2023-02-28",
            ),
            (
                ComparisonMode::From(date("2026-01-05")),
                None,
                week,
                "2026-01-05 2026-01-11",
            ),
        ] {
            let (first, last) = range;
            assert_eq!(
                shown(against.resolve_days(named, DateRange { first, last })),
                expected,
                "{against:?} {named:?}"
            );
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
            assert_eq!(
                SeriesInterval::Week.step_start(date(day), week).to_string(),
                expected,
                "{day} {week:?}"
            );
        }
        assert_eq!(
            [2, 3, 92, 93, 367].map(|days| SeriesInterval::default_for_days(days).name()),
            ["hour", "day", "day", "week", "month"]
        );
    }
}
