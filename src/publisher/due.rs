//! Determines which units of a zone are due: calendar arithmetic without I/O.

use jiff::tz::TimeZone;

use crate::config::Zone;
use crate::event::{Day, Millis};
use crate::pseudonym::DaySpan;
use crate::publication::Occasion;
use crate::store::{Unit, ZoneProgress};

/// A zone and its progress.
pub(super) struct Schedule {
    /// The zone's IANA name; empty for counts of a schema that stored none.
    pub(super) zone: String,
    /// How far its publication is.
    pub(super) progress: ZoneProgress,
    /// The smallest lot of an hour of the open day, in visitors; 0 if open days are never
    /// published.
    pub(super) open_lot: u64,
}

impl Schedule {
    /// The unit that an earlier run began and did not finish.
    pub(super) fn begun(&self) -> Option<Unit> {
        let begun = self.progress.begun?;
        let occasion = match begun.is_day {
            true => Occasion::Day,
            false => Occasion::Hour { open_lot: self.open_lot.max(1) },
        };
        Some(Unit { zone: self.zone.clone(), day: begun.day, at: begun.at, occasion })
    }

    /// The units that ended at or before `until`, in order: each closed day with counts, the last
    /// closed day in any case, then the last full hour of the open day.
    pub(super) fn due(&self, until: Millis) -> Vec<Unit> {
        let today = self.span(until);
        let last_closed = self.span(today.start - 1).day;
        let is_new = |day: &Day| *day <= last_closed && self.progress.day.is_none_or(|done| *day > done);

        let mut days: Vec<Day> = self.progress.days.iter().copied().chain([last_closed]).filter(is_new).collect();
        days.dedup();
        let days = days.into_iter().map(|day| self.unit(day, self.end_of(day), Occasion::Day));

        let begun = self.progress.begun.map(|begun| begun.at);
        days.chain(self.hour(&today, until)).filter(|unit| Some(unit.at) != begun).collect()
    }

    /// The last full hour of the open day, if it may have lots.
    fn hour(&self, today: &DaySpan, until: Millis) -> Option<Unit> {
        let at = today.hour_of(until);
        let began = u32::try_from(today.start / 1000).unwrap_or(0);

        let is_due =
            self.open_lot > 0 && at > began && at > self.progress.at && self.progress.days.contains(&today.day);
        is_due.then(|| self.unit(today.day, at, Occasion::Hour { open_lot: self.open_lot }))
    }

    fn unit(&self, day: Day, at: u32, occasion: Occasion) -> Unit {
        Unit { zone: self.zone.clone(), day, at, occasion }
    }

    /// The end of the day in Unix seconds.
    fn end_of(&self, day: Day) -> u32 {
        let noon = day.date().at(12, 0, 0, 0).to_zoned(self.tz());
        let noon = noon.map_or(0, |noon| noon.timestamp().as_millisecond());
        u32::try_from(self.span(noon).end / 1000).unwrap_or(u32::MAX)
    }

    /// The day of the zone that contains the instant.
    fn span(&self, at: Millis) -> DaySpan {
        DaySpan::of(Zone(0), &self.tz(), at)
    }

    /// UTC if the name is not known: counts of a schema that stored no zone are by UTC day.
    fn tz(&self) -> TimeZone {
        TimeZone::get(&self.zone).unwrap_or(TimeZone::UTC)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Begun;

    fn millis(text: &str) -> Millis {
        text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
    }

    fn day(text: &str) -> Day {
        Day::from_date(text.parse().unwrap()).unwrap()
    }

    fn schedule(done: Option<&str>, days: &[&str]) -> Schedule {
        let days = days.iter().map(|text| day(text)).collect();
        let progress = ZoneProgress { day: done.map(day), days, ..ZoneProgress::default() };
        Schedule { zone: "Europe/Berlin".into(), progress, open_lot: 50 }
    }

    fn due(schedule: &Schedule, until: &str) -> Vec<String> {
        let shown = |unit: Unit| {
            let at = jiff::Timestamp::from_second(i64::from(unit.at)).unwrap();
            format!("{} {} {at}", if unit.occasion == Occasion::Day { "day" } else { "hour" }, unit.day)
        };
        schedule.due(millis(until)).into_iter().map(shown).collect()
    }

    #[test]
    fn a_day_is_due_when_it_is_over_in_its_zone() {
        let quiet = schedule(Some("2026-11-26"), &["2026-11-27"]);
        assert_eq!(due(&quiet, "2026-11-27T22:59:59Z"), ["hour 2026-11-27 2026-11-27T22:00:00Z"]);
        assert_eq!(due(&quiet, "2026-11-27T23:00:00Z"), ["day 2026-11-27 2026-11-27T23:00:00Z"]);
    }

    #[test]
    fn days_that_were_missed_come_in_order_and_days_without_counts_are_one_unit() {
        let off = schedule(Some("2026-11-20"), &["2026-11-19", "2026-11-22", "2026-11-24"]);
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
        assert_eq!(due(&open, "2026-11-28T10:20:00Z"), ["hour 2026-11-28 2026-11-28T10:00:00Z"]);
        open.progress.at = u32::try_from(millis("2026-11-28T10:00:00Z") / 1000).unwrap();
        assert_eq!(due(&open, "2026-11-28T10:20:00Z"), Vec::<String>::new());
        open.open_lot = 0;
        assert_eq!(due(&open, "2026-11-28T12:20:00Z"), Vec::<String>::new());
    }

    #[test]
    fn a_unit_that_was_begun_is_not_begun_again() {
        let mut broken = schedule(Some("2026-11-26"), &["2026-11-27"]);
        let at = u32::try_from(millis("2026-11-27T23:00:00Z") / 1000).unwrap();
        broken.progress.begun = Some(Begun { day: day("2026-11-27"), at, is_day: true });
        assert_eq!(due(&broken, "2026-11-28T00:20:00Z"), Vec::<String>::new());
        assert_eq!(broken.begun().map(|unit| (unit.day, unit.at)), Some((day("2026-11-27"), at)));
    }
}
