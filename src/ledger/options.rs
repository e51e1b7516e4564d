//! The location and the settings of a ledger.

use std::path::PathBuf;

use crate::config::Config;

/// The configuration of a ledger.
#[derive(Clone)]
pub struct LedgerOptions {
    /// The ledger's folder.
    pub dir: PathBuf,
    /// The PEM file of the key that signs checkpoints; empty for the ledger's own key in its
    /// folder.
    pub key_file: String,
    /// The interval in which a checkpoint is written if records were added, in seconds.
    pub checkpoint_secs: u64,
    /// The platform's name. Checkpoints name the ledger `footfall/<site>`.
    pub site: String,
    /// The maximum number of grants and refusals per hour.
    pub acts_per_hour: u64,
    /// The number of records after which the index is written again, at the next checkpoint.
    pub index_records: u64,
}

/// See [`LedgerOptions::index_records`]: a start reads as many in some ten milliseconds.
const INDEX_RECORDS: u64 = 10_000;

impl LedgerOptions {
    /// The options in a configuration.
    pub fn from_config(config: &Config) -> LedgerOptions {
        LedgerOptions {
            dir: config.ledger.dir.clone(),
            key_file: config.ledger.key_file.clone(),
            checkpoint_secs: config.ledger.checkpoint_secs,
            site: config.consent.site.clone(),
            acts_per_hour: config.ledger.acts_per_hour,
            index_records: INDEX_RECORDS,
        }
    }

    /// The name of the ledger in its checkpoints and receipts.
    pub fn origin(&self) -> String {
        format!("footfall/{}", self.site)
    }
}
