//! `footfall ledger …`: for operators, auditors and those who handle data subjects' requests.
//!
//! Exit codes: 0 success; 1 the ledger, a checkpoint or a receipt is invalid, and standard error
//! names the first invalid record; 2 nothing was done, because the command line, the configuration
//! or the situation does not allow it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::Subcommand;
use jiff::civil::Date;

use super::out::{print_or_exit, stdout_writer};
use super::progress::{MEGABYTES, ProgressBar};
use super::{ConfigArgs, report_usage_error};
use crate::clock::Clock;
use crate::config::Config;
use crate::consent::{ConsentId, WithdrawnGrants};
use crate::ledger::{self, LedgerError, LedgerOptions, PublicKey, RecordFilter, TrustAnchor};

/// Commands about the consent ledger.
#[derive(Subcommand)]
pub enum LedgerSubcommand {
    /// Verify every record, and every checkpoint in the ledger's folder.
    Verify {
        /// Where the configuration is.
        #[command(flatten)]
        layers: ConfigArgs,
        /// A checkpoint from elsewhere to verify as well. Can be given several times.
        #[arg(long, value_name = "FILE")]
        checkpoint: Vec<PathBuf>,
        /// The key that `checkpoint` printed; verifies signatures without the private key.
        #[arg(long, value_name = "KEY", value_parser = parse_public_key)]
        public_key: Option<PublicKey>,
        /// The folder of another collector's ledger, or a copy of it, to read as well. Can be given
        /// several times.
        #[arg(long, value_name = "FOLDER")]
        with: Vec<PathBuf>,
    },
    /// Print the records of one consent id.
    Show {
        /// Where the configuration is.
        #[command(flatten)]
        layers: ConfigArgs,
        /// The folder of another collector's ledger, or a copy of it, to read as well. Can be given
        /// several times.
        #[arg(long, value_name = "FOLDER")]
        with: Vec<PathBuf>,
        /// 32 hex digits, from the consent cookie or a receipt.
        #[arg(value_name = "CONSENT ID", value_parser = parse_consent_id)]
        id: String,
    },
    /// Print the records of a range of days, or all.
    Export {
        /// Where the configuration is.
        #[command(flatten)]
        layers: ConfigArgs,
        /// The first day, inclusive, in UTC.
        #[arg(long, value_name = "DATE", value_parser = parse_date)]
        from: Option<Date>,
        /// The last day, inclusive, in UTC.
        #[arg(long, value_name = "DATE", value_parser = parse_date)]
        to: Option<Date>,
        /// The folder of another collector's ledger, or a copy of it, to read as well. Can be given
        /// several times.
        #[arg(long, value_name = "FOLDER")]
        with: Vec<PathBuf>,
    },
    /// Sign the current state of the ledger, and print the file of the checkpoint and the public
    /// key that verifies it.
    Checkpoint {
        /// Where the configuration is.
        #[command(flatten)]
        layers: ConfigArgs,
    },
    /// Commands about receipts, as visitors download them.
    #[command(subcommand)]
    Receipt(ReceiptSubcommand),
    /// Drop the records before a day; the rest can still be verified. The collector must be
    /// stopped.
    Cut {
        /// Where the configuration is.
        #[command(flatten)]
        layers: ConfigArgs,
        /// The first day to keep, in UTC.
        #[arg(long, value_name = "DATE", value_parser = parse_date)]
        before: Date,
    },
}

/// Commands about receipts.
#[derive(Subcommand)]
pub enum ReceiptSubcommand {
    /// Verify that a receipt was issued by this ledger and not changed, and print its content.
    /// Needs neither ledger nor configuration.
    Verify {
        /// The receipt.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The key that `checkpoint` printed.
        #[arg(long, value_name = "KEY", value_parser = parse_public_key, required_unless_present = "checkpoint")]
        public_key: Option<PublicKey>,
        /// A checkpoint of the ledger; the same key must have signed both.
        #[arg(long, value_name = "FILE", conflicts_with = "public_key")]
        checkpoint: Option<PathBuf>,
    },
}

fn parse_date(text: &str) -> Result<Date, &'static str> {
    text.parse().map_err(|_| "must be a day such as 2024-01-31")
}

fn parse_consent_id(text: &str) -> Result<String, &'static str> {
    let is_one = ConsentId::from_hex(text).is_some();
    is_one
        .then(|| text.to_owned())
        .ok_or("must be 32 hex digits, letters in lower case")
}

fn parse_public_key(text: &str) -> Result<PublicKey, &'static str> {
    PublicKey::from_verifier_key(text)
        .ok_or("must be the line `ledger checkpoint` prints: name+8 hex digits+base64")
}

