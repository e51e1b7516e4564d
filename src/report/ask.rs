//! One question, answered from the store.

use std::collections::BTreeMap;

use super::answer::{
    Answer, Body, Breakdown, Cell, Compared, CountsBody, Figures, FilterShown, Items, Money, Row, counters_of,
};
use super::fold::fold;
use super::question::{Filter, Question};
use super::range::Interval;
use super::series::{series, sum};
use crate::event::{Counter, Dimension, Subject};
use crate::store::{Read, Store, StoreError, Totals, Valued};

/// Items of a subject that are looked at for a value.
const MOST_ITEMS: usize = 1000;

pub async fn ask(store: &Store, mut question: Question) -> Result<Answer, StoreError> {
    let read = store.read(question.site);
    if question.all {
        question.from = read.first_day().await?.map_or(question.to, |first| first.clamp(question.from, question.to));
    }
    let before = question.before();
    let before = async {
        match &before {
            Some(before) => compared(&read, before).await.map(Some),
            None => Ok(None),
        }
    };
    let (body, compared) = tokio::try_join!(body(&read, &question), before)?;
    let filter = question.filter.as_ref();
    Ok(Answer {
        site: question.name.clone(),
        zone: question.zone_name(),
        from: question.from.to_string(),
        to: question.to.to_string(),
        k: question.k,
        filter: filter.map(|filter| FilterShown { by: filter.by(), value: filter.value().to_owned() }),
        compared,
        body,
    })
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
    let days = async {
        let days = read.days(Subject::Site, "", range).await?;
        let (interval, rows) = series(read, question, Subject::Site, &days).await?;
        Ok((figures(Subject::Site, sum(&days)), interval, rows))
    };
    let (of_days, tops, dimensions, money) = tokio::try_join!(
        days,
        read.tops(range, question.limit),
        breakdowns(read, question, Subject::Site, ""),
        read.money(range)
    )?;
    let (totals, interval, rows) = of_days;
    let mut subjects = BTreeMap::new();
    for subject in Subject::ITEMS {
        let of = || tops.iter().filter(|top| top.subject == subject.name());
        let rows = of().map(|top| Row { key: "item", name: top.item.clone(), figures: figures(subject, top.sums) });
        let hits = of().next().map_or(0, |top| top.of_subject);
        subjects.insert(subject.name(), Items::Exact { hits, rows: rows.collect() });
    }
    let money = Some(money.into_iter().map(Money::from).collect());
    Ok(counts(CountsBody { totals, interval: Some(interval.name()), series: Some(rows), subjects, dimensions, money }))
}

/// A page, link or event: its own totals, and where its visitors came from.
async fn one_item(read: &Read<'_>, question: &Question, subject: Subject, item: &str) -> Result<Body, StoreError> {
    let (series, dimensions) =
        tokio::try_join!(of_item(read, question, subject, item), breakdowns(read, question, subject, item))?;
    let Some((totals, interval, rows)) = series else {
        return Ok(Body::FewerThan { fewer_than: question.k });
    };
    let (interval, series) = (Some(interval.name()), Some(rows));
    Ok(counts(CountsBody { totals, interval, series, subjects: BTreeMap::new(), dimensions, money: None }))
}

/// `None`: fewer than k visitors.
async fn of_item(
    read: &Read<'_>,
    question: &Question,
    subject: Subject,
    item: &str,
) -> Result<Option<(Figures, Interval, Vec<Row>)>, StoreError> {
    let days = read.days(subject, item, (question.from, question.to)).await?;
    let totals = figures(subject, sum(&days));
    if subject != Subject::Site && totals.get(Counter::Visitors) < question.k {
        return Ok(None);
    }
    let (interval, rows) = series(read, question, subject, &days).await?;
    Ok(Some((totals, interval, rows)))
}

