//! `[server]`, `[proxy]` and `[limits]`: the HTTP server, trusted proxies, and all limits of
//! requests, rates and memory.

use std::net::SocketAddr;

use garde::Validate;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// `[server]`: the HTTP server.
#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// Address and port to listen on.
    #[garde(skip)]
    pub listen: SocketAddr,
    /// HTTP worker threads; 0 for one per core.
    #[garde(range(max = 256))]
    pub workers: usize,
    /// Path prefix of the collector on the page's own origin.
    #[garde(custom(validate_prefix))]
    pub prefix: String,
    /// Maximum number of open connections; 0 follows from `limits.memory_bytes`.
    #[garde(range(max = 1_000_000))]
    pub max_connections: usize,
    /// Maximum number of open connections of one /24 or /48; trusted proxies are exempt.
    #[garde(range(min = 1, max = 1_000_000))]
    pub connections_per_network: usize,
    /// Maximum number of open event streams of dashboards.
    #[garde(range(max = 100_000))]
    pub max_streams: usize,
    /// Seconds that an idle connection is kept open.
    #[garde(range(min = 1, max = 600))]
    pub keep_alive_secs: u64,
    /// Seconds between SIGTERM and closing the port, while `/readyz` already answers 503.
    #[garde(range(max = 600))]
    pub drain_secs: u64,
    /// Seconds that a stop may take. Segments that are not sent by then stay in the journal for the
    /// next start.
    #[garde(range(min = 1, max = 3600))]
    pub shutdown_secs: u64,
}

/// `[proxy]`: trusted reverse proxies.
#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct ProxyConfig {
    /// Networks whose `X-Forwarded-For` and `X-Forwarded-Host` are trusted; empty for none.
    #[garde(length(max = 256))]
    pub trusted: Vec<IpNet>,
}