impl LedgerSubcommand {
    /// Runs the command.
    pub fn run(self) -> ExitCode {
        match self {
            LedgerSubcommand::Verify {
                layers,
                checkpoint,
                public_key,
                with,
            } => run_with_config(layers, |config| {
                verify_ledgers(&all_ledgers(config, &with), &checkpoint, public_key)
            }),

            LedgerSubcommand::Show { layers, with, id } => run_with_config(layers, |config| {
                show_records(&all_ledgers(config, &with), &id)
            }),
            LedgerSubcommand::Export {
                layers,
                from,
                to,
                with,
            } => run_with_config(layers, |config| {
                let days = RecordFilter::BetweenDays(from, to);
                for options in all_ledgers(config, &with) {
                    ledger::copy_records(&options, &days, stdout_writer())?;
                }
                Ok(())
            }),

            LedgerSubcommand::Checkpoint { layers } => run_with_config(layers, |config| {
                sign_checkpoint(&LedgerOptions::from_config(config))
            }),
            LedgerSubcommand::Receipt(ReceiptSubcommand::Verify {
                file,
                public_key,
                checkpoint,
            }) => report_ledger_outcome(verify_receipt(&file, public_key, checkpoint.as_deref())),
            LedgerSubcommand::Cut { layers, before } => {
                run_with_config(layers, |config| truncate_ledger(config, before))
            }
        }
    }
}

fn run_with_config(
    layers: ConfigArgs,
    work: impl FnOnce(&Config) -> Result<(), LedgerError>,
) -> ExitCode {
    let config = match layers.load_config(std::iter::empty()) {
        Ok(config) => config,
        Err(error) => return report_usage_error(&error),
    };
    report_ledger_outcome(work(&config))
}

fn report_ledger_outcome(outcome: Result<(), LedgerError>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("footfall: {error}");
            match error {
                LedgerError::Damaged { .. }
                | LedgerError::InvalidCheckpoint { .. }
                | LedgerError::InvalidReceipt { .. } => ExitCode::FAILURE,
                _ => ExitCode::from(2),
            }
        }
    }
}

/// The ledger of the configuration, and those in other folders.
fn all_ledgers(config: &Config, with: &[PathBuf]) -> Vec<LedgerOptions> {
    let own = LedgerOptions::from_config(config);
    let others = with.iter().map(|dir| LedgerOptions {
        dir: dir.clone(),
        ..own.clone()
    });
    std::iter::once(own.clone()).chain(others).collect()
}

/// Checkpoints and key of the command line are those of the first ledger.
fn verify_ledgers(
    all: &[LedgerOptions],
    checkpoints: &[PathBuf],
    key: Option<PublicKey>,
) -> Result<(), LedgerError> {
    let (mut checkpoints, mut key) = (checkpoints, key);
    for options in all {
        if all.len() > 1 {
            print_or_exit!("ledger       {}", options.dir.display());
        }
        verify_ledger(options, checkpoints, key.take())?;
        checkpoints = &[];
    }
    Ok(())
}

fn verify_ledger(
    options: &LedgerOptions,
    checkpoints: &[PathBuf],
    key: Option<PublicKey>,
) -> Result<(), LedgerError> {
    let started = Instant::now();
    let mut bar = ProgressBar::new(MEGABYTES);
    let verified = ledger::verify_ledger(options, checkpoints, key, &mut |done, of| {
        bar.show_progress(done, of)
    });
    drop(bar);
    let verified = verified?;

    let (found, tally) = (&verified.summary, verified.summary.counts);
    print_or_exit!("records      {}", tally.records);
    print_or_exit!("grants       {}", tally.grants);
    print_or_exit!("refusals     {}", tally.refusals);
    print_or_exit!("withdrawals  {}", tally.withdrawals);

    if let Some(cut) = &found.cut {
        print_or_exit!(
            "cut          records 1 to {}, before {}",
            cut.head.size,
            cut.before
        );
    }

    print_or_exit!(
        "head         {} at record {}",
        found.head.hash_hex(),
        found.head.size
    );
    print_or_exit!(
        "checkpoints  {} agree, {} are of records that were cut",
        verified.matched_checkpoints,
        verified.checkpoints_before_cut
    );
    print_or_exit!("seconds      {:.2}", started.elapsed().as_secs_f64());
    warn_torn_line(found);
    Ok(())
}

fn warn_torn_line(found: &ledger::LedgerSummary) {
    if found.torn {
        eprintln!(
            "footfall: the line at byte {} is unfinished: it is being written, or its act was \
             never acknowledged and the next start drops it",
            found.bytes
        );
    }
}