/// A source, country or campaign: what its visitors looked at. Without days: one day of one attribute is a small cell.
///
/// A number is shown only where the other direction shows it: the site's own breakdown for the totals, and for each item that item's. A page
/// with ten visitors, seven of them from here, would tell by subtraction of the three who were not.
async fn one_value(read: &Read<'_>, question: &Question, dim: Dimension, value: &str) -> Result<Body, StoreError> {
    let Some(totals) = of_value(read, question, dim, value).await? else {
        return Ok(Body::FewerThan { fewer_than: question.k });
    };
    let cells = read.around(dim, value, (question.from, question.to), question.k, MOST_ITEMS).await?;
    let mut subjects = BTreeMap::new();
    for subject in Subject::ITEMS.into_iter().filter(|subject| subject.dimensions().contains(&dim)) {
        let mut items: BTreeMap<&str, Vec<Cell>> = BTreeMap::new();
        for cell in cells.iter().filter(|cell| cell.subject == subject.name()) {
            items.entry(&cell.item).or_default().push(Cell::of(&cell.value, cell.visitors, cell.visits));
        }
        let shown = items.into_iter().filter_map(|(item, values)| {
            let cell = shown_apart(fold(values, question.k, usize::MAX), value)?;
            Some(Cell { name: item.to_owned(), ..cell })
        });
        let mut shown: Vec<Cell> = shown.collect();
        shown.sort_unstable_by(|a, b| (b.visitors, b.visits, &a.name).cmp(&(a.visitors, a.visits, &b.name)));
        shown.truncate(question.limit);
        subjects.insert(subject.name(), Items::Seen(shown));
    }
    Ok(counts(CountsBody { totals, interval: None, series: None, subjects, dimensions: BTreeMap::new(), money: None }))
}

/// The value's visitors and visits of the site, where the site's own breakdown shows them.
async fn of_value(
    read: &Read<'_>,
    question: &Question,
    dim: Dimension,
    value: &str,
) -> Result<Option<Figures>, StoreError> {
    let values = read.values(Subject::Site, "", (question.from, question.to)).await?;
    let cell = shown_apart(fold(of_dimension(&values, dim), question.k, usize::MAX), value);
    Ok(cell.map(|cell| {
        let mut sums = [0; Counter::ALL.len()];
        sums[Counter::Visitors as usize] = cell.visitors;
        sums[Counter::Visits as usize] = cell.visits;
        Figures { counters: &[Counter::Visitors, Counter::Visits], sums }
    }))
}

fn shown_apart(breakdown: Breakdown, value: &str) -> Option<Cell> {
    match breakdown {
        Breakdown::Rows(cells) => cells.into_iter().find(|cell| cell.name == value),
        Breakdown::FewerThan(_) => None,
    }
}

/// The days a range is compared with: their totals and series.
async fn compared(read: &Read<'_>, before: &Question) -> Result<Compared, StoreError> {
    let (from, to) = (before.from.to_string(), before.to.to_string());
    let shown = match &before.filter {
        None => of_item(read, before, Subject::Site, "").await?.map(|(totals, _, rows)| (totals, Some(rows))),
        Some(Filter::Item(subject, item)) => {
            of_item(read, before, *subject, item).await?.map(|(totals, _, rows)| (totals, Some(rows)))
        }
        Some(Filter::Value(dim, value)) => of_value(read, before, *dim, value).await?.map(|totals| (totals, None)),
    };
    Ok(match shown {
        Some((totals, series)) => Compared { from, to, fewer_than: None, totals: Some(totals), series },
        None => Compared { from, to, fewer_than: Some(before.k), totals: None, series: None },
    })
}

async fn breakdowns(
    read: &Read<'_>,
    question: &Question,
    subject: Subject,
    item: &str,
) -> Result<BTreeMap<&'static str, Breakdown>, StoreError> {
    let values = read.values(subject, item, (question.from, question.to)).await?;
    let shown = |dim: &Dimension| (dim.name(), fold(of_dimension(&values, *dim), question.k, question.limit));
    Ok(subject.dimensions().iter().map(shown).collect())
}

fn of_dimension(values: &[Valued], dim: Dimension) -> Vec<Cell> {
    let of = values.iter().filter(|row| row.dim == dim.name());
    of.map(|row| Cell::of(&row.value, row.visitors, row.visits)).collect()
}

fn counts(body: CountsBody) -> Body {
    Body::Counts(Box::new(body))
}

fn figures(subject: Subject, sums: Totals) -> Figures {
    Figures { counters: counters_of(subject), sums }
}
