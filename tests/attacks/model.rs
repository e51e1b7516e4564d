//! What somebody knows who has asked everything, as a linear program.
//!
//! Facts of a list: its exact visitors of each day; of each value its lots, each of which is
//! everybody since the one before it but for a remainder of at most 2k - 2; and of what waits: less
//! than 2k, or held back because all the others together were fewer than k.

use std::collections::{BTreeMap, BTreeSet};

use crate::crowd::{CHANNELS, DESKTOPS, DIMENSIONS, NONE};
use crate::linear::{Part, Program, Sum};
use crate::month::CLOSED;

pub const K: u64 = 5;
/// Of each lot up to so many stay pending.
const MAX_REMAINDER: u64 = 2 * K - 2;
/// A lot of so many can be one of an hour (of 50, less its remainder): the day's later visitors are
/// not in it.
const OPEN_LOT: u64 = 50 - MAX_REMAINDER;

/// So many visitors with one value on the days `from..=to`.
pub struct Fact {
    pub value: String,
    pub from: usize,
    pub to: usize,
    pub visitors: u64,
}

/// One dimension of a site or of one of its items, as the attacker knows it.
pub struct List {
    /// Index in [`crate::month::Profile::items`]; none is the site.
    pub item: Option<usize>,
    pub dim: &'static str,
    pub totals: Vec<u64>,
    pub facts: Vec<Fact>,
    /// What is true, which the attacker is after.
    pub truth: BTreeMap<(String, usize), u64>,
}

/// A program about some lists of one site, and where their cells are in it.
pub struct Model<'a> {
    pub program: Program,
    pub lists: Vec<&'a List>,
    pub cells: BTreeMap<(usize, &'a str, usize), Part>,
    /// By list and day: everybody whose value is never shown.
    rest: Vec<Vec<Part>>,
}

impl<'a> Model<'a> {
    pub fn of(lists: Vec<&'a List>) -> Model<'a> {
        let mut model = Model {
            program: Program::default(),
            lists,
            cells: BTreeMap::new(),
            rest: Vec::new(),
        };
        for place in 0..model.lists.len() {
            model.list(place);
        }
        for place in 0..model.lists.len() {
            model.waiting(place);
        }
        model.within();
        model
    }

    /// Names that any list of the same dimension shows.
    fn values(&self, dim: &str) -> BTreeSet<&'a str> {
        let lists = self.lists.iter().filter(|list| list.dim == dim);
        lists
            .flat_map(|list| list.facts.iter().map(|fact| fact.value.as_str()))
            .collect()
    }

    fn list(&mut self, place: usize) {
        let list = self.lists[place];
        let values = self.values(list.dim);
        let mut rest = Vec::new();
        for (day, total) in list.totals.iter().enumerate() {
            let most = *total as f64;
            let mut all: Sum = Vec::new();
            for value in &values {
                let part = self.program.part(most);
                self.cells.insert((place, value, day), part);
                all.push((part, 1.0));
            }
            rest.push(self.program.part(most));
            all.push((rest[day], 1.0));
            self.program.is(all, most);
        }
        self.rest.push(rest);
    }

    /// The lots of a list and what waits between them.
    fn waiting(&mut self, place: usize) {
        let list = self.lists[place];
        let mut by_value: BTreeMap<&str, Vec<&'a Fact>> = self
            .values(list.dim)
            .into_iter()
            .map(|v| (v, vec![]))
            .collect();
        for fact in &list.facts {
            by_value.entry(&fact.value).or_default().push(fact);
        }
        let mut waits: Vec<Vec<Sum>> = vec![Vec::new(); CLOSED];
        for (value, facts) in by_value {
            let mut left: Option<Part> = None;
            let mut since = 0;
            for (day, of_day) in waits.iter_mut().enumerate() {
                let mut sum: Sum = (since..=day)
                    .map(|day| (self.cells[&(place, value, day)], 1.0))
                    .collect();
                sum.extend(left.map(|part| (part, 1.0)));
                let Some(lot) = facts.iter().find(|fact| fact.to == day) else {
                    of_day.push(sum);
                    continue;
                };
                let remainder = self.remainder(lot, self.cells[&(place, value, day)]);
                sum.push((remainder, -1.0));
                self.program.is(sum, lot.visitors as f64);
                of_day.push(vec![(remainder, 1.0)]);
                left = Some(remainder);
                since = day + 1;
            }
        }
        // What of an item waits may wait for its site's lot or for the others of the site: nothing
        // bounds it.
        if list.item.is_none() {
            self.bounded(list, waits);
        }
    }

    /// Visitors up to the day of a lot who are not in it: its remainder, and of a lot of an hour
    /// those who came later that day.
    fn remainder(&mut self, lot: &Fact, of_day: Part) -> Part {
        let most = MAX_REMAINDER as f64;
        if lot.visitors < OPEN_LOT {
            return self.program.part(most);
        }

        let part = self.program.part(lot.visitors as f64 + most);
        self.program
            .at_most(vec![(part, 1.0), (of_day, -1.0)], most);
        part
    }

