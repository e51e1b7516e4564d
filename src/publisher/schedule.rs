//! Determines which units of a zone are due: calendar arithmetic without I/O.

use jiff::tz::TimeZone;

use crate::calendar::{Day, DaySpan, Millis, ZoneId};
use crate::publication::ClosedPeriod;
use crate::store::{PublicationUnit, ZoneProgress};

/// A zone and its progress.
pub(super) struct ZoneSchedule {
    /// The zone's IANA name; empty for counts of a schema without zones.
    pub(super) zone: String,
    /// The progress of its publication.
    pub(super) progress: ZoneProgress,
    /// The smallest lot of an hour of the open day, in visitors; 0 if open days are never
    /// published.
    pub(super) open_lot: u64,
}

impl ZoneSchedule {
    /// The unit that an earlier run began and did not finish.
    pub(super) fn begun_unit(&self) -> Option<PublicationUnit> {
        let begun = self.progress.unfinished?;
        let occasion = match begun.is_day {
            true => ClosedPeriod::Day,
            false => ClosedPeriod::Hour {
                open_lot: self.open_lot.max(1),
            },
        };
        Some(PublicationUnit {
            zone: self.zone.clone(),
            day: begun.day,
            ended_at: begun.ended_at,
            occasion,
        })
    }

    /// The units that ended at or before `until`, in order: each closed day with counts, the last
    /// closed day in any case, then the last full hour of the open day.
    pub(super) fn due_units(&self, until: Millis) -> Vec<PublicationUnit> {
        let today = self.day_span(until);
        let last_closed = self.day_span(today.start - 1).day;
        let is_new = |day: &Day| {
            *day <= last_closed && self.progress.last_day.is_none_or(|done| *day > done)
        };

        let mut days: Vec<Day> = self
            .progress
            .days_with_counts
            .iter()
            .copied()
            .chain([last_closed])
            .filter(is_new)
            .collect();
        days.dedup();
        let days = days
            .into_iter()
            .map(|day| self.build_unit(day, self.day_end_secs(day), ClosedPeriod::Day));

        let begun = self.progress.unfinished.map(|begun| begun.ended_at);
        days.chain(self.last_full_hour(&today, until))
            .filter(|unit| Some(unit.ended_at) != begun)
            .collect()
    }

    /// The last full hour of the open day, if it may have lots.
    fn last_full_hour(&self, today: &DaySpan, until: Millis) -> Option<PublicationUnit> {
        let at = today.local_hour_start(until);
        let began = u32::try_from(today.start / 1000).unwrap_or(0);

        let is_due = self.open_lot > 0
            && at > began
            && at > self.progress.last_end
            && self.progress.days_with_counts.contains(&today.day);
        is_due.then(|| {
            self.build_unit(
                today.day,
                at,
                ClosedPeriod::Hour {
                    open_lot: self.open_lot,
                },
            )
        })
    }

    fn build_unit(&self, day: Day, at: u32, occasion: ClosedPeriod) -> PublicationUnit {
        PublicationUnit {
            zone: self.zone.clone(),
            day,
            ended_at: at,
            occasion,
        }
    }

    /// The end of the day in Unix seconds.
    fn day_end_secs(&self, day: Day) -> u32 {
        let noon = day.to_date().at(12, 0, 0, 0).to_zoned(self.time_zone());
        let noon = noon.map_or(0, |noon| noon.timestamp().as_millisecond());
        u32::try_from(self.day_span(noon).end / 1000).unwrap_or(u32::MAX)
    }

    /// The day of the zone that contains the instant.
    fn day_span(&self, at: Millis) -> DaySpan {
        DaySpan::from_instant(ZoneId(0), &self.time_zone(), at)
    }

