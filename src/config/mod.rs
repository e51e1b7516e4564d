//! What an operator can set: one strict struct per section, units in the names.
//!
//! Layers, later wins: built-in defaults (`config/default.toml`, compiled in), the preset, the file, `FOOTFALL__SECTION__KEY`
//! in the environment, `--set section.key=value`. An unknown key, a wrong type or a value out of range is an error that names
//! where it was written, the key, and what is accepted; all of them are told at once, and nothing starts half configured.

#[macro_use]
mod words;

mod access;
mod compatible;
mod consent;
mod directory;
mod edge;
mod environment;
mod error;
mod hosts;
mod layers;
mod load;
mod mail;
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
pub use compatible::{Accepted, Compatible, CompatibleRule, Dialect};
pub use consent::{
    Basis, Channel, Consent, ConsentCookie, OnSignal, OnVersion, Policy, RegisterRule, Signals, Ui, Visitor,
    VisitorCookie, VisitorMode, WellKnown,
};
pub use directory::Directory;
pub use edge::{Limits, Proxy, Server};
pub use environment::is_variable;
pub use error::{ConfigError, ConfigErrors, Places, line_of};
pub use hosts::{Hosts, Site};
pub use load::{DEFAULTS, PRESETS, Reading, Sources, load, read};
pub use mail::{Mail, MailMode, is_mail_name};
pub use names::Names;
pub use platform::{Bi, Platform, TokenAlgorithm};
pub use proxies::Proxies;
pub use secret::Secret;
pub use sites::{AliasRule, ProfileRule, Registered, SiteRule, is_site_name, with_one_id};
pub use storage::{Data, Journal, Ledger, Registry, Retention, Store};
pub use zones::{Zone, Zones};

use crate::hex;

#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name of a built-in preset the rest is laid over; empty for none.
    #[garde(skip)]
    pub preset: String,
    #[garde(dive)]
    pub server: Server,
    #[garde(dive)]
    pub proxy: Proxy,
    #[garde(dive)]
    pub limits: Limits,
    #[garde(dive)]
    pub signals: Signals,
    #[garde(dive)]
    pub consent: Consent,
    #[garde(dive)]
    pub policy: Policy,
    #[garde(dive)]
    pub well_known: WellKnown,
    #[garde(dive)]
    pub platform: Platform,
    #[garde(dive)]
    pub access: Access,
    #[garde(dive)]
    pub bi: Bi,
    #[garde(dive)]
    pub mail: Mail,
    #[garde(dive)]
    pub visitor: Visitor,
    #[garde(dive)]
    pub journal: Journal,
    #[garde(dive)]
    pub ledger: Ledger,
    #[garde(dive)]
    pub store: Store,
    #[garde(dive)]
    pub registry: Registry,
    #[garde(dive)]
    pub retention: Retention,
    #[garde(dive)]
    pub report: Report,
    #[garde(dive)]
    pub data: Data,
    #[garde(dive)]
    pub log: Log,
    #[garde(dive)]
    pub sample: Sample,
    #[garde(dive)]
    pub test: Test,
    #[garde(dive)]
    pub profiles: Vec<ProfileRule>,
    #[garde(dive)]
    pub sites: Vec<SiteRule>,
    /// Trackers of other products.
    #[garde(dive)]
    pub compatible: Vec<CompatibleRule>,
    /// Of the platform, for the consent question.
    #[garde(dive)]
    pub register: Vec<RegisterRule>,
}

#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Attribute values with fewer visitors than this fold into `(other)`.
    #[garde(range(min = 2, max = 1000))]
    pub k: u32,
    /// The same for share links, which go to strangers; never less than `k`.
    #[garde(range(min = 2, max = 1000))]
    pub share_k: u32,
    /// At full hours, attribute values with at least this many visitors not yet published are published on the open day already.
    /// Raised to ten times `k` where it is less; 0 for never.
    #[garde(skip)]
    pub open_lot: u32,
    /// A day or hour is published this long after its end: the counts of other collectors need time to arrive.
    #[garde(range(min = 10, max = 86_400))]
    pub publish_delay_secs: u32,
    /// The operator's bearer token. Without one, and without a password login, whoever sits on this machine is the operator.
    #[garde(skip)]
    pub token: Secret,
    #[garde(skip)]
    pub token_file: String,
}

impl Report {
    /// The smallest lot of an open day; 0 for none.
    pub fn min_open_lot(&self) -> u32 {
        if self.open_lot == 0 { 0 } else { self.open_lot.max(self.k.saturating_mul(10)) }
    }
}

#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// `tracing` filter, such as `info` or `warn,footfall::flush=debug`.
    #[garde(length(min = 1))]
    pub filter: String,
    #[garde(skip)]
    pub format: LogFormat,
}

words! {
    pub enum LogFormat {
        Text = "text",
        Json = "json",
    }
}

#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// Serves the sample profile and its plain consent form. For trying out, not for production.
    #[garde(skip)]
    pub enabled: bool,
}

#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// Time stands still and follows `X-Footfall-Now`; refused unless every listen address is loopback.
    #[garde(skip)]
    pub clock: bool,
    /// Where the test clock starts, Unix milliseconds.
    #[garde(range(min = 0))]
    pub start_millis: i64,
    /// The key of the coin that decides between k and 2k, 64 lower-case hex digits; empty for the one in the store. For tests that compute the
    /// published numbers a second time.
    #[garde(custom(is_coin_key))]
    pub coin_key: Secret,
    /// Publishes lots without a remainder, for tests of what is not about lots; needs `clock`.
    #[garde(skip)]
    pub whole_lots: bool,
}

impl Test {
    /// The bytes of `coin_key`; `None` where it is empty.
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
