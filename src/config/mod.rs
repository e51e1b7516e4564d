//! The configuration: one strict struct per section, with units in the names of keys.
//!
//! The configuration has layers; later ones win: built-in defaults (`config/default.toml`, compiled
//! in), the preset, the file, `FOOTFALL__SECTION__KEY` in the environment, `--set
//! section.key=value`. An unknown key, a wrong type or a value out of range is an error that names
//! where it was written, the key, and what is accepted. All errors are reported at once, and
//! nothing starts with an invalid configuration.

mod access;
mod bi_port;
mod builtin;
mod cluster;
mod compatible;
mod consent;
mod cross_checks;
mod environment;
mod error;
mod health;
mod layers;
mod load;
mod mail;
mod memory;
mod platform;
mod renamed_keys;
mod retention_policy;
mod schema;
mod secret;
mod server;
mod site_rules;
mod storage;

use std::path::PathBuf;

use garde::Validate;
use serde::{Deserialize, Serialize};

pub use access::AccessConfig;
pub use bi_port::BiPortConfig;
pub use builtin::{DEFAULTS, PRESETS};
pub use cluster::{ClusterConfig, CollectorAddress};
pub use compatible::{
    AcceptedTracker, CompatibleRule, CompatibleRules, StoredRefusals, TrackerDialect,
};
pub use consent::{
    ConsentBasis, ConsentConfig, ConsentCookieConfig, NoticeChannel, PolicyConfig, PromptStyle,
    RegisterRule, RepromptScope, SignalEffect, SignalsConfig, VisitorConfig, VisitorCookieConfig,
    VisitorMode, WellKnownConfig,
};
pub(crate) use cross_checks::MAX_EXEMPT_RETENTION_DAYS;
pub use environment::is_variable;
pub use error::{ConfigError, ConfigErrors, KeyLocations, line_of};
pub use health::HealthConfig;
pub use load::{ConfigSources, LoadedConfig, load_config, read_config};
pub use mail::{MailConfig, MailMode, is_mail_name};
pub use memory::{MemoryBudget, MemoryCaps, TEXT_OVERHEAD_BYTES};
pub use platform::{BiConfig, PlatformConfig, TokenAlgorithm};
pub use retention_policy::{RegisteredLimits, RetentionPolicy};
pub use secret::Secret;
pub use server::{LimitsConfig, ProxyConfig, ServerConfig};
pub use site_rules::{
    AliasRule, NameMap, ProfileRule, RegistryChange, SiteRule, find_id_collision, is_site_name,
};
pub(crate) use storage::MAX_KEEP_DAYS;
pub use storage::{
    AgeingLimits, BackupConfig, DataFilesConfig, JournalConfig, LedgerConfig, RegistryConfig,
    RetentionConfig, StoreConfig, check_store_url,
};

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
    pub server: ServerConfig,
    /// Trusted reverse proxies.
    #[garde(dive)]
    pub proxy: ProxyConfig,
    /// Limits of requests, rates and memory.
    #[garde(dive)]
    pub limits: LimitsConfig,
    /// Effects of the browser's privacy signals.
    #[garde(dive)]
    pub signals: SignalsConfig,
    /// The consent prompt and its cookie.
    #[garde(dive)]
    pub consent: ConsentConfig,
    /// The published privacy policy.
    #[garde(dive)]
    pub policy: PolicyConfig,
    /// Documents under `/.well-known/`.
    #[garde(dive)]
    pub well_known: WellKnownConfig,
    /// How the host platform's tokens are verified.
    #[garde(dive)]
    pub platform: PlatformConfig,
    /// Password login and sessions.
    #[garde(dive)]
    pub access: AccessConfig,
    /// The gate in front of an embedded BI tool.
    #[garde(dive)]
    pub bi: BiConfig,
    /// ClickHouse's own protocols for BI tools.
    #[garde(dive)]
    pub bi_port: BiPortConfig,
    /// Other collectors of the same platform.
    #[garde(dive)]
    pub cluster: ClusterConfig,
    /// Pixels and links in mails.
    #[garde(dive)]
    pub mail: MailConfig,
    /// How visitors and visits are recognised.
    #[garde(dive)]
    pub visitor: VisitorConfig,
    /// The journal on disk.
    #[garde(dive)]
    pub journal: JournalConfig,
    /// The consent ledger.
    #[garde(dive)]
    pub ledger: LedgerConfig,
    /// ClickHouse, embedded or remote.
    #[garde(dive)]
    pub store: StoreConfig,
    /// Where backups are.
    #[garde(dive)]
    pub backup: BackupConfig,
    /// Sites that are registered at run time.
    #[garde(dive)]
    pub registry: RegistryConfig,
    /// How long counts are kept.
    #[garde(dive)]
    pub retention: RetentionConfig,
    /// Thresholds of reports, and the operator's token.
    #[garde(dive)]
    pub report: ReportConfig,
    /// Data files.
    #[garde(dive)]
    pub data: DataFilesConfig,
    /// Thresholds of `/readyz`.
    #[garde(dive)]
    pub health: HealthConfig,
    /// Logging.
    #[garde(dive)]
    pub log: LogConfig,
    /// The sample profile.
    #[garde(dive)]
    pub sample: SampleConfig,
    /// Switches for tests.
    #[garde(dive)]
    pub test: TestConfig,
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

