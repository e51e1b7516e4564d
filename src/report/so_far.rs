//! Compares a range that is not over with one that is, over the part of both that is complete.
//!
//! Hits, visitors and visits are compared up to the last full hour of today, since sites are
//! counted by hour. What is written when a visit closes (bounces, seconds), clicks, and everything
//! about a page, link or event is compared over the days before today. What is published after the
//! day is compared over the published days.

use super::question::Question;
use crate::config::Zone;
use crate::event::Day;
use crate::pseudonym::DaySpan;
use jiff::civil::Date;

/// First and last day, both inclusive.
pub(super) type Days = (Day, Day);

/// The comparable part of a range, and its counterpart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Comparable {
    /// The days of the range that are over, and as many days of the comparison.
    pub days: Option<(Days, Days)>,
    /// Today up to its last full hour, and the same hours of its counterpart.
    pub hours: Option<(Hours, Hours)>,
}

/// A range of hours, as Unix times in seconds at which hours begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hours {
    /// Start of the first hour.
    pub from: u32,
    /// End of the last hour, exclusive.
    pub until: u32,
}

impl Question {
    /// The comparable part, where days from `open` on are not complete. `None` where the whole
    /// range is before `open`: then its totals can be compared as they are.
    pub(super) fn comparable(&self, open: Day) -> Option<Comparable> {
        self.comparable_with(self.compared?, open)
    }

    /// Like [`Question::comparable`], with the given days as comparison.
    pub(super) fn comparable_with(&self, (then, then_to): Days, open: Day) -> Option<Comparable> {
        if self.to < open {
            return None;
        }
        let over = i64::from(open.number()) - i64::from(self.from.number());
        let before = i64::from(then_to.number()) - i64::from(then.number()) + 1;

        let of = |from: Day, days: i64| (from, later(from, days - 1));
        let whole = over.min(before);
        let days = (whole > 0).then(|| (of(self.from, whole), of(then, whole)));

        let holds_today = open == self.today && (0..before).contains(&over);
        let hours = holds_today.then(|| (self.hours_of(open), self.hours_of(later(then, over))));
        Some(Comparable { days, hours })
    }

    /// As many days of the range as there are to compare with, where all of them are over.
    pub(super) fn whole_days(&self, (then, then_to): Days) -> Option<(Days, Days)> {
        let days = |from: Day, to: Day| i64::from(to.number()) - i64::from(from.number());
        let both = days(self.from, self.to).min(days(then, then_to));
        (both >= 0).then(|| ((self.from, later(self.from, both)), (then, later(then, both))))
    }

    /// The hours of `day` that are over by today's clock.
    fn hours_of(&self, day: Day) -> Hours {
        let now = self.now.to_zoned(self.zone.clone());
        let clock = now.datetime().time();
        let second = |date: Date, hour: i8| {
            let at = date.at(hour, 0, 0, 0).to_zoned(self.zone.clone()).map_or(self.now, |at| at.timestamp());
            u32::try_from(at.as_second()).unwrap_or(0)
        };
        let from = second(day.date(), 0);
        if day != self.today {
            return Hours { from, until: second(day.date(), clock.hour()) };
        }
        // Today's last full hour cannot be taken from the clock time alone: when clocks are set
        // back, one hour occurs twice.
        let now = self.now.as_millisecond();
        Hours { from, until: DaySpan::of(Zone(0), &self.zone, now).hour_of(now) }
    }
}

fn later(day: Day, days: i64) -> Day {
    Day::from_number(u16::try_from(i64::from(day.number()) + days).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::*;
    use crate::event::SiteId;
    use crate::report::{Asked, Rules};

    const RULES: Rules = Rules { k: 5, keep_days: 761 };

    fn question(range: &str, now: &str) -> Question {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let asked = Asked { range: Some(range.into()), compare: Some("previous".into()), ..Asked::default() };
        let now = now.parse::<Timestamp>().unwrap().as_millisecond();
        Question::new("mia", (SiteId::of("mia"), &zone), asked, now, RULES).unwrap()
    }

    fn shown(range: &str, now: &str) -> String {
        let question = question(range, now);
        let Some(Comparable { days, hours }) = question.comparable(question.today) else { return "whole".into() };
        let days = days.map_or("-".into(), |((a, b), (c, d))| format!("{a} {b} / {c} {d}"));
        let hour = |hours: Hours| {
            let of = |second: u32| {
                Timestamp::from_second(i64::from(second))
                    .unwrap()
                    .to_zoned(question.zone.clone())
                    .strftime("%d %H")
                    .to_string()
            };
            format!("{}-{}", of(hours.from), of(hours.until))
        };
        let hours = hours.map_or("-".into(), |(now, then)| format!("{} / {}", hour(now), hour(then)));
        format!("{days}; {hours}")
    }

    #[test]
    fn both_sides_have_as_many_days_and_end_at_the_same_hour() {
        for (range, now, expected) in [
            ("today", "2026-06-16T07:40:00Z", "-; 16 00-16 09 / 15 00-15 09"),
            ("7d", "2026-06-16T07:40:00Z", "2026-06-10 2026-06-15 / 2026-06-03 2026-06-08; 16 00-16 09 / 09 00-09 09"),
            ("yesterday", "2026-06-16T07:40:00Z", "whole"),
            // February has no 31 days: its 28 are compared with as many of March, and no hours of a
            // day it does not have.
            ("month", "2026-03-31T07:40:00Z", "2026-03-01 2026-03-28 / 2026-02-01 2026-02-28; -"),
            ("month", "2026-06-01T07:40:00Z", "-; 01 00-01 09 / 01 00-01 09"),
            // At midnight nothing of today is over yet.
            ("today", "2026-06-15T22:10:00Z", "-; 16 00-16 00 / 15 00-15 00"),
            // The night the clocks go back: two has come twice, and the second one is not over.
            ("today", "2026-10-25T01:30:00Z", "-; 25 00-25 02 / 24 00-24 02"),
        ] {
            assert_eq!(shown(range, now), expected, "{range} at {now}");
        }
    }

    #[test]
    fn a_day_that_is_over_and_not_published_yet_is_not_compared() {
        let mut question = question("yesterday", "2026-06-16T07:40:00Z");
        assert_eq!(question.comparable(question.to).unwrap(), Comparable { days: None, hours: None });
        question.from = later(question.from, -2);
        question.compared = question.compared.map(|(_, to)| (later(to, -4), later(to, -2)));
        let days = question.comparable(question.to).unwrap().days.unwrap();
        assert_eq!((days.0.0.to_string(), days.0.1.to_string()), ("2026-06-13".into(), "2026-06-14".into()));
    }
}
