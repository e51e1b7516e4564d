//! Answers one report question from the store: totals, series, items, published attributes and the
//! comparison, read concurrently.

use std::collections::BTreeMap;

use super::answer::{
    Answer, AsOf, Breakdown, Cell, Compared, Figures, FilterShown, Items, Money, Row, SoFar, WholeDays,
};
use super::fold::fold;
use super::question::{Filter, Question};
use super::range::Interval;
use super::rows;
use super::series::{ByDay, Clicks, local, series, sum};
use super::so_far::{Comparable, Days, Hours};
use crate::event::{Counter, Day, Dimension, Subject};
use crate::store::{OfValue, Published, Read, Store, StoreError, Totals, Valued};

/// Answers `question`. With [`Question::all`], the range starts at the site's first counted day.
///
/// # Errors
///
/// A query failed, see [`StoreError`]: the store is out of reach or refused it. There are no
/// partial answers.
pub async fn ask(store: &Store, mut question: Question) -> Result<Answer, StoreError> {
    let read = store.read(question.site);
    if question.all {
        question.from = read.first_day().await?.map_or(question.to, |first| first.clamp(question.from, question.to));
    }
    // Read before the counts: what is published between the two reads is not in this answer, so the
    // answer is not called final for it.
    let published = store.published_through(&question.zone_name()).await?;

    let before = question.before();
    let before = async {
        match &before {
            Some(before) => {
                let so_far = so_far(&read, &question, published);
                let (compared, so_far) = tokio::try_join!(compared(&read, before), so_far)?;
                Ok(Some(Compared { so_far, ..compared }))
            }
            None => Ok(None),
        }
    };

    let (body, compared, rows) =
        tokio::try_join!(body(&read, &question), before, rows::compared(&read, &question, published))?;

    let filter = question.filter.as_ref();
    let mut answer = Answer {
        site: question.name.clone(),
        zone: question.zone_name(),
        from: question.from.to_string(),
        to: question.to.to_string(),
        k: question.k,
        filter: filter.map(|filter| FilterShown { by: filter.by(), value: filter.value().to_owned() }),
        compared,
        attributes: as_of(&question, published),
        totals: body.totals,
        interval: body.interval,
        series: body.series,
        subjects: body.subjects,
        dimensions: body.dimensions,
        money: body.money,
        is_final: published.through.is_some_and(|through| question.is_over_by(through)),
    };
    rows.add_to(&mut answer);
    Ok(answer)
}

/// The parts of an answer that depend on the filter.
struct Body {
    totals: Figures,
    interval: Option<&'static str>,
    series: Option<Vec<Row>>,
    subjects: BTreeMap<&'static str, Items>,
    dimensions: BTreeMap<&'static str, Breakdown>,
    money: Option<Vec<Money>>,
}

async fn body(read: &Read<'_>, question: &Question) -> Result<Body, StoreError> {
    match &question.filter {
        None => whole_site(read, question).await,
        Some(Filter::Item(subject, item)) => one_item(read, question, *subject, item).await,
        Some(Filter::Value(dim, value)) => one_value(read, question, *dim, value).await,
    }
}

async fn whole_site(read: &Read<'_>, question: &Question) -> Result<Body, StoreError> {
    let range = (question.from, question.to);
    let (of_days, tops, values, money) = tokio::try_join!(
        of_item(read, question, Subject::Site, ""),
        read.tops(range, question.limit),
        read.values(Subject::Site, "", range),
        read.money(range)
    )?;
    let (totals, interval, rows) = of_days;

    let mut subjects = BTreeMap::new();
    for subject in Subject::ITEMS {
        let of = || tops.iter().filter(|top| top.subject == subject.name());
        let rows = of().map(|top| Row {
            key: "item",
            name: top.item.clone(),
            figures: Figures::of(subject, top.sums),
            compared: None,
        });
        let hits = of().next().map_or(0, |top| top.of_subject);
        subjects.insert(subject.name(), Items::Exact { hits, rows: rows.collect() });
    }

    let dimensions = breakdowns(question, Subject::Site, &values, totals.get(Counter::Visitors));
    let money = Some(money.into_iter().map(Money::from).collect());
    Ok(Body { totals, interval: Some(interval.name()), series: Some(rows), subjects, dimensions, money })
}

