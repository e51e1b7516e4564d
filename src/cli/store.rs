//! `footfall store`: work on the databases of the store.
//!
//! Exit codes: 0 success; 1 the replica was not filled or accepted; 2 the command line or the
//! configuration is wrong.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::out::print_or_exit;
use super::progress::{PARTITIONS, ProgressBar};
use super::{ConfigArgs, block_on_runtime, report_outcome, report_usage_error};
use crate::config::Config;
use crate::flush::read_last_removed;
use crate::server::replica_options;
use crate::store::accept::accept_replica;
use crate::store::rebuild::{RebuildSummary, rebuild_replica};

#[derive(Subcommand)]
pub(super) enum StoreSubcommand {
    /// Fill the empty database of a lost replica from another replica of its shard, while the
    /// collectors run or without them.
    RebuildReplica(ReplicaArgs),
    /// Use a replica although it lacks counts that this collector has removed from its journal: they
    /// are lost. Run it at each collector, where no other replica has them.
    AcceptReplica(ReplicaArgs),
}

#[derive(Args)]
pub(super) struct ReplicaArgs {
    #[command(flatten)]
    layers: ConfigArgs,
    /// The URL of the replica, as in store.shards.
    url: String,
}

impl StoreSubcommand {
    pub(super) fn run(self) -> ExitCode {
        let (arguments, run): (_, fn(&Config, &str) -> anyhow::Result<()>) = match self {
            StoreSubcommand::RebuildReplica(arguments) => (arguments, rebuild),
            StoreSubcommand::AcceptReplica(arguments) => (arguments, accept),
        };
        match arguments.layers.load_config(std::iter::empty()) {
            Ok(config) => report_outcome(run(&config, &arguments.url)),
            Err(error) => report_usage_error(&error),
        }
    }
}

fn rebuild(config: &Config, url: &str) -> anyhow::Result<()> {
    let replicas = replica_options(config);
    let mut bar = ProgressBar::new(PARTITIONS);
    let rebuilt = block_on_runtime(async {
        let mut show = |done, of| bar.show_progress(done, of);
        Ok(rebuild_replica(&replicas, url, &mut show).await?)
    });
    drop(bar);
    print_summary(&rebuilt?, url);
    Ok(())
}

fn accept(config: &Config, url: &str) -> anyhow::Result<()> {
    let dir = &config.journal.dir;
    let removed = read_last_removed(dir).with_context(|| dir.display().to_string())?;
    let Some((collector, place)) = removed else {
        print_or_exit!("nothing was removed from this journal: there is nothing to accept");
        return Ok(());
    };
    let replicas = replica_options(config);
    let is_new =
        block_on_runtime(async { Ok(accept_replica(&replicas, url, (&collector, place)).await?) })?;
    match is_new {
        true => {
            print_or_exit!("{url} is used as it is: what it lacks of collector {collector} is lost")
        }
        false => print_or_exit!("{url} lacks nothing of collector {collector}"),
    }
    Ok(())
}

fn print_summary(rebuilt: &RebuildSummary, url: &str) {
    print_or_exit!("copied from  {}", rebuilt.source);
    print_or_exit!("partitions   {}", rebuilt.totals.partitions);
    print_or_exit!("bytes        {}", rebuilt.totals.bytes);
    print_or_exit!(
        "next         nothing: the collectors use {url} within 15 seconds, and send it what it lacks"
    );
}