/// Prints the records of an id, the oldest hour first.
fn show_records(all: &[LedgerOptions], id: &str) -> Result<(), LedgerError> {
    let id = &ConsentId::from_hex(id).expect("checked when the command line was read");
    if let [only] = all {
        if ledger::copy_records(only, &RecordFilter::WithId(id), stdout_writer())? == 0 {
            eprintln!("footfall: no record has this consent id");
        }
        return Ok(());
    }

    let mut lines = Vec::new();
    for options in all {
        let mut copied = Vec::new();
        ledger::copy_records(options, &RecordFilter::WithId(id), &mut copied)?;
        let copied = String::from_utf8_lossy(&copied).into_owned();
        lines.extend(
            copied
                .lines()
                .map(|line| (record_hour(line), line.to_owned())),
        );
    }
    // Within an hour, the order of the folders.
    lines.sort_by(|(one, _), (other, _)| one.cmp(other));
    if lines.is_empty() {
        eprintln!("footfall: no record has this consent id");
    }
    for (_, line) in &lines {
        print_or_exit!("{line}");
    }
    Ok(())
}

/// The time of a record as written, which sorts like time.
fn record_hour(line: &str) -> String {
    let record = serde_json::from_str::<serde_json::Value>(line).unwrap_or_default();
    record["at"].as_str().unwrap_or_default().to_owned()
}

fn verify_receipt(
    file: &Path,
    key: Option<PublicKey>,
    checkpoint: Option<&Path>,
) -> Result<(), LedgerError> {
    let read = |path: &Path| {
        std::fs::read_to_string(path).map_err(|error| LedgerError::Io {
            path: path.to_owned(),
            error,
        })
    };
    let (receipt, note) = (read(file)?, checkpoint.map(read).transpose()?);

    let trust = match (key, &note) {
        (Some(key), _) => TrustAnchor::Key(key),
        (None, note) => TrustAnchor::Checkpoint(note.as_deref().unwrap_or_default()),
    };
    let told =
        ledger::check_receipt(&receipt, &trust).map_err(|what| LedgerError::InvalidReceipt {
            file: file.to_owned(),
            what,
        })?;

    print_or_exit!("receipt      {}", told.origin);
    print_or_exit!("records      {}", told.acts.len());
    for act in &told.acts {
        let granted = if act.granted.is_empty() {
            "nothing".to_owned()
        } else {
            act.granted.join(", ")
        };
        print_or_exit!(
            "{:<12} record {}, {}, leaves granted: {granted}",
            act.act.name(),
            act.seq,
            act.at
        );
    }

    print_or_exit!("signed by    {}", told.key);
    if let Some(size) = told.checkpoint_size {
        let younger = told.acts.iter().filter(|act| act.seq > size).count();
        print_or_exit!(
            "checkpoint   of {size} records, by the same key; {younger} of these are younger than \
             it"
        );
    }
    Ok(())
}

/// While a collector runs, which alone may sign, the collector's own newest checkpoint is shown.
/// The output says whether anything was signed.
fn sign_checkpoint(options: &LedgerOptions) -> Result<(), LedgerError> {
    ledger::check_exists(options)?;
    let before = ledger::find_newest_checkpoint(options)
        .ok()
        .and_then(|newest| newest.checkpoint)
        .map_or(0, |(_, size)| size);

    let mut running = false;
    match ledger::Ledger::open(options, Arc::<WithdrawnGrants>::default(), &mut |_, _| ()) {
        Ok((ledger, found)) => {
            warn_torn_line(&found);
            ledger.close()?;
        }
        Err(LedgerError::InUse(_)) => running = true,
        Err(error) => return Err(error),
    }

    let newest = ledger::find_newest_checkpoint(options)?;
    let size = newest.checkpoint.as_ref().map_or(0, |(_, size)| *size);
    match running {
        true => {
            let secs = options.checkpoint_secs;
            print_or_exit!(
                "signed       nothing: a collector writes this ledger, and signs it itself every \
                 {secs} s and when it stops"
            );
            print_or_exit!(
                "not signed   {} records since its newest checkpoint",
                ledger::count_records(options)?.saturating_sub(size)
            );
        }
        false if size > before => print_or_exit!("signed       records 1 to {size}, now"),
        false => print_or_exit!(
            "signed       nothing: there is no record the newest checkpoint does not sign for"
        ),
    }

    match newest.checkpoint {
        Some((file, _)) => print_or_exit!("checkpoint   {}", file.display()),
        None if running => print_or_exit!("checkpoint   none yet"),
        None => print_or_exit!("checkpoint   none: the ledger has no records"),
    }
    print_or_exit!("public key   {}", newest.key);
    Ok(())
}

fn truncate_ledger(config: &Config, before: Date) -> Result<(), LedgerError> {
    let options = LedgerOptions::from_config(config);
    let mut bar = ProgressBar::new(MEGABYTES);
    let (now, life) = (Clock::System.now(), config.consent.cookie.max_age_secs);
    let dropped = ledger::cut_ledger(&options, before, now, life, &mut |done, of| {
        bar.show_progress(done, of)
    });
    drop(bar);
    let dropped = dropped?;
    print_or_exit!("dropped      {} records before {before}", dropped.records);
    print_or_exit!("begins after record {}", dropped.head.size);
    Ok(())
}
