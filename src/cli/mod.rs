//! The command line: `serve`, `upgrade`, `check-config`, `healthcheck`, `ledger`, `consent`, `mail`,
//! `backup`, `migrate`, `store`, `access`, `retention`, `site`, `demo`, and the embedded engine that
//! `serve` starts.

mod access;
mod api_client;
mod backup;
mod consent;
mod demo;
mod healthcheck;
mod key_id;
mod ledger;
mod mail;
mod migrate;
mod out;
mod progress;
mod retention;
mod site;
mod store;
mod upgrade;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use serde::Serialize;

use crate::config::{Config, ConfigErrors, ConfigSources, LoadedConfig, MemoryBudget, read_config};
use crate::ledger::ProgressCallback;
use out::print_or_exit;

#[derive(Parser)]
#[command(
    version,
    about = "First-party analytics that counts visits without keeping visitors"
)]
struct Cli {
    #[command(subcommand)]
    command: CliCommand,
}

#[derive(Subcommand)]
enum CliCommand {
    /// Collect hits and serve reports.
    Serve(StartArgs),
    /// Take over from the running collector with this program and configuration: no request fails,
    /// and visitors and visits continue.
    Upgrade(upgrade::UpgradeArgs),
    /// Read the configuration and the files it names, print everything that would prevent a start,
    /// and print the effective configuration (secrets masked).
    CheckConfig(StartArgs),
    /// Ask a running collector for its health; exits with 0 or 1.
    Healthcheck(healthcheck::HealthcheckArgs),
    /// Verify, show or shorten the record of consent choices.
    #[command(subcommand)]
    Ledger(ledger::LedgerSubcommand),
    /// Create keys that sign grants of consent.
    #[command(subcommand)]
    Consent(consent::ConsentSubcommand),
    /// Sign the pixels and links of mails, and create keys for it.
    #[command(subcommand)]
    Mail(mail::MailSubcommand),
    /// Make, list, check and restore backups.
    #[command(subcommand)]
    Backup(backup::BackupSubcommand),
    /// Move all tables from the embedded engine to a ClickHouse server, or back, while the collector
    /// runs or without it.
    Migrate(migrate::MigrateArgs),
    /// Work on the databases of the store.
    #[command(subcommand)]
    Store(store::StoreSubcommand),
    /// Set up the operator's login and the keys of sessions.
    #[command(subcommand)]
    Access(access::AccessSubcommand),
    /// Print what is over its retention limit.
    Retention(retention::RetentionArgs),
    /// Remove a site from everything that is stored.
    #[command(subcommand)]
    Site(site::SiteSubcommand),
    /// Fill an empty folder with simulated visits to fictitious creators and serve them, for
    /// evaluation.
    Demo(demo::DemoArgs),
    /// Be the embedded engine of the collector that started this process.
    #[command(hide = true)]
    Engine,
}

/// The settings that a start would use.
#[derive(Serialize)]
struct EffectiveConfig<'a> {
    #[serde(flatten)]
    config: &'a Config,
    memory: MemoryBudget,
}

#[derive(Args)]
struct StartArgs {
    #[command(flatten)]
    layers: ConfigArgs,
    /// Where to listen; the same as --set server.listen=...
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// A ClickHouse server; the same as --set store.url=...
    #[arg(long, value_name = "URL")]
    store_url: Option<String>,
}

/// The sources of the configuration, for all commands.
#[derive(Args)]
struct ConfigArgs {
    /// A TOML file; keys that it does not contain keep their defaults.
    #[arg(long, value_name = "FILE", env = "FOOTFALL_CONFIG")]
    config: Option<PathBuf>,
    /// A published policy to apply: alllinks, ally or openedlink.
    #[arg(long)]
    preset: Option<String>,
    /// One key, such as journal.segment_secs=5. Can be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_key_value)]
    set: Vec<(String, String)>,
}

