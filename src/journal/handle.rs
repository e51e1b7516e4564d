//! Access to the journal for the parts that do not write it.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::hit_queue::{HitQueue, JournalCommand};
use super::journal_stats::JournalStats;
use super::recovery::RecoverySummary;
use super::segment_file::JournalFolder;
use super::suspension::{SuspendRequest, SuspendedWriter};
use crate::event::SiteId;

/// Access to the journal for other parts.
#[derive(Clone)]
pub struct Journal {
    /// Queue for hits.
    pub queue: Arc<HitQueue>,
    /// Figures for the metrics.
    pub stats: Arc<JournalStats>,
    /// The folder of the segments.
    pub folder: Arc<JournalFolder>,
    /// What recovery found at this start.
    pub recovered: Arc<RecoverySummary>,
}

impl Journal {
    /// Closes the open segment and returns the number of the last sealed one. `None` if the writer
    /// has stopped.
    pub async fn close_segment(&self) -> Option<u64> {
        self.request(JournalCommand::CloseSegment).await
    }

    /// Forgets a site: its open visits end without a trace, and what the journal holds of it is in
    /// sealed segments, of which the number of the last one is returned. `None` if the writer has
    /// stopped.
    pub async fn forget_site(&self, site: SiteId) -> Option<u64> {
        self.request(|answer| JournalCommand::ForgetSite(site, answer))
            .await
    }

    /// Suspends the writer between two batches, after it wrote the state of the current days to
    /// `sink`. The writer continues when the returned value is dropped. `None` if it has stopped.
    ///
    /// # Errors
    ///
    /// The state could not be written; the writer continues.
    pub async fn suspend_writer(
        &self,
        sink: Box<dyn std::io::Write + Send>,
    ) -> Option<std::io::Result<SuspendedWriter>> {
        let (request, suspended) = SuspendRequest::new(sink);
        self.queue.send_command(JournalCommand::Suspend(request));
        suspended.await.ok()
    }

    /// Visitors of a site in the last five minutes. `None` if the writer has stopped.
    pub async fn count_live_visitors(&self, site: SiteId) -> Option<u32> {
        self.request(|answer| JournalCommand::CountLiveVisitors(site, answer))
            .await
    }

    /// Sends a command to the writer and waits for its answer.
    async fn request<T>(
        &self,
        build: impl FnOnce(oneshot::Sender<T>) -> JournalCommand,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.queue.send_command(build(answer));
        answered.await.ok()
    }
}
