//! The configuration: one strict struct per section, with units in the names of keys.
//!
//! Layers, of which later ones win: built-in defaults (`config/default.toml`, compiled in), the
//! preset, the file, `FOOTFALL__SECTION__KEY` in the environment, `--set section.key=value`. An
//! unknown key, a wrong type or a value out of range is an error that names where it was written,
//! the key, and what is accepted. All errors are reported at once, and nothing starts with an
//! invalid configuration.

#[macro_use]
mod words;

mod access;
mod builtin;
mod compatible;
mod consent;
mod directory;
mod edge;
mod environment;
mod error;
mod health;
mod hosts;
mod layers;
mod load;
mod mail;
mod memory;
mod names;
mod platform;
mod proxies;
mod rules;
mod schema;
mod secret;
mod sites;
mod storage;
mod zones;

use garde::Validate;
use serde::{Deserialize, Serialize};

pub use access::Access;
pub use builtin::{DEFAULTS, PRESETS};
pub use compatible::{Accepted, Compatible, CompatibleRule, Dialect, StoredRefusals};
pub use consent::{
    Basis, Channel, Consent, ConsentCookie, OnSignal, OnVersion, Policy, RegisterRule, Signals, Ui, Visitor,
    VisitorCookie, VisitorMode, WellKnown,
};
pub use directory::Directory;
pub use edge::{Limits, Proxy, Server};
pub use environment::is_variable;
pub use error::{ConfigError, ConfigErrors, Places, line_of};
pub use health::Health;
pub use hosts::{Hosts, Site};
pub use load::{Reading, Sources, load, read};
pub use mail::{Mail, MailMode, is_mail_name};
pub use memory::{Memory, MemoryCaps, TEXT as TEXT_BYTES};
pub use names::Names;
pub use platform::{Bi, Platform, TokenAlgorithm};
pub use proxies::Proxies;
pub use secret::Secret;
pub use sites::{AliasRule, ProfileRule, Registered, SiteRule, is_site_name, with_one_id};
pub use storage::{Data, Journal, Ledger, Registry, Retention, Store};
pub use zones::{Zone, Zones};

use crate::hex;

/// The whole configuration, one field per section of `config/default.toml`.
#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name of the built-in preset below the file; empty for none.
    #[garde(skip)]
    pub preset: String,
    /// The HTTP server: address, connections, stop.
    #[garde(dive)]
    pub server: Server,
    /// Trusted reverse proxies.
    #[garde(dive)]
    pub proxy: Proxy,
    /// Limits of requests, rates and memory.
    #[garde(dive)]
    pub limits: Limits,
    /// What the browser's privacy signals do.
    #[garde(dive)]
    pub signals: Signals,
    /// The consent prompt and its cookie.
    #[garde(dive)]
    pub consent: Consent,
    /// The published privacy policy.
    #[garde(dive)]
    pub policy: Policy,
    /// Documents under `/.well-known/`.
    #[garde(dive)]
    pub well_known: WellKnown,
    /// How the host platform's tokens are verified.
    #[garde(dive)]
    pub platform: Platform,
    /// Password login and sessions.
    #[garde(dive)]
    pub access: Access,
    /// The gate in front of an embedded BI tool.
    #[garde(dive)]
    pub bi: Bi,
    /// Pixels and links in mails.
    #[garde(dive)]
    pub mail: Mail,
    /// How visitors and visits are recognised.
    #[garde(dive)]
    pub visitor: Visitor,
    /// The journal on disk.
    #[garde(dive)]
    pub journal: Journal,
    /// The consent ledger.
    #[garde(dive)]
    pub ledger: Ledger,
    /// ClickHouse, embedded or remote.
    #[garde(dive)]
    pub store: Store,
    /// Sites that are registered at run time.
    #[garde(dive)]
    pub registry: Registry,
    /// How long counts are kept.
    #[garde(dive)]
    pub retention: Retention,
    /// Thresholds of reports, and the operator's token.
    #[garde(dive)]
    pub report: Report,
    /// Data files.
    #[garde(dive)]
    pub data: Data,
    /// Logging.
    #[garde(dive)]
    pub health: Health,
    #[garde(dive)]
    pub log: Log,
    /// The sample profile.
    #[garde(dive)]
    pub sample: Sample,
    /// Switches for tests.
    #[garde(dive)]
    pub test: Test,
    /// Rules that make a site of each profile under a path.
    #[garde(dive)]
    pub profiles: Vec<ProfileRule>,
    /// Sites with hosts or a zone of their own.
    #[garde(dive)]
    pub sites: Vec<SiteRule>,
    /// Which sites accept hits from other products' trackers.
    #[garde(dive)]
    pub compatible: Vec<CompatibleRule>,
    /// What the platform itself stores in browsers, for the consent prompt.
    #[garde(dive)]
    pub register: Vec<RegisterRule>,
}

