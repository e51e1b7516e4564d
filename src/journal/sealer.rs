//! Seals beside the writer, so that sorting a large segment delays no answer.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc;

use super::file::{Folder, SegmentId};
use super::seal::seal;
use super::writer::Sealed;
use crate::aggregate::Segment;

pub(super) struct Sealer {
    jobs: Sender<(SegmentId, Segment)>,
    /// The last segment announced or on its way.
    handed: u64,
    thread: JoinHandle<()>,
}

impl Sealer {
    pub(super) fn start(folder: Arc<Folder>, sealed: mpsc::UnboundedSender<Sealed>, last: u64) -> Sealer {
        let (jobs, waiting) = std::sync::mpsc::channel::<(SegmentId, Segment)>();
        let work = move || {
            // Sorting a full segment takes a core for a good while; on a machine without one to spare, hits go first.
            let _ = rustix::process::nice(10);
            for (id, segment) in waiting {
                seal_until_done(&folder, id, segment);
                let _ = sealed.send(Sealed { number: id.number });
            }
        };
        let thread = std::thread::Builder::new().name("sealer".into()).spawn(work).expect("a thread can be started");
        Sealer { jobs, handed: last, thread }
    }

    pub(super) fn seal(&mut self, id: SegmentId, segment: Segment) {
        self.handed = id.number;
        let _ = self.jobs.send((id, segment));
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
fn seal_until_done(folder: &Folder, id: SegmentId, segment: Segment) {
    let sums = segment.seal();
    while let Err(error) = seal(folder, id, &sums) {
        tracing::error!(%error, "a segment could not be sealed; trying again");
        std::thread::sleep(Duration::from_secs(1));
    }
}
