//! Counters of dropped hits.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::event::DropReason;

/// Drops per reason since the process started. Nothing else is kept of a hit that was not counted.
#[derive(Default)]
pub struct DropCounters([AtomicU64; DropReason::ALL.len()]);

impl DropCounters {
    /// Counts one drop.
    pub fn record_drop(&self, reason: DropReason) {
        self.0[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Continues from the totals of the process before, in the order of [`DropReason::ALL`].
    pub fn add_totals(&self, totals: [u64; DropReason::ALL.len()]) {
        for (counter, total) in self.0.iter().zip(totals) {
            counter.fetch_add(total, Ordering::Relaxed);
        }
    }

    /// The totals since the process started, in the order of [`DropReason::ALL`].
    pub fn totals(&self) -> [u64; DropReason::ALL.len()] {
        std::array::from_fn(|reason| self.0[reason].load(Ordering::Relaxed))
    }
}
