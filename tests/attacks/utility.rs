//! What the promises cost: how far published counts are from the true ones, and how many visitors
//! are in none.
//!
//! The error of a list is the mean, over its five largest values, of |published - true| / true. The
//! named share of a list is the part of the visitors that is published under a value of theirs.
//! Both are of the range of 7 or 28 days that ends on the last closed day, of sources and
//! countries, and the mean over the creators of one size.

use std::collections::BTreeMap;

use crate::crowd::DIMENSIONS;
use crate::month::{CLOSED, Month};
use crate::stage::{range, rows};

const LARGEST: usize = 5;
pub const RANGES: [usize; 2] = [7, 28];

/// Means in percent.
#[derive(Clone, Copy, Default)]
pub struct Utility {
    /// Of |published - true| / true, over the five largest values.
    pub error: f64,
    /// Of the visitors that are published under a value of theirs.
    pub named: f64,
}

/// By visitors a day and length of the range. To be asked right after the closed days.
pub fn measure(month: &mut Month) -> BTreeMap<(u64, usize), Utility> {
    let mut all: BTreeMap<(u64, usize), Vec<Utility>> = BTreeMap::new();
    for site in 0..month.sites.len() {
        let (name, per_day) = (month.sites[site].name.clone(), month.sites[site].per_day);
        for length in RANGES {
            let from = CLOSED - length;
            let report = month.stage.report(&name, &range(from, CLOSED - 1));
            for dim in ["source", "country"] {
                let published: BTreeMap<String, u64> = rows(&report, dim).into_iter().collect();
                let truth = truth(month, site, from, dim);
                let list = Utility {
                    error: error(&truth, &published),
                    named: named(&truth, &published),
                };
                all.entry((per_day, length)).or_default().push(list);
            }
        }
    }
    all.into_iter()
        .map(|(key, lists)| (key, mean(&lists)))
        .collect()
}

fn mean(lists: &[Utility]) -> Utility {
    let of = |part: fn(&Utility) -> f64| {
        100.0 * lists.iter().map(part).sum::<f64>() / lists.len() as f64
    };
    Utility {
        error: of(|list| list.error),
        named: of(|list| list.named),
    }
}

/// The visitors of each value, as they were made.
fn truth<'a>(month: &'a Month, site: usize, from: usize, dim: &str) -> BTreeMap<&'a str, u64> {
    let place = DIMENSIONS
        .iter()
        .position(|known| *known == dim)
        .expect("a dimension");
    let in_range = |day: usize| (from..CLOSED).contains(&day);

    let mut truth = BTreeMap::new();
    for arrival in month
        .arrivals
        .iter()
        .filter(|arrival| arrival.site == site && in_range(arrival.day))
    {
        *truth.entry(arrival.person.vector[place]).or_default() += 1;
    }
    truth
}

fn error(truth: &BTreeMap<&str, u64>, published: &BTreeMap<String, u64>) -> f64 {
    let mut largest: Vec<(&str, u64)> = truth
        .iter()
        .map(|(value, visitors)| (*value, *visitors))
        .collect();
    largest.sort_by_key(|(_, visitors)| std::cmp::Reverse(*visitors));
    largest.truncate(LARGEST);

    let of = |(value, visitors): &(&str, u64)| {
        let shown = published.get(*value).copied().unwrap_or(0);
        shown.abs_diff(*visitors) as f64 / *visitors as f64
    };
    largest.iter().map(of).sum::<f64>() / largest.len() as f64
}

/// More than the true visitors of a value, which came on days before, count as the true ones.
fn named(truth: &BTreeMap<&str, u64>, published: &BTreeMap<String, u64>) -> f64 {
    let shown = |(value, visitors): (&&str, &u64)| {
        published.get(*value).copied().unwrap_or(0).min(*visitors)
    };
    truth.iter().map(shown).sum::<u64>() as f64 / truth.values().sum::<u64>() as f64
}
