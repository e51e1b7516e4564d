//! HTTP connections to ClickHouse.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use clickhouse::{Client, Compression};
use hyper::Uri;
use hyper::rt::Executor;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::{Client as HttpClient, connect::HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tower_service::Service;

/// How long an idle connection is kept, as in the `clickhouse` crate: the server closes it after
/// three seconds.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(2);
/// The idle time before TCP keep-alive probes, as in the `clickhouse` crate.
const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(60);
/// Probes that are not answered end a connection two minutes after the server's host has vanished,
/// and so do bytes that are not acknowledged: a query of hours must not wait for it to its end.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEP_ALIVE_PROBES: u32 = 4;
const UNACKNOWLEDGED_LIMIT: Duration = Duration::from_secs(120);

/// A client that trusts `roots`, or public authorities if there are none. Must be called within a
/// runtime, on which its connections run.
///
/// The client of the `clickhouse` crate runs each connection on the runtime of the query that opened
/// it. All threads share the connections, and threads that serve requests end before the last
/// segments are sent.
pub(super) fn http_client(roots: Option<RootCertStore>) -> Client {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let config = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .expect("the provider has the versions it was built with");
    let config = match roots {
        Some(roots) => config.with_root_certificates(roots),
        None => config.with_webpki_roots(),
    };

    let mut connector = HttpConnector::new();
    connector.set_keepalive(Some(KEEP_ALIVE_IDLE));
    connector.set_keepalive_interval(Some(KEEP_ALIVE_INTERVAL));
    connector.set_keepalive_retries(Some(KEEP_ALIVE_PROBES));
    connector.set_tcp_user_timeout(Some(UNACKNOWLEDGED_LIMIT));
    connector.enforce_http(false);

    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(config.with_no_client_auth())
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector);

    let runtime = Handle::current();
    let http = HttpClient::builder(SpawnOn(runtime.clone()))
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .build(ConnectOn { runtime, connector });
    Client::with_http_client(http)
}

/// A client of an embedded engine, without compression, because the bytes stay on this machine. Must
/// be called within a runtime, on which its connections run.
pub(super) fn engine_client(url: &str, user: &str, password: &str) -> Client {
    http_client(None)
        .with_url(url)
        .with_user(user)
        .with_password(password)
        .with_compression(Compression::None)
}

/// Spawns tasks on one runtime, whichever thread asks for it.
#[derive(Clone)]
struct SpawnOn(Handle);

impl<F> Executor<F> for SpawnOn
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}

/// Opens connections on one runtime, whose driver then waits for their sockets. Dropping the future
/// of a connection ends the attempt.
#[derive(Clone)]
struct ConnectOn {
    runtime: Handle,
    connector: HttpsConnector<HttpConnector>,
}

impl Service<Uri> for ConnectOn {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        // Dropped with the future, a set ends its tasks.
        let mut connecting = JoinSet::new();
        connecting.spawn_on(self.connector.call(server), &self.runtime);
        Box::pin(async move {
            match connecting.join_next().await {
                Some(Ok(connected)) => connected,
                Some(Err(error)) => Err(io::Error::from(error).into()),
                None => unreachable!("a set of one task has an end of it"),
            }
        })
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc;

    use super::*;

    /// Answers every request of a connection with success and no rows.
    fn answer_requests(mut stream: TcpStream) {
        let mut request = [0; 4096];
        while stream.read(&mut request).is_ok_and(|bytes| bytes > 0) {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_connection_outlives_the_thread_whose_query_opened_it() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = http_client(None).with_url(format!("http://{}", server.local_addr().unwrap()));
        let (ends, ended) = mpsc::channel();
        std::thread::spawn(move || {
            answer_requests(server.accept().unwrap().0);
            ends.send(()).unwrap();
        });

        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let query = client.query("SELECT 1");
            runtime.unwrap().block_on(query.execute()).unwrap();
            client
        });
        let client = thread.join().unwrap();

        // It is kept for two seconds.
        assert!(ended.recv_timeout(Duration::from_millis(500)).is_err());
        drop(client);
    }

    /// A deadline is kept by dropping the query.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_query_that_is_dropped_leaves_no_connection_behind_that_is_being_opened() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let client =
            http_client(None).with_url(format!("https://{}", server.local_addr().unwrap()));
        let query = client.query("SELECT 1");
        let asked = tokio::spawn(async move { query.execute().await });

        // It answers no handshake.
        let (mut stream, _) = tokio::task::spawn_blocking(move || server.accept().unwrap())
            .await
            .unwrap();
        let mut hello = [0; 4096];
        assert!(stream.read(&mut hello).unwrap() > 0);
        asked.abort();

        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        assert!(
            stream.read(&mut hello).is_ok_and(|bytes| bytes == 0),
            "it is closed"
        );
    }
}