/// `[report]`: thresholds of what reports may show, and the operator's token.
#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Attribute values with fewer visitors than this are merged into `(other)`.
    #[garde(range(min = 2, max = 1000))]
    pub k: u32,
    /// The same for share links, whose holders are strangers; at least `k`.
    #[garde(range(min = 2, max = 1000))]
    pub share_k: u32,
    /// At full hours, attribute values with at least this many unpublished visitors are published
    /// during the open day. Raised to ten times `k` if less; 0 for never.
    #[garde(skip)]
    pub open_lot: u32,
    /// Seconds from the end of a day or hour to its publication, so that counts of other collectors
    /// can arrive.
    #[garde(range(min = 10, max = 86_400))]
    pub publish_delay_secs: u32,
    /// The operator's bearer token. Without it and without a password login, every client on this
    /// machine is the operator.
    #[garde(skip)]
    pub token: Secret,
    /// File that holds `token`; empty for none.
    #[garde(skip)]
    pub token_file: String,
}

impl Report {
    /// Least visitors of a lot on an open day, see `open_lot`; 0 for no such lots.
    pub fn min_open_lot(&self) -> u32 {
        if self.open_lot == 0 { 0 } else { self.open_lot.max(self.k.saturating_mul(10)) }
    }
}

/// `[log]`: logging to standard error.
#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// `tracing` filter, such as `info` or `warn,footfall::flush=debug`.
    #[garde(length(min = 1))]
    pub filter: String,
    /// Form of the lines.
    #[garde(skip)]
    pub format: LogFormat,
}

words! {
    /// One line of text, or one JSON object, per event.
    pub enum LogFormat {
        Text = "text",
        Json = "json",
    }
}

/// `[sample]`: a profile to try the collector with.
#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// Serves the sample profile and its plain consent form. Not for production.
    #[garde(skip)]
    pub enabled: bool,
}

/// `[test]`: switches for tests only.
#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// Time only moves by the header `X-Footfall-Now`. Refused unless the listen address is
    /// loopback.
    #[garde(skip)]
    pub clock: bool,
    /// Start of the test clock, in Unix milliseconds.
    #[garde(range(min = 0))]
    pub start_millis: i64,
    /// Key of the random draw between k and 2k, 64 lower-case hex digits; empty for the one in the
    /// store. For tests that compute the published numbers a second time.
    #[garde(custom(is_coin_key))]
    pub coin_key: Secret,
    /// Publishes lots without a random remainder, for tests of other things than lots. Needs
    /// `clock`.
    #[garde(skip)]
    pub whole_lots: bool,
}

impl Test {
    /// The bytes of `coin_key`; `None` if it is empty.
    pub fn coin_key_bytes(&self) -> Option<[u8; 32]> {
        hex::read(self.coin_key.expose().as_bytes())
    }
}

fn is_coin_key(value: &Secret, _: &()) -> garde::Result {
    let text = value.expose();
    if text.is_empty() || hex::read::<32>(text.as_bytes()).is_some() {
        Ok(())
    } else {
        Err(garde::Error::new("must be empty or 64 hex digits, in lower case"))
    }
}
