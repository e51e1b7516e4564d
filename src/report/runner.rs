//! Runs one report query: totals, series, items, published attributes and the comparison, read
//! concurrently.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;

use super::partial_range::ComparableRange;
use super::query::{ReportFilter, ReportQuery};
use super::range::SeriesInterval;
use super::response::{
    AppliedFilter, ComparisonPeriod, CompleteDays, CounterTotals, DimensionBreakdown,
    PartialComparison, PublicationStatus, PublishedCell, ReportResponse, ReportRow, RevenueRow,
    SubjectItems,
};
use super::row_comparison;
use super::series::{DailyClicks, DailyTotals, format_local_time, read_series, sum_totals};
use super::suppression::suppress_small_cells;
use crate::calendar::{Day, DayRange, HourRange};
use crate::event::{CounterKind, Dimension, Subject};
use crate::store::{
    CounterSums, ItemCounts, PublicationCutoff, SiteReader, Store, StoreError, ValueCounts,
};

/// Runs the query. With [`ReportQuery::from_first_day`], the range starts at the site's first
/// counted day.
///
/// # Errors
///
/// A query failed, see [`StoreError`]: the store cannot be reached or rejected it. A response has
/// all of the store's counts.
pub async fn run_report(
    store: &Store,
    question: ReportQuery,
) -> Result<ReportResponse, StoreError> {
    run_report_of(&[store], question).await
}

/// The same from several shards, which hold the platform's counts together.
///
/// # Errors
///
/// A query failed on one of the shards.
pub async fn run_report_of(
    stores: &[&Store],
    mut question: ReportQuery,
) -> Result<ReportResponse, StoreError> {
    let read = Store::site_reader_of(stores, question.site);
    if question.from_first_day {
        let (first, last) = (question.days.first(), question.days.last());
        let counted = read.first_day().await?.unwrap_or(last);
        question.days = DayRange::new(counted.clamp(first, last), last).unwrap_or(question.days);
    }
    // Read before the counts: lots that are published between the two reads are not in this
    // response, which therefore must not be marked as final.
    let zone = question.zone_name();
    let cutoffs = stores.iter().map(|store| store.publication_cutoff(&zone));
    let published = PublicationCutoff::of_shards(&try_join_all(cutoffs).await?);

    let before = question.comparison_query();
    let before = async {
        match &before {
            Some(before) => {
                let so_far = read_partial_comparison(&read, &question, published);
                let (compared, so_far) = tokio::try_join!(read_comparison(&read, before), so_far)?;
                Ok(Some(ComparisonPeriod { so_far, ..compared }))
            }
            None => Ok(None),
        }
    };

    let (body, compared, rows) = tokio::try_join!(
        read_body(&read, &question),
        before,
        row_comparison::read_row_comparison(&read, &question, published)
    )?;

    let filter = question.filter.as_ref();
    let mut answer = ReportResponse {
        site: question.site_name.clone(),
        zone: question.zone_name(),
        from: question.days.first().to_string(),
        to: question.days.last().to_string(),
        k: question.k,
        filter: filter.map(|filter| AppliedFilter {
            by: filter.field_name(),
            value: filter.value().to_owned(),
        }),
        compared,
        attributes: publication_status(&question, published),
        totals: body.totals,
        interval: body.interval,
        series: body.series,
        subjects: body.subjects,
        dimensions: body.dimensions,
        money: body.money,
        is_final: published
            .through
            .is_some_and(|through| question.is_over_by(through)),
    };
    rows.apply_to(&mut answer);
    Ok(answer)
}

/// The parts of a response that depend on the filter.
struct ReportBody {
    totals: CounterTotals,
    interval: Option<&'static str>,
    series: Option<Vec<ReportRow>>,
    subjects: BTreeMap<&'static str, SubjectItems>,
    dimensions: BTreeMap<&'static str, DimensionBreakdown>,
    money: Option<Vec<RevenueRow>>,
}

async fn read_body(
    read: &SiteReader<'_>,
    question: &ReportQuery,
) -> Result<ReportBody, StoreError> {
    match &question.filter {
        None => read_site(read, question).await,
        Some(ReportFilter::Item(subject, item)) => read_item(read, question, *subject, item).await,
        Some(ReportFilter::Value(dim, value)) => read_value(read, question, *dim, value).await,
    }
}

