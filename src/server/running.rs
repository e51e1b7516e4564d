//! A collector that runs, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use actix_server::ServerHandle;
use actix_web::web;
use anyhow::Context;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout_at};

use super::systemd;
use crate::calendar::Millis;
use crate::flush::SegmentBacklog;
use crate::http::OpenConnections;
use crate::journal::JournalError;
use crate::ledger::Ledger;
use crate::store::StoreError;
use crate::web::AppState;

/// Pause between two looks at connections that are being closed.
const CONNECTION_LOOK_PAUSE: Duration = Duration::from_millis(10);

/// Time that a stop may take beyond `server.shutdown_secs` before the process kills itself.
pub(super) const STOP_GRACE: Duration = Duration::from_secs(1);

/// Kills the process after `limit`, so that the deadline holds even if a disk or a library blocks a
/// thread.
pub(super) fn kill_after(limit: Duration) {
    let kill = move || {
        std::thread::sleep(limit);
        tracing::error!(
            "the stop hangs; the process is killed. Acknowledged hits are in the journal"
        );
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    };
    if let Err(error) = std::thread::Builder::new()
        .name("deadline".into())
        .spawn(kill)
    {
        tracing::warn!(%error, "the end of server.shutdown_secs is not enforced");
    }
}

/// The parts that have to end in order.
pub(super) struct RunningCollector {
    pub(super) site: web::Data<AppState>,
    pub(super) ledger: Ledger,
    pub(super) door: ServerHandle,
    /// The HTTP server.
    pub(super) serving: JoinHandle<std::io::Result<()>>,
    pub(super) bi_serving: Option<JoinHandle<()>>,
    pub(super) connections: Arc<OpenConnections>,
    /// Tells the parts that the collector stops.
    pub(super) stop: watch::Sender<bool>,
    /// Makes open event streams end.
    pub(super) end_streams: watch::Sender<bool>,
    pub(super) writer_ended: oneshot::Receiver<Result<(), JournalError>>,
    pub(super) flushing: JoinHandle<Result<(), StoreError>>,
    /// Maintenance, publication, and changes of the registry: they may be interrupted anywhere.
    pub(super) background: Vec<JoinHandle<()>>,
    /// `server.shutdown_secs`.
    pub(super) limit: Duration,
}

impl RunningCollector {
    /// Stops after a signal: closes the port, finishes requests in progress, and writes and sends
    /// what the process holds, within the limit.
    ///
    /// # Errors
    ///
    /// A part did not end in order. Acknowledged hits are in the journal.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        kill_after(self.limit + STOP_GRACE);
        let deadline = Instant::now() + self.limit;
        let (site, connections, ledger) = (self.site, self.connections, self.ledger);
        self.stop.send_replace(true);
        self.end_streams.send_replace(true);
        if let Some(serving) = self.bi_serving {
            serving.abort();
        }
        let closed = async {
            self.door.stop(true).await;
            let _ = self.serving.await;
            // Those of a predecessor are not the server's.
            while connections.counts().busy > 0 {
                tokio::time::sleep(CONNECTION_LOOK_PAUSE).await;
            }
        };
        if timeout_at(deadline, closed).await.is_err() {
            tracing::warn!("connections were still open at the end of server.shutdown_secs");
        }

        site.release_clicks(Millis::MAX);
        site.journal.queue.close();
        let written = match timeout_at(deadline, self.writer_ended).await {
            Ok(ended) => ended
                .context("the writer stopped early")?
                .context("the journal failed"),
            Err(_) => Err(anyhow::anyhow!(
                "the journal could not be closed within server.shutdown_secs; acknowledged hits \
                 are in it and are read at the next start"
            )),
        };

        let recorded = timeout_at(deadline, spawn_blocking(move || ledger.close()));
        let recorded = match recorded.await {
            Ok(ended) => ended?.context("the ledger did not close in order"),
            Err(_) => Err(anyhow::anyhow!(
                "the ledger could not be closed within server.shutdown_secs"
            )),
        };

        // An interrupted publication is resumed at the next start.
        self.background.iter().for_each(JoinHandle::abort);
        site.registry.close_copy().await;
        // Audit entries of sign-ins get only a part of the time: if the store hangs, segments need
        // the rest.
        let sign_ins = deadline.min(Instant::now() + self.limit / 4);
        let (_, sent) = tokio::join!(
            timeout_at(sign_ins, site.registry.write_queued()),
            timeout_at(deadline, self.flushing)
        );
        site.registry.keep_audit_queue().await;

        if let Ok(ended) = sent {
            ended.context("the flusher stopped early")??;
        }
        for store in site.shards.take_all() {
            store.close().await;
        }
        let backlog = SegmentBacklog::from_folder(&site.journal.folder, site.clock.file_time());
        if let Some(segments) = backlog
            .map(|waiting| waiting.segments)
            .filter(|left| *left > 0)
        {
            tracing::warn!(
                segments,
                "not all segments were sent; they are in the journal and are sent at the next start"
            );
        }
        written.and(recorded)?;
        tracing::info!("stopped");
        Ok(())
    }

    /// Ends after a part failed: the disk or the engine failed, and waiting does not help.
    /// Acknowledged hits are in the journal.
    ///
    /// # Errors
    ///
    /// The failure.
    pub(super) async fn abandon(self, failure: anyhow::Result<()>) -> anyhow::Result<()> {
        systemd::send_stopping();
        self.site.journal.queue.close();
        self.door.stop(false).await;
        failure
    }
}