    fn bounded(&mut self, list: &List, waits: Vec<Vec<Sum>>) {
        let mut all = 0;
        for (day, waits) in waits.into_iter().enumerate() {
            all += list.totals[day];
            let shown: u64 = list
                .facts
                .iter()
                .filter(|fact| fact.to == day)
                .map(|fact| fact.visitors)
                .sum();
            all = all.saturating_sub(shown);
            if all < 2 * K {
                continue;
            }
            let (all, k) = (all as f64, K as f64);
            let mut held = Vec::new();
            for mut sum in waits {
                let is_held = self.program.part(1.0);
                held.push((is_held, 1.0));
                let mut least: Sum = sum.clone();
                least.push((is_held, -(all - k + 1.0)));
                self.program.at_least(least, 0.0);
                sum.push((is_held, -(all - 2.0 * k)));
                self.program.at_most(sum, 2.0 * k - 1.0);
            }
            self.program.at_most(held, 1.0);
        }
    }

    /// What the lists say of each other.
    fn within(&mut self) {
        let place = |dim: &str| {
            self.lists
                .iter()
                .position(|list| list.dim == dim && list.item.is_none())
        };
        let of_site: BTreeMap<&str, usize> = DIMENSIONS
            .iter()
            .filter_map(|dim| place(dim).map(|place| (*dim, place)))
            .collect();
        for day in 0..CLOSED {
            for item in (0..self.lists.len()).filter(|place| self.lists[*place].item.is_some()) {
                let Some(site) = of_site.get(self.lists[item].dim) else {
                    continue;
                };
                let pairs = self.values(self.lists[item].dim).into_iter();
                let pairs = pairs.map(|value| {
                    (
                        self.cells[&(item, value, day)],
                        self.cells[&(*site, value, day)],
                    )
                });
                let pairs: Vec<(Part, Part)> = pairs
                    .chain([(self.rest[item][day], self.rest[*site][day])])
                    .collect();
                for (part, whole) in pairs {
                    self.program.at_most(vec![(part, 1.0), (whole, -1.0)], 0.0);
                }
            }
            let of = |dim: &str, is: &dyn Fn(&str) -> bool| -> Option<(Sum, Part)> {
                let place = *of_site.get(dim)?;
                let values = self.values(dim).into_iter().filter(|value| is(value));
                let sum = values
                    .map(|value| (self.cells[&(place, value, day)], 1.0))
                    .collect();
                Some((sum, self.rest[place][day]))
            };
            let desktop = |os: &str| DESKTOPS.contains(&os);
            let same = [
                (of("device", &|v| v == "desktop"), of("os", &desktop)),
                (
                    of("device", &|v| v != "desktop"),
                    of("os", &|v| !desktop(v)),
                ),
                (
                    of("source", &|v| v == "newsletter"),
                    of("campaign", &|v| v != NONE),
                ),
                (
                    of("source", &|v| v == "Instagram"),
                    of("browser", &|v| v == "Instagram"),
                ),
            ];
            let channels = CHANNELS.map(|(channel, sources)| {
                (
                    of("channel", &move |v| v == channel),
                    of("source", &move |v| sources.contains(&v)),
                )
            });
            for (a, b) in same.into_iter().chain(channels) {
                let (Some(a), Some(b)) = (a, b) else { continue };
                self.as_many(&a, &b);
                self.as_many(&b, &a);
            }
        }
    }

    /// The first's people are all of the second's, or of those it never shows.
    fn as_many(&mut self, (first, _): &(Sum, Part), (second, rest): &(Sum, Part)) {
        let mut sum = first.clone();
        sum.extend(second.iter().map(|(part, _)| (*part, -1.0)));
        sum.push((*rest, -1.0));
        self.program.at_most(sum, 0.0);
    }

    /// The site's visitors with a value who did not touch an item: a part of the program for each
    /// such group of `small`, and its dimension.
    pub fn left(&mut self, small: &std::ops::Range<u64>) -> Vec<(&'static str, Part)> {
        let mut asked = Vec::new();
        for item in 0..self.lists.len() {
            let list = self.lists[item];
            let of_site = |other: &&List| other.item.is_none() && other.dim == list.dim;
            let Some(site) = self
                .lists
                .iter()
                .position(of_site)
                .filter(|_| list.item.is_some())
            else {
                continue;
            };
            for ((value, day), all) in &self.lists[site].truth {
                let touched = list.truth.get(&(value.clone(), *day)).copied().unwrap_or(0);
                let Some(whole) = self.cells.get(&(site, value.as_str(), *day)).copied() else {
                    continue;
                };
                if small.contains(&(all - touched)) && value != NONE {
                    let part = self.cells[&(item, value.as_str(), *day)];
                    let left = self.program.part(list.totals[*day].max(*all) as f64);
                    self.program
                        .is(vec![(left, 1.0), (part, 1.0), (whole, -1.0)], 0.0);
                    asked.push((list.dim, left));
                }
            }
        }
        asked
    }

    /// Where each fact is the sum of its days and nothing waits.
    pub fn of_sums(list: &'a List) -> Model<'a> {
        let mut model = Model {
            program: Program::default(),
            lists: vec![list],
            cells: BTreeMap::new(),
            rest: Vec::new(),
        };
        model.list(0);
        for fact in &list.facts {
            let sum = (fact.from..=fact.to)
                .map(|day| (model.cells[&(0, fact.value.as_str(), day)], 1.0))
                .collect();
            model.program.is(sum, fact.visitors as f64);
        }
        model
    }
}