async fn read_site(
    read: &SiteReader<'_>,
    question: &ReportQuery,
) -> Result<ReportBody, StoreError> {
    let range = question.days;
    let (of_days, tops, values, money) = tokio::try_join!(
        read_item_series(read, question, Subject::Site, ""),
        read.top_items(range, question.limit),
        read.value_counts(Subject::Site, "", range),
        read.revenue_totals(range)
    )?;
    let (totals, interval, rows) = of_days;

    let mut subjects = BTreeMap::new();
    for subject in Subject::ITEM_SUBJECTS {
        let of = || tops.iter().filter(|top| top.subject == subject.name());
        let rows = of().map(|top| ReportRow {
            key: "item",
            name: top.item.clone(),
            totals: CounterTotals::from_sums(subject, top.sums),
            compared: None,
        });
        let hits = of().next().map_or(0, |top| top.of_subject);
        subjects.insert(
            subject.name(),
            SubjectItems::Exact {
                hits,
                rows: rows.collect(),
            },
        );
    }

    let dimensions = build_breakdowns(
        question,
        Subject::Site,
        &values,
        totals.get(CounterKind::Visitors),
    );
    let money = Some(money.into_iter().map(RevenueRow::from).collect());
    Ok(ReportBody {
        totals,
        interval: Some(interval.name()),
        series: Some(rows),
        subjects,
        dimensions,
        money,
    })
}

/// A page, link or event: its own totals, and the published attributes of its visitors.
async fn read_item(
    read: &SiteReader<'_>,
    question: &ReportQuery,
    subject: Subject,
    item: &str,
) -> Result<ReportBody, StoreError> {
    let range = question.days;
    let (of_days, values) = tokio::try_join!(
        read_item_series(read, question, subject, item),
        read.value_counts(subject, item, range)
    )?;
    let (totals, interval, rows) = of_days;
    let dimensions = build_breakdowns(
        question,
        subject,
        &values,
        totals.get(CounterKind::Visitors),
    );
    let (interval, series) = (Some(interval.name()), Some(rows));
    Ok(ReportBody {
        totals,
        interval,
        series,
        subjects: BTreeMap::new(),
        dimensions,
        money: None,
    })
}

/// Totals and series of the site, or of a page, link or event. Content, therefore exact.
async fn read_item_series(
    read: &SiteReader<'_>,
    question: &ReportQuery,
    subject: Subject,
    item: &str,
) -> Result<(CounterTotals, SeriesInterval, Vec<ReportRow>), StoreError> {
    let (totals, days, clicks) =
        read_item_totals(read, question, subject, item, question.days).await?;
    let (interval, rows) = read_series(read, question, subject, &days, clicks.as_ref()).await?;
    Ok((totals, interval, rows))
}

/// Totals of an item over `range`, the same by day, and the clicks on all links by day if the query
/// includes them.
async fn read_item_totals(
    read: &SiteReader<'_>,
    question: &ReportQuery,
    subject: Subject,
    item: &str,
    range: DayRange,
) -> Result<(CounterTotals, DailyTotals, Option<DailyClicks>), StoreError> {
    let clicks = async {
        let asked = question.with_clicks && subject == Subject::Site;
        if asked {
            read.clicks_by_day(range).await.map(Some)
        } else {
            Ok(None)
        }
    };
    let (days, clicks): (_, Option<DailyClicks>) =
        tokio::try_join!(read.totals_by_day(subject, item, range), clicks)?;

    let all = clicks
        .as_ref()
        .map(|clicks| clicks.iter().map(|(_, n)| n).sum());
    let totals = CounterTotals {
        clicks: all,
        ..CounterTotals::from_sums(subject, sum_totals(days.iter().map(|(_, totals)| totals)))
    };
    Ok((totals, days, clicks))
}

/// A source, country or campaign: its published counts, and those of the items its visitors
/// touched.
async fn read_value(
    read: &SiteReader<'_>,
    question: &ReportQuery,
    dim: Dimension,
    value: &str,
) -> Result<ReportBody, StoreError> {
    let cells = read
        .items_for_value(dim, value, question.days, question.limit)
        .await?;
    let mut subjects = BTreeMap::new();
    for subject in Subject::ITEM_SUBJECTS
        .into_iter()
        .filter(|subject| subject.dimensions().contains(&dim))
    {
        let of = cells.iter().filter(|cell| cell.subject == subject.name());
        let seen = of
            .map(|cell| PublishedCell::from_counts(&cell.item, cell.visitors, cell.visits))
            .collect();
        subjects.insert(subject.name(), SubjectItems::Published(seen));
    }

    let (totals, dimensions) = (published_totals(&cells), BTreeMap::new());
    Ok(ReportBody {
        totals,
        interval: None,
        series: None,
        subjects,
        dimensions,
        money: None,
    })
}

/// Published visitors and visits of the value, over the whole site.
fn published_totals(cells: &[ItemCounts]) -> CounterTotals {
    let site = cells
        .iter()
        .find(|cell| cell.subject == Subject::Site.name());
    site.map_or(CounterTotals::from_visitors(0, 0), |cell| {
        CounterTotals::from_visitors(cell.visitors, cell.visits)
    })
}

