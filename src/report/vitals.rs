//! Page speed of a site. Histograms become ratings, which are exact, and percentiles, which are off
//! by at most one bucket.
//!
//! A page is content, shown as of now; with fewer than k measurements it has no figures, because
//! the percentile of one measurement is that measurement. A class of devices is an attribute of
//! people, and measurements are not people: one phone that loads a page twenty times is one person.
//! So classes are reported in lots, as attributes are.

use std::collections::BTreeMap;

use serde::Serialize;

use super::query::{ReportFilter, ReportQuery};
use crate::calendar::{Day, DayRange};
use crate::event::{Subject, VitalBucket, VitalRating, WebVital};
use crate::store::{DeviceBucketCount, SiteReader, Store, StoreError, VitalBucketCount};

/// A lot of a device class has at least this many times k measurements.
const LOT_MEASUREMENTS_PER_K: u64 = 4;

/// Page speed of a site, or of one page, in a range of days.
#[derive(Serialize, Debug)]
pub struct VitalsResponse {
    /// Name of the site, as requested.
    pub site: String,
    /// IANA name of the site's time zone.
    pub zone: String,
    /// First day, inclusive, as `YYYY-MM-DD`.
    pub from: String,
    /// Last day, inclusive, as `YYYY-MM-DD`.
    pub to: String,
    /// Minimum number of measurements behind a figure.
    pub k: u64,
    /// The page of the filter, if any.
    pub path: Option<String>,
    /// By the metric's name, over all devices.
    pub metrics: BTreeMap<&'static str, SpeedSummary>,
    /// By device class, then by metric: the lots of the range. Only for the whole site.
    pub devices: BTreeMap<String, BTreeMap<&'static str, SpeedSummary>>,
    /// The pages with most measurements, at most the query's limit. Empty with a filter by page.
    pub pages: Vec<PageSpeed>,
}

/// Speed of one page.
#[derive(Serialize, Debug)]
pub struct PageSpeed {
    /// Cleaned path of the page.
    pub path: String,
    /// By the metric's name.
    pub metrics: BTreeMap<&'static str, SpeedSummary>,
}

/// Figures of one metric.
#[derive(Serialize, PartialEq, Debug)]
#[serde(untagged)]
pub enum SpeedSummary {
    /// Too few measurements to show.
    FewerThan {
        /// The number of measurements is below this.
        fewer_than: u64,
    },
    /// Measurements by rating, and percentiles in milliseconds (CLS has no unit).
    Measured {
        /// All measurements.
        hits: u64,
        /// Up to the first threshold, inclusive.
        good: u64,
        /// Between the thresholds; the second is inclusive.
        needs_improvement: u64,
        /// Above the second threshold.
        poor: u64,
        /// 75th percentile, in the metric's unit.
        p75: f64,
        /// 90th percentile, in the metric's unit.
        p90: f64,
    },
}

pub(super) type Histogram = BTreeMap<VitalBucket, u64>;
type MetricHistograms = BTreeMap<WebVital, Histogram>;
/// By page, then by metric.
type GroupedHistograms = BTreeMap<String, MetricHistograms>;
/// By day: measurements by device class, and published visitors by device class.
type DeviceDays = BTreeMap<Day, (BTreeMap<String, MetricHistograms>, BTreeMap<String, u64>)>;

/// Page speed in the query's range. A filter other than a page is ignored.
///
/// # Errors
///
/// A query failed, see [`StoreError`].
pub async fn run_vitals_report(
    store: &Store,
    question: &ReportQuery,
) -> Result<VitalsResponse, StoreError> {
    let read = store.site_reader(question.site);
    let path = match &question.filter {
        Some(ReportFilter::Item(Subject::Page, path)) => Some(path.as_str()),
        _ => None,
    };
    let range = question.days;
    let together = async {
        let rows = read.vitals_histogram(path, range).await?;
        Ok(group_histograms(rows)
            .into_values()
            .next()
            .unwrap_or_default())
    };
    let by_page = async {
        match path {
            None => Ok(group_histograms(
                read.vitals_by_page(range, question.limit).await?,
            )),
            Some(_) => Ok(GroupedHistograms::new()),
        }
    };
    let by_device = async {
        match path {
            None => read_device_lots(store, &read, question).await,
            // Visitors of a device class are not counted by page.
            Some(_) => Ok(GroupedHistograms::new()),
        }
    };

    let (together, by_page, by_device) = tokio::try_join!(together, by_page, by_device)?;
    let k = question.k;
    let mut pages: Vec<PageSpeed> = by_page
        .into_iter()
        .map(|(path, of)| PageSpeed {
            path,
            metrics: summarize_speeds(&of, k),
        })
        .collect();
    pages
        .sort_by_key(|page| std::cmp::Reverse(page.metrics.values().map(SpeedSummary::hits).max()));

    Ok(VitalsResponse {
        site: question.site_name.clone(),
        zone: question.zone_name(),
        from: question.days.first().to_string(),
        to: question.days.last().to_string(),
        k,
        path: path.map(str::to_owned),
        metrics: summarize_speeds(&together, k),
        devices: by_device
            .iter()
            .map(|(class, of)| (class.clone(), summarize_speeds(of, k)))
            .collect(),
        pages,
    })
}

