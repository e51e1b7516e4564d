//! HTTP connections to ClickHouse.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use clickhouse::Client;
use hyper::Uri;
use hyper::rt::Executor;
use hyper_rustls::{ConfigBuilderExt, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client as HttpClient, connect::HttpConnector};
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::Handle;
use tower_service::Service;

/// How long an idle connection is kept, as in the `clickhouse` crate: the server closes it after
/// three seconds.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(2);
/// The idle time before TCP keep-alive probes, as in the `clickhouse` crate.
const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(60);

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

/// Opens connections on one runtime, whose driver then waits for their sockets.
#[derive(Clone)]
struct ConnectOn<C> {
    runtime: Handle,
    connector: C,
}

impl<C> Service<Uri> for ConnectOn<C>
where
    C: Service<Uri, Error: Into<BoxError> + Send> + 'static,
    C::Response: Send + 'static,
    C::Future: Send + 'static,
{
    type Response = C::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let connecting = self.runtime.spawn(self.connector.call(server));
        Box::pin(async {
            match connecting.await {
                Ok(connected) => connected.map_err(Into::into),
                Err(error) => Err(io::Error::from(error).into()),
            }
        })
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

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
        let url = format!("http://{}", server.local_addr().unwrap());
        let accepted = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&accepted);
        std::thread::spawn(move || {
            for stream in server.incoming() {
                counted.fetch_add(1, Ordering::Relaxed);
                std::thread::spawn(|| answer_requests(stream.unwrap()));
            }
        });
        let client = http_client(None).with_url(url);

        let asked = client.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let query = asked.query("SELECT 1");
            runtime.unwrap().block_on(query.execute()).unwrap();
        });
        thread.join().unwrap();
        client.query("SELECT 2").execute().await.unwrap();

        assert_eq!(accepted.load(Ordering::Relaxed), 1);
    }
}
