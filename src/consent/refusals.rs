//! Counters of dropped hits.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::event::Refusal;

/// Drops per reason since the process started. Nothing else is kept of a hit that was not counted.
#[derive(Default)]
pub struct Refusals([AtomicU64; Refusal::ALL.len()]);

impl Refusals {
    /// Counts one drop.
    pub fn raise(&self, reason: Refusal) {
        self.0[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The totals since the process started, in the order of [`Refusal::ALL`].
    pub fn totals(&self) -> [u64; Refusal::ALL.len()] {
        std::array::from_fn(|reason| self.0[reason].load(Ordering::Relaxed))
    }
}
