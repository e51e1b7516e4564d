use std::path::PathBuf;

use garde::Validate;
use serde::{Deserialize, Serialize};

use super::Secret;

#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Journal {
    #[garde(skip)]
    pub dir: PathBuf,
    /// An open segment is sealed and sent at least this often. Longer writes fewer rows; reports lag by it.
    #[garde(range(min = 1, max = 3600))]
    pub segment_secs: u64,
    /// A segment is sealed at this many rows: one insert must be one block.
    #[garde(range(min = 1000, max = 1_000_000))]
    pub segment_rows: usize,
    /// And at this many bytes of rows, each counted with its texts: what the store needs to take it.
    #[garde(range(min = 1_048_576, max = 1_073_741_824))]
    pub segment_bytes: usize,
    /// Attributes of sites with enough visits go to the store at most this often, and those of a day that is over at once.
    #[garde(range(max = 3600))]
    pub attribute_secs: u64,
    /// Where the key lies that attributes in open segments are encrypted with: a tmpfs, never a disk.
    #[garde(skip)]
    pub key_dir: PathBuf,
    /// What may wait on disk while ClickHouse is away; at the bound hits are answered 503.
    #[garde(range(min = 1_048_576))]
    pub max_bytes: u64,
}

#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    #[garde(skip)]
    pub dir: PathBuf,
    /// An Ed25519 key, PKCS#8 PEM, that signs checkpoints and receipts; empty for one made at the first start, in the ledger's folder.
    #[garde(skip)]
    pub key_file: String,
    /// A checkpoint is written this often where something was added, and at a stop.
    #[garde(range(min = 1, max = 604_800))]
    pub checkpoint_secs: u64,
    /// Grants and refusals that are taken in an hour; beyond it the question is answered 503. Withdrawals are always taken.
    #[garde(range(min = 1))]
    pub acts_per_hour: u64,
}

#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// `http(s)://host:8123` of a ClickHouse server; empty for the embedded engine.
    #[garde(custom(store_url))]
    pub url: String,
    #[garde(skip)]
    pub user: String,
    #[garde(skip)]
    pub password: Secret,
    #[garde(skip)]
    pub password_file: String,
    /// Certificates in PEM of the authorities a server's is signed by, in place of the public ones; empty for those, or for the file
    /// that `SSL_CERT_FILE` names.
    #[garde(skip)]
    pub ca_file: String,
    #[garde(custom(identifier))]
    pub database: String,
    /// Name of the cluster the tables are made on; empty for a single server.
    #[garde(skip)]
    pub cluster: String,
    /// Where the embedded engine keeps its tables.
    #[garde(skip)]
    pub dir: PathBuf,
    /// `libchdb.so`; empty looks beside the binary and in `node_modules`.
    #[garde(skip)]
    pub library: String,
    /// The embedded engine's memory; the process can reach 1.7 times it.
    #[garde(range(min = 268_435_456))]
    pub memory_bytes: u64,
    #[garde(range(min = 67_108_864))]
    pub query_memory_bytes: u64,
    #[garde(range(min = 1, max = 600))]
    pub query_secs: u32,
    #[garde(range(min = 1, max = 64))]
    pub connections: usize,
}

#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// How often a collector looks for sites that were registered through another one.
    #[garde(range(min = 1, max = 3600))]
    pub refresh_secs: u64,
}

#[derive(Deserialize, Serialize, Validate, Clone, Copy, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Months that ended longer ago are dropped.
    #[garde(range(min = 36, max = 36_500))]
    pub keep_days: u32,
}

#[derive(Deserialize, Serialize, Validate, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Country database (mmdb); empty looks in `node_modules`, and without one every country is `(unknown)`.
    #[garde(skip)]
    pub countries: String,
    #[garde(range(min = 1))]
    pub reload_secs: u64,
}

fn store_url(value: &str, _: &()) -> garde::Result {
    let ok = value.is_empty()
        || url::Url::parse(value)
            .is_ok_and(|u| matches!(u.scheme(), "http" | "https") && u.username().is_empty() && u.password().is_none());
    if ok {
        Ok(())
    } else {
        Err(garde::Error::new(
            "must be empty (embedded engine) or http(s)://host:port; user and password have keys of their own",
        ))
    }
}

fn identifier(value: &str, _: &()) -> garde::Result {
    let ok = !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if ok { Ok(()) } else { Err(garde::Error::new("must be letters, digits and _")) }
}