impl Config {
    /// The file of the keys that sign grants.
    pub fn grant_key_path(&self) -> PathBuf {
        self.named_or_own(&self.consent.key_file, "consent.keys")
    }

    /// The file of the keys that encrypt sessions and unlocked share links.
    pub fn cookie_key_path(&self) -> PathBuf {
        self.named_or_own(&self.access.key_file, "access.keys")
    }

    /// The file that is named, or else this one in the ledger's folder.
    fn named_or_own(&self, named: &str, own: &str) -> PathBuf {
        match named {
            "" => self.ledger.dir.join(own),
            named => PathBuf::from(named),
        }
    }
}

/// `[report]`: thresholds of what reports may show, and the operator's token.
#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct ReportConfig {
    /// Attribute values with fewer visitors than this are merged into `(other)`.
    #[garde(range(min = 2, max = 1000))]
    pub k: u32,
    /// The same for share links, whose holders are unknown; at least `k`.
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

impl ReportConfig {
    /// Minimum number of visitors of a lot on an open day, see `open_lot`; 0 for no such lots.
    pub fn min_open_lot(&self) -> u32 {
        if self.open_lot == 0 {
            0
        } else {
            self.open_lot.max(self.k.saturating_mul(10))
        }
    }
}

/// `[log]`: logging to standard error.
#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// `tracing` filter, such as `info` or `warn,footfall::flush=debug`.
    #[garde(length(min = 1))]
    pub filter: String,
    /// Form of the lines.
    #[garde(skip)]
    pub format: LogFormat,
}

string_enum! {
    /// One line of text, or one JSON object, per event.
    pub enum LogFormat {
        Text = "text",
        Json = "json",
    }
}

/// `[sample]`: a profile to try the collector with.
#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct SampleConfig {
    /// Serves the sample profile and its plain consent form. Not for production.
    #[garde(skip)]
    pub enabled: bool,
}

/// `[test]`: switches for tests only.
#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct TestConfig {
    /// Time only moves by the header `X-Footfall-Now`. Rejected unless the listen address is
    /// loopback.
    #[garde(skip)]
    pub clock: bool,
    /// Start of the test clock, in Unix milliseconds.
    #[garde(range(min = 0))]
    pub start_millis: i64,
    /// Key of the random draw between k and 2k, 64 lower-case hex digits; empty for the one in the
    /// store. For tests that compute the published numbers a second time.
    #[garde(custom(validate_coin_key))]
    pub coin_key: Secret,
    /// Publishes lots without a random remainder, for tests of other features. Needs `clock`.
    #[garde(skip)]
    pub whole_lots: bool,
    /// The step of an upgrade at which the process stops (SIGSTOP), for tests that kill it there.
    /// Needs `clock`.
    #[garde(skip)]
    pub upgrade_stop: UpgradeStep,
}

string_enum! {
    /// Steps of an upgrade, in their order.
    pub enum UpgradeStep {
        /// None: the process does not stop.
        None = "",
        /// The new process was offered the sockets, and has not asked for the state.
        Offered = "offered",
        /// The running collector reads no requests, and has not written the state.
        Frozen = "frozen",
        /// The running collector has written the state, and not sent it.
        Written = "written",
        /// The running collector has sent the state.
        Sent = "sent",
        /// The new process has read the state, and not said so.
        Received = "received",
        /// The new process has said that it has the state.
        Taken = "taken",
        /// The running collector knows that the new process has the state, and has closed nothing.
        Leaving = "leaving",
        /// The running collector has released the journal and the ledger.
        Released = "released",
        /// The new process has seen that they are free, and has not opened them.
        Free = "free",
    }
}

impl TestConfig {
    /// The bytes of `coin_key`; `None` if it is empty.
    pub fn coin_key_bytes(&self) -> Option<[u8; 32]> {
        hex::decode_lower(self.coin_key.expose_secret().as_bytes())
    }
}

fn validate_coin_key(value: &Secret, _: &()) -> garde::Result {
    let text = value.expose_secret();
    if text.is_empty() || hex::decode_lower::<32>(text.as_bytes()).is_some() {
        Ok(())
    } else {
        Err(garde::Error::new(
            "must be empty or 64 hex digits, in lower case",
        ))
    }
}
