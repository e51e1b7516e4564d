//! The end of a collector that another process took over from: it gives away what is left, sends the
//! segments that are closed, and closes the store.

use std::time::Duration;

use anyhow::Context;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use super::predecessor::{Successor, give_away};
use crate::config::UpgradeStep;
use crate::server::running::{RunningCollector, STOP_GRACE, kill_after};
use crate::server::systemd;

/// Time for closed segments. Reports wait in the successor until this process has ended.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

impl RunningCollector {
    /// Ends this process's part. Acknowledged hits are in the journal.
    ///
    /// # Errors
    ///
    /// The successor is gone, so that the service manager must start a collector; or a part did not
    /// end in order.
    pub(in crate::server) async fn leave_to(self, mut successor: Successor) -> anyhow::Result<()> {
        self.background
            .iter()
            .chain(&self.bi_serving)
            .for_each(|task| task.abort());
        kill_after(self.limit + STOP_GRACE);
        let deadline = Instant::now() + self.limit;
        successor.stop_at(UpgradeStep::Leaving);
        if let Some(writer) = successor.take_writer() {
            writer.end();
        }
        let written = timeout_at(deadline, self.writer_ended).await;
        let written = written
            .context("the writer did not end in time")?
            .context("the writer stopped early")?
            .context("the journal failed");
        let ledger = self.ledger;
        let recorded = spawn_blocking(move || ledger.close()).await?;
        let recorded = recorded.context("the ledger did not close in order");
        self.site.registry.close_copy().await;

        // Before the successor continues: systemd takes its messages only from then on.
        if let Ok(process) = successor.process_id() {
            spawn_blocking(move || systemd::send_main_process(process)).await?;
        }
        // The successor reads which segments were removed once the lock is released: with replicas
        // it sends what is left, and this process removes none from here on.
        let flushing = match self.site.shards.are_recorded() {
            true => {
                self.flushing.abort();
                let _ = self.flushing.await;
                None
            }
            false => Some(self.flushing),
        };
        self.site.journal.folder.release_lock();
        let connections = self.connections;
        let (successor, given) = spawn_blocking(move || {
            let given = give_away(&successor, &connections);
            (successor, given)
        })
        .await?;

        successor.stop_at(UpgradeStep::Released);
        self.stop.send_replace(true);
        let flushed_by = deadline.min(Instant::now() + FLUSH_TIMEOUT);
        let sending = async {
            match flushing {
                None => Ok(Ok(())),
                Some(flushing) => flushing.await,
            }
        };
        // The successor has what cannot be written in this time.
        let (_, sent) = tokio::join!(
            timeout_at(flushed_by, self.site.registry.write_queued()),
            timeout_at(flushed_by, sending)
        );
        for store in self.site.shards.take_all() {
            store.close().await;
        }

        if let Ok(ended) = sent {
            ended.context("the flusher stopped early")??;
        }
        written.and(recorded).and(given)?;
        let patience = deadline.saturating_duration_since(Instant::now());
        let serving = spawn_blocking(move || successor.wait_until_serving(patience)).await?;
        serving.context(
            "the process that took over does not serve: if it has ended, start the collector again",
        )?;
        tracing::info!("ended: another process continues");
        Ok(())
    }
}
