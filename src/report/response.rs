//! The report response and its parts, as serialised to JSON. Field names are the API's.

use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::event::{CounterKind, Subject, minor_digits};
use crate::store::RevenueTotal;

/// The response to one [`ReportQuery`](super::ReportQuery): totals, series, items and published
/// attributes.
#[derive(Serialize, Debug)]
pub struct ReportResponse {
    /// Name of the site, as requested.
    pub site: String,
    /// IANA name of the site's time zone; all days and hours are in it.
    pub zone: String,
    /// First day, inclusive, as `YYYY-MM-DD`.
    pub from: String,
    /// Last day, inclusive, as `YYYY-MM-DD`.
    pub to: String,
    /// Minimum number of visitors of a published value (`report.k`, or the share link's own).
    pub k: u64,
    /// The filter that was applied, if any.
    pub filter: Option<AppliedFilter>,
    /// Totals and series of the days it is compared with, if a comparison was requested.
    pub compared: Option<ComparisonPeriod>,
    /// Until when the attributes in this response are published.
    pub attributes: PublicationStatus,
    /// Sums over the whole range, of the query's site, item or value.
    pub totals: CounterTotals,
    /// Length of a step of `series`: `hour`, `day`, `week` or `month`. Absent where there is no
    /// series.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<&'static str>,
    /// One row per step in order, steps without a hit included. Absent for a filter by value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<Vec<ReportRow>>,
    /// Pages, links and events by the subject's name. Empty for a filter by item.
    pub subjects: BTreeMap<&'static str, SubjectItems>,
    /// Published values by the dimension's name. Empty for a filter by value.
    pub dimensions: BTreeMap<&'static str, DimensionBreakdown>,
    /// Amounts by event and currency. Only of a whole site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub money: Option<Vec<RevenueRow>>,
    /// Every day of the range and of the comparison is published: the same query gets the same
    /// response from now on.
    #[serde(skip)]
    pub is_final: bool,
}

/// Until when the attributes of the range are published.
#[derive(Serialize, Debug)]
pub struct PublicationStatus {
    /// Last published day as `YYYY-MM-DD`, at most the range's last day, so that a response about
    /// published days does not change. `None` before the first publication.
    pub through: Option<String>,
    /// End of the last published hour of today, as RFC 3339 in the site's zone. Only where today is
    /// in the range.
    pub hour: Option<String>,
}

/// The days that the range is compared with.
#[derive(Serialize, Debug)]
pub struct ComparisonPeriod {
    /// First day, inclusive, as `YYYY-MM-DD`.
    pub from: String,
    /// Last day, inclusive, as `YYYY-MM-DD`.
    pub to: String,
    /// Sums over these days.
    pub totals: CounterTotals,
    /// Steps of the same interval as the response's. Absent for a filter by value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<Vec<ReportRow>>,
    /// The comparable part of both ranges, if the response's range is not over yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub so_far: Option<PartialComparison>,
    /// The days of the numbers in `compared` of the rows of `subjects`; `null` if none of them is
    /// over.
    pub items: Option<ComparedDays>,
    /// The same for `dimensions`: days that are published.
    pub values: Option<ComparedDays>,
}

/// The filter of a response, as parsed.
#[derive(Serialize, Debug)]
pub struct AppliedFilter {
    /// Name of the subject or dimension, for example `page` or `country`.
    pub by: &'static str,
    /// The item, or the dimension's value.
    pub value: String,
}

/// The amount that an event brought in one currency.
#[derive(Serialize, PartialEq, Debug)]
pub struct RevenueRow {
    /// Name of the event.
    pub event: String,
    /// ISO 4217 code, in capitals.
    pub currency: String,
    /// Events with an amount within the bound.
    pub hits: u64,
    /// Events whose amount exceeded the site's bound; their amounts are not in `minor`.
    pub over: u64,
    /// Sum in minor units of the currency, for example cents.
    pub minor: u64,
    /// Digits of `minor` that follow the decimal point (ISO 4217).
    pub digits: u32,
}