/// The days a range is compared with: their totals and series.
async fn read_comparison(
    read: &SiteReader<'_>,
    before: &ReportQuery,
) -> Result<ComparisonPeriod, StoreError> {
    let (from, to) = (
        before.days.first().to_string(),
        before.days.last().to_string(),
    );
    let (subject, item) = match &before.filter {
        None => (Subject::Site, ""),
        Some(ReportFilter::Item(subject, item)) => (*subject, item.as_str()),
        Some(ReportFilter::Value(dim, value)) => {
            let cells = read.items_for_value(*dim, value, before.days, 1).await?;
            return Ok(ComparisonPeriod {
                from,
                to,
                totals: published_totals(&cells),
                series: None,
                so_far: None,
                items: None,
                values: None,
            });
        }
    };
    let (totals, _, series) = read_item_series(read, before, subject, item).await?;
    Ok(ComparisonPeriod {
        from,
        to,
        totals,
        series: Some(series),
        so_far: None,
        items: None,
        values: None,
    })
}

/// The comparable part of a range that is not over; `None` where the whole range is comparable.
async fn read_partial_comparison(
    read: &SiteReader<'_>,
    question: &ReportQuery,
    published: PublicationCutoff,
) -> Result<Option<PartialComparison>, StoreError> {
    let open = match &question.filter {
        Some(ReportFilter::Value(..)) => published
            .through
            .map_or(question.days.first(), next_day)
            .min(question.today),
        _ => question.today,
    };

    let Some(ComparableRange { days, hours }) = question.comparable_range(open) else {
        return Ok(None);
    };
    let days = async {
        let Some((now, before)) = days else {
            return Ok(None);
        };
        let (of_now, of_before) = tokio::try_join!(
            read_day_totals(read, question, now),
            read_day_totals(read, question, before)
        )?;
        Ok(Some(CompleteDays {
            through: now.last().to_string(),
            now: of_now,
            before: of_before,
        }))
    };
    // Hours are counted for sites only.
    let hours = hours.filter(|_| question.filter.is_none());
    let of_hours = async {
        let Some((now, before)) = hours else {
            return Ok(None);
        };
        tokio::try_join!(read_hour_totals(read, now), read_hour_totals(read, before)).map(Some)
    };
    let (days, of_hours) = tokio::try_join!(days, of_hours)?;

    let until = |(now, before): (CounterSums, CounterSums)| {
        let whole = days
            .as_ref()
            .map(|days| (days.now.sums, days.before.sums))
            .unwrap_or_default();
        (
            CounterTotals::from_sums(Subject::Site, sum_totals([&whole.0, &now])),
            CounterTotals::from_sums(Subject::Site, sum_totals([&whole.1, &before])),
        )
    };
    let (now, before) = of_hours.map(until).unzip();
    let until = hours.map(|(now, _)| format_local_time(now.until, question));
    Ok(Some(PartialComparison {
        until,
        now,
        before,
        days,
    }))
}

/// Totals over `range` of the query's site, item or value.
async fn read_day_totals(
    read: &SiteReader<'_>,
    question: &ReportQuery,
    range: DayRange,
) -> Result<CounterTotals, StoreError> {
    let (subject, item) = match &question.filter {
        None => (Subject::Site, ""),
        Some(ReportFilter::Item(subject, item)) => (*subject, item.as_str()),
        Some(ReportFilter::Value(dim, value)) => {
            return Ok(published_totals(
                &read.items_for_value(*dim, value, range, 1).await?,
            ));
        }
    };
    read_item_totals(read, question, subject, item, range)
        .await
        .map(|(totals, ..)| totals)
}

async fn read_hour_totals(
    read: &SiteReader<'_>,
    hours: HourRange,
) -> Result<CounterSums, StoreError> {
    if hours.is_empty() {
        return Ok(CounterSums::default());
    }
    let of = read.totals_by_hour(hours).await?;
    Ok(sum_totals(of.iter().map(|(_, totals)| totals)))
}

fn next_day(day: Day) -> Day {
    Day::from_number(day.as_number().saturating_add(1))
}

/// Published values of each dimension, and the number of visitors who are in none of them yet.
fn build_breakdowns(
    question: &ReportQuery,
    subject: Subject,
    values: &[ValueCounts],
    visitors: u64,
) -> BTreeMap<&'static str, DimensionBreakdown> {
    let each = subject.dimensions().iter().map(|dim| {
        let of = values.iter().filter(|row| row.dim == dim.name());
        let mut cells: Vec<PublishedCell> = of
            .map(|row| PublishedCell::from_counts(&row.value, row.visitors, row.visits))
            .collect();
        if question.for_share_link {
            cells = suppress_small_cells(cells, question.k);
        }
        let whole = question.all_countries && *dim == Dimension::Country;
        (
            dim.name(),
            DimensionBreakdown::from_cells(
                cells,
                visitors,
                if whole { usize::MAX } else { question.limit },
            ),
        )
    });
    each.collect()
}

fn publication_status(question: &ReportQuery, published: PublicationCutoff) -> PublicationStatus {
    let through = published
        .through
        .map(|through| through.min(question.days.last()).to_string());
    let holds_today = question.days.contains(question.today);
    let hour = published.hour.filter(|_| holds_today);
    PublicationStatus {
        through,
        hour: hour.map(|hour| format_local_time(hour, question)),
    }
}
