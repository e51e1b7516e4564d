//! Who copies the tables: the collector that runs, or this process.

use std::io::ErrorKind;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::control::{CopyReply, CopyRequest, TableCopy, copy_tables, socket_path};
use crate::clock::Clock;
use crate::config::Config;
use crate::journal::{JournalError, JournalFolder};
use crate::store::StoreOptions;
use crate::store::archive::TableArchive;

/// The right to copy the tables.
#[expect(clippy::large_enum_variant, reason = "a command makes one")]
pub(super) enum BackupSession {
    /// The collector that runs on this journal, and waits for a request.
    Collector(BufReader<UnixStream>),
    /// No collector runs on this journal; the lock keeps one from starting.
    Own {
        journal: JournalFolder,
        archive: TableArchive,
    },
}

impl BackupSession {
    /// Finds the collector, and waits until it has ended what an earlier command asked it for; or
    /// opens the store.
    ///
    /// # Errors
    ///
    /// Another process holds the journal and does not answer, or the store cannot be opened.
    pub async fn open(config: &Config, store: &StoreOptions) -> anyhow::Result<BackupSession> {
        let dir = &config.journal.dir;
        match JournalFolder::open(dir) {
            Ok(journal) => Ok(BackupSession::Own {
                journal,
                archive: TableArchive::open(store, &config.backup.disk).await?,
            }),
            Err(JournalError::InUse(_)) => {
                let path = socket_path(dir);
                let stream = UnixStream::connect(&path).await.with_context(|| {
                    format!("{}: the collector does not answer here", path.display())
                })?;
                let mut session = BufReader::new(stream);
                read_line(&mut session).await?;
                Ok(BackupSession::Collector(session))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a collector is running.
    pub fn is_collector(&self) -> bool {
        matches!(self, BackupSession::Collector(_))
    }

    /// Copies the tables.
    ///
    /// # Errors
    ///
    /// The collector or the store failed, or the collector is stopping.
    pub async fn copy_tables(self, request: &CopyRequest) -> anyhow::Result<TableCopy> {
        match self {
            BackupSession::Collector(mut session) => {
                let line = serde_json::to_string(request)? + "\n";
                session.get_mut().write_all(line.as_bytes()).await?;
                let reply = read_line(&mut session).await?;
                match serde_json::from_str(&reply)? {
                    CopyReply::Done(copy) => Ok(copy),
                    CopyReply::Failed(reason) => anyhow::bail!("the collector: {reason}"),
                }
            }
            BackupSession::Own { journal, archive } => {
                let copied = copy_tables(&archive, None, &journal, &Clock::System, request).await;
                archive.close().await;
                copied
            }
        }
    }
}

async fn read_line(session: &mut BufReader<UnixStream>) -> anyhow::Result<String> {
    let mut line = String::new();
    match session.read_line(&mut line).await {
        Ok(0) => anyhow::bail!("the collector went away"),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {
            anyhow::bail!("the collector went away")
        }
        read => read.map(|_| line).context("the collector's answer"),
    }
}
