//! Days and hours as the steps of a series. Steps without a hit are there too.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;

use super::answer::{Figures, Row, counters_of};
use super::question::Question;
use super::range::Interval;
use crate::event::{Counter, Day, Subject};
use crate::store::{Read, StoreError, Totals};

pub(super) type Days = Vec<(Day, Totals)>;

pub(super) fn sum(days: &Days) -> Totals {
    let mut sums = [0; Counter::ALL.len()];
    for (_, day) in days {
        sums.iter_mut().zip(day).for_each(|(sum, n)| *sum += n);
    }
    sums
}

/// A site's hours, or days, weeks or months of any subject.
pub(super) async fn series(
    read: &Read<'_>,
    question: &Question,
    subject: Subject,
    days: &Days,
) -> Result<(Interval, Vec<Row>), StoreError> {
    match question.step() {
        Interval::Hour if subject == Subject::Site => Ok((Interval::Hour, hours(read, question).await?)),
        // Hours are counted of sites only.
        Interval::Hour => Ok((Interval::Day, steps(question, subject, Interval::Day, days))),
        interval => Ok((interval, steps(question, subject, interval, days))),
    }
}

fn steps(question: &Question, subject: Subject, interval: Interval, days: &Days) -> Vec<Row> {
    let all = (question.from.number()..=question.to.number()).map(|n| interval.step_of(Day::from_number(n).date()));
    let mut steps: BTreeMap<Date, Totals> = all.map(|step| (step, [0; Counter::ALL.len()])).collect();
    for (day, totals) in days {
        if let Some(sums) = steps.get_mut(&interval.step_of(day.date())) {
            sums.iter_mut().zip(totals).for_each(|(sum, n)| *sum += n);
        }
    }
    steps.into_iter().map(|(step, sums)| row(subject, step.to_string(), sums)).collect()
}

fn row(subject: Subject, name: String, sums: Totals) -> Row {
    Row { key: "at", name, figures: Figures { counters: counters_of(subject), sums } }
}

/// Every local hour of the range in order: 23 or 25 of them on the days the clocks change.
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
    Ok(starts.iter().map(|hour| row(Subject::Site, local(*hour, question), of(hour))).collect())
}

/// A second, as the site's clock shows it.
pub(super) fn local(second: u32, question: &Question) -> String {
    let at = Timestamp::from_second(i64::from(second)).unwrap_or(Timestamp::UNIX_EPOCH);
    at.to_zoned(question.zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// The instants at which the day begins and ends, in milliseconds.
fn edges(question: &Question, day: Day) -> (i64, i64) {
    let midnight =
        |date: Date| date.to_zoned(question.zone.clone()).map_or(0, |zoned| zoned.timestamp().as_millisecond());
    let date = day.date();
    (midnight(date), date.tomorrow().map_or_else(|_| midnight(date), midnight))
}
