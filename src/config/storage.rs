//! `[journal]`, `[ledger]`, `[store]`, `[backup]`, `[registry]`, `[retention]` and `[data]`:
//! everything on disk and in the database.

use std::path::PathBuf;

use garde::Validate;
use serde::{Deserialize, Serialize};

use super::Secret;

/// `[journal]`: where counts are written before a hit is answered.
#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct JournalConfig {
    /// Folder of the segments.
    #[garde(skip)]
    pub dir: PathBuf,
    /// An open segment is closed and sent after at most this many seconds. A larger value writes
    /// fewer rows and delays reports by the same time.
    #[garde(range(min = 1, max = 3600))]
    pub segment_secs: u64,
    /// Rows at which a segment is closed, since one insert must be one block.
    #[garde(range(min = 1000, max = 1_000_000))]
    pub segment_rows: usize,
    /// Bytes of rows, with their texts, at which a segment is closed: what the store needs in
    /// memory to insert it.
    #[garde(range(min = 1_048_576, max = 1_073_741_824))]
    pub segment_bytes: usize,
    /// Seconds between releases of attributes of sites with enough visits. Those of a day that is
    /// over are released at once.
    #[garde(range(max = 3600))]
    pub attribute_secs: u64,
    /// Folder of the key that encrypts attributes in open segments: a tmpfs, never a disk.
    #[garde(skip)]
    pub key_dir: PathBuf,
    /// Bytes that may wait on disk while ClickHouse is away; beyond it, hits are answered 503.
    #[garde(range(min = 1_048_576))]
    pub max_bytes: u64,
}

/// `[ledger]`: the record of grants, refusals and withdrawals.
#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct LedgerConfig {
    /// Folder of the records.
    #[garde(skip)]
    pub dir: PathBuf,
    /// Ed25519 key in PKCS#8 PEM that signs checkpoints and receipts; empty for one in the ledger's
    /// folder, made at the first start.
    #[garde(skip)]
    pub key_file: String,
    /// Seconds between checkpoints, where records were added; one is also written at a stop.
    #[garde(range(min = 1, max = 604_800))]
    pub checkpoint_secs: u64,
    /// Grants and refusals that are recorded per hour; beyond it, they are answered 503.
    /// Withdrawals are always recorded.
    #[garde(range(min = 1))]
    pub acts_per_hour: u64,
}

/// `[store]`: ClickHouse, embedded or remote.
#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// `http(s)://host:8123` of a ClickHouse server; empty for the embedded engine.
    #[garde(custom(validate_store_url))]
    pub url: String,
    /// In place of `url`: for each shard, the URLs of its replicas. A site's counts are on one shard,
    /// by its id; the list cannot change once there are counts.
    #[garde(custom(validate_shards))]
    pub shards: Vec<Vec<String>>,
    /// Who writes a shard's rows to its replicas: `collector`; empty where each shard has one.
    #[garde(custom(validate_replication))]
    pub replication: String,
    /// User of the server.
    #[garde(skip)]
    pub user: String,
    /// Password of the server's user; empty for none.
    #[garde(skip)]
    pub password: Secret,
    /// File that holds `password`; empty for none.
    #[garde(skip)]
    pub password_file: String,
    /// File of CA certificates in PEM for the server's, in place of the public ones; empty for
    /// those, or for the file that `SSL_CERT_FILE` names.
    #[garde(skip)]
    pub ca_file: String,
    /// Name of the database.
    #[garde(custom(validate_identifier))]
    pub database: String,
    /// Name of the cluster that tables are created on; empty for a single server.
    #[garde(skip)]
    pub cluster: String,
    /// Folder of the embedded engine's tables.
    #[garde(skip)]
    pub dir: PathBuf,
    /// Path of `libchdb.so`; empty to look in the binary's folder and in `node_modules`.
    #[garde(skip)]
    pub library: String,
    /// Memory of the embedded engine in bytes; its process can reach 1.7 times as much.
    #[garde(range(min = 268_435_456))]
    pub memory_bytes: u64,
    /// Memory of one query, in bytes.
    #[garde(range(min = 67_108_864))]
    pub query_memory_bytes: u64,
    /// Maximum run time of a query, in seconds.
    #[garde(range(min = 1, max = 600))]
    pub query_timeout_secs: u32,
    /// Connections of the embedded engine; each runs one statement at a time.
    #[garde(range(min = 1, max = 64))]
    pub connections: usize,
}

impl StoreConfig {
    /// Whether the store is the embedded engine.
    pub fn is_embedded(&self) -> bool {
        self.url.is_empty() && self.shards.is_empty()
    }

    /// Whether a shard has several replicas.
    pub fn has_replicas(&self) -> bool {
        self.shards.iter().any(|replicas| replicas.len() > 1)
    }

    /// Whether the collector keeps replicas of shards. A shard may have one of them for a while.
    pub fn is_replicated(&self) -> bool {
        self.replication == COLLECTOR_REPLICATION
    }

    /// Whether a server is reached by TLS.
    pub fn has_tls(&self) -> bool {
        let all = self.shards.iter().flatten().chain([&self.url]);
        all.into_iter().any(|url| url.starts_with("https://"))
    }
}

