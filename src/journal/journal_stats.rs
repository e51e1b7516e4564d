//! The journal's figures for the metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use super::heartbeat::Heartbeat;
use crate::aggregate::OverflowCounts;
use crate::state_codec::{StateError, StateReader, StateWriter};

/// Figures for the metrics. Totals since the start, except `visitors`, `full` and `held_rows`.
#[derive(Default)]
pub struct JournalStats {
    /// Hits whose counts are on disk, repeats included.
    pub hits: AtomicU64,
    /// Opens and clicks of mails whose counts are on disk.
    pub mails: AtomicU64,
    /// Opens and clicks that were not counted for lack of space. Their response was the same.
    pub mails_lost: AtomicU64,
    /// Batches written and synced.
    pub batches: AtomicU64,
    /// Bytes of batches written.
    pub bytes: AtomicU64,
    /// Visitors in memory, of all current days.
    pub visitors: AtomicU64,
    /// Hits counted without their visitor, see [`OverflowCounts::visitors`].
    pub overflow_visitors: AtomicU64,
    /// Hits counted without their visitor, see [`OverflowCounts::grants`].
    pub overflow_grants: AtomicU64,
    /// Texts counted as `(other)`.
    pub overflow_texts: AtomicU64,
    /// Hits counted under the site `(other)`.
    pub overflow_sites: AtomicU64,
    /// The same, see [`OverflowCounts::new_sites`].
    pub overflow_new_sites: AtomicU64,
    /// Hit ids that were not recorded.
    pub overflow_ids: AtomicU64,
    /// 1 while hits are rejected with 503 for lack of space, else 0.
    pub full: AtomicU64,
    /// Attribute rows in the open segment.
    pub held_rows: AtomicU64,
    /// The heartbeat of the writer thread.
    pub heartbeat: Heartbeat,
}

impl JournalStats {
    /// The totals that continue in the process that takes over.
    fn totals(&self) -> [&AtomicU64; 5] {
        [
            &self.hits,
            &self.mails,
            &self.mails_lost,
            &self.batches,
            &self.bytes,
        ]
    }

    pub(super) fn write_state(&self, out: &mut StateWriter<'_>) {
        for total in self.totals() {
            out.put_u64(total.load(Ordering::Relaxed));
        }
    }

    /// Continues from the totals of the process before.
    pub(super) fn read_state(input: &mut StateReader<'_>) -> Result<JournalStats, StateError> {
        let stats = JournalStats::default();
        for total in stats.totals() {
            total.store(input.read_u64()?, Ordering::Relaxed);
        }
        Ok(stats)
    }

    /// Takes over the counts of what did not fit into memory.
    pub(super) fn store_overflows(&self, counts: &OverflowCounts) {
        let OverflowCounts {
            visitors,
            grants,
            texts,
            sites,
            new_sites,
            ids,
        } = *counts;
        for (figure, count) in [
            (&self.overflow_visitors, visitors),
            (&self.overflow_grants, grants),
            (&self.overflow_texts, texts),
            (&self.overflow_sites, sites),
            (&self.overflow_new_sites, new_sites),
            (&self.overflow_ids, ids),
        ] {
            figure.store(count, Ordering::Relaxed);
        }
    }
}
