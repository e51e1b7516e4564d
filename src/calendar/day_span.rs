//! Calendar days as spans of time.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::day::{Day, Millis};
use super::time_span::TimeSpan;
use super::zone_table::{ZoneId, ZoneTable};

/// How long the key of a day, its visitors and its open visits stay in memory after its end, and a
/// visit after its last hit, for hits that are on their way. At most 60 s are promised for keys.
pub const GRACE_PERIOD: TimeSpan = TimeSpan::from_secs(5);

/// A calendar day of a time zone as a span of time, 23 to 25 hours long, and the UTC offsets in
/// force during it.
#[derive(Clone, PartialEq, Debug)]
pub struct DaySpan {
    /// Number of the zone in this process.
    pub zone: ZoneId,
    /// Name of the zone in the tz database.
    pub zone_name: Box<str>,
    /// The calendar day.
    pub day: Day,
    /// First instant of the day, inclusive.
    pub start: Millis,
    /// First instant of the next day.
    pub end: Millis,
    /// Each offset from UTC, and the instant from which on it holds. The first starts with the day.
    offsets: Vec<(Millis, TimeSpan)>,
}

impl DaySpan {
    /// The day of zone `tz` that holds the instant `at`.
    pub fn from_instant(zone: ZoneId, tz: &TimeZone, at: Millis) -> DaySpan {
        let at = Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
        let local = at.to_zoned(tz.clone());
        let date = local.date();
        let midnight = |date: jiff::civil::Date| {
            date.to_zoned(tz.clone())
                .map_or(at.as_millisecond(), |z| z.timestamp().as_millisecond())
        };

        let start = midnight(date);
        let end = date.tomorrow().map_or(Millis::MAX, midnight);
        let begin = Timestamp::from_millisecond(start).unwrap_or(at);
        let mut offsets = vec![(start, offset_span(tz.to_offset(begin)))];
        for change in tz
            .following(begin)
            .take_while(|change| change.timestamp().as_millisecond() < end)
        {
            offsets.push((
                change.timestamp().as_millisecond(),
                offset_span(change.offset()),
            ));
        }
        // Dates outside the range of ClickHouse's `Date` (before 1970, after 2149) are clamped to
        // it.
        let day = Day::from_date(date).unwrap_or(Day::from_number(if date.year() < 1970 {
            0
        } else {
            u16::MAX
        }));
        DaySpan {
            zone,
            zone_name: tz.iana_name().unwrap_or("UTC").into(),
            day,
            start,
            end,
            offsets,
        }
    }

    /// The day of a zone that begins at `start`; the zone is added to `zones` if it is new. `None`
    /// if the tz database has no such zone, or no day of it begins then.
    pub fn from_start(zones: &ZoneTable, zone_name: &str, start: Millis) -> Option<DaySpan> {
        let tz = TimeZone::get(zone_name).ok()?;
        let span = DaySpan::from_instant(zones.intern_zone(zone_name), &tz, start);
        (span.start == start).then_some(span)
    }

    /// First instant after a day of a zone; `None` if the zone is unknown.
    pub fn end_of_day(zone_name: &str, day: Day) -> Option<Millis> {
        let tomorrow = day.to_date().tomorrow().ok()?;
        Some(
            tomorrow
                .to_zoned(TimeZone::get(zone_name).ok()?)
                .ok()?
                .timestamp()
                .as_millisecond(),
        )
    }

    /// Whether the instant `at` is within the day.
    pub fn contains(&self, at: Millis) -> bool {
        (self.start..self.end).contains(&at)
    }

    /// Unix time in seconds at which the local hour of `at` began.
    pub fn local_hour_start(&self, at: Millis) -> u32 {
        let offset = self
            .offsets
            .iter()
            .rev()
            .find(|(from, _)| *from <= at)
            .map_or(TimeSpan::ZERO, |(_, offset)| *offset);
        let hour = (at + offset).div_euclid(3_600_000) * 3_600_000 - offset;
        u32::try_from(hour / 1000).unwrap_or(0)
    }
}

fn offset_span(offset: jiff::tz::Offset) -> TimeSpan {
    TimeSpan::from_millis(i64::from(offset.seconds()) * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Millis = 3_600_000;

    fn millis(text: &str) -> Millis {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn span(zone: &str, at: &str) -> DaySpan {
        DaySpan::from_instant(ZoneId(0), &TimeZone::get(zone).unwrap(), millis(at))
    }

    #[test]
    fn a_day_is_23_24_or_25_hours_long() {
        let length = |zone, at| (span(zone, at).end - span(zone, at).start) / HOUR;
        assert_eq!(length("Europe/Berlin", "2026-03-28T12:00:00Z"), 24);
        assert_eq!(length("Europe/Berlin", "2026-03-29T12:00:00Z"), 23);
        assert_eq!(length("Europe/Berlin", "2026-10-25T12:00:00Z"), 25);
    }

    #[test]
    fn a_days_end_can_be_found_again_by_its_zones_name() {
        for at in [
            "2026-03-28T12:00:00Z",
            "2026-03-29T12:00:00Z",
            "2026-10-25T12:00:00Z",
        ] {
            let day = span("Europe/Berlin", at);
            assert_eq!(
                (
                    &*day.zone_name,
                    DaySpan::end_of_day("Europe/Berlin", day.day)
                ),
                ("Europe/Berlin", Some(day.end))
            );
        }
        assert_eq!(
            DaySpan::end_of_day("UTC", Day::from_number(0)),
            Some(24 * HOUR)
        );
        assert_eq!(
            DaySpan::end_of_day("Europe/Nowhere", Day::from_number(0)),
            None
        );
    }

    #[test]
    fn hours_of_a_half_hour_zone_begin_at_half_past_in_utc() {
        let day = span("Asia/Kolkata", "2026-03-29T12:10:00Z");
        assert_eq!(
            day.local_hour_start(millis("2026-03-29T12:10:00Z")),
            (millis("2026-03-29T11:30:00Z") / 1000) as u32
        );
        assert_eq!(day.start, millis("2026-03-28T18:30:00Z"));
    }

    #[test]
    fn the_hour_that_daylight_saving_repeats_is_two_hours() {
        let day = span("Europe/Berlin", "2026-10-25T12:00:00Z");
        let hours: Vec<u32> = ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"]
            .map(|at| day.local_hour_start(millis(at)))
            .to_vec();
        assert_eq!(hours[1] - hours[0], 3600);
    }
}
