//! Questions beside the load: is the target up, what do its metrics say, what does a report count.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Asks on a connection of its own and answers status and body.
pub fn ask(address: SocketAddr, method: &str, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    )?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text
        .split_once("\r\n\r\n")
        .context("an answer without an end of its head")?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .context("an answer without a status")?;
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    Ok((
        status,
        if chunked {
            joined(body)
        } else {
            body.to_owned()
        },
    ))
}

/// The text of a chunked body.
pub fn joined(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        let Some(chunk) = rest.get(..size).filter(|_| size > 0) else {
            break;
        };
        text.push_str(chunk);
        body = rest[size..].trim_start_matches("\r\n");
    }
    text
}

/// What the collector says about itself; `None` for what it does not say.
#[derive(Clone, Copy, Default, Debug)]
pub struct Metrics {
    pub journal_bytes: Option<f64>,
    pub rows_inserted: Option<f64>,
    pub segments_waiting: Option<f64>,
    pub store_bytes: Option<f64>,
}

pub fn metrics(address: SocketAddr) -> Result<Metrics> {
    let (status, text) = ask(address, "GET", "/metrics")?;
    if status != 200 {
        bail!("GET /metrics answered {status}");
    }
    Ok(Metrics {
        journal_bytes: sum(&text, "footfall_journal_bytes_total"),
        rows_inserted: sum(&text, "footfall_rows_inserted_total"),
        segments_waiting: sum(&text, "footfall_segments_waiting"),
        store_bytes: sum(&text, "footfall_store_bytes"),
    })
}

/// The sum of a metric over all its labels.
pub fn sum(text: &str, name: &str) -> Option<f64> {
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        if !rest.starts_with([' ', '{']) {
            return None;
        }
        rest.rsplit(' ').next()?.parse::<f64>().ok()
    });
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}
