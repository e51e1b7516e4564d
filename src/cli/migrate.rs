//! `footfall migrate`: moves the tables to another store, from the embedded engine to a ClickHouse
//! server or back.
//!
//! Exit codes: 0 success; 1 the tables were not moved; 2 the command line or the configuration is
//! wrong.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::access::read_password_file;
use super::backup::StepPrinter;
use super::out::print_or_exit;
use super::progress::{PARTITIONS, ProgressBar};
use super::{ConfigArgs, block_on_runtime, report_outcome, report_usage_error};
use crate::config::{Config, check_store_url};
use crate::server::store_options;
use crate::store::StoreOptions;
use crate::transfer::{TransferOptions, TransferSummary, cancel_transfer, transfer_tables};

/// The value of `--to` that means the engine in `store.dir`.
const EMBEDDED: &str = "embedded";

/// Where the tables go. What is not given is taken from the configuration, whose store they are in.
#[derive(Args)]
pub(super) struct MigrateArgs {
    #[command(flatten)]
    layers: ConfigArgs,
    /// The new store: the URL of a ClickHouse server, or `embedded` for the engine in store.dir.
    #[arg(long, value_name = "URL", required_unless_present = "cancel")]
    to: Option<String>,
    /// User of the new store; store.user without it.
    #[arg(long, value_name = "USER")]
    to_user: Option<String>,
    /// The file of its password; store.password without it.
    #[arg(long, value_name = "FILE")]
    to_password_file: Option<PathBuf>,
    /// The file of the CA certificates of its server; store.ca_file without it.
    #[arg(long, value_name = "FILE")]
    to_ca_file: Option<PathBuf>,
    /// Its database; store.database without it.
    #[arg(long, value_name = "NAME")]
    to_database: Option<String>,
    /// Use the configured store again although its tables were moved. What was counted in the new
    /// one since is not in it. The collector must be stopped.
    #[arg(long, conflicts_with = "to")]
    cancel: bool,
}

impl MigrateArgs {
    pub(super) fn run(self) -> ExitCode {
        let (cancel, to) = (self.cancel, self.to.clone().unwrap_or_default());
        let (config, target) = match self.read_target(&to) {
            Ok(read) => read,
            Err(error) => return report_usage_error(&error),
        };
        let options = TransferOptions {
            journal_dir: config.journal.dir.clone(),
            source: store_options(&config),
            target,
        };
        if cancel {
            return report_outcome(block_on_runtime(cancel_transfer(&options)).map(|place| {
                print_or_exit!("the tables of this store are used again, not those in {place}");
            }));
        }

        let mut shown = StepPrinter(ProgressBar::new(PARTITIONS));
        let moved = block_on_runtime(transfer_tables(&options, &mut shown));
        drop(shown);
        report_outcome(moved.map(|moved| print_summary(&moved, &to)))
    }

    /// The configuration, and the options of the new store.
    fn read_target(self, to: &str) -> anyhow::Result<(Config, StoreOptions)> {
        let config = self.layers.load_config(std::iter::empty())?;
        let mut target = store_options(&config);
        target.url = (to != EMBEDDED).then(|| to.to_owned());
        if let Some(url) = target.url.as_deref().filter(|_| !self.cancel) {
            check_store_url(url).map_err(|reason| anyhow::anyhow!("--to {url}: {reason}"))?;
        }
        if let Some(user) = self.to_user {
            target.user = Some(user);
        }
        if let Some(file) = &self.to_password_file {
            let password = read_password_file(file)?;
            target.password = Some(password.expose_secret().to_owned());
        }
        if let Some(file) = self.to_ca_file {
            target.ca_file = Some(file);
        }
        if let Some(database) = self.to_database {
            target.database = database;
        }
        Ok((config, target))
    }
}

fn print_summary(moved: &TransferSummary, to: &str) {
    print_or_exit!("tables       {}", moved.tables);
    print_or_exit!("partitions   {}", moved.partitions);
    print_or_exit!("rows         {}", moved.rows);
    print_or_exit!("moved to     {}", moved.place);
    let url = if to == EMBEDDED { "" } else { to };
    let start = match moved.collector_waits {
        true => "restart the collector",
        false => "start the collector",
    };
    print_or_exit!("next         set store.url = \"{url}\" and {start}");
}
