//! Seals segments on a thread of its own, so that sorting a large one delays no answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::file::{Folder, SegmentId};
use super::seal::seal;
use super::writer::Sealed;
use crate::aggregate::{AttributeSums, Segment};

struct Job {
    id: SegmentId,
    segment: Segment,
    /// Attributes that the next segment began with.
    carried: AttributeSums,
}

pub(super) struct Sealer {
    jobs: Sender<Job>,
    /// Number of the last segment that was handed over or announced.
    handed: u64,
    /// Set when the collector stops.
    closing: Arc<AtomicBool>,
    /// Segments that are not sealed yet, each in memory; and whether the disk refuses one.
    pending: Arc<AtomicUsize>,
    failing: Arc<AtomicBool>,
    thread: JoinHandle<bool>,
}

/// Attempts to seal a segment once the collector stops.
const LAST_TRIES: u32 = 3;

impl Sealer {
    pub(super) fn start(folder: Arc<Folder>, sealed: mpsc::UnboundedSender<Sealed>, last: u64) -> Sealer {
        let (jobs, waiting) = std::sync::mpsc::channel::<Job>();
        let closing = Arc::new(AtomicBool::new(false));
        let closes = Arc::clone(&closing);
        let (pending, failing) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (done, fails) = (Arc::clone(&pending), Arc::clone(&failing));
        let work = move || {
            // Sorting a full segment occupies a core for a while; on a machine without a spare one,
            // hits take precedence.
            let _ = rustix::process::nice(10);
            for job in waiting {
                let number = job.id.number;
                let sealed_it = seal_until_done(&folder, job, &closes, &fails);
                done.fetch_sub(1, Ordering::Relaxed);
                if !sealed_it {
                    return false;
                }
                let _ = sealed.send(Sealed { number, is_new: true });
            }
            true
        };
        let thread = std::thread::Builder::new().name("sealer".into()).spawn(work).expect("a thread can be started");
        Sealer { jobs, handed: last, closing, pending, failing, thread }
    }

    pub(super) fn seal(&mut self, id: SegmentId, segment: Segment, carried: AttributeSums) {
        self.handed = id.number;
        self.pending.fetch_add(1, Ordering::Relaxed);
        let _ = self.jobs.send(Job { id, segment, carried });
    }

    /// Whether another segment may be handed over: one at a time, since each is in memory until it is sealed. Waits
    /// for the one before, but for no disk that refuses it.
    pub(super) fn is_ready(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while self.pending.load(Ordering::Relaxed) > 0 {
            if self.failing.load(Ordering::Relaxed) || Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }

    pub(super) fn last(&self) -> u64 {
        self.handed
    }

    /// Whether all segments were sealed. Others stay open in the journal and are sealed at the next
    /// start.
    pub(super) fn finish(self) -> bool {
        self.closing.store(true, Ordering::Relaxed);
        drop(self.jobs);
        self.thread.join().unwrap_or(false)
    }
}

/// Retries until there is room on the disk: the open file still has every frame, so nothing is lost
/// meanwhile, and later segments must not overtake this one. `false` if the collector stopped
/// first.
fn seal_until_done(folder: &Folder, job: Job, closing: &AtomicBool, failing: &AtomicBool) -> bool {
    let Job { id, segment, carried } = job;
    let sums = segment.seal(&carried);
    let (mut failures, mut last_tries) = (0_u64, LAST_TRIES);
    while let Err(error) = seal(folder, id, &sums) {
        failures += 1;
        failing.store(true, Ordering::Relaxed);
        if failures == 1 {
            tracing::error!(%error, segment = id.number, "a segment cannot be sealed; it is tried every second");
        }
        if closing.load(Ordering::Relaxed) {
            last_tries -= 1;
            if last_tries == 0 {
                tracing::warn!(
                    segment = id.number,
                    failures,
                    "a segment could not be sealed; it stays in the journal and is sealed at the next start"
                );
                return false;
            }
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    failing.store(false, Ordering::Relaxed);
    if failures > 0 {
        tracing::info!(segment = id.number, failures, "the segment is sealed");
    }
    true
}
