//! The series of a response: one row per hour, day, week or month of the range, including steps
//! without a hit.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;

use super::query::ReportQuery;
use super::range::SeriesInterval;
use super::response::{CounterTotals, ReportRow};
use crate::calendar::{Day, HourRange, Millis};
use crate::event::{CounterKind, Subject};
use crate::store::{CounterSums, SiteReader, StoreError};

/// Totals of an item by day; days without a hit are absent.
pub(super) type DailyTotals = Vec<(Day, CounterSums)>;
/// Clicks on all links by day; days without one are absent.
pub(super) type DailyClicks = Vec<(Day, u64)>;

pub(super) fn sum_totals<'t>(all: impl IntoIterator<Item = &'t CounterSums>) -> CounterSums {
    let mut sum = CounterSums::default();
    all.into_iter()
        .for_each(|totals| add_totals(&mut sum, totals));
    sum
}

fn add_totals(sum: &mut CounterSums, totals: &CounterSums) {
    sum.iter_mut().zip(totals).for_each(|(sum, n)| *sum += n);
}

/// The series of a subject at the query's interval, and the interval that was used: items have no
/// counts by hour, so their series is by day instead.
pub(super) async fn read_series(
    read: &SiteReader<'_>,
    question: &ReportQuery,
    subject: Subject,
    days: &DailyTotals,
    clicks: Option<&DailyClicks>,
) -> Result<(SeriesInterval, Vec<ReportRow>), StoreError> {
    match question.series_interval() {
        // Clicks have no hours.
        SeriesInterval::Hour if subject == Subject::Site => Ok((
            SeriesInterval::Hour,
            read_hourly_rows(read, question).await?,
        )),
        // Only sites are counted by hour.
        SeriesInterval::Hour => Ok((
            SeriesInterval::Day,
            build_steps(question, subject, SeriesInterval::Day, days, clicks),
        )),
        interval => Ok((
            interval,
            build_steps(question, subject, interval, days, clicks),
        )),
    }
}

fn build_steps(
    question: &ReportQuery,
    subject: Subject,
    interval: SeriesInterval,
    days: &DailyTotals,
    clicks: Option<&DailyClicks>,
) -> Vec<ReportRow> {
    let step_of = |day: Day| interval.step_start(day.to_date(), question.week_start);
    let all = question.days.iter().map(step_of);
    let none = CounterTotals {
        clicks: clicks.map(|_| 0),
        ..CounterTotals::from_sums(subject, [0; CounterKind::ALL.len()])
    };
    let mut steps: BTreeMap<Date, CounterTotals> = all.map(|step| (step, none.clone())).collect();

    for (day, totals) in days {
        if let Some(figures) = steps.get_mut(&step_of(*day)) {
            add_totals(&mut figures.sums, totals);
        }
    }
    for (day, n) in clicks.into_iter().flatten() {
        if let Some(CounterTotals {
            clicks: Some(sum), ..
        }) = steps.get_mut(&step_of(*day))
        {
            *sum += n;
        }
    }
    steps
        .into_iter()
        .map(|(step, figures)| ReportRow {
            key: "at",
            name: step.to_string(),
            totals: figures,
            compared: None,
        })
        .collect()
}

/// Every local hour of the range, in order. A day on which the clocks change has 23 or 25 of them.
async fn read_hourly_rows(
    read: &SiteReader<'_>,
    question: &ReportQuery,
) -> Result<Vec<ReportRow>, StoreError> {
    let mut starts: Vec<u32> = Vec::new();
    for day in question.days.iter() {
        let (start, end) = day_bounds(question, day);
        let span = crate::calendar::DaySpan::from_instant(
            crate::calendar::ZoneId(0),
            &question.zone,
            start,
        );
        starts.extend(
            (start..end)
                .step_by(1_800_000)
                .map(|at| span.local_hour_start(at)),
        );
    }
    starts.sort_unstable();
    starts.dedup();

    // The last hour begins before its end, however long it is.
    let hours = HourRange {
        from: starts.first().copied().unwrap_or(0),
        until: starts.last().map_or(0, |last| last + 1),
    };
    let known: BTreeMap<u32, CounterSums> = read.totals_by_hour(hours).await?.into_iter().collect();
    let of = |hour: &u32| known.get(hour).copied().unwrap_or_default();
    let row = |hour: &u32| {
        let figures = CounterTotals::from_sums(Subject::Site, of(hour));
        ReportRow {
            key: "at",
            name: format_local_time(*hour, question),
            totals: figures,
            compared: None,
        }
    };
    Ok(starts.iter().map(row).collect())
}

/// A Unix time in seconds, as RFC 3339 in the site's zone.
pub(super) fn format_local_time(second: u32, question: &ReportQuery) -> String {
    let at = Timestamp::from_second(i64::from(second)).unwrap_or(Timestamp::UNIX_EPOCH);
    at.to_zoned(question.zone.clone())
        .strftime("%Y-%m-%dT%H:%M:%S%:z")
        .to_string()
}

/// Start and end of a local day in Unix milliseconds, the end exclusive.
fn day_bounds(question: &ReportQuery, day: Day) -> (Millis, Millis) {
    let midnight = |date: Date| {
        date.to_zoned(question.zone.clone())
            .map_or(0, |zoned| zoned.timestamp().as_millisecond())
    };
    let date = day.to_date();
    (
        midnight(date),
        date.tomorrow().map_or_else(|_| midnight(date), midnight),
    )
}