/// A page, link or event: its own totals, and the published attributes of its visitors.
async fn one_item(read: &Read<'_>, question: &Question, subject: Subject, item: &str) -> Result<Body, StoreError> {
    let range = (question.from, question.to);
    let (of_days, values) =
        tokio::try_join!(of_item(read, question, subject, item), read.values(subject, item, range))?;
    let (totals, interval, rows) = of_days;
    let dimensions = breakdowns(question, subject, &values, totals.get(Counter::Visitors));
    let (interval, series) = (Some(interval.name()), Some(rows));
    Ok(Body { totals, interval, series, subjects: BTreeMap::new(), dimensions, money: None })
}

/// Totals and series of the site, or of a page, link or event. Content, therefore exact.
async fn of_item(
    read: &Read<'_>,
    question: &Question,
    subject: Subject,
    item: &str,
) -> Result<(Figures, Interval, Vec<Row>), StoreError> {
    let (totals, days, clicks) = counted(read, question, subject, item, (question.from, question.to)).await?;
    let (interval, rows) = series(read, question, subject, &days, clicks.as_ref()).await?;
    Ok((totals, interval, rows))
}

/// Totals of an item over `range`, the counts by day they are the sum of, and the clicks on all
/// links by day where the question asks for them.
async fn counted(
    read: &Read<'_>,
    question: &Question,
    subject: Subject,
    item: &str,
    range: Days,
) -> Result<(Figures, ByDay, Option<Clicks>), StoreError> {
    let clicks = async {
        let asked = question.with_clicks && subject == Subject::Site;
        if asked { read.clicks(range).await.map(Some) } else { Ok(None) }
    };
    let (days, clicks): (_, Option<Clicks>) = tokio::try_join!(read.days(subject, item, range), clicks)?;

    let all = clicks.as_ref().map(|clicks| clicks.iter().map(|(_, n)| n).sum());
    let totals = Figures { clicks: all, ..Figures::of(subject, sum(days.iter().map(|(_, totals)| totals))) };
    Ok((totals, days, clicks))
}

/// A source, country or campaign: what is published of it, and of the items its visitors touched.
async fn one_value(read: &Read<'_>, question: &Question, dim: Dimension, value: &str) -> Result<Body, StoreError> {
    let cells = read.of_value(dim, value, (question.from, question.to), question.limit).await?;
    let mut subjects = BTreeMap::new();
    for subject in Subject::ITEMS.into_iter().filter(|subject| subject.dimensions().contains(&dim)) {
        let of = cells.iter().filter(|cell| cell.subject == subject.name());
        let seen = of.map(|cell| Cell::of(&cell.item, cell.visitors, cell.visits)).collect();
        subjects.insert(subject.name(), Items::Seen(seen));
    }

    let (totals, dimensions) = (value_totals(&cells), BTreeMap::new());
    Ok(Body { totals, interval: None, series: None, subjects, dimensions, money: None })
}

/// Published visitors and visits of the value, over the whole site.
fn value_totals(cells: &[OfValue]) -> Figures {
    let site = cells.iter().find(|cell| cell.subject == Subject::Site.name());
    site.map_or(Figures::of_people(0, 0), |cell| Figures::of_people(cell.visitors, cell.visits))
}

/// The days a range is compared with: their totals and series.
async fn compared(read: &Read<'_>, before: &Question) -> Result<Compared, StoreError> {
    let (from, to) = (before.from.to_string(), before.to.to_string());
    let (subject, item) = match &before.filter {
        None => (Subject::Site, ""),
        Some(Filter::Item(subject, item)) => (*subject, item.as_str()),
        Some(Filter::Value(dim, value)) => {
            let cells = read.of_value(*dim, value, (before.from, before.to), 1).await?;
            return Ok(Compared {
                from,
                to,
                totals: value_totals(&cells),
                series: None,
                so_far: None,
                items: None,
                values: None,
            });
        }
    };
    let (totals, _, series) = of_item(read, before, subject, item).await?;
    Ok(Compared { from, to, totals, series: Some(series), so_far: None, items: None, values: None })
}

