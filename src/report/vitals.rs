//! How fast a site's pages were: histograms become ratings, which are exact, and percentiles, which are off by at most a bucket.
//!
//! A page is content; a class of devices is an attribute of people. Of either, fewer than k measurements are no answer: a percentile of
//! one measurement is that measurement.

use std::collections::BTreeMap;

use serde::Serialize;

use super::answer::{Breakdown, Cell};
use super::fold::fold;
use super::question::{Filter, Question};
use crate::event::{Bucket, Metric, OTHER, Rating, Subject};
use crate::store::{Measured, Store, StoreError};

#[derive(Serialize, Debug)]
pub struct VitalsAnswer {
    pub site: String,
    pub zone: String,
    pub from: String,
    pub to: String,
    pub k: u64,
    /// The one page asked for.
    pub path: Option<String>,
    /// By metric, over all devices.
    pub metrics: BTreeMap<&'static str, Speed>,
    /// By class of devices, then by metric.
    pub devices: BTreeMap<String, BTreeMap<&'static str, Speed>>,
    /// The pages with most measurements, unless one was asked for.
    pub pages: Vec<PageSpeed>,
}

#[derive(Serialize, Debug)]
pub struct PageSpeed {
    pub path: String,
    pub metrics: BTreeMap<&'static str, Speed>,
}

#[derive(Serialize, PartialEq, Debug)]
#[serde(untagged)]
pub enum Speed {
    FewerThan {
        fewer_than: u64,
    },
    /// Percentiles in milliseconds; of CLS without a unit.
    Measured {
        hits: u64,
        good: u64,
        needs_improvement: u64,
        poor: u64,
        p75: f64,
        p90: f64,
    },
}

pub(super) type Histogram = BTreeMap<Bucket, u64>;
/// By page or class of devices, then by metric.
type Histograms = BTreeMap<String, BTreeMap<Metric, Histogram>>;

pub async fn vitals(store: &Store, question: &Question) -> Result<VitalsAnswer, StoreError> {
    let read = store.read(question.site);
    let path = match &question.filter {
        Some(Filter::Item(Subject::Page, path)) => Some(path.as_str()),
        _ => None,
    };
    let range = (question.from, question.to);
    let by_device = histograms(read.vitals(path, range).await?);
    let by_page = match path {
        None => histograms(read.vitals_of_pages(range, question.limit).await?),
        Some(_) => Histograms::new(),
    };
    let k = question.k;
    let mut pages: Vec<PageSpeed> =
        by_page.into_iter().map(|(path, of)| PageSpeed { path, metrics: speeds(&of, k) }).collect();
    pages.sort_by_key(|page| std::cmp::Reverse(page.metrics.values().map(Speed::hits).max()));
    Ok(VitalsAnswer {
        site: question.name.clone(),
        zone: question.zone_name(),
        from: question.from.to_string(),
        to: question.to.to_string(),
        k,
        path: path.map(str::to_owned),
        metrics: speeds(&together(&by_device), k),
        devices: devices(&by_device, k),
        pages,
    })
}

fn histograms(rows: Vec<Measured>) -> Histograms {
    let mut all = Histograms::new();
    for Measured { of, metric, bucket, hits } in rows {
        if let Some(metric) = Metric::from_name(&metric) {
            *all.entry(of).or_default().entry(metric).or_default().entry(bucket).or_default() += hits;
        }
    }
    all
}

fn together(all: &Histograms) -> BTreeMap<Metric, Histogram> {
    let mut sum = BTreeMap::<Metric, Histogram>::new();
    for (metric, histogram) in all.values().flatten() {
        add(sum.entry(*metric).or_default(), histogram);
    }
    sum
}

fn add(sum: &mut Histogram, more: &Histogram) {
    more.iter().for_each(|(bucket, hits)| *sum.entry(*bucket).or_default() += hits);
}

/// Classes of devices, metric by metric, small ones under `(other)`: what is shown must not tell a hidden one by subtraction.
fn devices(all: &Histograms, k: u64) -> BTreeMap<String, BTreeMap<&'static str, Speed>> {
    let mut shown = BTreeMap::<String, BTreeMap<&'static str, Speed>>::new();
    for metric in Metric::ALL {
        let of = |device: &str| all.get(device).and_then(|metrics| metrics.get(&metric));
        let cell = |name: &String| {
            let visitors = of(name).map_or(0, |histogram| histogram.values().sum());
            Cell { name: name.clone(), visitors, visits: 0 }
        };
        let cells: Vec<Cell> = all.keys().map(cell).filter(|cell| cell.visitors > 0).collect();
        let Breakdown::Rows(kept) = fold(cells, k, usize::MAX) else { continue };
        let mut other = Histogram::new();
        for device in all.keys() {
            let Some(histogram) = of(device) else { continue };
            if device != OTHER && kept.iter().any(|cell| cell.name == *device) {
                shown.entry(device.clone()).or_default().insert(metric.name(), Speed::of(metric, histogram, k));
            } else {
                add(&mut other, histogram);
            }
        }
        if !other.is_empty() {
            shown.entry(OTHER.to_owned()).or_default().insert(metric.name(), Speed::of(metric, &other, k));
        }
    }
    shown
}

