//! What is on a connection between collectors: frames.
//!
//! ```text
//! frame   length:u32 call:u64 kind:u8 payload      numbers are little endian
//! ```
//!
//! `length` is the payload's. The reply to a call has its number and kind. Call 0 is a heartbeat.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use super::CallBuffer;

/// Bytes before a payload.
const HEAD_BYTES: usize = 13;
/// More than any body and header of a request.
const MAX_PAYLOAD_BYTES: usize = 16 << 20;
/// The number of heartbeats.
pub(super) const HEARTBEAT_CALL: u64 = 0;

pub(super) struct Frame {
    pub(super) call: u64,
    pub(super) kind: u8,
    pub(super) payload: CallBuffer,
}

/// Appends a frame to what is to be written.
pub(super) fn push_frame(into: &mut CallBuffer, call: u64, kind: u8, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    into.push_bytes(&length.to_le_bytes());
    into.push_bytes(&call.to_le_bytes());
    into.push_byte(kind);
    into.push_bytes(payload);
}

/// Reads a frame.
///
/// # Errors
///
/// The connection ended or failed, or the frame is too long.
pub(super) async fn read_frame(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Frame> {
    let mut head = [0; HEAD_BYTES];
    from.read_exact(&mut head).await?;
    let [l0, l1, l2, l3, call @ .., kind] = head;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if length > MAX_PAYLOAD_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut payload = CallBuffer::zeroed(length);
    from.read_exact(payload.as_mut_bytes()).await?;
    Ok(Frame {
        call: u64::from_le_bytes(call),
        kind,
        payload,
    })
}
