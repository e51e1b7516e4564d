//! The command's side of the control socket.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::UnixStream;

use super::control::socket_path;
use super::send_line::send_line;
use crate::journal::{JournalError, JournalFolder};

/// Who may use the store of a journal.
pub enum JournalHolder {
    /// This process: the lock keeps a collector from starting.
    Own(JournalFolder),
    /// The collector that runs on the journal.
    Collector(ControlClient),
}

impl JournalHolder {
    /// Locks the journal, or finds the collector that did, and waits until it has ended what an
    /// earlier command asked it for.
    ///
    /// # Errors
    ///
    /// The folder cannot be used, or another process holds it and does not answer.
    pub async fn find(journal_dir: &Path) -> anyhow::Result<JournalHolder> {
        match JournalFolder::open(journal_dir) {
            Ok(journal) => Ok(JournalHolder::Own(journal)),
            Err(JournalError::InUse(_)) => Ok(JournalHolder::Collector(
                ControlClient::connect(journal_dir).await?,
            )),
            Err(error) => Err(error.into()),
        }
    }
}

/// A connection to the running collector.
pub struct ControlClient(BufReader<UnixStream>);

impl ControlClient {
    async fn connect(journal_dir: &Path) -> anyhow::Result<ControlClient> {
        let path = socket_path(journal_dir);
        let stream = UnixStream::connect(&path)
            .await
            .with_context(|| format!("{}: the collector does not answer here", path.display()))?;
        let mut client = ControlClient(BufReader::new(stream));
        client.read_line().await?;
        Ok(client)
    }

    /// Sends a request, and waits for its reply.
    ///
    /// # Errors
    ///
    /// The collector went away, or its reply is not the expected one.
    pub async fn request<R: DeserializeOwned>(
        &mut self,
        request: &impl Serialize,
    ) -> anyhow::Result<R> {
        send_line(self.0.get_mut(), request).await?;
        let reply = self.read_line().await?;
        serde_json::from_str(&reply).context("the collector's answer")
    }

    async fn read_line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        match self.0.read_line(&mut line).await {
            Ok(0) => anyhow::bail!("the collector went away"),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                anyhow::bail!("the collector went away")
            }
            read => read.map(|_| line).context("the collector's answer"),
        }
    }
}
