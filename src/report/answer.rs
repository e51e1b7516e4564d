//! The shapes of an answer, as they go out.

use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::so_far::SoFar;
use crate::event::{Counter, Subject, minor_digits};
use crate::store::Earned;

#[derive(Serialize, Debug)]
pub struct Answer {
    pub site: String,
    pub zone: String,
    pub from: String,
    pub to: String,
    pub k: u64,
    pub filter: Option<FilterShown>,
    pub compared: Option<Compared>,
    pub attributes: AsOf,
    pub totals: Figures,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<Vec<Row>>,
    pub subjects: BTreeMap<&'static str, Items>,
    pub dimensions: BTreeMap<&'static str, Breakdown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub money: Option<Vec<Money>>,
    /// Every day in it is published: asked again, it is the same.
    #[serde(skip)]
    pub is_final: bool,
}

/// Until when the attributes of the range are published.
#[derive(Serialize, Debug)]
pub struct AsOf {
    /// The last day that is: never after the range, so that an answer about published days stays as it is.
    pub through: Option<String>,
    /// The end of the last hour of today that is, where today is in the range.
    pub hour: Option<String>,
}

/// The days the numbers are held against.
#[derive(Serialize, Debug)]
pub struct Compared {
    pub from: String,
    pub to: String,
    pub totals: Figures,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<Vec<Row>>,
    /// Where the range is not over: what of both can be compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub so_far: Option<SoFar>,
}

#[derive(Serialize, Debug)]
pub struct FilterShown {
    pub by: &'static str,
    pub value: String,
}

/// What an event brought in one currency.
#[derive(Serialize, PartialEq, Debug)]
pub struct Money {
    pub event: String,
    pub currency: String,
    pub hits: u64,
    /// Events whose amount was over the site's bound; nothing of it is in the sum.
    pub over: u64,
    /// In minor units: this many digits of it stand after the decimal point.
    pub minor: u64,
    pub digits: u32,
}

impl From<Earned> for Money {
    fn from(Earned { event, currency, hits, over, minor }: Earned) -> Money {
        let digits = minor_digits(currency.as_bytes());
        Money { event, currency, hits, over, minor, digits }
    }
}

/// Some of the counters, in their order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Figures {
    pub counters: &'static [Counter],
    pub sums: [u64; Counter::ALL.len()],
    /// Clicks on all links of the site, where they were asked for.
    pub clicks: Option<u64>,
}

/// A row of a series or of a subject: its name under its key, then its figures.
#[derive(Debug)]
pub struct Row {
    pub key: &'static str,
    pub name: String,
    pub figures: Figures,
}

#[derive(Debug)]
pub enum Items {
    /// Items of the site, exact; the hits are those of all items, also of those beyond the limit.
    Exact { hits: u64, rows: Vec<Row> },
    /// Items seen through an attribute: their published cells.
    Seen(Vec<Cell>),
}

/// The published values of a dimension.
#[derive(PartialEq, Debug)]
pub struct Breakdown {
    /// Visitors of all values, also of those beyond the limit.
    pub published: u64,
    /// Visitors of the range under no value yet.
    pub pending: u64,
    pub rows: Vec<Cell>,
}

#[derive(Clone, PartialEq, Debug)]
pub struct Cell {
    pub name: String,
    pub visitors: u64,
    pub visits: u64,
}

impl Figures {
    /// The counters that the totals of a subject have.
    pub fn of(subject: Subject, sums: [u64; Counter::ALL.len()]) -> Figures {
        Figures { counters: counters_of(subject), sums, clicks: None }
    }

    /// What is known of a published value.
    pub fn of_people(visitors: u64, visits: u64) -> Figures {
        let mut sums = [0; Counter::ALL.len()];
        sums[Counter::Visitors as usize] = visitors;
        sums[Counter::Visits as usize] = visits;
        Figures { counters: &[Counter::Visitors, Counter::Visits], sums, clicks: None }
    }

    fn pairs(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let counters = self.counters.iter().map(|counter| (counter.name(), self.get(*counter)));
        counters.chain(self.clicks.map(|clicks| ("clicks", clicks)))
    }

    pub fn get(&self, counter: Counter) -> u64 {
        self.sums[counter as usize]
    }
}

/// The counters a subject's totals have: which of them can be other than zero.
pub fn counters_of(subject: Subject) -> &'static [Counter] {
    use Counter::{Bounces, Entries, Exits, Hits, Seconds, Visitors, Visits};
    match subject {
        Subject::Site => &[Hits, Visitors, Visits, Bounces, Seconds],
        Subject::Page | Subject::Link | Subject::Event => &[Hits, Visitors, Visits, Bounces, Seconds, Exits, Entries],
    }
}

impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.pairs())
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(self.key, &self.name)?;
        for (name, n) in self.figures.pairs() {
            map.serialize_entry(name, &n)?;
        }
        map.end()
    }
}

impl Serialize for Items {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Items::Exact { hits, rows } => {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("hits", hits)?;
                map.serialize_entry("rows", rows)?;
                map.end()
            }
            Items::Seen(cells) => serializer.collect_map([("rows", rows(cells, "item"))]),
        }
    }
}

impl Serialize for Breakdown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("published", &self.published)?;
        map.serialize_entry("pending", &self.pending)?;
        map.serialize_entry("rows", &rows(&self.rows, "value"))?;
        map.end()
    }
}

fn rows(cells: &[Cell], key: &'static str) -> Vec<Row> {
    cells.iter().map(|cell| cell.row(key)).collect()
}

impl Breakdown {
    /// The largest values of `cells`, of a subject that so many visitors touched.
    pub fn of(mut cells: Vec<Cell>, visitors: u64, limit: usize) -> Breakdown {
        cells.sort_unstable_by(|a, b| (b.visitors, b.visits, &a.name).cmp(&(a.visitors, a.visits, &b.name)));
        let published = cells.iter().map(|cell| cell.visitors).sum();
        cells.truncate(limit);
        // A lot is booked on its last day: its first visitors may have come before the range.
        Breakdown { published, pending: visitors.saturating_sub(published), rows: cells }
    }
}

impl Cell {
    pub fn of(name: &str, visitors: u64, visits: u64) -> Cell {
        Cell { name: name.to_owned(), visitors, visits }
    }

    fn row(&self, key: &'static str) -> Row {
        Row { key, name: self.name.clone(), figures: Figures::of_people(self.visitors, self.visits) }
    }
}
