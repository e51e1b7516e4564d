use std::sync::atomic::{AtomicU64, Ordering};

use crate::event::Refusal;

/// Drops per reason since the process began. All that is ever kept of a hit that was not counted.
#[derive(Default)]
pub struct Refusals([AtomicU64; Refusal::ALL.len()]);

impl Refusals {
    pub fn raise(&self, reason: Refusal) {
        self.0[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub fn totals(&self) -> [u64; Refusal::ALL.len()] {
        std::array::from_fn(|reason| self.0[reason].load(Ordering::Relaxed))
    }
}