fn group_histograms(rows: Vec<VitalBucketCount>) -> GroupedHistograms {
    let mut all = GroupedHistograms::new();
    for VitalBucketCount {
        of,
        metric,
        bucket,
        hits,
    } in rows
    {
        if let Some(metric) = WebVital::from_name(&metric) {
            *all.entry(of)
                .or_default()
                .entry(metric)
                .or_default()
                .entry(bucket)
                .or_default() += hits;
        }
    }
    all
}

fn merge_histogram(sum: &mut Histogram, more: &Histogram) {
    more.iter()
        .for_each(|(bucket, hits)| *sum.entry(*bucket).or_default() += hits);
}

/// Lots of the range by device class. Only published days count: on an open day, a new measurement
/// would reveal which class a visitor belongs to.
async fn read_device_lots(
    store: &Store,
    read: &SiteReader<'_>,
    question: &ReportQuery,
) -> Result<GroupedHistograms, StoreError> {
    let Some(through) = store
        .publication_cutoff(&question.zone_name())
        .await?
        .through
    else {
        return Ok(GroupedHistograms::new());
    };
    let (from, to) = (question.days.first(), question.days.last());
    // Lots start with the month, not with the range, because two ranges must not divide them
    // differently.
    let first = Day::from_date(from.to_date().first_of_month()).unwrap_or(from);
    let Some(range) = DayRange::new(first, through.min(to)) else {
        return Ok(GroupedHistograms::new());
    };
    let (measured, visitors) =
        tokio::try_join!(read.vitals_by_device(range), read.visitors_by_device(range))?;

    let mut days = DeviceDays::new();
    for DeviceBucketCount {
        number,
        device,
        metric,
        bucket,
        hits,
    } in measured
    {
        let Some(metric) = WebVital::from_name(&metric) else {
            continue;
        };
        let classes = &mut days.entry(Day::from_number(number)).or_default().0;
        *classes
            .entry(device)
            .or_default()
            .entry(metric)
            .or_default()
            .entry(bucket)
            .or_default() += hits;
    }
    for (day, device, visitors) in visitors {
        *days
            .entry(Day::from_number(day))
            .or_default()
            .1
            .entry(device)
            .or_default() += visitors;
    }
    Ok(sum_device_lots(&days, from, question.k))
}

/// Measurements and visitors of a class since its last lot.
#[derive(Default)]
struct PendingMeasurements {
    histogram: Histogram,
    visitors: u64,
}

impl PendingMeasurements {
    fn hits(&self) -> u64 {
        self.histogram.values().sum()
    }
}

/// Sums the lots that end on `from` or later. From the first of each month on, each class gathers
/// measurements and published visitors, metric by metric. Once it has 4k measurements and k
/// visitors, they are a lot of that day.
fn sum_device_lots(days: &DeviceDays, from: Day, k: u64) -> GroupedHistograms {
    let mut shown = GroupedHistograms::new();
    for metric in WebVital::ALL {
        let mut waiting = BTreeMap::<&str, PendingMeasurements>::new();
        let mut month = None;
        for (day, (measured, visitors)) in days {
            let first = day.to_date().first_of_month();
            if month.replace(first) != Some(first) {
                waiting.clear();
            }
            for (class, metrics) in measured {
                if let Some(histogram) = metrics.get(&metric) {
                    merge_histogram(&mut waiting.entry(class).or_default().histogram, histogram);
                }
            }
            for (class, visitors) in visitors {
                waiting.entry(class).or_default().visitors += visitors;
            }
            for class in ready_classes(&waiting, k) {
                let lot = waiting.remove(class).unwrap_or_default();
                if *day >= from {
                    merge_histogram(
                        shown
                            .entry(class.to_owned())
                            .or_default()
                            .entry(metric)
                            .or_default(),
                        &lot.histogram,
                    );
                }
            }
        }
    }
    shown
}