impl From<RevenueTotal> for RevenueRow {
    fn from(
        RevenueTotal {
            event,
            currency,
            hits,
            over,
            minor,
        }: RevenueTotal,
    ) -> RevenueRow {
        let digits = minor_digits(&currency);
        RevenueRow {
            event,
            currency,
            hits,
            over,
            minor,
            digits,
        }
    }
}

/// Sums of some of the counters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CounterTotals {
    /// The counters that are serialised, in this order.
    pub counters: &'static [CounterKind],
    /// One sum per counter, in the order of [`CounterKind::ALL`]; counters that are not in
    /// `counters` may be set too.
    pub sums: [u64; CounterKind::ALL.len()],
    /// Clicks on all links of the site, if the query includes them.
    pub clicks: Option<u64>,
}

/// A row of a series or of a subject, serialised as one object: `key: name`, then its figures.
#[derive(Debug)]
pub struct ReportRow {
    /// JSON key of the name: `at`, `item` or `value`.
    pub key: &'static str,
    /// First day or hour of a step, the item, or the dimension's value.
    pub name: String,
    /// The row's counters.
    pub totals: CounterTotals,
    /// Both sides of the comparison; `None` without one.
    pub compared: Option<CounterComparison>,
}

/// The items of one subject.
#[derive(Debug)]
pub enum SubjectItems {
    /// Items of the site with exact counts. `hits` is the sum over all items, including those
    /// beyond the limit.
    Exact { hits: u64, rows: Vec<ReportRow> },
    /// Items touched by visitors of one attribute value: their published cells.
    Published(Vec<PublishedCell>),
}

/// The published values of a dimension.
#[derive(PartialEq, Debug)]
pub struct DimensionBreakdown {
    /// Visitors of all published values, including those beyond the limit.
    pub published: u64,
    /// Visitors of the range who are not part of a published value yet.
    pub pending: u64,
    /// The largest values, at most the query's limit, in descending order of visitors.
    pub rows: Vec<PublishedCell>,
}

/// Published counts of one value or item.
#[derive(Clone, PartialEq, Debug)]
pub struct PublishedCell {
    /// The value or the item.
    pub name: String,
    /// Visitor-days.
    pub visitors: u64,
    /// Visits.
    pub visits: u64,
    /// Both sides of the comparison; `None` without one.
    pub compared: Option<CounterComparison>,
}

impl CounterTotals {
    /// Totals of a subject: `sums`, with the counters of that subject.
    pub fn from_sums(subject: Subject, sums: [u64; CounterKind::ALL.len()]) -> CounterTotals {
        CounterTotals {
            counters: subject_counters(subject),
            sums,
            clicks: None,
        }
    }

    /// Totals of a published value: only its visitors and visits are known.
    pub fn from_visitors(visitors: u64, visits: u64) -> CounterTotals {
        let mut sums = [0; CounterKind::ALL.len()];
        sums[CounterKind::Visitors as usize] = visitors;
        sums[CounterKind::Visits as usize] = visits;
        CounterTotals {
            counters: &[CounterKind::Visitors, CounterKind::Visits],
            sums,
            clicks: None,
        }
    }

    fn named_sums(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let counters = self
            .counters
            .iter()
            .map(|counter| (counter.name(), self.get(*counter)));
        counters.chain(self.clicks.map(|clicks| ("clicks", clicks)))
    }

    /// The sum of one counter, whether or not it is serialised.
    pub fn get(&self, counter: CounterKind) -> u64 {
        self.sums[counter as usize]
    }
}

/// The counters that can be non-zero in a subject's totals.
pub fn subject_counters(subject: Subject) -> &'static [CounterKind] {
    use CounterKind::{Bounces, Entries, Exits, Hits, Seconds, Visitors, Visits};
    match subject {
        Subject::Site => &[Hits, Visitors, Visits, Bounces, Seconds],
        Subject::Page | Subject::Link | Subject::Event => {
            &[Hits, Visitors, Visits, Bounces, Seconds, Exits, Entries]
        }
    }
}