/// The comparable part of a range that is not over; `None` where the whole range is comparable.
async fn so_far(read: &Read<'_>, question: &Question, published: Published) -> Result<Option<SoFar>, StoreError> {
    let open = match &question.filter {
        Some(Filter::Value(..)) => published.through.map_or(question.from, next).min(question.today),
        _ => question.today,
    };

    let Some(Comparable { days, hours }) = question.comparable(open) else { return Ok(None) };
    let days = async {
        let Some((now, before)) = days else { return Ok(None) };
        let (of_now, of_before) = tokio::try_join!(of_days(read, question, now), of_days(read, question, before))?;
        Ok(Some(WholeDays { through: now.1.to_string(), now: of_now, before: of_before }))
    };
    // Hours are counted for sites only.
    let hours = hours.filter(|_| question.filter.is_none());
    let of_hours = async {
        let Some((now, before)) = hours else { return Ok(None) };
        tokio::try_join!(of_hours(read, now), of_hours(read, before)).map(Some)
    };
    let (days, of_hours) = tokio::try_join!(days, of_hours)?;

    let until = |(now, before): (Totals, Totals)| {
        let whole = days.as_ref().map(|days| (days.now.sums, days.before.sums)).unwrap_or_default();
        (Figures::of(Subject::Site, sum([&whole.0, &now])), Figures::of(Subject::Site, sum([&whole.1, &before])))
    };
    let (now, before) = of_hours.map(until).unzip();
    let until = hours.map(|(now, _)| local(now.until, question));
    Ok(Some(SoFar { until, now, before, days }))
}

/// Totals over `range` of what the question is about: the site, an item or a value.
async fn of_days(read: &Read<'_>, question: &Question, range: Days) -> Result<Figures, StoreError> {
    let (subject, item) = match &question.filter {
        None => (Subject::Site, ""),
        Some(Filter::Item(subject, item)) => (*subject, item.as_str()),
        Some(Filter::Value(dim, value)) => return Ok(value_totals(&read.of_value(*dim, value, range, 1).await?)),
    };
    counted(read, question, subject, item, range).await.map(|(totals, ..)| totals)
}

async fn of_hours(read: &Read<'_>, hours: Hours) -> Result<Totals, StoreError> {
    if hours.until <= hours.from {
        return Ok(Totals::default());
    }
    let of = read.hours((hours.from, hours.until - 1)).await?;
    Ok(sum(of.iter().map(|(_, totals)| totals)))
}

fn next(day: Day) -> Day {
    Day::from_number(day.number().saturating_add(1))
}

/// Published values of each dimension, and the number of visitors who are in none of them yet.
fn breakdowns(
    question: &Question,
    subject: Subject,
    values: &[Valued],
    visitors: u64,
) -> BTreeMap<&'static str, Breakdown> {
    let each = subject.dimensions().iter().map(|dim| {
        let of = values.iter().filter(|row| row.dim == dim.name());
        let mut cells: Vec<Cell> = of.map(|row| Cell::of(&row.value, row.visitors, row.visits)).collect();
        if question.for_strangers {
            cells = fold(cells, question.k);
        }
        let whole = question.all_countries && *dim == Dimension::Country;
        (dim.name(), Breakdown::of(cells, visitors, if whole { usize::MAX } else { question.limit }))
    });
    each.collect()
}

fn as_of(question: &Question, published: Published) -> AsOf {
    let through = published.through.map(|through| through.min(question.to).to_string());
    let holds_today = question.from <= question.today && question.today <= question.to;
    let hour = published.hour.filter(|_| holds_today);
    AsOf { through, hour: hour.map(|hour| local(hour, question)) }
}