/// The classes that have gathered a lot. The sum over all devices is shown too, so the rest that
/// waits must be empty or as large as a lot. Otherwise the smallest ready classes wait as well.
fn ready_classes<'a>(waiting: &BTreeMap<&'a str, PendingMeasurements>, k: u64) -> Vec<&'a str> {
    let enough = |hits, visitors| hits >= LOT_MEASUREMENTS_PER_K * k && visitors >= k;
    let (mut ready, rest): (Vec<_>, Vec<_>) = waiting
        .iter()
        .partition(|(_, class)| enough(class.hits(), class.visitors));
    ready.sort_by_key(|(name, class)| (class.hits(), **name));
    let mut left = rest.iter().fold((0, 0), |(hits, n), (_, class)| {
        (hits + class.hits(), n + class.visitors)
    });

    let mut held = 0;
    while left.0 > 0 && !enough(left.0, left.1) && held < ready.len() {
        let class = ready[held].1;
        left = (left.0 + class.hits(), left.1 + class.visitors);
        held += 1;
    }
    ready[held..].iter().map(|(name, _)| **name).collect()
}

fn summarize_speeds(
    of: &BTreeMap<WebVital, Histogram>,
    k: u64,
) -> BTreeMap<&'static str, SpeedSummary> {
    of.iter()
        .map(|(metric, histogram)| {
            (
                metric.name(),
                SpeedSummary::from_histogram(*metric, histogram, k),
            )
        })
        .collect()
}

impl SpeedSummary {
    pub(super) fn from_histogram(metric: WebVital, histogram: &Histogram, k: u64) -> SpeedSummary {
        let hits: u64 = histogram.values().sum();
        if hits < k {
            return SpeedSummary::FewerThan { fewer_than: k };
        }

        let rated = |rating| {
            histogram
                .iter()
                .filter(|(bucket, _)| WebVital::rate_bucket(**bucket) == rating)
                .map(|(_, n)| n)
                .sum()
        };
        SpeedSummary::Measured {
            hits,
            good: rated(VitalRating::Good),
            needs_improvement: rated(VitalRating::NeedsImprovement),
            poor: rated(VitalRating::Poor),
            p75: estimate_percentile(metric, histogram, hits, 0.75),
            p90: estimate_percentile(metric, histogram, hits, 0.9),
        }
    }

    fn hits(&self) -> u64 {
        match self {
            SpeedSummary::FewerThan { .. } => 0,
            SpeedSummary::Measured { hits, .. } => *hits,
        }
    }
}