    /// UTC if the name is not known: counts of a schema without zones are by UTC day.
    fn time_zone(&self) -> TimeZone {
        TimeZone::get(&self.zone).unwrap_or(TimeZone::UTC)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::UnfinishedUnit;

    fn millis(text: &str) -> Millis {
        text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
    }

    fn day(text: &str) -> Day {
        Day::from_date(text.parse().unwrap()).unwrap()
    }

    fn schedule(done: Option<&str>, days: &[&str]) -> ZoneSchedule {
        let days = days.iter().map(|text| day(text)).collect();
        let progress = ZoneProgress {
            last_day: done.map(day),
            days_with_counts: days,
            ..ZoneProgress::default()
        };
        ZoneSchedule {
            zone: "Europe/Berlin".into(),
            progress,
            open_lot: 50,
        }
    }

    fn due(schedule: &ZoneSchedule, until: &str) -> Vec<String> {
        let shown = |unit: PublicationUnit| {
            let at = jiff::Timestamp::from_second(i64::from(unit.ended_at)).unwrap();
            format!(
                "{} {} {at}",
                if unit.occasion == ClosedPeriod::Day {
                    "day"
                } else {
                    "hour"
                },
                unit.day
            )
        };
        schedule
            .due_units(millis(until))
            .into_iter()
            .map(shown)
            .collect()
    }

    #[test]
    fn a_day_is_due_when_it_is_over_in_its_zone() {
        let quiet = schedule(Some("2026-11-26"), &["2026-11-27"]);
        assert_eq!(
            due(&quiet, "2026-11-27T22:59:59Z"),
            ["hour 2026-11-27 2026-11-27T22:00:00Z"]
        );
        assert_eq!(
            due(&quiet, "2026-11-27T23:00:00Z"),
            ["day 2026-11-27 2026-11-27T23:00:00Z"]
        );
    }

    #[test]
    fn days_that_were_missed_come_in_order_and_days_without_counts_are_one_unit() {
        let off = schedule(
            Some("2026-11-20"),
            &["2026-11-19", "2026-11-22", "2026-11-24"],
        );
        assert_eq!(
            due(&off, "2026-11-28T10:00:00Z"),
            [
                "day 2026-11-22 2026-11-22T23:00:00Z",
                "day 2026-11-24 2026-11-24T23:00:00Z",
                "day 2026-11-27 2026-11-27T23:00:00Z"
            ]
        );
    }

    #[test]
    fn nothing_is_due_twice() {
        let done = schedule(Some("2026-11-27"), &[]);
        assert_eq!(due(&done, "2026-11-28T10:00:00Z"), Vec::<String>::new());
    }

    #[test]
    fn an_hour_of_the_open_day_is_due_where_it_has_counts_and_the_lot_is_not_off() {
        let mut open = schedule(Some("2026-11-27"), &["2026-11-28"]);
        assert_eq!(
            due(&open, "2026-11-28T10:20:00Z"),
            ["hour 2026-11-28 2026-11-28T10:00:00Z"]
        );
        open.progress.last_end = u32::try_from(millis("2026-11-28T10:00:00Z") / 1000).unwrap();
        assert_eq!(due(&open, "2026-11-28T10:20:00Z"), Vec::<String>::new());
        open.open_lot = 0;
        assert_eq!(due(&open, "2026-11-28T12:20:00Z"), Vec::<String>::new());
    }

    #[test]
    fn a_unit_that_was_begun_is_not_begun_again() {
        let mut broken = schedule(Some("2026-11-26"), &["2026-11-27"]);
        let at = u32::try_from(millis("2026-11-27T23:00:00Z") / 1000).unwrap();
        broken.progress.unfinished = Some(UnfinishedUnit {
            day: day("2026-11-27"),
            ended_at: at,
            is_day: true,
        });
        assert_eq!(due(&broken, "2026-11-28T00:20:00Z"), Vec::<String>::new());
        assert_eq!(
            broken.begun_unit().map(|unit| (unit.day, unit.ended_at)),
            Some((day("2026-11-27"), at))
        );
    }
}
