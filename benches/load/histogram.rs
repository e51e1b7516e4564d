//! Latencies in logarithmic buckets: 64 per doubling, so a quantile is at most 1.6 % above the
//! truth.
//!
//! Fixed memory (30 KiB) and one addition per hit: what is recorded never changes what is measured.

use std::time::Duration;

const BITS: u32 = 6;
const PER_DOUBLING: u64 = 1 << BITS;
const BUCKETS: usize = ((64 - BITS as usize) + 1) << BITS;

pub struct Histogram {
    buckets: Vec<u64>,
    total: u64,
}

impl Histogram {
    pub fn new() -> Histogram {
        Histogram {
            buckets: vec![0; BUCKETS],
            total: 0,
        }
    }

    pub fn record(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanos)] += 1;
        self.total += 1;
    }

    /// The upper edge of the bucket the quantile falls into, in milliseconds; `None` of nothing.
    pub fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        if self.total == 0 {
            return None;
        }
        let rank = ((self.total as f64 * quantile).ceil() as u64).clamp(1, self.total);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Some(upper_edge(index) as f64 / 1e6);
            }
        }
        None
    }
}

/// Below 64 ns a bucket is one nanosecond; above, the top seven bits of the value choose it.
pub fn bucket(nanos: u64) -> usize {
    if nanos < PER_DOUBLING {
        return nanos as usize;
    }
    let shift = 63 - nanos.leading_zeros() - BITS;
    (u64::from(shift) * PER_DOUBLING + (nanos >> shift)) as usize
}

pub fn upper_edge(index: usize) -> u64 {
    let index = index as u64;
    if index < 2 * PER_DOUBLING {
        return index;
    }
    let shift = index / PER_DOUBLING - 1;
    let floor = (index - shift * PER_DOUBLING) << shift;
    floor.saturating_add((1 << shift) - 1)
}
