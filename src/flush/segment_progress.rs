//! Which replicas of all shards have a segment. Its file is removed when all have it.
//!
//! Each replica is sent the segments in order, by a task of its own, so that one that is away holds
//! back only itself. The files are the record: after a restart, a segment whose file is there is
//! sent to every replica again, and markers tell which of its blocks a replica has.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use super::{FlushStats, RemovedSegments};
use crate::journal::JournalFolder;

/// What became of a segment on one replica.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplicaOutcome {
    /// The replica has its rows.
    Sent,
    /// The replica rejects it while it takes others, or the file is damaged.
    Rejected,
}

/// The segments that some replicas have and others do not.
pub struct SegmentProgress {
    replicas: usize,
    removed: RemovedSegments,
    /// By number: the replicas that are done with it, and whether one of them rejected it.
    started: Mutex<BTreeMap<u64, SegmentState>>,
    /// Those that all replicas have and whose files could not be removed.
    kept: Mutex<BTreeSet<u64>>,
    /// The last segment of each replica; `None` before it is connected.
    last: Mutex<Vec<Option<u64>>>,
    /// The last segment that all replicas are done with; `None` before all are connected.
    all_done: watch::Sender<Option<u64>>,
    /// The last segment that some replica is done with. Sent for each.
    any_done: watch::Sender<Option<u64>>,
}

#[derive(Default)]
struct SegmentState {
    done: Vec<usize>,
    is_rejected: bool,
}

impl SegmentProgress {
    /// For this number of replicas of all shards.
    pub fn new(replicas: usize, removed: RemovedSegments) -> SegmentProgress {
        SegmentProgress {
            replicas,
            removed,
            started: Mutex::default(),
            kept: Mutex::default(),
            last: Mutex::new(vec![None; replicas]),
            all_done: watch::Sender::new(None),
            any_done: watch::Sender::new(None),
        }
    }

    /// The record of segments that are no longer in the journal.
    pub(super) fn removed_segments(&self) -> &RemovedSegments {
        &self.removed
    }

    /// The number of the last segment that all replicas are done with; `Some(0)` when all are
    /// connected, `None` before.
    pub fn all_done(&self) -> watch::Receiver<Option<u64>> {
        self.all_done.subscribe()
    }

    /// Changes whenever a replica is done with a segment.
    pub fn any_done(&self) -> watch::Receiver<Option<u64>> {
        self.any_done.subscribe()
    }

    /// Records that a replica is done with a segment. With the last one, the file is removed, or
    /// moved to quarantine if a replica rejected it: from there it can be sent to all again. `rows` are the
    /// segment's.
    pub(super) fn finish_segment(
        &self,
        (number, replica): (u64, usize),
        outcome: ReplicaOutcome,
        rows: u64,
        folder: &JournalFolder,
        stats: &FlushStats,
    ) {
        let is_rejected = {
            let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
            let state = started.entry(number).or_default();
            if !state.done.contains(&replica) {
                state.done.push(replica);
            }
            state.is_rejected |= outcome == ReplicaOutcome::Rejected;
            if state.done.len() < self.replicas {
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
        self.remove_files(number, folder);
    }

    /// Removes the file of a segment that all replicas have, and those that could not be removed
    /// before. The next start would find them again, and their markers in the store.
    fn remove_files(&self, number: u64, folder: &JournalFolder) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(number);
        if let Err(error) = self.removed.note_removed(number) {
            tracing::error!(%error, "a segment that was sent stays in the journal: its end cannot \
                be recorded");
            return;
        }
        kept.retain(|number| {
            let path = folder.segment_path(*number, "sealed");
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::error!(file = %path.display(), %error, "a segment that was sent could \
                        not be removed");
                    true
                }
                _ => false,
            }
        });
    }

    /// Records that a replica is connected (0), or has finished with all segments up to this one.
    pub(super) fn advance(&self, replica: usize, number: u64) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last[replica] = Some(number);
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
    fn a_file_stays_until_all_replicas_are_done_and_is_kept_if_one_rejected_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = JournalFolder::open(dir.path()).unwrap();
        let (progress, stats) = (
            SegmentProgress::new(2, RemovedSegments::unrecorded()),
            FlushStats::default(),
        );
        let (all, any) = (progress.all_done(), progress.any_done());
        let files = || folder.segment_numbers("sealed").unwrap();
        for number in [1, 2] {
            fs::write(folder.segment_path(number, "sealed"), "rows").unwrap();
        }
        let finish = |number, replica, outcome| {
            progress.finish_segment((number, replica), outcome, 7, &folder, &stats);
            progress.advance(replica, number);
        };
        progress.advance(0, 0);
        assert_eq!((*all.borrow(), *any.borrow()), (None, Some(0)));
        progress.advance(1, 0);
        assert_eq!(*all.borrow(), Some(0));

        // The first replica is ahead, and says the same twice.
        finish(1, 0, ReplicaOutcome::Sent);
        finish(1, 0, ReplicaOutcome::Sent);
        finish(2, 0, ReplicaOutcome::Rejected);
        assert_eq!((*all.borrow(), *any.borrow()), (Some(0), Some(2)));
        assert_eq!(files(), [1, 2]);

        finish(1, 1, ReplicaOutcome::Sent);
        assert_eq!((*all.borrow(), files()), (Some(1), vec![2]));
        assert_eq!(folder.quarantined_files().unwrap().len(), 0);
        finish(2, 1, ReplicaOutcome::Sent);
        assert_eq!((*all.borrow(), files()), (Some(2), vec![]));
        assert_eq!(folder.quarantined_files().unwrap().len(), 1);

        let read = |figure: &std::sync::atomic::AtomicU64| figure.load(Ordering::Relaxed);
        let figures = [&stats.segments, &stats.rows, &stats.quarantined].map(read);
        assert_eq!(figures, [1, 7, 1]);
    }
}
