use std::net::SocketAddr;

use garde::Validate;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Server {
    #[garde(skip)]
    pub listen: SocketAddr,
    /// HTTP workers; 0 is one per core.
    #[garde(range(max = 256))]
    pub workers: usize,
    /// Where the collector lives on the page's own origin.
    #[garde(custom(valid_prefix))]
    pub prefix: String,
    #[garde(range(min = 1, max = 1_000_000))]
    pub max_connections: usize,
    /// Of one /24 or /48; trusted proxies have no such bound.
    #[garde(range(min = 1, max = 1_000_000))]
    pub network_connections: usize,
    /// Dashboards that may follow along at once.
    #[garde(range(max = 100_000))]
    pub max_streams: usize,
    #[garde(range(min = 1, max = 600))]
    pub keep_alive_secs: u64,
    /// How long a stop may take before what is left stays in the journal for the next start.
    #[garde(range(min = 1, max = 3600))]
    pub stop_secs: u64,
}

#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    /// Networks whose `X-Forwarded-For` and `X-Forwarded-Host` are believed. Empty: nobody's.
    #[garde(length(max = 256))]
    pub trusted: Vec<IpNet>,
}

#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    #[garde(range(min = 512, max = 65_536))]
    pub body_bytes: usize,
    #[garde(range(min = 1, max = 20))]
    pub batch_hits: usize,
    #[garde(range(min = 8, max = 96))]
    pub headers: usize,
    #[garde(range(min = 1024, max = 65_536))]
    pub header_bytes: usize,
    /// Until the headers are complete, and again until the body is.
    #[garde(range(min = 100, max = 9_500))]
    pub read_millis: u64,
    /// A client that takes not a byte of its answer for this long, or not all of it within six times as long, is let go.
    #[garde(range(min = 100, max = 600_000))]
    pub write_millis: u64,
    /// Reports and metrics that the store does not answer within it are answered 503.
    #[garde(range(min = 100, max = 600_000))]
    pub answer_millis: u64,
    /// Hits a second of one /24 or /48, and how many may come at once.
    #[garde(range(min = 1))]
    pub network_hits_per_sec: u32,
    #[garde(range(min = 1))]
    pub network_burst: u32,
    /// Hits a second of one site, and how many may come at once.
    #[garde(range(min = 1))]
    pub site_hits_per_sec: u32,
    #[garde(range(min = 1))]
    pub site_burst: u32,
    /// Answers to the consent question a minute of one /24 or /48.
    #[garde(range(min = 1))]
    pub network_choices_per_min: u32,
    /// Passwords that may be tried, of a login or a share link.
    #[garde(range(min = 1))]
    pub network_logins_per_min: u32,
    #[garde(range(min = 1))]
    pub user_logins_per_min: u32,
    /// Tokens that are none a minute: bearers, share links, handovers. Beyond it a network's are not looked at.
    #[garde(range(min = 1))]
    pub network_wrong_tokens_per_min: u32,
    /// From everywhere; beyond it those of networks that had a wrong one in that minute are not looked at.
    #[garde(range(min = 1))]
    pub wrong_tokens_per_min: u32,
    /// Dashboards of one session or API token that are told of news at once, and of one /24 or /48.
    #[garde(range(min = 1))]
    pub session_streams: usize,
    #[garde(range(min = 1))]
    pub network_streams: usize,
    /// The most one event may bring, in major units of a common currency; a site may have a bound of its own. What is over it is counted
    /// beside the money.
    #[garde(range(min = 1, max = 1_000_000_000))]
    pub max_amount: u32,
    /// Networks the rate limit remembers; beyond it, newcomers share one bucket.
    #[garde(range(min = 1000))]
    pub networks: usize,
    /// Hits waiting for the journal; beyond it the answer is 503.
    #[garde(range(min = 1))]
    pub waiting_hits: usize,
    /// Caps of what is held in memory for one day of one time zone. Beyond them hits still count: visitors no longer, values as `(other)`.
    #[garde(range(min = 1000))]
    pub visitors: usize,
    /// Visitors of one site and day that show the same consent: a copied cookie. Beyond it their hits count, and they do not.
    #[garde(range(min = 1, max = 1_000_000))]
    pub visitors_per_grant: u32,
    #[garde(range(min = 1000))]
    pub touched_items: usize,
    #[garde(range(min = 1))]
    pub sites: usize,
    /// Distinct paths, links or event names of one site and day.
    #[garde(range(min = 1))]
    pub items_per_site: usize,
    /// Distinct values of one dimension of one site and day.
    #[garde(range(min = 1))]
    pub values_per_site: usize,
    /// Distinct texts of all sites of the day together.
    #[garde(range(min = 1000))]
    pub texts: usize,
    /// Their bytes, with some 64 that each takes beside its own.
    #[garde(range(min = 1_048_576))]
    pub text_bytes: u64,
    /// Hit ids remembered for each minute.
    #[garde(range(min = 1000))]
    pub hit_ids: usize,
}

fn valid_prefix(value: &str, _: &()) -> garde::Result {
    let ok = value.len() > 1
        && value.starts_with('/')
        && !value.ends_with('/')
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-_.".contains(&b));
    if ok {
        Ok(())
    } else {
        Err(garde::Error::new("must look like /ff: a leading slash, no trailing one, letters, digits, - _ . /"))
    }
}
