//! One question, answered from the store.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::answer::{Answer, Body, Breakdown, Cell, CountsBody, Figures, FilterShown, Row, Rows, counters_of};
use super::fold::fold;
use super::question::{Filter, Question};
use crate::event::{Counter, Day, Dimension, Subject};
use crate::store::{Read, Scope, Store, StoreError, Sums6};

/// Hours are drawn for at most this many days.
const HOURLY_DAYS: usize = 14;

pub async fn ask(store: &Store, question: &Question) -> Result<Answer, StoreError> {
    let read = store.read(question.site);
    let body = match &question.filter {
        None => whole_site(&read, question).await?,
        Some(Filter::Item(subject, item)) => one_item(&read, question, *subject, item).await?,
        Some(Filter::Value(dim, value)) => one_value(&read, question, *dim, value).await?,
    };
    Ok(Answer {
        site: question.name.clone(),
        zone: question.zone_name(),
        from: question.from.to_string(),
        to: question.to.to_string(),
        k: question.k,
        filter: question
            .filter
            .as_ref()
            .map(|filter| FilterShown { by: filter.by(), value: filter.value().to_owned() }),
        body,
    })
}

async fn whole_site(read: &Read<'_>, question: &Question) -> Result<Body, StoreError> {
    let range = (question.from, question.to);
    let days = read.days(Subject::Site, "", range).await?;
    let hours = if question.days() <= HOURLY_DAYS { Some(hours(read, question).await?) } else { None };
    let mut subjects = BTreeMap::new();
    for subject in [Subject::Page, Subject::Link, Subject::Event] {
        let items = read.items(subject, range, question.limit).await?;
        let rows = items.into_iter().map(|(name, sums)| row("item", name, subject, sums)).collect();
        subjects.insert(subject.name(), Rows::Items(rows));
    }
    let dimensions = breakdowns(read, question, Subject::Site, "").await?;
    Ok(counts(CountsBody {
        totals: total(Subject::Site, &days),
        days: Some(day_rows(question, Subject::Site, &days)),
        hours,
        subjects,
        dimensions,
    }))
}

/// A page, link or event: its own totals, and where its visitors came from.
async fn one_item(read: &Read<'_>, question: &Question, subject: Subject, item: &str) -> Result<Body, StoreError> {
    let days = read.days(subject, item, (question.from, question.to)).await?;
    let totals = total(subject, &days);
    if totals.get(Counter::Visitors) < question.k {
        return Ok(Body::FewerThan { fewer_than: question.k });
    }
    let dimensions = breakdowns(read, question, subject, item).await?;
    let days = Some(day_rows(question, subject, &days));
    Ok(counts(CountsBody { totals, days, hours: None, subjects: BTreeMap::new(), dimensions }))
}

/// A source, country or campaign: what its visitors looked at. Without days: one day of one attribute is a small cell.
async fn one_value(read: &Read<'_>, question: &Question, dim: Dimension, value: &str) -> Result<Body, StoreError> {
    let range = question.attribute_days();
    let of_site = cells(read, Scope { subject: Subject::Site, item: Some(""), dim, value: Some(value) }, range).await?;
    let mut sums = [0; Counter::ALL.len()];
    for cell in &of_site {
        sums[Counter::Visitors as usize] += cell.visitors;
        sums[Counter::Visits as usize] += cell.visits;
    }
    let totals = Figures { counters: &[Counter::Visitors, Counter::Visits], sums };
    if totals.get(Counter::Visitors) < question.k {
        return Ok(Body::FewerThan { fewer_than: question.k });
    }
    let mut subjects = BTreeMap::new();
    for subject in Subject::ALL {
        if subject != Subject::Site && subject.dimensions().contains(&dim) {
            let cells = cells(read, Scope { subject, item: None, dim, value: Some(value) }, range).await?;
            subjects.insert(subject.name(), Rows::Folded(fold(cells, question.k, question.limit)));
        }
    }
    Ok(counts(CountsBody { totals, days: None, hours: None, subjects, dimensions: BTreeMap::new() }))
}

async fn breakdowns(
    read: &Read<'_>,
    question: &Question,
    subject: Subject,
    item: &str,
) -> Result<BTreeMap<&'static str, Breakdown>, StoreError> {
    let range = question.attribute_days();
    let mut dimensions = BTreeMap::new();
    for &dim in subject.dimensions() {
        let cells = cells(read, Scope { subject, item: Some(item), dim, value: None }, range).await?;
        dimensions.insert(dim.name(), fold(cells, question.k, question.limit));
    }
    Ok(dimensions)
}

async fn cells(read: &Read<'_>, scope: Scope<'_>, range: Option<(Day, Day)>) -> Result<Vec<Cell>, StoreError> {
    let Some(range) = range else { return Ok(Vec::new()) };
    let cells = read.cells(scope, range).await?;
    Ok(cells.into_iter().map(|(name, visitors, visits)| Cell { name, visitors, visits }).collect())
}

fn counts(body: CountsBody) -> Body {
    Body::Counts(Box::new(body))
}

fn row(key: &'static str, name: String, subject: Subject, sums: Sums6) -> Row {
    Row { key, name, figures: Figures { counters: counters_of(subject), sums } }
}

fn total(subject: Subject, days: &[(Day, Sums6)]) -> Figures {
    let mut sums = [0; Counter::ALL.len()];
    for (_, day) in days {
        sums.iter_mut().zip(day).for_each(|(sum, n)| *sum += n);
    }
    Figures { counters: counters_of(subject), sums }
}

/// Every day of the range, those without a hit too.
fn day_rows(question: &Question, subject: Subject, days: &[(Day, Sums6)]) -> Vec<Row> {
    let known: BTreeMap<Day, Sums6> = days.iter().copied().collect();
    (question.from.number()..=question.to.number())
        .map(Day::from_number)
        .map(|day| row("day", day.to_string(), subject, known.get(&day).copied().unwrap_or_default()))
        .collect()
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
    let known: BTreeMap<u32, Sums6> = read.hours((first, last)).await?.into_iter().collect();
    let name = |hour: u32| {
        let at = Timestamp::from_second(i64::from(hour)).unwrap_or(Timestamp::UNIX_EPOCH);
        at.to_zoned(question.zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    };
    let rows = starts
        .into_iter()
        .map(|hour| row("hour", name(hour), Subject::Site, known.get(&hour).copied().unwrap_or_default()));
    Ok(rows.collect())
}

/// The instants at which the day begins and ends, in milliseconds.
fn edges(question: &Question, day: Day) -> (i64, i64) {
    let midnight = |date: jiff::civil::Date| {
        date.to_zoned(question.zone.clone()).map_or(0, |zoned| zoned.timestamp().as_millisecond())
    };
    let date = day.date();
    (midnight(date), date.tomorrow().map_or_else(|_| midnight(date), midnight))
}