/// `[backup]`: where `footfall backup` writes.
#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct BackupConfig {
    /// Folder of the backups. With a ClickHouse server, of everything but the tables.
    #[garde(skip)]
    pub dir: PathBuf,
    /// The server's disk for the tables; empty for its `backups.allowed_path`. The embedded engine
    /// writes to `dir`.
    #[garde(custom(validate_disk))]
    pub disk: String,
}

/// `[registry]`: sites that are registered at run time.
#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct RegistryConfig {
    /// Seconds between polls for changes by other collectors.
    #[garde(range(min = 1, max = 3600))]
    pub refresh_secs: u64,
}

/// The shortest time that counts can be kept: the last weeks are still written and published.
pub(super) const MIN_KEEP_DAYS: u32 = 36;
/// The shortest time that the platform's totals stay by day: which day it is follows from them when
/// the clock is wrong.
const MIN_ACTIVITY_DAYS: u32 = 93;
/// The longest time that counts can be kept: a hundred years.
pub(crate) const MAX_KEEP_DAYS: u32 = 36_500;

/// `[retention]`: how long counts are kept.
#[derive(Deserialize, Serialize, Validate, Clone, Copy, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct RetentionConfig {
    /// Days that are more than this many days ago are not shown, and their counts are deleted. Sites
    /// and profile rules can have a limit of their own.
    #[garde(range(min = MIN_KEEP_DAYS, max = MAX_KEEP_DAYS))]
    pub keep_days: u32,
    /// Days for which sites are counted by hour as well. Reports of earlier days are by day.
    #[garde(range(min = MIN_KEEP_DAYS, max = MAX_KEEP_DAYS))]
    pub hourly_days: u32,
    /// Days for which the totals of all sites are stored by day as well, for lists of the platform.
    /// Those of earlier days are stored by month.
    #[garde(range(min = MIN_ACTIVITY_DAYS, max = MAX_KEEP_DAYS))]
    pub activity_days: u32,
}

/// When counts become coarser.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AgeingLimits {
    /// See [`RetentionConfig::hourly_days`].
    pub hourly_days: u32,
    /// See [`RetentionConfig::activity_days`].
    pub activity_days: u32,
}

impl RetentionConfig {
    /// When counts become coarser.
    pub fn ageing_limits(&self) -> AgeingLimits {
        AgeingLimits {
            hourly_days: self.hourly_days,
            activity_days: self.activity_days,
        }
    }
}

/// `[data]`: data files.
#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct DataFilesConfig {
    /// Country database (mmdb); empty to look in the binary's folder and in `node_modules`. Without
    /// one, every country is `(unknown)`.
    #[garde(skip)]
    pub countries: String,
    /// File of data centre networks, one per line, whose hits are dropped; empty for none.
    #[garde(skip)]
    pub datacenter_networks: String,
    /// Seconds between checks whether a data file changed.
    #[garde(range(min = 1))]
    pub reload_secs: u64,
}

/// The value of `store.replication` with which the collector writes to every replica.
const COLLECTOR_REPLICATION: &str = "collector";

fn validate_store_url(value: &str, _: &()) -> garde::Result {
    if value.is_empty() {
        return Ok(());
    }
    check_store_url(value).map_err(|_| {
        garde::Error::new(
            "must be empty (embedded engine) or http(s)://host:port; user and password have keys \
             of their own",
        )
    })
}

fn validate_shards(shards: &[Vec<String>], _: &()) -> garde::Result {
    let error = |reason: String| Err(garde::Error::new(reason));
    let mut seen: Vec<&str> = Vec::new();
    for (number, replicas) in (1..).zip(shards) {
        let number: usize = number;
        if replicas.is_empty() {
            return error(format!("shard {number} has no URL"));
        }
        for url in replicas {
            if let Err(reason) = check_store_url(url) {
                return error(format!("shard {number} {reason}"));
            }
            if seen.contains(&url.as_str()) {
                return error(format!(
                    "{url} is listed twice; each shard and each replica is a database of its own"
                ));
            }
            seen.push(url);
        }
    }
    Ok(())
}

fn validate_replication(value: &str, _: &()) -> garde::Result {
    match value {
        "" | COLLECTOR_REPLICATION => Ok(()),
        _ => Err(garde::Error::new(
            "must be \"collector\", or empty where each shard has one URL; replicas of \
             ClickHouse's own, with Keeper, are not supported for shards",
        )),
    }
}

/// Checks the URL of a ClickHouse server.
///
/// # Errors
///
/// It is not one, or holds a user or a password.
pub fn check_store_url(value: &str) -> Result<(), &'static str> {
    let is_valid = url::Url::parse(value).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
    });
    match is_valid {
        true => Ok(()),
        false => Err("must be http(s)://host:port, without user and password"),
    }
}

fn validate_disk(value: &str, context: &()) -> garde::Result {
    if value.is_empty() {
        Ok(())
    } else {
        validate_identifier(value, context)
    }
}

fn validate_identifier(value: &str, _: &()) -> garde::Result {
    let ok = !value.is_empty()
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if ok {
        Ok(())
    } else {
        Err(garde::Error::new("must be letters, digits and _"))
    }
}
