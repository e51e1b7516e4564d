//! The series of an answer: one row per hour, day, week or month of the range, including steps
//! without a hit.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;

use super::answer::{Figures, Row};
use super::question::Question;
use super::range::Interval;
use crate::event::{Counter, Day, Subject};
use crate::store::{Read, StoreError, Totals};

/// Totals of an item by day; days without a hit are absent.
pub(super) type ByDay = Vec<(Day, Totals)>;
/// Clicks on all links by day; days without one are absent.
pub(super) type Clicks = Vec<(Day, u64)>;

pub(super) fn sum<'t>(all: impl IntoIterator<Item = &'t Totals>) -> Totals {
    let mut sum = Totals::default();
    all.into_iter().for_each(|totals| add(&mut sum, totals));
    sum
}

fn add(sum: &mut Totals, totals: &Totals) {
    sum.iter_mut().zip(totals).for_each(|(sum, n)| *sum += n);
}

/// The series of a subject at the question's interval, and the interval that was used: items have
/// no counts by hour, so their series is by day then.
pub(super) async fn series(
    read: &Read<'_>,
    question: &Question,
    subject: Subject,
    days: &ByDay,
    clicks: Option<&Clicks>,
) -> Result<(Interval, Vec<Row>), StoreError> {
    match question.step() {
        // Clicks have no hours.
        Interval::Hour if subject == Subject::Site => Ok((Interval::Hour, hours(read, question).await?)),
        // Only sites are counted by hour.
        Interval::Hour => Ok((Interval::Day, steps(question, subject, Interval::Day, days, clicks))),
        interval => Ok((interval, steps(question, subject, interval, days, clicks))),
    }
}

fn steps(question: &Question, subject: Subject, interval: Interval, days: &ByDay, clicks: Option<&Clicks>) -> Vec<Row> {
    let step_of = |day: Day| interval.step_of(day.date(), question.week);
    let all = (question.from.number()..=question.to.number()).map(|n| step_of(Day::from_number(n)));
    let none = Figures { clicks: clicks.map(|_| 0), ..Figures::of(subject, [0; Counter::ALL.len()]) };
    let mut steps: BTreeMap<Date, Figures> = all.map(|step| (step, none.clone())).collect();

    for (day, totals) in days {
        if let Some(figures) = steps.get_mut(&step_of(*day)) {
            add(&mut figures.sums, totals);
        }
    }
    for (day, n) in clicks.into_iter().flatten() {
        if let Some(Figures { clicks: Some(sum), .. }) = steps.get_mut(&step_of(*day)) {
            *sum += n;
        }
    }
    steps
        .into_iter()
        .map(|(step, figures)| Row { key: "at", name: step.to_string(), figures, compared: None })
        .collect()
}

/// Every local hour of the range, in order. A day on which the clocks change has 23 or 25 of them.
async fn hours(read: &Read<'_>, question: &Question) -> Result<Vec<Row>, StoreError> {
    let mut starts: Vec<u32> = Vec::new();
    for number in question.from.number()..=question.to.number() {
        let (start, end) = edges(question, Day::from_number(number));
        let span = crate::pseudonym::DaySpan::of(crate::config::Zone(0), &question.zone, start);
        starts.extend((start..end).step_by(1_800_000).map(|at| span.hour_of(at)));
    }
    starts.sort_unstable();
    starts.dedup();

    let (first, last) = (starts.first().copied().unwrap_or(0), starts.last().copied().unwrap_or(0));
    let known: BTreeMap<u32, Totals> = read.hours((first, last)).await?.into_iter().collect();
    let of = |hour: &u32| known.get(hour).copied().unwrap_or_default();
    let row = |hour: &u32| {
        let figures = Figures::of(Subject::Site, of(hour));
        Row { key: "at", name: local(*hour, question), figures, compared: None }
    };
    Ok(starts.iter().map(row).collect())
}

/// A Unix time in seconds, as RFC 3339 in the site's zone.
pub(super) fn local(second: u32, question: &Question) -> String {
    let at = Timestamp::from_second(i64::from(second)).unwrap_or(Timestamp::UNIX_EPOCH);
    at.to_zoned(question.zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// Start and end of a local day in Unix milliseconds, the end exclusive.
fn edges(question: &Question, day: Day) -> (i64, i64) {
    let midnight =
        |date: Date| date.to_zoned(question.zone.clone()).map_or(0, |zoned| zoned.timestamp().as_millisecond());
    let date = day.date();
    (midnight(date), date.tomorrow().map_or_else(|_| midnight(date), midnight))
}