fn speeds(of: &BTreeMap<Metric, Histogram>, k: u64) -> BTreeMap<&'static str, Speed> {
    of.iter().map(|(metric, histogram)| (metric.name(), Speed::of(*metric, histogram, k))).collect()
}

impl Speed {
    pub(super) fn of(metric: Metric, histogram: &Histogram, k: u64) -> Speed {
        let hits: u64 = histogram.values().sum();
        if hits < k {
            return Speed::FewerThan { fewer_than: k };
        }
        let rated =
            |rating| histogram.iter().filter(|(bucket, _)| Metric::rating(**bucket) == rating).map(|(_, n)| n).sum();
        Speed::Measured {
            hits,
            good: rated(Rating::Good),
            needs_improvement: rated(Rating::NeedsImprovement),
            poor: rated(Rating::Poor),
            p75: percentile(metric, histogram, hits, 0.75),
            p90: percentile(metric, histogram, hits, 0.9),
        }
    }

    fn hits(&self) -> u64 {
        match self {
            Speed::FewerThan { .. } => 0,
            Speed::Measured { hits, .. } => *hits,
        }
    }
}

/// The value below which that share of the measurements lies, placed within its bucket as if they were spread evenly there; rounded
/// to what a bucket can tell.
fn percentile(metric: Metric, histogram: &Histogram, hits: u64, share: f64) -> f64 {
    let wanted = share * hits as f64;
    let mut below = 0.0;
    let mut value = 0.0;
    for (bucket, n) in histogram {
        let (low, high) = metric.range(*bucket);
        let within = ((wanted - below) / *n as f64).clamp(0.0, 1.0);
        value = low + (high - low) * within;
        below += *n as f64;
        if below >= wanted {
            break;
        }
    }
    let digits = if metric == Metric::Cls { 1000.0 } else { 1.0 };
    (value * digits).round() / digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(metric: Metric, values: impl IntoIterator<Item = f64>) -> Histogram {
        let mut histogram = Histogram::new();
        values.into_iter().for_each(|value| *histogram.entry(metric.bucket(value)).or_default() += 1);
        histogram
    }

    #[test]
    fn percentiles_are_within_a_bucket_of_the_true_ones_and_ratings_are_exact() {
        let values: Vec<f64> = (1..=1000).map(|n| f64::from(n) * 6.0).collect();
        let Speed::Measured { hits, good, needs_improvement, poor, p75, p90 } =
            Speed::of(Metric::Lcp, &histogram(Metric::Lcp, values), 5)
        else {
            panic!("a thousand are enough")
        };
        assert_eq!((hits, good, needs_improvement, poor), (1000, 416, 250, 334));
        assert!((p75 / 4500.0 - 1.0).abs() < 0.125 && (p90 / 5400.0 - 1.0).abs() < 0.125, "{p75} {p90}");
    }

    #[test]
    fn a_page_that_never_shifts_has_no_shift() {
        let Speed::Measured { p75, good, .. } = Speed::of(Metric::Cls, &histogram(Metric::Cls, [0.0; 40]), 5) else {
            panic!("forty are enough")
        };
        assert!(p75 < 0.002 && good == 40, "{p75}");
    }

    #[test]
    fn four_measurements_are_no_answer() {
        let four = histogram(Metric::Inp, [100.0; 4]);
        assert_eq!(Speed::of(Metric::Inp, &four, 5), Speed::FewerThan { fewer_than: 5 });
    }

    #[test]
    fn a_class_of_devices_with_few_measurements_takes_the_next_smallest_with_it() {
        let of = |n| BTreeMap::from([(Metric::Lcp, histogram(Metric::Lcp, vec![1000.0; n]))]);
        let shown = |classes: &[(&str, usize)]| {
            let all = classes.iter().map(|(name, n)| ((*name).to_owned(), of(*n))).collect();
            let rows = devices(&all, 5);
            rows.into_iter().map(|(name, speeds)| (name, speeds["LCP"].hits())).collect::<Vec<_>>()
        };
        let own = |rows: &[(&str, u64)]| rows.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect::<Vec<_>>();
        assert_eq!(shown(&[("phone", 9), ("desktop", 6), ("tv", 1)]), own(&[("(other)", 7), ("phone", 9)]));
        assert_eq!(shown(&[("phone", 9), ("tv", 5)]), own(&[("phone", 9), ("tv", 5)]));
        assert_eq!(shown(&[("phone", 2), ("tv", 2)]), own(&[]));
    }
}
