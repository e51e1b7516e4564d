//! `footfall backup …`: copies of everything that is kept.
//!
//! Exit codes: 0 success; 1 the backup was not made, is not as it was made, or was not restored; 2
//! the command line or the configuration is wrong. Steps go to standard error, results to standard
//! output.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;

use super::out::print_or_exit;
use super::progress::{MEGABYTES, ProgressBar};
use super::{ConfigArgs, block_on_runtime, report_outcome, report_usage_error};
use crate::backup::folder::list_backups;
use crate::backup::manifest::BackupManifest;
use crate::backup::{
    BackupProgress, CreateOptions, LedgerCheck, RestoreOptions, create_backup, restore_backup,
    verify_backup,
};
use crate::config::{Config, Secret};
use crate::server::store_options;

/// Commands about backups.
#[derive(Subcommand)]
pub enum BackupSubcommand {
    /// Make a backup in backup.dir, beside a running collector or without one.
    Create {
        /// Where the configuration is.
        #[command(flatten)]
        layers: ConfigArgs,
        /// Copy only what the newest backup does not have. It needs that one to be restored.
        #[arg(long)]
        incremental: bool,
        /// Include the keys of grants, of mails and of the ledger, encrypted with a passphrase.
        #[arg(long)]
        with_keys: bool,
        /// The file of the passphrase; without it, it is read from standard input.
        #[arg(long, value_name = "FILE", requires = "with_keys")]
        passphrase_file: Option<PathBuf>,
    },
    /// Print the backups, the oldest first.
    List {
        /// Where the configuration is.
        #[command(flatten)]
        layers: ConfigArgs,
    },
    /// Read all files of a backup, restore it into a scratch database, and compare the sums of all
    /// tables.
    Verify {
        /// Where the configuration is.
        #[command(flatten)]
        layers: ConfigArgs,
        /// A name that `list` prints, or `latest`.
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Put a backup in the place of the store. The collector must be stopped.
    Restore {
        /// Where the configuration is.
        #[command(flatten)]
        layers: ConfigArgs,
        /// A name that `list` prints, or `latest`.
        #[arg(value_name = "NAME")]
        name: String,
        /// Replace a store that holds counts.
        #[arg(long)]
        replace: bool,
        /// Restore keys that are missing.
        #[arg(long)]
        with_keys: bool,
        /// The file of the passphrase; without it, it is read from standard input.
        #[arg(long, value_name = "FILE", requires = "with_keys")]
        passphrase_file: Option<PathBuf>,
    },
}

impl BackupSubcommand {
    /// Runs the command.
    pub fn run(self) -> ExitCode {
        match self {
            BackupSubcommand::Create {
                layers,
                incremental,
                with_keys,
                passphrase_file,
            } => run_with_config(layers, async |config, shown| {
                let options = CreateOptions {
                    incremental,
                    passphrase: read_passphrase(with_keys, passphrase_file.as_deref())?,
                };
                let made = create_backup(config, &store_options(config), options, shown).await?;
                print_backup(&made);
                Ok(())
            }),
            BackupSubcommand::List { layers } => run_with_config(layers, async |config, _| {
                list_backups(&config.backup.dir)?
                    .iter()
                    .for_each(print_backup);
                Ok(())
            }),
            BackupSubcommand::Verify { layers, name } => {
                run_with_config(layers, async |config, shown| {
                    let checked =
                        verify_backup(config, &store_options(config), &name, shown).await?;
                    print_check(&checked.0, checked.1);
                    Ok(())
                })
            }
            BackupSubcommand::Restore {
                layers,
                name,
                replace,
                with_keys,
                passphrase_file,
            } => run_with_config(layers, async |config, shown| {
                let options = RestoreOptions {
                    replace,
                    passphrase: read_passphrase(with_keys, passphrase_file.as_deref())?,
                };
                let store = store_options(config);
                let restored = restore_backup(config, &store, &name, options, shown).await?;
                print_or_exit!("restored     {}", restored.name);
                print_or_exit!("of           {}", restored.created);
                Ok(())
            }),
        }
    }
}

fn run_with_config(
    layers: ConfigArgs,
    work: impl AsyncFnOnce(&Config, &mut dyn BackupProgress) -> anyhow::Result<()>,
) -> ExitCode {
    let config = match layers.load_config(std::iter::empty()) {
        Ok(config) => config,
        Err(error) => return report_usage_error(&error),
    };
    let mut shown = StepPrinter(ProgressBar::new(MEGABYTES));
    let outcome = block_on_runtime(work(&config, &mut shown));
    drop(shown);
    report_outcome(outcome)
}

/// Steps and their bytes on standard error.
pub(super) struct StepPrinter(pub ProgressBar);

impl BackupProgress for StepPrinter {
    fn show_step(&mut self, text: &str) {
        self.0.clear();
        eprintln!("footfall: {text}");
    }

    fn show_bytes(&mut self, done: u64, of: u64) {
        self.0.show_progress(done, of);
    }
}

fn print_backup(backup: &BackupManifest) {
    let kind = match &backup.base {
        Some(base) => format!("builds on {base}"),
        None => "full".to_owned(),
    };
    print_or_exit!(
        "{}  {:>8.1} MB  schema {}  {}  {kind}",
        backup.name,
        backup.total_bytes() as f64 / 1e6,
        backup.schema,
        backup.store
    );
}

fn print_check(backup: &BackupManifest, ledger: LedgerCheck) {
    print_or_exit!("verified     {}", backup.name);
    print_or_exit!("files        {}", backup.files.len());
    print_or_exit!("tables       {}", backup.tables.len());
    let rows: u64 = backup.tables.values().map(|table| table.rows).sum();
    print_or_exit!("rows         {rows}");
    match ledger {
        LedgerCheck::Absent => print_or_exit!("ledger       none"),
        LedgerCheck::Verified(records) => print_or_exit!("ledger       {records} records"),
        LedgerCheck::WithoutKey(records) => print_or_exit!(
            "ledger       {records} records; not verified, because the key of its checkpoints is \
             not here"
        ),
    }
}

fn read_passphrase(is_wanted: bool, file: Option<&Path>) -> anyhow::Result<Option<Secret>> {
    if !is_wanted {
        return Ok(None);
    }
    let passphrase = match file {
        Some(path) => super::access::read_password_file(path)?,
        None => super::access::read_password()?,
    };
    anyhow::ensure!(!passphrase.is_empty(), "the passphrase is empty");
    Ok(Some(passphrase))
}
