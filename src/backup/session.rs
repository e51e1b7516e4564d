//! Who copies the tables: the collector that runs, or this process.

use super::control::{CopyReply, CopyRequest, TableCopy, copy_tables};
use super::control_client::{ControlClient, JournalHolder};
use crate::clock::Clock;
use crate::config::Config;
use crate::journal::JournalFolder;
use crate::store::StoreOptions;
use crate::store::archive::TableArchive;

/// The right to copy the tables.
#[expect(clippy::large_enum_variant, reason = "a command makes one")]
pub(super) enum BackupSession {
    /// The collector that runs on this journal, and waits for a request.
    Collector(ControlClient),
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
        match JournalHolder::find(&config.journal.dir).await? {
            JournalHolder::Own(journal) => Ok(BackupSession::Own {
                journal,
                archive: TableArchive::open(store, &config.backup.disk).await?,
            }),
            JournalHolder::Collector(client) => Ok(BackupSession::Collector(client)),
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
            BackupSession::Collector(mut client) => match client.request(request).await? {
                CopyReply::Done(copy) => Ok(copy),
                CopyReply::Failed(reason) => anyhow::bail!("the collector: {reason}"),
            },
            BackupSession::Own { journal, archive } => {
                let copied = copy_tables(&archive, None, &journal, &Clock::System, request).await;
                archive.close().await;
                copied
            }
        }
    }
}
