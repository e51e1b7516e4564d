//! `footfall healthcheck`: requests the health of a running collector, in images without curl or a
//! shell.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use http_body_util::Empty;
use hyper::{Request, StatusCode};
use serde::Deserialize;

use super::api_client::{connectable_address, fetch_response};
use super::{ConfigArgs, block_on_runtime, report_outcome};

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
        let path = if self.live { "/healthz" } else { "/readyz" };
        let uri = format!("http://{}{path}", connectable_address(listen)?);

        let timeout = Duration::from_secs(self.timeout);
        block_on_runtime(async move {
            let request = Request::get(&uri).body(Empty::new())?;
            let answer = tokio::time::timeout(timeout, fetch_response(&uri, request)).await;
            let (status, body) =
                answer.with_context(|| format!("{uri}: no response in {timeout:?}"))??;
            check_response(&uri, status, &body)
        })
    }
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
