//! Seals beside the writer, so that sorting a large segment delays no answer.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;

use super::file::{Folder, SegmentId};
use super::seal::seal;
use super::writer::Sealed;
use crate::aggregate::{AttributeSums, Segment};

struct Job {
    id: SegmentId,
    segment: Segment,
    /// What the next segment began with.
    carried: AttributeSums,
}

pub(super) struct Sealer {
    jobs: Sender<Job>,
    /// The last segment announced or on its way.
    handed: u64,
    thread: JoinHandle<()>,
}

impl Sealer {
    pub(super) fn start(folder: Arc<Folder>, sealed: mpsc::UnboundedSender<Sealed>, last: u64) -> Sealer {
        let (jobs, waiting) = std::sync::mpsc::channel::<Job>();
        let work = move || {
            // Sorting a full segment takes a core for a good while; on a machine without one to spare, hits go first.
            let _ = rustix::process::nice(10);
            for job in waiting {
                let number = job.id.number;
                seal_until_done(&folder, job);
                let _ = sealed.send(Sealed { number });
            }
        };
        let thread = std::thread::Builder::new().name("sealer".into()).spawn(work).expect("a thread can be started");
        Sealer { jobs, handed: last, thread }
    }

    pub(super) fn seal(&mut self, id: SegmentId, segment: Segment, carried: AttributeSums) {
        self.handed = id.number;
        let _ = self.jobs.send(Job { id, segment, carried });
    }

    pub(super) fn last(&self) -> u64 {
        self.handed
    }

    pub(super) fn finish(self) {
        drop(self.jobs);
        let _ = self.thread.join();
    }
}

/// A full disk is waited out: the open file still holds every frame, so nothing is lost meanwhile, and nothing after this segment may
/// overtake it.
fn seal_until_done(folder: &Folder, job: Job) {
    let Job { id, segment, carried } = job;
    let sums = segment.seal(&carried);
    while let Err(error) = seal(folder, id, &sums) {
        tracing::error!(%error, "a segment could not be sealed; trying again");
        std::thread::sleep(Duration::from_secs(1));
    }
}
