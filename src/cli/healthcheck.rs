//! `footfall healthcheck`: requests the health of a running collector, in images without curl or a
//! shell.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::StatusCode;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;

use super::{ConfigArgs, block_on_runtime, report_outcome};

/// A response has some hundred bytes.
const MAX_BODY_BYTES: usize = 64 << 10;

#[derive(Args)]
pub(super) struct HealthcheckArgs {
    #[command(flatten)]
    layers: ConfigArgs,
    /// Ask for liveness (/healthz) instead of readiness (/readyz).
    #[arg(long)]
    live: bool,
    /// Address of the collector; overrides server.listen.
    #[arg(long, value_name = "ADDRESS:PORT")]
    address: Option<SocketAddr>,
    /// Deadline of the response.
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    timeout: u64,
}

/// The response of `/healthz` and `/readyz`.
#[derive(Deserialize)]
struct ProbeResponse {
    code: String,
    #[serde(default)]
    checks: Vec<ProbeCheck>,
}

#[derive(Deserialize)]
struct ProbeCheck {
    name: String,
    ok: bool,
    code: String,
}

impl HealthcheckArgs {
    /// Exit codes: 0 healthy; 1 unhealthy, unreachable, or without a known address.
    pub(super) fn run(self) -> ExitCode {
        report_outcome(self.probe_collector())
    }

    fn probe_collector(self) -> anyhow::Result<()> {
        let listen = match self.address {
            Some(address) => address,
            None => self.layers.load_config(std::iter::empty())?.server.listen,
        };
        ensure!(
            listen.port() != 0,
            "server.listen has no fixed port; use --address"
        );
        let path = if self.live { "/healthz" } else { "/readyz" };
        let uri = format!("http://{}{path}", connectable_address(listen));

        let timeout = Duration::from_secs(self.timeout);
        block_on_runtime(async move {
            let answer = tokio::time::timeout(timeout, fetch_health(&uri)).await;
            let (status, body) =
                answer.with_context(|| format!("{uri}: no response in {timeout:?}"))??;
            check_response(&uri, status, &body)
        })
    }
}

/// The address to connect to; loopback for a server that listens on all addresses.
fn connectable_address(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

async fn fetch_health(uri: &str) -> anyhow::Result<(StatusCode, Bytes)> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let answer = client
        .get(uri.parse()?)
        .await
        .with_context(|| format!("{uri}: cannot be reached"))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_BODY_BYTES)
        .collect()
        .await
        .map_err(anyhow::Error::from_boxed)?;
    Ok((status, body.to_bytes()))
}

fn check_response(uri: &str, status: StatusCode, body: &[u8]) -> anyhow::Result<()> {
    if status == StatusCode::OK {
        return Ok(());
    }
    let said = match serde_json::from_slice::<ProbeResponse>(body) {
        Ok(ProbeResponse { code, checks }) if checks.is_empty() => code,
        Ok(ProbeResponse { checks, .. }) => {
            let failing = checks.iter().filter(|check| !check.ok);
            failing
                .map(|check| format!("{}: {}", check.name, check.code))
                .collect::<Vec<_>>()
                .join(", ")
        }
        Err(_) => "not a collector's response".to_owned(),
    };
    anyhow::bail!("{uri}: {} {said}", status.as_u16())
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
                connectable_address(listen.parse().unwrap()),
                asked.parse().unwrap()
            );
        }
    }
}