impl Serialize for CounterTotals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.named_sums())
    }
}

impl Serialize for ReportRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(self.key, &self.name)?;
        for (name, n) in self.totals.named_sums() {
            map.serialize_entry(name, &n)?;
        }
        if let Some(compared) = &self.compared {
            map.serialize_entry("compared", compared)?;
        }
        map.end()
    }
}

impl Serialize for SubjectItems {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            SubjectItems::Exact { hits, rows } => {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("hits", hits)?;
                map.serialize_entry("rows", rows)?;
                map.end()
            }
            SubjectItems::Published(cells) => {
                serializer.collect_map([("rows", cell_rows(cells, "item"))])
            }
        }
    }
}

impl Serialize for DimensionBreakdown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("published", &self.published)?;
        map.serialize_entry("pending", &self.pending)?;
        map.serialize_entry("rows", &cell_rows(&self.rows, "value"))?;
        map.end()
    }
}

fn cell_rows(cells: &[PublishedCell], key: &'static str) -> Vec<ReportRow> {
    cells.iter().map(|cell| cell.to_row(key)).collect()
}

impl DimensionBreakdown {
    /// The largest `limit` of `cells`, of a subject that `visitors` visitors touched.
    pub fn from_cells(
        mut cells: Vec<PublishedCell>,
        visitors: u64,
        limit: usize,
    ) -> DimensionBreakdown {
        cells.sort_unstable_by(|a, b| {
            (b.visitors, b.visits, &a.name).cmp(&(a.visitors, a.visits, &b.name))
        });
        let published = cells.iter().map(|cell| cell.visitors).sum();
        cells.truncate(limit);
        // A lot is published on its last day, so some of its visitors may have come before the
        // range: `published` can exceed `visitors`.
        DimensionBreakdown {
            published,
            pending: visitors.saturating_sub(published),
            rows: cells,
        }
    }
}

impl PublishedCell {
    /// A cell from its parts.
    pub fn from_counts(name: &str, visitors: u64, visits: u64) -> PublishedCell {
        PublishedCell {
            name: name.to_owned(),
            visitors,
            visits,
            compared: None,
        }
    }

    fn to_row(&self, key: &'static str) -> ReportRow {
        ReportRow {
            key,
            name: self.name.clone(),
            totals: CounterTotals::from_visitors(self.visitors, self.visits),
            compared: self.compared.clone(),
        }
    }
}

/// Comparable figures of both sides. `now` and `before` end at the same hour of the day.
#[derive(Serialize, Debug)]
pub struct PartialComparison {
    /// End of the last full hour of today, as RFC 3339 in the site's zone. `None` where hours are
    /// not compared.
    pub until: Option<String>,
    /// The range up to `until`: the days that are over plus today's full hours. Absent where hours
    /// are not compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<CounterTotals>,
    /// The comparison up to the same hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<CounterTotals>,
    /// The days that are over; `None` (JSON `null`) where there are none.
    pub days: Option<CompleteDays>,
}

/// Both sides over whole days.
#[derive(Serialize, Debug)]
pub struct CompleteDays {
    /// Last day of the range that is over, inclusive, as `YYYY-MM-DD`.
    pub through: String,
    /// The range's days up to `through`.
    pub now: CounterTotals,
    /// The same number of days of the comparison, from its first on.
    pub before: CounterTotals,
}

/// The numbers of a row on both sides of a comparison.
#[derive(Serialize, Clone, PartialEq, Debug)]
pub struct CounterComparison {
    /// On days of the range.
    pub now: CounterTotals,
    /// On the same number of days of the comparison.
    pub before: CounterTotals,
}

/// The days on which rows are compared, all inclusive, as `YYYY-MM-DD`.
#[derive(Serialize, Clone, PartialEq, Debug)]
pub struct ComparedDays {
    /// First day of the range.
    pub from: String,
    /// Last day of the range that is over.
    pub to: String,
    /// First day of the comparison.
    pub before_from: String,
    /// Last of the same number of days of the comparison.
    pub before_to: String,
}
