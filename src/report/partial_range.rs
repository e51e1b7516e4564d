//! Compares a range that is not over with one that is over, for the part of both that is complete.
//!
//! Hits, visitors and visits are compared up to the last full hour of today, since sites are
//! counted by hour. Counters that are written when a visit closes (bounces, seconds), clicks, and
//! everything about a page, link or event are compared over the days before today. Attributes,
//! which are published after the day, are compared over the published days.

use super::query::ReportQuery;
use crate::calendar::{Day, DayRange, DaySpan, HourRange, ZoneId};
use jiff::civil::Date;

/// The comparable part of a range, and its counterpart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ComparableRange {
    /// The days of the range that are over, and as many days of the comparison.
    pub days: Option<(DayRange, DayRange)>,
    /// Today up to its last full hour, and the same hours of its counterpart, if they are kept.
    pub hours: Option<(HourRange, HourRange)>,
}

impl ReportQuery {
    /// The comparable part, where days from `open` on are not complete. `None` where the whole
    /// range is before `open`: then its totals can be compared as they are.
    pub(super) fn comparable_range(&self, open: Day) -> Option<ComparableRange> {
        self.comparable_range_with(self.comparison?, open)
    }

    /// Like [`ReportQuery::comparable_range`], with the given days as comparison.
    pub(super) fn comparable_range_with(
        &self,
        then: DayRange,
        open: Day,
    ) -> Option<ComparableRange> {
        if self.days.last() < open {
            return None;
        }
        // Days of the range before `open`: negative if it begins later.
        let over = i64::from(open.as_number()) - i64::from(self.days.first().as_number());
        let before = i64::from(then.count_days());

        let whole = u32::try_from(over.min(before)).ok().filter(|n| *n > 0);
        let days = whole.map(|n| {
            (
                DayRange::with_length(self.days.first(), n),
                DayRange::with_length(then.first(), n),
            )
        });

        let counterpart = add_days(then.first(), over);
        let holds_today = open == self.today
            && (0..before).contains(&over)
            && counterpart.to_date() >= self.hours_since;
        let hours =
            holds_today.then(|| (self.elapsed_hours(open), self.elapsed_hours(counterpart)));
        Some(ComparableRange { days, hours })
    }

    /// As many days of the range as there are to compare with, where all of them are over.
    pub(super) fn matching_days(&self, then: DayRange) -> (DayRange, DayRange) {
        let both = self.days.count_days().min(then.count_days());
        (
            DayRange::with_length(self.days.first(), both),
            DayRange::with_length(then.first(), both),
        )
    }

    /// The hours of `day` that are over by today's clock.
    fn elapsed_hours(&self, day: Day) -> HourRange {
        let now = self.now.to_zoned(self.zone.clone());
        let clock = now.datetime().time();
        let second = |date: Date, hour: i8| {
            let at = date
                .at(hour, 0, 0, 0)
                .to_zoned(self.zone.clone())
                .map_or(self.now, |at| at.timestamp());
            u32::try_from(at.as_second()).unwrap_or(0)
        };
        let from = second(day.to_date(), 0);
        if day != self.today {
            return HourRange {
                from,
                until: second(day.to_date(), clock.hour()),
            };
        }
        // Today's last full hour cannot be taken from the clock time alone: when clocks are set
        // back, one hour occurs twice.
        let now = self.now.as_millisecond();
        HourRange {
            from,
            until: DaySpan::from_instant(ZoneId(0), &self.zone, now).local_hour_start(now),
        }
    }
}

fn add_days(day: Day, days: i64) -> Day {
    Day::from_number(u16::try_from(i64::from(day.as_number()) + days).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::*;
    use crate::event::SiteId;
    use crate::report::{ReportLimits, ReportParams};

    const RULES: ReportLimits = ReportLimits {
        k: 5,
        keep_days: 761,
        hourly_days: 400,
        plausible_today: Day::from_number(u16::MAX),
    };

    fn question(range: &str, now: &str) -> ReportQuery {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let asked = ReportParams {
            range: Some(range.into()),
            compare: Some("previous".into()),
            ..ReportParams::default()
        };
        let now = now.parse::<Timestamp>().unwrap().as_millisecond();
        ReportQuery::new("mia", (SiteId::from_key("mia"), &zone), asked, now, RULES).unwrap()
    }

    fn shown(range: &str, now: &str) -> String {
        let question = question(range, now);
        let Some(ComparableRange { days, hours }) = question.comparable_range(question.today)
        else {
            return "whole".into();
        };
        let days = days.map_or("-".into(), |(now, then)| {
            format!(
                "{} {} / {} {}",
                now.first(),
                now.last(),
                then.first(),
                then.last()
            )
        });
        let hour = |hours: HourRange| {
            let of = |second: u32| {
                Timestamp::from_second(i64::from(second))
                    .unwrap()
                    .to_zoned(question.zone.clone())
                    .strftime("%d %H")
                    .to_string()
            };
            format!("{}-{}", of(hours.from), of(hours.until))
        };
        let hours = hours.map_or("-".into(), |(now, then)| {
            format!("{} / {}", hour(now), hour(then))
        });
        format!("{days}; {hours}")
    }

    #[test]
    fn both_sides_have_as_many_days_and_end_at_the_same_hour() {
        for (range, now, expected) in [
            (
                "today",
                "2026-06-16T07:40:00Z",
                "-; 16 00-16 09 / 15 00-15 09",
            ),
            (
                "7d",
                "2026-06-16T07:40:00Z",
                "2026-06-10 2026-06-15 / 2026-06-03 2026-06-08; 16 00-16 09 / 09 00-09 09",
            ),
            ("yesterday", "2026-06-16T07:40:00Z", "whole"),
            // February has 28 days. They are compared with 28 days of March, and no hours of a day
            // that February does not have.
            (
                "month",
                "2026-03-31T07:40:00Z",
                "2026-03-01 2026-03-28 / 2026-02-01 2026-02-28; -",
            ),
            (
                "month",
                "2026-06-01T07:40:00Z",
                "-; 01 00-01 09 / 01 00-01 09",
            ),
            // At midnight, no hour of today is over yet.
            (
                "today",
                "2026-06-15T22:10:00Z",
                "-; 16 00-16 00 / 15 00-15 00",
            ),
            // The night when clocks are set back: two o'clock occurs twice, and the second one is
            // not over.
            (
                "today",
                "2026-10-25T01:30:00Z",
                "-; 25 00-25 02 / 24 00-24 02",
            ),
        ] {
            assert_eq!(shown(range, now), expected, "{range} at {now}");
        }
    }

    #[test]
    fn a_day_that_is_over_and_not_published_yet_is_not_compared() {
        let mut question = question("yesterday", "2026-06-16T07:40:00Z");
        assert_eq!(
            question.comparable_range(question.days.last()).unwrap(),
            ComparableRange {
                days: None,
                hours: None
            }
        );
        let last = question.days.last();
        question.days = DayRange::new(add_days(last, -2), last).unwrap();
        question.comparison = question.comparison.map(|then| {
            DayRange::new(add_days(then.last(), -4), add_days(then.last(), -2)).unwrap()
        });
        let days = question.comparable_range(last).unwrap().days.unwrap();
        assert_eq!(
            (days.0.first().to_string(), days.0.last().to_string()),
            ("2026-06-13".into(), "2026-06-14".into())
        );
    }
}
