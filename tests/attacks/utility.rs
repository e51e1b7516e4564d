//! What the promises cost: how far published counts are from the true ones.
//!
//! The error of a list is the mean, over its five largest values, of |published - true| / true, over the range of 7 or 28 days that ends on the
//! last closed day; of sources and countries, mean over the creators of one size.

use std::collections::BTreeMap;

use crate::crowd::DIMENSIONS;
use crate::month::{CLOSED, Month};
use crate::stage::{range, rows};

const LARGEST: usize = 5;
pub const RANGES: [usize; 2] = [7, 28];

/// In percent, by visitors a day and length of the range. To be asked right after the closed days.
pub fn errors(month: &mut Month) -> BTreeMap<(u64, usize), f64> {
    let mut all: BTreeMap<(u64, usize), Vec<f64>> = BTreeMap::new();
    for site in 0..month.sites.len() {
        let (name, per_day) = (month.sites[site].name.clone(), month.sites[site].per_day);
        for length in RANGES {
            let from = CLOSED - length;
            let report = month.stage.report(&name, &range(from, CLOSED - 1));
            for dim in ["source", "country"] {
                let published: BTreeMap<String, u64> = rows(&report, dim).into_iter().collect();
                all.entry((per_day, length)).or_default().push(error(month, site, from, dim, &published));
            }
        }
    }
    let mean = |errors: Vec<f64>| 100.0 * errors.iter().sum::<f64>() / errors.len() as f64;
    all.into_iter().map(|(key, errors)| (key, mean(errors))).collect()
}

fn error(month: &Month, site: usize, from: usize, dim: &str, published: &BTreeMap<String, u64>) -> f64 {
    let place = DIMENSIONS.iter().position(|known| *known == dim).expect("a dimension");
    let mut truth: BTreeMap<&str, u64> = BTreeMap::new();
    for arrival in month.arrivals.iter().filter(|arrival| arrival.site == site && (from..CLOSED).contains(&arrival.day))
    {
        *truth.entry(arrival.person.vector[place]).or_default() += 1;
    }
    let mut largest: Vec<(&str, u64)> = truth.into_iter().collect();
    largest.sort_by_key(|(_, visitors)| std::cmp::Reverse(*visitors));
    largest.truncate(LARGEST);
    let of = |(value, visitors): &(&str, u64)| {
        let shown = published.get(*value).copied().unwrap_or(0);
        shown.abs_diff(*visitors) as f64 / *visitors as f64
    };
    largest.iter().map(of).sum::<f64>() / largest.len() as f64
}
