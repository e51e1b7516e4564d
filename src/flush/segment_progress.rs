//! Which shards have a segment. Its file is removed when all have it.
//!
//! Each shard is sent the segments in order, by a task of its own, so that one that is away holds
//! back only its own counts. The files are the record: after a restart, a segment whose file is
//! there is sent to every shard again, and markers tell which of its blocks a shard has.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use super::FlushStats;
use crate::journal::JournalFolder;

/// What became of a segment on one shard.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ShardOutcome {
    /// The shard has its rows.
    Sent,
    /// The shard rejects it while it takes others, or the file is damaged.
    Rejected,
}

/// The segments that some shards have and others do not.
pub struct SegmentProgress {
    shards: usize,
    /// By number: the shards that are done with it, and whether one of them rejected it.
    started: Mutex<BTreeMap<u64, SegmentState>>,
    /// The last segment of each shard; `None` before it is connected.
    last: Mutex<Vec<Option<u64>>>,
    /// The last segment that all shards are done with; `None` before all are connected.
    all_done: watch::Sender<Option<u64>>,
    /// The last segment that some shard is done with. Sent for each.
    any_done: watch::Sender<Option<u64>>,
}

#[derive(Default)]
struct SegmentState {
    done: Vec<usize>,
    is_rejected: bool,
}

impl SegmentProgress {
    /// For this number of shards.
    pub fn new(shards: usize) -> SegmentProgress {
        SegmentProgress {
            shards,
            started: Mutex::default(),
            last: Mutex::new(vec![None; shards]),
            all_done: watch::Sender::new(None),
            any_done: watch::Sender::new(None),
        }
    }

    /// The number of the last segment that all shards are done with; `Some(0)` when all are
    /// connected, `None` before.
    pub fn all_done(&self) -> watch::Receiver<Option<u64>> {
        self.all_done.subscribe()
    }

    /// Changes whenever a shard is done with a segment.
    pub fn any_done(&self) -> watch::Receiver<Option<u64>> {
        self.any_done.subscribe()
    }

    /// Whether the shard is done with the segment.
    pub(super) fn is_done(&self, number: u64, shard: usize) -> bool {
        let started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        let state = started.get(&number);
        state.is_some_and(|state| state.done.contains(&shard))
    }

    /// Records that a shard is done with a segment. With the last one, the file is removed, or moved
    /// to quarantine if a shard rejected it: from there it can be sent to all again. `rows` are the
    /// segment's.
    pub(super) fn finish_segment(
        &self,
        (number, shard): (u64, usize),
        outcome: ShardOutcome,
        rows: u64,
        folder: &JournalFolder,
        stats: &FlushStats,
    ) {
        let is_rejected = {
            let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
            let state = started.entry(number).or_default();
            if !state.done.contains(&shard) {
                state.done.push(shard);
            }
            state.is_rejected |= outcome == ShardOutcome::Rejected;
            if state.done.len() < self.shards {
                return;
            }
            let is_rejected = state.is_rejected;
            started.remove(&number);
            is_rejected
        };

        let path = folder.segment_path(number, "sealed");
        if is_rejected {
            quarantine_segment(&path, folder, stats);
            return;
        }
        stats.segments.fetch_add(1, Ordering::Relaxed);
        stats.rows.fetch_add(rows, Ordering::Relaxed);
        if let Err(error) = std::fs::remove_file(&path) {
            // The next start finds the file again and its markers in the store.
            tracing::error!(file = %path.display(), %error, "a segment that was sent could not be \
                removed");
        }
    }

    /// Records that a shard is connected (0), or has finished with all segments up to this one.
    pub(super) fn advance_shard(&self, shard: usize, number: u64) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last[shard] = Some(number);
        let of_all = last.iter().min().copied().flatten();
        self.any_done.send_replace(Some(number));
        if *self.all_done.borrow() != of_all {
            self.all_done.send_replace(of_all);
        }
    }
}

/// Moves a segment to the quarantine folder. The file is kept.
fn quarantine_segment(path: &Path, folder: &JournalFolder, stats: &FlushStats) {
    stats.quarantined.fetch_add(1, Ordering::Relaxed);
    match folder.quarantine_file(path) {
        Ok(kept) => {
            tracing::error!(kept = %kept.display(), "the segment was kept; its counts are not \
                in the reports")
        }
        Err(error) => tracing::error!(%error, "the segment could not be moved to quarantine"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_stays_until_all_shards_are_done_and_is_kept_if_one_rejected_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = JournalFolder::open(dir.path()).unwrap();
        let (progress, stats) = (SegmentProgress::new(2), FlushStats::default());
        let (all, any) = (progress.all_done(), progress.any_done());
        let files = || folder.segment_numbers("sealed").unwrap();
        for number in [1, 2] {
            fs::write(folder.segment_path(number, "sealed"), "rows").unwrap();
        }
        let finish = |number, shard, outcome| {
            progress.finish_segment((number, shard), outcome, 7, &folder, &stats);
            progress.advance_shard(shard, number);
        };
        progress.advance_shard(0, 0);
        assert_eq!((*all.borrow(), *any.borrow()), (None, Some(0)));
        progress.advance_shard(1, 0);
        assert_eq!(*all.borrow(), Some(0));

        // The first shard is ahead, and says the same twice.
        finish(1, 0, ShardOutcome::Sent);
        finish(1, 0, ShardOutcome::Sent);
        finish(2, 0, ShardOutcome::Rejected);
        assert_eq!((*all.borrow(), *any.borrow()), (Some(0), Some(2)));
        assert_eq!(files(), [1, 2]);
        assert!(progress.is_done(2, 0) && !progress.is_done(2, 1));

        finish(1, 1, ShardOutcome::Sent);
        assert_eq!((*all.borrow(), files()), (Some(1), vec![2]));
        assert_eq!(folder.quarantined_files().unwrap().len(), 0);
        finish(2, 1, ShardOutcome::Sent);
        assert_eq!((*all.borrow(), files()), (Some(2), vec![]));
        assert_eq!(folder.quarantined_files().unwrap().len(), 1);

        let read = |figure: &std::sync::atomic::AtomicU64| figure.load(Ordering::Relaxed);
        let figures = [&stats.segments, &stats.rows, &stats.quarantined].map(read);
        assert_eq!(figures, [1, 7, 1]);
    }
}