fn parse_key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or("must look like section.key=value")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl StartArgs {
    /// Reads the configuration and validates it as far as possible without starting anything.
    fn load_config(self) -> anyhow::Result<Config> {
        let shortcut =
            |key: &str, value: Option<String>| value.map(|value| (key.to_owned(), value));
        let shortcuts = [
            shortcut("server.listen", self.listen),
            shortcut("store.url", self.store_url),
        ];
        let mut reading = self.layers.read_config(shortcuts.into_iter().flatten())?;
        crate::server::check_config(&mut reading);
        Ok(reading.into_result()?)
    }
}

impl ConfigArgs {
    /// Reads the configuration. `shortcuts` are settings with a flag of their own; `--set` takes
    /// precedence over them.
    fn load_config(
        self,
        shortcuts: impl Iterator<Item = (String, String)>,
    ) -> anyhow::Result<Config> {
        Ok(self.read_config(shortcuts)?.into_result()?)
    }

    fn read_config(
        self,
        shortcuts: impl Iterator<Item = (String, String)>,
    ) -> anyhow::Result<LoadedConfig> {
        let file = self.config.map(|path| {
            let text =
                std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            anyhow::Ok((path.display().to_string(), text))
        });
        let sources = ConfigSources {
            preset: self.preset,
            file: file.transpose()?,
            environment: std::env::vars_os().collect(),
            overrides: shortcuts.chain(self.set).collect(),
        };
        Ok(read_config(sources, |path| std::fs::read_to_string(path))?)
    }
}

/// Runs the command line. Exit codes: 0 success, 1 failed while running, 2 the command line or the
/// configuration is wrong.
pub fn main() -> ExitCode {
    // Before any file is created: only the collector's own user may read its files.
    crate::disk::set_private_umask();
    match Cli::parse().command {
        CliCommand::Serve(given) => match given.load_config() {
            Ok(config) => run_collector(config, async |config, progress| {
                crate::server::run(config, progress).await
            }),
            Err(error) => report_usage_error(&error),
        },
        CliCommand::Upgrade(given) => given.run(),
        CliCommand::CheckConfig(given) => match given.load_config() {
            Ok(config) => {
                let used = EffectiveConfig {
                    config: &config,
                    memory: MemoryBudget::from_config(&config),
                };
                print_or_exit!(
                    "{}",
                    serde_json::to_string_pretty(&used).expect("a configuration is always JSON")
                );
                ExitCode::SUCCESS
            }
            Err(error) => report_usage_error(&error),
        },
        CliCommand::Healthcheck(given) => given.run(),
        CliCommand::Ledger(command) => command.run(),
        CliCommand::Consent(command) => command.run(),
        CliCommand::Mail(command) => command.run(),
        CliCommand::Backup(command) => command.run(),
        CliCommand::Migrate(given) => given.run(),
        CliCommand::Store(command) => command.run(),
        CliCommand::Access(command) => command.run(),
        CliCommand::Retention(given) => given.run(),
        CliCommand::Site(command) => command.run(),
        CliCommand::Demo(given) => given.run(),
        CliCommand::Engine => crate::store::engine::child::main(crate::pseudonym::harden_process),
    }
}

/// Runs a collector, and reports how it ended. `run` gets what shows the progress of a start.
fn run_collector(
    config: Config,
    run: impl AsyncFnOnce(Config, ProgressCallback<'_>) -> anyhow::Result<()>,
) -> ExitCode {
    if let Err(reason) = crate::telemetry::init_logging(&config.log) {
        return report_usage_error(&anyhow::anyhow!(reason));
    }
    let mut bar = progress::ProgressBar::new(progress::MEGABYTES);
    match block_on_runtime(run(config, &mut |done, of| bar.show_progress(done, of))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<crate::consent::versions::PolicyMismatch>() => {
            report_usage_error(&error)
        }
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the collector failed");
            ExitCode::FAILURE
        }
    }
}

fn block_on_runtime<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(work);
    // A writer that waits for a disk, or the engine, must not keep a failed process alive.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    outcome
}

fn report_usage_error(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<ConfigErrors>() {
        Some(ConfigErrors(all)) => all.iter().for_each(|error| eprintln!("footfall: {error}")),
        None => eprintln!("footfall: {error:#}"),
    }
    ExitCode::from(2)
}

fn report_outcome(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("footfall: {error:#}");
            ExitCode::FAILURE
        }
    }
}
