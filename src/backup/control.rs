//! The running collector's side of a backup: a socket in the journal's folder, which only the
//! collector's own user can reach.
//!
//! One connection at a time is served. Lines of JSON: the collector sends `{"ready":true}`, the
//! client a [`CopyRequest`], the collector a [`CopyReply`]. If the client goes away meanwhile, the
//! copy is ended. A move to another store begins with `"begin"` instead: see [`super::handover`].

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedRwLockWriteGuard, watch};

use super::handover::serve_handover;
use super::manifest::JournalState;
use super::send_line::send_line;
use crate::calendar::Day;
use crate::clock::Clock;
use crate::journal::JournalFolder;
use crate::store::StoreSlot;
use crate::store::archive::{GroupFolders, TableArchive, TableGroup, TableSums};

/// How often the registry's tables are copied at most until no one changed them meanwhile.
const MAX_REGISTRY_COPIES: u32 = 5;

/// The socket in a journal's folder.
pub fn socket_path(journal_dir: &Path) -> PathBuf {
    journal_dir.join("backup.sock")
}

/// What is to be copied.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct CopyRequest {
    /// The backup's name.
    pub name: String,
    /// The folders of the backup that it builds on.
    pub base: Option<GroupFolders>,
}

/// The first line of a client.
#[derive(Deserialize)]
#[serde(untagged)]
enum FirstRequest {
    Copy(CopyRequest),
    Handover(super::handover::HandoverRequest),
}

/// The tables were copied.
#[derive(Serialize, Deserialize, Debug)]
pub struct TableCopy {
    /// `embedded` or `server`.
    pub store: String,
    /// The database.
    pub database: String,
    /// The number of its newest schema change.
    pub schema: u32,
    /// Where the copies are.
    pub folders: GroupFolders,
    /// What the tables contain.
    pub tables: TableSums,
    /// Which segments they hold.
    pub journal: JournalState,
}

/// The collector's answer.
#[derive(Serialize, Deserialize, Debug)]
#[serde(rename_all = "snake_case")]
pub enum CopyReply {
    /// The tables were copied.
    Done(TableCopy),
    /// Why they were not.
    Failed(String),
}

/// Copies all tables: counts while nothing changes them, then the registry's, again and again until
/// its sums are the same before and after.
///
/// # Errors
///
/// The journal's folder cannot be read, the store failed, or the registry changed during each
/// copy. Copies may be left.
pub async fn copy_tables(
    archive: &TableArchive,
    paused: Option<OwnedRwLockWriteGuard<()>>,
    journal: &JournalFolder,
    clock: &Clock,
    request: &CopyRequest,
) -> anyhow::Result<TableCopy> {
    let (name, base) = (request.name.as_str(), request.base.as_ref());
    let journal = read_journal_state(journal, clock)?;
    let counts = format!("{name}/counts");
    let mut tables = archive
        .sum_tables(archive.database(), TableGroup::Counts)
        .await?;
    let base_folder = base.map(|base| base.counts.as_str());
    archive
        .back_up_tables(TableGroup::Counts, (name, &counts), base_folder)
        .await?;
    drop(paused);

    let base_folder = base.map(|base| base.registry.as_str());
    for attempt in 1..=MAX_REGISTRY_COPIES {
        let registry = format!("{name}/registry-{attempt}");
        let group = TableGroup::Registry;
        let before = archive.sum_tables(archive.database(), group).await?;
        archive
            .back_up_tables(group, (name, &registry), base_folder)
            .await?;
        if before == archive.sum_tables(archive.database(), group).await? {
            tables.extend(before);
            return Ok(TableCopy {
                store: archive.kind().to_owned(),
                database: archive.database().to_owned(),
                schema: archive.schema_number().await?,
                folders: GroupFolders { counts, registry },
                tables,
                journal,
            });
        }
    }
    anyhow::bail!("the registry changed during each of {MAX_REGISTRY_COPIES} copies; run it again")
}

