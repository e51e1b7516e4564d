//! `footfall store`: work on the databases of the store.
//!
//! Exit codes: 0 success; 1 the replica was not filled; 2 the command line or the configuration is
//! wrong.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::out::print_or_exit;
use super::progress::{PARTITIONS, ProgressBar};
use super::{ConfigArgs, block_on_runtime, report_outcome, report_usage_error};
use crate::server::replica_options;
use crate::store::rebuild::{RebuildSummary, rebuild_replica};

#[derive(Subcommand)]
pub(super) enum StoreSubcommand {
    /// Fill the empty database of a lost replica from another replica of its shard, while the
    /// collectors run or without them.
    RebuildReplica(RebuildArgs),
}

#[derive(Args)]
pub(super) struct RebuildArgs {
    #[command(flatten)]
    layers: ConfigArgs,
    /// The URL of the replica, as in store.shards.
    url: String,
}

impl StoreSubcommand {
    pub(super) fn run(self) -> ExitCode {
        let StoreSubcommand::RebuildReplica(RebuildArgs { layers, url }) = self;
        let config = match layers.load_config(std::iter::empty()) {
            Ok(config) => config,
            Err(error) => return report_usage_error(&error),
        };
        let replicas = replica_options(&config);
        let mut bar = ProgressBar::new(PARTITIONS);
        let rebuilt = block_on_runtime(async {
            let mut show = |done, of| bar.show_progress(done, of);
            Ok(rebuild_replica(&replicas, &url, &mut show).await?)
        });
        drop(bar);
        report_outcome(rebuilt.map(|rebuilt| print_summary(&rebuilt, &url)))
    }
}

fn print_summary(rebuilt: &RebuildSummary, url: &str) {
    print_or_exit!("copied from  {}", rebuilt.source);
    print_or_exit!("partitions   {}", rebuilt.totals.partitions);
    print_or_exit!("bytes        {}", rebuilt.totals.bytes);
    print_or_exit!(
        "next         nothing: the collectors use {url} within 15 seconds, and send it what it lacks"
    );
}
