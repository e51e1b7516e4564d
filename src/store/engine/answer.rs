//! Results as response bodies: whole, or in chunks as the engine makes them.
//!
//! Streaming bounds memory: a result of any size passes through four chunks. The engine makes each chunk a complete document
//! of its format, so only formats that stay right when documents are put one after the other are streamed, and the header of
//! RowBinaryWithNamesAndTypes is taken off from the second chunk on.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use super::Exception;
use super::ffi::Stream;

/// A reader that takes nothing for so long gives its connection back.
const STALLED: Duration = Duration::from_secs(60);
const CHUNKS: usize = 4;

pub enum Answer {
    Whole(Option<Bytes>),
    Stream(mpsc::Receiver<Bytes>),
}

impl Answer {
    pub fn whole(bytes: impl Into<Bytes>) -> Answer {
        Answer::Whole(Some(bytes.into()))
    }

    pub fn stream() -> (mpsc::Sender<Bytes>, Answer) {
        let (sender, receiver) = mpsc::channel(CHUNKS);
        (sender, Answer::Stream(receiver))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Answer::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Answer::Stream(receiver) => {
                receiver.poll_recv(context).map(|next| next.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Answer::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Answer::Stream(_) => SizeHint::default(),
        }
    }
}

/// Whether complete documents of this format, one after the other, are one document.
pub fn streams(format: &str) -> bool {
    matches!(
        format,
        "RowBinary" | "RowBinaryWithNamesAndTypes" | "Native" | "TabSeparated" | "TSV" | "JSONEachRow" | "CSV"
    )
}

/// The chunks of a result, their repeated header removed.
pub struct Chunks<'c> {
    stream: Stream<'c>,
    repeats_header: bool,
    header: Option<Bytes>,
}

impl<'c> Chunks<'c> {
    pub fn new(stream: Stream<'c>, format: &str) -> Chunks<'c> {
        Chunks { stream, repeats_header: format == "RowBinaryWithNamesAndTypes", header: None }
    }

    pub fn next(&mut self) -> Result<Option<Bytes>, Exception> {
        let Some(chunk) = self.stream.next()? else { return Ok(None) };
        let bytes = chunk.into_bytes();
        if !self.repeats_header {
            return Ok(Some(bytes));
        }
        match &self.header {
            None => {
                self.header = header_length(&bytes).map(|length| bytes.slice(..length));
                Ok(Some(bytes))
            }
            Some(header) if bytes.starts_with(header) => Ok(Some(bytes.slice(header.len()..))),
            Some(_) => Ok(Some(bytes)),
        }
    }
}

/// Sends all chunks, the last message included if the result fails on its way. `true` where the connection is as before.
pub fn send(mut chunks: Chunks<'_>, first: Option<Bytes>, tag: &str, sender: &mpsc::Sender<Bytes>) -> bool {
    let mut next = Ok(first);
    loop {
        match next {
            Ok(Some(bytes)) => {
                if !push(sender, bytes) {
                    return false;
                }
                next = chunks.next();
            }
            Ok(None) => return true,
            Err(exception) => {
                push(sender, late(&exception, tag));
                return false;
            }
        }
    }
}

fn push(sender: &mpsc::Sender<Bytes>, bytes: Bytes) -> bool {
    let runtime = tokio::runtime::Handle::current();
    bytes.is_empty() || runtime.block_on(async { sender.send_timeout(bytes, STALLED).await.is_ok() })
}

/// An exception after the status has gone out, in the form the clients look for at the end of a body. One chunk: a client
/// looks for it in the last one only.
fn late(exception: &Exception, tag: &str) -> Bytes {
    let text = exception.text.trim_end();
    let length = text.len() + 1;
    Bytes::from(format!("\r\n__exception__\r\n{tag}\r\n{text}\n{length} {tag}\r\n__exception__\r\n"))
}

/// The length of a RowBinaryWithNamesAndTypes header: a count, then that many names, then as many types.
fn header_length(bytes: &[u8]) -> Option<usize> {
    let (columns, mut at) = varint(bytes, 0)?;
    for _ in 0..columns.checked_mul(2)? {
        let (length, after) = varint(bytes, at)?;
        at = after.checked_add(length).filter(|end| *end <= bytes.len())?;
    }
    Some(at)
}

fn varint(bytes: &[u8], start: usize) -> Option<(usize, usize)> {
    let mut value = 0;
    for (shift, &byte) in bytes.get(start..)?.iter().take(9).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * shift);
        if byte < 0x80 {
            return Some((value, start + shift + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_ends_after_the_last_type() {
        let header = b"\x02\x01a\x02bc\x05UInt8\x06String";
        assert_eq!(header_length(&[&header[..], b"\x01\x00"].concat()), Some(header.len()));
        assert_eq!(header_length(b"\x00"), Some(1));
    }

    #[test]
    fn a_cut_or_absurd_header_has_no_length() {
        for bytes in [&b""[..], b"\x02\x01a", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x01\x7f"] {
            assert_eq!(header_length(bytes), None);
        }
    }
}
