//! Compares each row of a list with an earlier period: both sides have the same number of days, and
//! all days are over.
//!
//! Pages, links and events are content, whose days are final at midnight. Values of a dimension are
//! published later, so both sides are published days: a row reveals no more than two reports of
//! these days.

use super::query::{ReportFilter, ReportQuery};
use super::response::{
    ComparedDays, CounterComparison, CounterTotals, PublishedCell, ReportResponse, SubjectItems,
};
use crate::calendar::{Day, DayRange};
use crate::event::{CounterKind, Dimension, Subject};
use crate::store::{
    CounterSums, ItemCounts, PublicationCutoff, SiteReader, StoreError, ValueCounts,
};

/// Items are published in lots of visitors, so a value has far fewer.
const MAX_COMPARED_ITEMS: usize = 100_000;

/// The sums of both sides, by item of a subject or by value of a dimension.
type PeriodPair<T> = (Vec<T>, Vec<T>);

/// What the rows of a response are compared with.
#[derive(Default)]
pub(super) struct RowComparison {
    item_days: Option<(DayRange, DayRange)>,
    value_days: Option<(DayRange, DayRange)>,
    items: Vec<(String, String, CounterSums, CounterSums)>,
    values: PeriodPair<ValueCounts>,
    value_items: PeriodPair<ItemCounts>,
}

/// Reads the numbers of both sides. Empty without a comparison.
pub(super) async fn read_row_comparison(
    read: &SiteReader<'_>,
    question: &ReportQuery,
    published: PublicationCutoff,
) -> Result<RowComparison, StoreError> {
    if question.comparison.is_none() {
        return Ok(RowComparison::default());
    }
    let item_days = question.comparable_days(question.today);
    let unpublished = published
        .through
        .map_or(question.days.first(), next_day)
        .min(question.today);
    let value_days = question
        .comparable_days(unpublished)
        .filter(|(_, before)| before.last() < unpublished);

    let items = async {
        match (&question.filter, item_days) {
            (None, Some(days)) => {
                read.compare_items(question.days, days, question.limit)
                    .await
            }
            _ => Ok(Vec::new()),
        }
    };
    let values = async {
        let (subject, item) = match &question.filter {
            None => (Subject::Site, ""),
            Some(ReportFilter::Item(subject, item)) => (*subject, item.as_str()),
            Some(ReportFilter::Value(..)) => return Ok(PeriodPair::default()),
        };
        let Some((now, before)) = value_days else {
            return Ok(PeriodPair::default());
        };
        tokio::try_join!(
            read.value_counts(subject, item, now),
            read.value_counts(subject, item, before)
        )
    };
    let seen = async {
        match (&question.filter, value_days) {
            (Some(ReportFilter::Value(dim, value)), Some((now, before))) => {
                tokio::try_join!(
                    read.items_for_value(*dim, value, now, MAX_COMPARED_ITEMS),
                    read.items_for_value(*dim, value, before, MAX_COMPARED_ITEMS)
                )
            }
            _ => Ok(PeriodPair::default()),
        }
    };
    let (items, values, seen) = tokio::try_join!(items, values, seen)?;
    // With a filter by value, items are published cells, like the value.
    let item_days = if question.is_value_filtered() {
        value_days
    } else {
        item_days
    };
    let value_days = value_days.filter(|_| !question.is_value_filtered());
    Ok(RowComparison {
        item_days,
        value_days,
        items,
        values,
        value_items: seen,
    })
}

impl RowComparison {
    /// Sets both sides in the rows of the response.
    pub(super) fn apply_to(&self, answer: &mut ReportResponse) {
        let Some(compared) = &mut answer.compared else {
            return;
        };
        (compared.items, compared.values) = (
            self.item_days.map(format_compared_days),
            self.value_days.map(format_compared_days),
        );
        if self.item_days.is_some() {
            for (subject, items) in &mut answer.subjects {
                self.compare_items(subject, items);
            }
        }
        if self.value_days.is_some() {
            for (dim, breakdown) in &mut answer.dimensions {
                let side = |all: &[ValueCounts], name: &str| {
                    let found = all.iter().find(|of| of.dim == *dim && of.value == name);
                    found.map_or(CounterTotals::from_visitors(0, 0), |of| {
                        CounterTotals::from_visitors(of.visitors, of.visits)
                    })
                };
                set_comparison(&mut breakdown.rows, |name| {
                    compare_sides(&self.values, name, side)
                });
            }
        }
    }

    fn compare_items(&self, subject: &str, items: &mut SubjectItems) {
        match items {
            SubjectItems::Exact { rows, .. } => {
                for row in rows {
                    let found = self
                        .items
                        .iter()
                        .find(|(of, item, ..)| of == subject && *item == row.name);
                    let (now, before) = found
                        .map(|(.., now, before)| (*now, *before))
                        .unwrap_or_default();
                    row.compared = Some(CounterComparison {
                        now: content_totals(now),
                        before: content_totals(before),
                    });
                }
            }
            SubjectItems::Published(cells) => {
                let side = |all: &[ItemCounts], name: &str| {
                    let found = all
                        .iter()
                        .find(|of| of.subject == subject && of.item == name);
                    found.map_or(CounterTotals::from_visitors(0, 0), |of| {
                        CounterTotals::from_visitors(of.visitors, of.visits)
                    })
                };
                set_comparison(cells, |name| compare_sides(&self.value_items, name, side));
            }
        }
    }
}

fn next_day(day: Day) -> Day {
    Day::from_number(day.as_number().saturating_add(1))
}

fn format_compared_days((now, before): (DayRange, DayRange)) -> ComparedDays {
    let ends = [now.first(), now.last(), before.first(), before.last()];
    let [from, to, before_from, before_to] = ends.map(|day| day.to_string());
    ComparedDays {
        from,
        to,
        before_from,
        before_to,
    }
}

fn set_comparison(cells: &mut [PublishedCell], sides: impl Fn(&str) -> CounterComparison) {
    cells
        .iter_mut()
        .for_each(|cell| cell.compared = Some(sides(&cell.name)));
}

fn compare_sides<T>(
    (now, before): &PeriodPair<T>,
    name: &str,
    side: impl Fn(&[T], &str) -> CounterTotals,
) -> CounterComparison {
    CounterComparison {
        now: side(now, name),
        before: side(before, name),
    }
}

/// The counters of an item that are final as soon as its day is over.
fn content_totals(sums: CounterSums) -> CounterTotals {
    CounterTotals {
        counters: &[
            CounterKind::Hits,
            CounterKind::Visitors,
            CounterKind::Visits,
        ],
        sums,
        clicks: None,
    }
}

impl ReportQuery {
    /// The days of the range before `open`, and the same number of days of the other side.
    fn comparable_days(&self, open: Day) -> Option<(DayRange, DayRange)> {
        let compared = self.comparison?;
        match self.comparable_range(open) {
            Some(comparable) => comparable.days,
            // All of the range is over; February has fewer days than March.
            None => Some(self.matching_days(compared)),
        }
    }

    fn is_value_filtered(&self) -> bool {
        matches!(
            self.filter,
            Some(ReportFilter::Value(
                Dimension::Source | Dimension::Country | Dimension::Campaign,
                _
            ))
        )
    }
}