/// `[limits]`: limits of requests, rates and memory.
#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct LimitsConfig {
    /// Maximum size of the body of a hit request, in bytes.
    #[garde(range(min = 512, max = 65_536))]
    pub body_bytes: usize,
    /// Maximum number of hits in one body.
    #[garde(range(min = 1, max = 20))]
    pub hits_per_beacon: usize,
    /// Maximum number of header fields of a request.
    #[garde(range(min = 8, max = 96))]
    pub headers: usize,
    /// Maximum size of the header of a request, in bytes.
    #[garde(range(min = 1024, max = 65_536))]
    pub header_bytes: usize,
    /// Milliseconds for the complete header, and again for the complete body.
    #[garde(range(min = 100, max = 9_500))]
    pub read_timeout_millis: u64,
    /// A client that reads nothing of its response for this many milliseconds, or not all of it
    /// within six times as long, is disconnected.
    #[garde(range(min = 100, max = 600_000))]
    pub write_timeout_millis: u64,
    /// Milliseconds for reports and metrics; later ones are answered 503.
    #[garde(range(min = 100, max = 600_000))]
    pub response_timeout_millis: u64,
    /// Hits per second of one /24 or /48.
    #[garde(range(min = 1))]
    pub network_hits_per_sec: u32,
    /// Hits that one /24 or /48 may send at once.
    #[garde(range(min = 1))]
    pub network_burst: u32,
    /// Hits per second of one site.
    #[garde(range(min = 1))]
    pub site_hits_per_sec: u32,
    /// Hits that one site may receive at once.
    #[garde(range(min = 1))]
    pub site_burst: u32,
    /// Sites that profile rules make and that one /24 or /48 may be the first of the day to visit.
    /// Once half of [`LimitsConfig::sites`] are used, its hits of others count under `(other)` until
    /// another network has visited them.
    #[garde(range(min = 1))]
    pub network_new_sites_per_day: u32,
    /// Consent choices per minute of one /24 or /48.
    #[garde(range(min = 1))]
    pub network_choices_per_min: u32,
    /// Password attempts per minute of one /24 or /48, at the login and at share links.
    #[garde(range(min = 1))]
    pub network_logins_per_min: u32,
    /// Password attempts per minute for one user or one share link, from all networks.
    #[garde(range(min = 1))]
    pub user_logins_per_min: u32,
    /// Invalid tokens per minute of one /24 or /48: bearer tokens, share links, handovers. Beyond
    /// it, the network's tokens are not verified.
    #[garde(range(min = 1))]
    pub network_invalid_tokens_per_min: u32,
    /// Invalid tokens per minute of all networks. Beyond it, tokens of networks with an invalid one
    /// in that minute are not verified.
    #[garde(range(min = 1))]
    pub invalid_tokens_per_min: u32,
    /// Maximum number of event streams of one session or API token.
    #[garde(range(min = 1))]
    pub streams_per_session: usize,
    /// Maximum number of event streams of one /24 or /48.
    #[garde(range(min = 1))]
    pub streams_per_network: usize,
    /// Largest amount of one event, in euros or as much in another currency; a site may have a
    /// bound of its own. Events over it are counted without their amount.
    #[garde(range(min = 1, max = 1_000_000_000))]
    pub max_amount: u32,
    /// Bytes of memory for everything that the limits below allow, without the engine's: see
    /// [`MemoryBudget`](super::MemoryBudget). Limits of 0 follow from it.
    #[garde(range(min = 1))]
    pub memory_bytes: u64,
    /// Networks that the rate limiter tracks; beyond it, new ones share one bucket.
    #[garde(custom(validate_entry_cap))]
    pub networks: usize,
    /// Hits that may wait for the journal; beyond it, they are answered 503.
    #[garde(skip)]
    pub queued_hits: usize,
    /// Maximum number of visitors of all days that are not over. Beyond it, hits count but their
    /// visitors do not.
    #[garde(custom(validate_entry_cap))]
    pub visitors: usize,
    /// Maximum number of visitors of one site and day with the same grant; more are copies of its
    /// cookie. Beyond it, hits count but their visitors do not.
    #[garde(range(min = 1, max = 1_000_000))]
    pub visitors_per_grant: u32,
    /// Maximum number of pairs of a visitor and an item, of all days that are not over.
    #[garde(custom(validate_entry_cap))]
    pub visitor_items: usize,
    /// Maximum number of sites with a hit, of all days that are not over; hits of others count
    /// under `(other)`.
    #[garde(skip)]
    pub sites: usize,
    /// Maximum number of distinct paths, links or event names of one site and day; others count
    /// under `(other)`.
    #[garde(range(min = 1))]
    pub items_per_site: usize,
    /// Maximum number of distinct values of one dimension of one site and day; others count under
    /// `(other)`.
    #[garde(range(min = 1))]
    pub values_per_site: usize,
    /// Maximum number of distinct texts of all sites, of all days that are not over.
    #[garde(custom(validate_entry_cap))]
    pub texts: usize,
    /// Bytes of these texts, including the overhead of each.
    #[garde(custom(validate_byte_cap))]
    pub text_bytes: u64,
    /// Maximum number of hit ids kept per minute.
    #[garde(custom(validate_entry_cap))]
    pub hit_ids: usize,
}

fn validate_entry_cap(value: &usize, _: &()) -> garde::Result {
    validate_minimum(*value as u64, 1000)
}

fn validate_byte_cap(value: &u64, _: &()) -> garde::Result {
    validate_minimum(*value, 1 << 20)
}

fn validate_minimum(value: u64, least: u64) -> garde::Result {
    if value == 0 || value >= least {
        return Ok(());
    }
    Err(garde::Error::new(format!(
        "must be at least {least}, or 0 to follow from limits.memory_bytes"
    )))
}

fn validate_prefix(value: &str, _: &()) -> garde::Result {
    let ok = value.len() > 1
        && value.starts_with('/')
        && !value.ends_with('/')
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"/-_.".contains(&b));
    if ok {
        Ok(())
    } else {
        Err(garde::Error::new(
            "must look like /ff: a leading slash, no trailing one, letters, digits, - _ . /",
        ))
    }
}
