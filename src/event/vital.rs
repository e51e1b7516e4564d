//! Web vitals as histograms.
//!
//! A measured time is replaced by its bucket number before it is counted, so no row contains a
//! time, and percentiles are computed from the histogram. Edges are log-spaced. Both published
//! thresholds of a metric are edges, so the numbers of good, fair and poor loads are exact; a
//! percentile is off by at most one bucket, about a tenth.

use std::sync::LazyLock;

string_enum! {
    /// A web vital. Values are milliseconds, except for CLS, which has no unit.
    pub enum WebVital {
        Lcp = "LCP",
        Inp = "INP",
        Cls = "CLS",
        Fcp = "FCP",
        Ttfb = "TTFB",
    }
}

/// A bucket of a metric's histogram: the number of edges below the value.
pub type VitalBucket = u8;

/// The rating of a value by the published thresholds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VitalRating {
    /// Up to the first threshold, inclusive.
    Good,
    /// Between the thresholds; the second is inclusive.
    NeedsImprovement,
    /// Above the second threshold.
    Poor,
}

/// The number of buckets up to the first threshold, between the two, and above. The lower part
/// spans a factor of 2^6, the upper part 2^5.
const GOOD_BUCKETS: usize = 40;
const FAIR_BUCKETS: usize = 8;
const POOR_BUCKETS: usize = 32;
const EDGE_COUNT: usize = GOOD_BUCKETS + FAIR_BUCKETS + POOR_BUCKETS;

static BUCKET_EDGES: LazyLock<[[f64; EDGE_COUNT]; WebVital::ALL.len()]> =
    LazyLock::new(|| WebVital::ALL.map(WebVital::compute_edges));

impl WebVital {
    /// The largest value that is good, and the largest that needs improvement (web.dev, 2024). In
    /// the metric's unit.
    pub const fn thresholds(self) -> (f64, f64) {
        match self {
            WebVital::Lcp => (2500.0, 4000.0),
            WebVital::Inp => (200.0, 500.0),
            WebVital::Cls => (0.1, 0.25),
            WebVital::Fcp => (1800.0, 3000.0),
            WebVital::Ttfb => (800.0, 1800.0),
        }
    }

    /// The bucket of `value`, which must not be negative. In the metric's unit.
    pub fn bucket_for(self, value: f64) -> VitalBucket {
        self.bucket_edges().partition_point(|edge| *edge < value) as VitalBucket
    }

    /// The lower end (exclusive, except for 0) and the upper end (inclusive) of a bucket, in the
    /// metric's unit. The last bucket has no upper end; its lower end is returned twice.
    pub fn bucket_range(self, bucket: VitalBucket) -> (f64, f64) {
        let (edges, at) = (self.bucket_edges(), usize::from(bucket).min(EDGE_COUNT));
        let low = if at == 0 { 0.0 } else { edges[at - 1] };
        (low, edges.get(at).copied().unwrap_or(low))
    }

    /// The rating of all values in a bucket.
    pub fn rate_bucket(bucket: VitalBucket) -> VitalRating {
        match usize::from(bucket) {
            0..GOOD_BUCKETS => VitalRating::Good,
            at if at < GOOD_BUCKETS + FAIR_BUCKETS => VitalRating::NeedsImprovement,
            _ => VitalRating::Poor,
        }
    }

    fn bucket_edges(self) -> &'static [f64; EDGE_COUNT] {
        &BUCKET_EDGES[self as usize]
    }

    fn compute_edges(self) -> [f64; EDGE_COUNT] {
        let (good, poor) = self.thresholds();
        std::array::from_fn(|at| {
            let step = |from: f64, to: f64, n: usize, of: usize| {
                from * (to / from).powf(n as f64 / of as f64)
            };
            // The exact thresholds, not the rounded result of `powf`.
            match at + 1 {
                GOOD_BUCKETS => good,
                n if n < GOOD_BUCKETS => step(good / 64.0, good, n, GOOD_BUCKETS),
                n if n < GOOD_BUCKETS + FAIR_BUCKETS => {
                    step(good, poor, n - GOOD_BUCKETS, FAIR_BUCKETS)
                }
                n if n == GOOD_BUCKETS + FAIR_BUCKETS => poor,
                n => step(
                    poor,
                    poor * 32.0,
                    n - GOOD_BUCKETS - FAIR_BUCKETS,
                    POOR_BUCKETS,
                ),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_rise_by_at_most_an_eighth_and_fit_a_byte() {
        for metric in WebVital::ALL {
            let edges = metric.bucket_edges();
            assert!(
                edges
                    .windows(2)
                    .all(|pair| pair[1] > pair[0] && pair[1] / pair[0] < 1.125),
                "{}",
                metric.name()
            );
            assert_eq!(edges.len(), 80);
        }
    }

    #[test]
    fn a_value_at_a_threshold_is_on_its_better_side_and_one_above_is_not() {
        for metric in WebVital::ALL {
            let (good, poor) = metric.thresholds();
            let rating = |value| WebVital::rate_bucket(metric.bucket_for(value));
            assert_eq!(
                [rating(0.0), rating(good)],
                [VitalRating::Good; 2],
                "{}",
                metric.name()
            );
            assert_eq!(
                [rating(good * 1.000_001), rating(poor)],
                [VitalRating::NeedsImprovement; 2],
                "{}",
                metric.name()
            );
            assert_eq!(
                [rating(poor * 1.000_001), rating(1e9)],
                [VitalRating::Poor; 2],
                "{}",
                metric.name()
            );
        }
    }

    #[test]
    fn a_value_lies_within_its_bucket() {
        for metric in WebVital::ALL {
            for value in [
                0.0001, 0.05, 0.1, 0.3, 7.0, 180.0, 2500.0, 2600.0, 3999.0, 60_000.0,
            ] {
                let (low, high) = metric.bucket_range(metric.bucket_for(value));
                assert!(
                    low < value && (value <= high || low == high),
                    "{} {value}",
                    metric.name()
                );
            }
        }
    }
}
