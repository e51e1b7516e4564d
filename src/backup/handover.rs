//! The running collector's side of a move to another store.
//!
//! `footfall migrate` copies the tables itself. Over the socket of [`super::control`] it learns how
//! to reach the store, and asks the collector to hold it: segments then wait in the journal, and
//! changes of the registry are refused. If the command goes away, the store is released, unless its
//! tables were marked as moved by then: the next start sends what waits to the new store.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::send_line::send_line;
use crate::store::transfer::EngineLogin;
use crate::store::{Store, TransferState};

/// Pause between attempts to read whether the tables were moved.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// What the command asks for, one after the other.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum HandoverRequest {
    /// How to reach the store.
    Begin,
    /// Let nothing change the tables.
    Hold,
    /// The tables were moved.
    Finish,
}

/// The collector's answers.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HandoverReply {
    /// The store in use. The socket is reached by the collector's user only, who can read the
    /// engine's files anyway.
    Source {
        /// The database's id.
        id: String,
        /// Of the embedded engine; `None` for a server.
        engine: Option<EngineLogin>,
    },
    /// Nothing changes the tables any more.
    Held,
    /// The collector waits for a restart.
    Finished,
    /// Why not.
    Failed(String),
}

/// The socket's two directions.
pub(super) type HandoverStream = (tokio::io::BufReader<OwnedReadHalf>, OwnedWriteHalf);

/// Serves the command until it goes away. Leaves the store as it was, or held if it was moved.
///
/// # Errors
///
/// The command sent something else, or went away while it was answered.
pub(super) async fn serve_handover(
    (mut lines, mut write): HandoverStream,
    store: &Arc<Store>,
    first: HandoverRequest,
) -> anyhow::Result<()> {
    let mut is_held = false;
    let served = serve_requests((&mut lines, &mut write), store, first, &mut is_held).await;
    if is_held {
        settle_hold(store).await;
    }
    served
}

async fn serve_requests(
    (lines, write): (
        &mut tokio::io::BufReader<OwnedReadHalf>,
        &mut OwnedWriteHalf,
    ),
    store: &Arc<Store>,
    first: HandoverRequest,
    is_held: &mut bool,
) -> anyhow::Result<()> {
    let mut next = Some(first);
    while let Some(request) = next {
        let reply = match request {
            HandoverRequest::Begin => match store.read_database_id().await {
                Ok(id) => HandoverReply::Source {
                    id: id.unwrap_or_default(),
                    engine: store.engine_login(),
                },
                Err(error) => HandoverReply::Failed(error.to_string()),
            },
            HandoverRequest::Hold => {
                tracing::info!("the tables are held: they are copied to another store");
                *is_held = true;
                store.set_held(true).await;
                HandoverReply::Held
            }
            HandoverRequest::Finish => HandoverReply::Finished,
        };
        send_line(write, &reply).await?;

        let mut line = String::new();
        next = match (&mut *lines).take(1 << 16).read_line(&mut line).await? {
            0 => None,
            _ => Some(serde_json::from_str(&line).context("a request of a move")?),
        };
    }
    Ok(())
}

/// Releases the store, unless its tables were moved. While that is not known, it stays held: hits
/// wait in the journal.
async fn settle_hold(store: &Arc<Store>) {
    loop {
        match store.read_transfer_state().await {
            Ok(TransferState::Moved { place, .. }) => {
                tracing::warn!(
                    %place,
                    "the tables were moved: restart the collector with the new store; hits wait in the journal until then"
                );
                return;
            }
            Ok(_) => {
                store.set_held(false).await;
                tracing::info!("the tables are used again: they were not moved");
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "whether the tables were moved is not known yet");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}
