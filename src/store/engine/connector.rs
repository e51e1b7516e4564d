//! The pipe between the `clickhouse` crate and the engine: a connection is a pair of buffers in memory, served by the same
//! service that a port would have. No port is opened and nothing leaves the process.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::DuplexStream;
use tower_service::Service;

use super::pool::Engine;
use super::tcp::serve_connection;

/// Bytes each direction of a pipe holds. Insert bodies pass through it in pieces of this size.
const PIPE: usize = 256 << 10;

/// A `clickhouse` client of this engine. Compression would only cost: the bytes stay in the process.
pub fn client(engine: &Engine) -> clickhouse::Client {
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(Connector(engine.clone()));
    clickhouse::Client::with_http_client(http)
        .with_url("http://embedded")
        .with_compression(clickhouse::Compression::None)
}

#[derive(Clone)]
struct Connector(Engine);

impl Service<Uri> for Connector {
    type Response = Pipe;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Pipe>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let engine = self.0.clone();
        Box::pin(async move {
            let (ours, theirs) = tokio::io::duplex(PIPE);
            tokio::spawn(serve_connection(engine, None, TokioIo::new(theirs)));
            Ok(Pipe(TokioIo::new(ours)))
        })
    }
}

struct Pipe(TokioIo<DuplexStream>);

impl Connection for Pipe {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Pipe {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl Write for Pipe {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}
