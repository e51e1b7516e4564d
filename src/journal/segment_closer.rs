//! Closes segments on a separate thread, so that sorting a large one does not delay responses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::sealed_segment::{SealedSegment, close_segment};
use super::segment_file::{JournalFolder, SegmentId};
use crate::aggregate::{AttributeSums, SegmentBuilder};

struct CloseJob {
    id: SegmentId,
    segment: SegmentBuilder,
    /// Attributes that the next segment began with.
    carried: AttributeSums,
}

pub(super) struct SegmentCloser {
    jobs: Sender<CloseJob>,
    /// Number of the last segment that was queued or announced.
    last_enqueued: u64,
    /// Set when the collector stops.
    stopping: Arc<AtomicBool>,
    /// Segments that are not closed yet, each in memory; and whether the disk rejects one.
    unfinished: Arc<AtomicUsize>,
    failing: Arc<AtomicBool>,
    thread: JoinHandle<bool>,
}

/// Attempts to close a segment once the collector stops.
const MAX_FINAL_TRIES: u32 = 3;

impl SegmentCloser {
    pub(super) fn spawn_thread(
        folder: Arc<JournalFolder>,
        sealed: mpsc::UnboundedSender<SealedSegment>,
        last: u64,
    ) -> SegmentCloser {
        let (jobs, waiting) = std::sync::mpsc::channel::<CloseJob>();
        let closing = Arc::new(AtomicBool::new(false));
        let closes = Arc::clone(&closing);
        let (pending, failing) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (done, fails) = (Arc::clone(&pending), Arc::clone(&failing));
        let work = move || {
            // Sorting a full segment occupies a core for a while; on a machine without a spare one,
            // hits take precedence.
            let _ = rustix::process::nice(10);
            for job in waiting {
                let number = job.id.number;
                let sealed_it = close_with_retries(&folder, job, &closes, &fails);
                done.fetch_sub(1, Ordering::Relaxed);
                if !sealed_it {
                    return false;
                }
                let _ = sealed.send(SealedSegment {
                    number,
                    is_new: true,
                });
            }
            true
        };
        let thread = std::thread::Builder::new()
            .name("sealer".into())
            .spawn(work)
            .expect("a thread can be started");
        SegmentCloser {
            jobs,
            last_enqueued: last,
            stopping: closing,
            unfinished: pending,
            failing,
            thread,
        }
    }

    pub(super) fn enqueue_segment(
        &mut self,
        id: SegmentId,
        segment: SegmentBuilder,
        carried: AttributeSums,
    ) {
        self.last_enqueued = id.number;
        self.unfinished.fetch_add(1, Ordering::Relaxed);
        let _ = self.jobs.send(CloseJob {
            id,
            segment,
            carried,
        });
    }

    /// Whether another segment may be queued: one at a time, since each is in memory until it is
    /// closed. Waits for the one before, unless the disk rejects it.
    pub(super) fn wait_until_ready(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while self.unfinished.load(Ordering::Relaxed) > 0 {
            if self.failing.load(Ordering::Relaxed) || Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }

    pub(super) fn last_number(&self) -> u64 {
        self.last_enqueued
    }

    /// Whether all segments were closed. Others stay open in the journal and are closed at the next
    /// start.
    pub(super) fn join_thread(self) -> bool {
        self.stopping.store(true, Ordering::Relaxed);
        drop(self.jobs);
        self.thread.join().unwrap_or(false)
    }
}

/// Retries until the disk has space: the open file still has every frame, so nothing is lost
/// meanwhile, and later segments must not overtake this one. `false` if the collector stopped
/// first.
fn close_with_retries(
    folder: &JournalFolder,
    job: CloseJob,
    closing: &AtomicBool,
    failing: &AtomicBool,
) -> bool {
    let CloseJob {
        id,
        segment,
        carried,
    } = job;
    let sums = segment.finish_segment(&carried);
    let (mut failures, mut last_tries) = (0_u64, MAX_FINAL_TRIES);
    while let Err(error) = close_segment(folder, id, &sums) {
        failures += 1;
        failing.store(true, Ordering::Relaxed);
        if failures == 1 {
            tracing::error!(%error, segment = id.number, "a segment cannot be sealed; will retry \
                every second");
        }
        if closing.load(Ordering::Relaxed) {
            last_tries -= 1;
            if last_tries == 0 {
                tracing::warn!(
                    segment = id.number,
                    failures,
                    "a segment could not be closed; it stays in the journal and is closed at the \
                     next start"
                );
                return false;
            }
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    failing.store(false, Ordering::Relaxed);
    if failures > 0 {
        tracing::info!(segment = id.number, failures, "the segment is closed");
    }
    true
}
