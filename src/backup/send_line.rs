//! The replies of the control socket: one JSON value a line.

use serde::Serialize;
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Sends a reply as one line.
pub(super) async fn send_line(
    write: &mut (impl AsyncWrite + Unpin),
    reply: &impl Serialize,
) -> anyhow::Result<()> {
    let line = serde_json::to_string(reply)? + "\n";
    Ok(write.write_all(line.as_bytes()).await?)
}
