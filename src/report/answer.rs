//! The shapes of an answer, as they go out.

use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::event::{Counter, Subject};

#[derive(Serialize, Debug)]
pub struct Answer {
    pub site: String,
    pub zone: String,
    pub from: String,
    pub to: String,
    pub k: u64,
    pub filter: Option<FilterShown>,
    #[serde(flatten)]
    pub body: Body,
}

#[derive(Serialize, Debug)]
pub struct FilterShown {
    pub by: &'static str,
    pub value: String,
}

#[derive(Serialize, Debug)]
#[serde(untagged)]
pub enum Body {
    FewerThan { fewer_than: u64 },
    Counts(Box<CountsBody>),
}

#[derive(Serialize, Debug)]
pub struct CountsBody {
    pub totals: Figures,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<Vec<Row>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hours: Option<Vec<Row>>,
    pub subjects: BTreeMap<&'static str, Rows>,
    pub dimensions: BTreeMap<&'static str, Breakdown>,
}

/// Some of the counters, in their order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Figures {
    pub counters: &'static [Counter],
    pub sums: [u64; Counter::ALL.len()],
}

/// A row of a series or of a subject: its name under its key, then its figures.
#[derive(Debug)]
pub struct Row {
    pub key: &'static str,
    pub name: String,
    pub figures: Figures,
}

#[derive(Debug)]
pub enum Rows {
    /// Items of the site, exact.
    Items(Vec<Row>),
    /// Items seen through an attribute, folded.
    Folded(Breakdown),
}

#[derive(PartialEq, Debug)]
pub enum Breakdown {
    Rows(Vec<Cell>),
    FewerThan(u64),
}

#[derive(Clone, PartialEq, Debug)]
pub struct Cell {
    pub name: String,
    pub visitors: u64,
    pub visits: u64,
}

impl Figures {
    pub fn get(&self, counter: Counter) -> u64 {
        self.sums[counter as usize]
    }
}

/// The counters a subject's totals have: which of them can be other than zero.
pub fn counters_of(subject: Subject) -> &'static [Counter] {
    use Counter::{Bounces, Exits, Hits, Seconds, Visitors, Visits};
    match subject {
        Subject::Site => &[Hits, Visitors, Visits, Bounces, Seconds],
        Subject::Page | Subject::Link | Subject::Event => &[Hits, Visitors, Visits, Bounces, Seconds, Exits],
    }
}

impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.counters.iter().map(|counter| (counter.name(), self.get(*counter))))
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(self.key, &self.name)?;
        for counter in self.figures.counters {
            map.serialize_entry(counter.name(), &self.figures.get(*counter))?;
        }
        map.end()
    }
}

impl Serialize for Rows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Rows::Items(rows) => serializer.collect_map([("rows", rows)]),
            Rows::Folded(breakdown) => breakdown.serialize_as("item", serializer),
        }
    }
}

impl Serialize for Breakdown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.serialize_as("value", serializer)
    }
}

impl Breakdown {
    fn serialize_as<S: Serializer>(&self, key: &'static str, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Breakdown::Rows(cells) => {
                let rows: Vec<Row> = cells.iter().map(|cell| cell.row(key)).collect();
                serializer.collect_map([("rows", rows)])
            }
            Breakdown::FewerThan(k) => serializer.collect_map([("fewer_than", k)]),
        }
    }
}

impl Cell {
    fn row(&self, key: &'static str) -> Row {
        let mut sums = [0; Counter::ALL.len()];
        sums[Counter::Visitors as usize] = self.visitors;
        sums[Counter::Visits as usize] = self.visits;
        Row { key, name: self.name.clone(), figures: Figures { counters: &[Counter::Visitors, Counter::Visits], sums } }
    }
}
