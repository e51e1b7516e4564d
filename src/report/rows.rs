//! Compares each row of a list with an earlier period: both sides have the same number of days, and
//! all of them are over.
//!
//! Pages, links and events are content, whose days are final at midnight. Values of a dimension are
//! published later, so both sides are published days: a row tells no more than two reports of these
//! days would.

use super::answer::{Answer, Cell, ComparedDays, Figures, Items, Sides};
use super::question::{Filter, Question};
use super::so_far::Days;
use crate::event::{Counter, Day, Dimension, Subject};
use crate::store::{OfValue, Published, Read, StoreError, Totals, Valued};

/// Items are published in lots of visitors, so a value has far fewer.
const ALL: usize = 100_000;

/// The sums of both sides, by item of a subject or by value of a dimension.
type Both<T> = (Vec<T>, Vec<T>);

/// What the rows of an answer are compared with.
#[derive(Default)]
pub(super) struct Compared {
    item_days: Option<(Days, Days)>,
    value_days: Option<(Days, Days)>,
    items: Vec<(String, String, Totals, Totals)>,
    values: Both<Valued>,
    seen: Both<OfValue>,
}

/// Asks for the numbers of both sides; nothing where nothing is compared.
pub(super) async fn compared(
    read: &Read<'_>,
    question: &Question,
    published: Published,
) -> Result<Compared, StoreError> {
    if question.compared.is_none() {
        return Ok(Compared::default());
    }
    let item_days = question.both_sides(question.today);
    let unpublished = published.through.map_or(question.from, day_after).min(question.today);
    let value_days = question.both_sides(unpublished).filter(|(_, before)| before.1 < unpublished);

    let items = async {
        match (&question.filter, item_days) {
            (None, Some(days)) => read.compared_items((question.from, question.to), days, question.limit).await,
            _ => Ok(Vec::new()),
        }
    };
    let values = async {
        let (subject, item) = match &question.filter {
            None => (Subject::Site, ""),
            Some(Filter::Item(subject, item)) => (*subject, item.as_str()),
            Some(Filter::Value(..)) => return Ok(Both::default()),
        };
        let Some((now, before)) = value_days else { return Ok(Both::default()) };
        tokio::try_join!(read.values(subject, item, now), read.values(subject, item, before))
    };
    let seen = async {
        match (&question.filter, value_days) {
            (Some(Filter::Value(dim, value)), Some((now, before))) => {
                tokio::try_join!(read.of_value(*dim, value, now, ALL), read.of_value(*dim, value, before, ALL))
            }
            _ => Ok(Both::default()),
        }
    };
    let (items, values, seen) = tokio::try_join!(items, values, seen)?;
    // Items seen through a value are published cells, as the value itself is.
    let item_days = if question.by_value() { value_days } else { item_days };
    let value_days = value_days.filter(|_| !question.by_value());
    Ok(Compared { item_days, value_days, items, values, seen })
}

impl Compared {
    /// Puts both sides into the rows of the answer.
    pub(super) fn add_to(&self, answer: &mut Answer) {
        let Some(compared) = &mut answer.compared else { return };
        (compared.items, compared.values) = (self.item_days.map(shown), self.value_days.map(shown));
        if self.item_days.is_some() {
            for (subject, items) in &mut answer.subjects {
                self.add_items(subject, items);
            }
        }
        if self.value_days.is_some() {
            for (dim, breakdown) in &mut answer.dimensions {
                let side = |all: &[Valued], name: &str| {
                    let found = all.iter().find(|of| of.dim == *dim && of.value == name);
                    found.map_or(Figures::of_people(0, 0), |of| Figures::of_people(of.visitors, of.visits))
                };
                put(&mut breakdown.rows, |name| sides(&self.values, name, side));
            }
        }
    }

    fn add_items(&self, subject: &str, items: &mut Items) {
        match items {
            Items::Exact { rows, .. } => {
                for row in rows {
                    let found = self.items.iter().find(|(of, item, ..)| of == subject && *item == row.name);
                    let (now, before) = found.map(|(.., now, before)| (*now, *before)).unwrap_or_default();
                    row.compared = Some(Sides { now: content(now), before: content(before) });
                }
            }
            Items::Seen(cells) => {
                let side = |all: &[OfValue], name: &str| {
                    let found = all.iter().find(|of| of.subject == subject && of.item == name);
                    found.map_or(Figures::of_people(0, 0), |of| Figures::of_people(of.visitors, of.visits))
                };
                put(cells, |name| sides(&self.seen, name, side));
            }
        }
    }
}

fn day_after(day: Day) -> Day {
    Day::from_number(day.number().saturating_add(1))
}

fn shown((now, before): (Days, Days)) -> ComparedDays {
    let [from, to, before_from, before_to] = [now.0, now.1, before.0, before.1].map(|day| day.to_string());
    ComparedDays { from, to, before_from, before_to }
}

fn put(cells: &mut [Cell], sides: impl Fn(&str) -> Sides) {
    cells.iter_mut().for_each(|cell| cell.compared = Some(sides(&cell.name)));
}

fn sides<T>((now, before): &Both<T>, name: &str, side: impl Fn(&[T], &str) -> Figures) -> Sides {
    Sides { now: side(now, name), before: side(before, name) }
}

/// What of an item's counters is there as soon as its day is over.
fn content(sums: Totals) -> Figures {
    Figures { counters: &[Counter::Hits, Counter::Visitors, Counter::Visits], sums, clicks: None }
}

impl Question {
    /// As many days of the range before `open` as the other side has, and those.
    fn both_sides(&self, open: Day) -> Option<(Days, Days)> {
        let compared = self.compared?;
        match self.comparable(open) {
            Some(comparable) => comparable.days,
            // All of the range is over; February has fewer days than March.
            None => self.whole_days(compared),
        }
    }

    fn by_value(&self) -> bool {
        matches!(self.filter, Some(Filter::Value(Dimension::Source | Dimension::Country | Dimension::Campaign, _)))
    }
}