fn read_journal_state(folder: &JournalFolder, clock: &Clock) -> anyhow::Result<JournalState> {
    let day = Day::from_utc(clock.now()).context("the clock is wrong")?;
    Ok(JournalState {
        collector: format!("{:016x}", folder.collector_id()),
        day: day.as_number(),
        waiting: folder.waiting_tokens()?,
    })
}

/// The collector's side.
pub struct BackupListener {
    /// The journal's folder, which has the socket.
    pub journal: Arc<JournalFolder>,
    /// The store, once it was reached.
    pub store: StoreSlot,
    /// The collector's clock.
    pub clock: Clock,
    /// The server's disk for backups, see `backup.disk`.
    pub disk: String,
    /// Whether the collector is stopping.
    pub stopping: watch::Receiver<bool>,
}

impl BackupListener {
    /// Answers `footfall backup create` until the collector stops.
    pub async fn run(self) {
        let listener = match bind_socket(&socket_path(self.journal.path())) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::warn!(%error, "no backup can be made while this collector runs: its \
                    socket could not be opened");
                return;
            }
        };
        let mut stopping = self.stopping.clone();
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stopping.wait_for(|stopping| *stopping) => return,
            };
            // An error is one of the connection, or there is no free file descriptor.
            let Ok((stream, _)) = stream else {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            };
            if let Err(error) = self.serve(stream).await {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "a backup or a move was not finished"
                );
            }
        }
    }

    async fn serve(&self, stream: UnixStream) -> anyhow::Result<()> {
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read);
        write.write_all(b"{\"ready\":true}\n").await?;
        let mut line = String::new();
        // A client that only connects, such as a check, sends nothing.
        if (&mut lines).take(1 << 16).read_line(&mut line).await? == 0 {
            return Ok(());
        }

        let request: FirstRequest = serde_json::from_str(&line)?;
        let Some(store) = self.store.load_full() else {
            let reply = CopyReply::Failed(
                "the store has not been reached yet; if its tables were moved, stop the collector \
                 and run this again"
                    .to_owned(),
            );
            return send_line(&mut write, &reply).await;
        };
        if store.shard().is_part() || store.replica().is_replicated() {
            let reply = CopyReply::Failed(
                "the collector's store has shards, which this command does not copy: use BACKUP of \
                 ClickHouse on each shard, see docs/operate/SHARDS.md"
                    .to_owned(),
            );
            return send_line(&mut write, &reply).await;
        }
        let request = match request {
            FirstRequest::Copy(request) => request,
            FirstRequest::Handover(first) => {
                return serve_handover((lines, write), &store, first).await;
            }
        };
        let archive = store.table_archive(&self.disk);
        let copy = async {
            let paused = store.pause_writes().await;
            copy_tables(&archive, Some(paused), &self.journal, &self.clock, &request).await
        };
        let mut stopping = self.stopping.clone();
        let (mut rest, started) = ([0; 1], std::time::Instant::now());
        let copied = tokio::select! {
            copied = copy => copied,
            _ = lines.read(&mut rest) => Err(anyhow::anyhow!("the command went away")),
            _ = stopping.wait_for(|stopping| *stopping) => Err(anyhow::anyhow!("the collector is \
                stopping")),
        };

        let reply = match copied {
            Ok(copy) => {
                let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                tracing::info!(
                    name = request.name,
                    millis,
                    "the tables were copied to a backup"
                );
                CopyReply::Done(copy)
            }
            Err(error) => {
                // The engine may be gone, and the copy with it.
                let _ = archive.cancel_back_up(&request.name).await;
                tracing::warn!(
                    name = request.name,
                    error = format!("{error:#}"),
                    "a backup was not finished"
                );
                CopyReply::Failed(format!("{error:#}"))
            }
        };
        // The command may be gone.
        let _ = send_line(&mut write, &reply).await;
        Ok(())
    }
}

/// Replaces the socket of a collector that was killed: this one holds the folder's lock.
fn bind_socket(path: &Path) -> std::io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}
