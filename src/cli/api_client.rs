//! Requests of the commands to the API of a running collector.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::ConfigArgs;

const MAX_BODY_BYTES: usize = 64 << 20;

/// Which collector is asked, and how long to wait for it.
#[derive(Args)]
pub(super) struct ApiArgs {
    #[command(flatten)]
    layers: ConfigArgs,
    /// Address of the collector; overrides server.listen.
    #[arg(long, value_name = "ADDRESS:PORT")]
    address: Option<SocketAddr>,
    /// Deadline of the answer.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 600,
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    timeout: u64,
}

/// A collector's address and the operator's token.
pub(super) struct ApiClient {
    address: SocketAddr,
    token: String,
    timeout: Duration,
}

impl ApiArgs {
    /// Reads the configuration for the address and `report.token`. Without a token and a password
    /// login, a collector on this machine takes the caller for the operator.
    pub(super) fn open_client(self) -> anyhow::Result<ApiClient> {
        let config = self.layers.load_config(std::iter::empty())?;
        Ok(ApiClient {
            address: connectable_address(self.address.unwrap_or(config.server.listen))?,
            token: config.report.token.expose_secret().to_owned(),
            timeout: Duration::from_secs(self.timeout),
        })
    }
}

impl ApiClient {
    /// Sends a request without a body, and returns the JSON of its answer.
    pub(super) async fn send_request(&self, method: Method, path: &str) -> anyhow::Result<Value> {
        let uri = format!("http://{}{path}", self.address);
        let mut request = Request::builder().method(method).uri(&uri);
        if !self.token.is_empty() {
            request = request.header("Authorization", format!("Bearer {}", self.token));
        }
        let request = request.body(Empty::<Bytes>::new())?;

        let (status, body) = tokio::time::timeout(self.timeout, fetch_response(&uri, request))
            .await
            .with_context(|| format!("{uri}: no answer in {:?}", self.timeout))??;
        let answer: Value = serde_json::from_slice(&body)
            .with_context(|| format!("{uri}: {status}, not a collector's answer"))?;
        if status.is_success() {
            return Ok(answer);
        }
        if status == StatusCode::UNAUTHORIZED {
            bail!("{uri}: this needs the operator's token: report.token or report.token_file");
        }
        let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        bail!(
            "{uri}: {} {} {}",
            status.as_u16(),
            text("code"),
            text("detail")
        )
    }
}

/// Sends a request and reads the answer's body.
pub(super) async fn fetch_response(
    uri: &str,
    request: Request<Empty<Bytes>>,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let answer = client
        .request(request)
        .await
        .with_context(|| format!("{uri}: cannot be reached"))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_BODY_BYTES)
        .collect()
        .await
        .map_err(anyhow::Error::from_boxed)?;
    Ok((status, body.to_bytes()))
}

/// The address to connect to; loopback for a server that listens on all addresses.
///
/// # Errors
///
/// The port is chosen at the server's start.
pub(super) fn connectable_address(listen: SocketAddr) -> anyhow::Result<SocketAddr> {
    ensure!(
        listen.port() != 0,
        "server.listen has no fixed port; use --address"
    );
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    Ok(SocketAddr::new(ip, listen.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_that_listens_everywhere_is_asked_over_loopback() {
        for (listen, asked) in [
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("[::]:8080", "[::1]:8080"),
            ("10.0.0.7:80", "10.0.0.7:80"),
            ("127.0.0.1:8080", "127.0.0.1:8080"),
        ] {
            assert_eq!(
                connectable_address(listen.parse().unwrap()).unwrap(),
                asked.parse().unwrap()
            );
        }
    }
}