/// The value below which `share` of the measurements are, linearly interpolated within its bucket,
/// and rounded to the resolution of a bucket.
fn estimate_percentile(metric: WebVital, histogram: &Histogram, hits: u64, share: f64) -> f64 {
    let wanted = share * hits as f64;
    let mut below = 0.0;
    let mut value = 0.0;
    for (bucket, n) in histogram {
        let (low, high) = metric.bucket_range(*bucket);
        let within = ((wanted - below) / *n as f64).clamp(0.0, 1.0);
        value = low + (high - low) * within;
        below += *n as f64;
        if below >= wanted {
            break;
        }
    }
    let digits = if metric == WebVital::Cls { 1000.0 } else { 1.0 };
    (value * digits).round() / digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(metric: WebVital, values: impl IntoIterator<Item = f64>) -> Histogram {
        let mut histogram = Histogram::new();
        values
            .into_iter()
            .for_each(|value| *histogram.entry(metric.bucket_for(value)).or_default() += 1);
        histogram
    }

    #[test]
    fn percentiles_are_within_a_bucket_of_the_true_ones_and_ratings_are_exact() {
        let values: Vec<f64> = (1..=1000).map(|n| f64::from(n) * 6.0).collect();
        let SpeedSummary::Measured {
            hits,
            good,
            needs_improvement,
            poor,
            p75,
            p90,
        } = SpeedSummary::from_histogram(WebVital::Lcp, &histogram(WebVital::Lcp, values), 5)
        else {
            panic!("a thousand are enough")
        };
        assert_eq!((hits, good, needs_improvement, poor), (1000, 416, 250, 334));
        assert!(
            (p75 / 4500.0 - 1.0).abs() < 0.125 && (p90 / 5400.0 - 1.0).abs() < 0.125,
            "{p75} {p90}"
        );
    }

    #[test]
    fn a_page_that_never_shifts_has_no_shift() {
        let SpeedSummary::Measured { p75, good, .. } =
            SpeedSummary::from_histogram(WebVital::Cls, &histogram(WebVital::Cls, [0.0; 40]), 5)
        else {
            panic!("forty are enough")
        };
        assert!(p75 < 0.002 && good == 40, "{p75}");
    }

    #[test]
    fn four_measurements_are_no_answer() {
        let four = histogram(WebVital::Inp, [100.0; 4]);
        assert_eq!(
            SpeedSummary::from_histogram(WebVital::Inp, &four, 5),
            SpeedSummary::FewerThan { fewer_than: 5 }
        );
    }

    /// A class of devices, its measurements and its published visitors.
    type Class<'a> = (&'a str, usize, u64);

    /// Days of March 2026.
    fn days(of: &[(&str, &[Class<'_>])]) -> DeviceDays {
        let day = |(day, classes): &(&str, &[Class<'_>])| {
            let measured =
                classes
                    .iter()
                    .filter(|(_, hits, _)| *hits > 0)
                    .map(|(class, hits, _)| {
                        let of = BTreeMap::from([(
                            WebVital::Lcp,
                            histogram(WebVital::Lcp, vec![1000.0; *hits]),
                        )]);
                        ((*class).to_owned(), of)
                    });
            let visitors = classes
                .iter()
                .map(|(class, _, visitors)| ((*class).to_owned(), *visitors));
            (date(day), (measured.collect(), visitors.collect()))
        };
        of.iter().map(day).collect()
    }

    fn date(text: &str) -> Day {
        Day::from_date(text.parse().unwrap()).unwrap()
    }

    fn shown(days: &DeviceDays, from: &str) -> Vec<(String, u64)> {
        let rows = sum_device_lots(days, date(from), 5).into_iter();
        rows.map(|(class, of)| (class, of[&WebVital::Lcp].values().sum()))
            .collect()
    }

    fn own(rows: &[(&str, u64)]) -> Vec<(String, u64)> {
        rows.iter()
            .map(|(class, hits)| ((*class).to_owned(), *hits))
            .collect()
    }

    #[test]
    fn a_class_is_shown_from_k_published_visitors_and_4k_measurements_on() {
        let of = |hits, visitors| {
            shown(
                &days(&[("2026-03-02", &[("phone", hits, visitors)])]),
                "2026-03-01",
            )
        };
        assert_eq!(of(20, 5), own(&[("phone", 20)]));
        assert_eq!(of(19, 5), own(&[]));
        assert_eq!(of(200, 4), own(&[]), "loads are not people");
    }

    #[test]
    fn what_goes_on_waiting_is_nothing_or_a_lot_as_well() {
        let of =
            |classes: &[(&str, usize, u64)]| shown(&days(&[("2026-03-02", classes)]), "2026-03-01");
        assert_eq!(
            of(&[("phone", 60, 9), ("desktop", 40, 9), ("tv", 0, 0)]),
            own(&[("desktop", 40), ("phone", 60)])
        );
        // The single television would be the difference of all devices and the two others.
        assert_eq!(
            of(&[("phone", 60, 9), ("desktop", 40, 9), ("tv", 5, 0)]),
            own(&[("phone", 60)])
        );
        assert_eq!(of(&[("phone", 60, 9), ("tv", 19, 0)]), own(&[]));
        assert_eq!(
            of(&[("phone", 60, 9), ("tv", 12, 3), ("tablet", 9, 3)]),
            own(&[("phone", 60)])
        );
    }

    #[test]
    fn lots_are_booked_on_the_day_they_are_full_and_begin_with_the_month_whatever_is_asked() {
        let days = days(&[
            ("2026-03-02", &[("phone", 12, 0)]),
            ("2026-03-03", &[("phone", 12, 7)]),
            ("2026-03-04", &[("phone", 30, 6)]),
            ("2026-03-31", &[("phone", 10, 6)]),
            ("2026-04-01", &[("phone", 10, 6)]),
        ]);
        assert_eq!(shown(&days, "2026-03-01"), own(&[("phone", 54)]));
        assert_eq!(
            shown(&days, "2026-03-03"),
            own(&[("phone", 54)]),
            "the lot of the 3rd began on the 2nd"
        );
        assert_eq!(shown(&days, "2026-03-04"), own(&[("phone", 30)]));
        assert_eq!(shown(&days, "2026-03-05"), own(&[]));
    }
}
