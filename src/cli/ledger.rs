//! `footfall ledger …`: for operators, auditors and those who answer data subjects' requests.
//!
//! Exit codes: 0 success; 1 the ledger, a checkpoint or a receipt is bad, and standard error names
//! the first bad record; 2 nothing was done, because the command line, the configuration or the
//! situation does not allow it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::Subcommand;
use jiff::civil::Date;

use super::out::{out, say};
use super::progress::{Bar, MEGABYTES};
use super::{Layers, wrong};
use crate::clock::Clock;
use crate::config::Config;
use crate::consent::{ConsentId, Withdrawn};
use crate::ledger::{self, Choose, LedgerError, Options, PublicKey, Trust};

/// Commands about the consent ledger.
#[derive(Subcommand)]
pub enum Ledger {
    /// Verify every record, and every checkpoint in the ledger's folder.
    Verify {
        #[command(flatten)]
        layers: Layers,
        /// A checkpoint from elsewhere to verify as well. Can be given several times.
        #[arg(long, value_name = "FILE")]
        checkpoint: Vec<PathBuf>,
        /// The key that `checkpoint` printed; verifies signatures without the private key.
        #[arg(long, value_name = "KEY", value_parser = public_key)]
        public_key: Option<PublicKey>,
    },
    /// Print the records of one consent id.
    Show {
        #[command(flatten)]
        layers: Layers,
        /// 32 hex digits, from the consent cookie or a receipt.
        #[arg(value_name = "CONSENT ID", value_parser = consent_id)]
        id: String,
    },
    /// Print the records of a range of days, or all.
    Export {
        #[command(flatten)]
        layers: Layers,
        /// The first day, inclusive, in UTC.
        #[arg(long, value_name = "DATE", value_parser = date)]
        from: Option<Date>,
        /// The last day, inclusive, in UTC.
        #[arg(long, value_name = "DATE", value_parser = date)]
        to: Option<Date>,
    },
    /// Sign the current state of the ledger, and print the file of the checkpoint and the public
    /// key that verifies it.
    Checkpoint {
        #[command(flatten)]
        layers: Layers,
    },
    /// Commands about receipts, as visitors download them.
    #[command(subcommand)]
    Receipt(Receipt),
    /// Drop the records before a day; the rest can still be verified. The collector must be
    /// stopped.
    Cut {
        #[command(flatten)]
        layers: Layers,
        /// The first day to keep, in UTC.
        #[arg(long, value_name = "DATE", value_parser = date)]
        before: Date,
    },
}

/// Commands about receipts.
#[derive(Subcommand)]
pub enum Receipt {
    /// Verify that a receipt was issued by this ledger and not changed, and print its content.
    /// Needs neither ledger nor configuration.
    Verify {
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The key that `checkpoint` printed.
        #[arg(long, value_name = "KEY", value_parser = public_key, required_unless_present = "checkpoint")]
        public_key: Option<PublicKey>,
        /// A checkpoint of the ledger; the same key must have signed both.
        #[arg(long, value_name = "FILE", conflicts_with = "public_key")]
        checkpoint: Option<PathBuf>,
    },
}

fn date(text: &str) -> Result<Date, &'static str> {
    text.parse().map_err(|_| "must be a day such as 2024-01-31")
}

fn consent_id(text: &str) -> Result<String, &'static str> {
    let is_one = ConsentId::read(text).is_some();
    is_one.then(|| text.to_owned()).ok_or("must be 32 hex digits, letters in lower case")
}

fn public_key(text: &str) -> Result<PublicKey, &'static str> {
    PublicKey::from_text(text).ok_or("must be the line `ledger checkpoint` prints: name+8 hex digits+base64")
}

impl Ledger {
    /// Runs the command.
    pub fn run(self) -> ExitCode {
        match self {
            Ledger::Verify { layers, checkpoint, public_key } => {
                with(layers, |config| verify(&Options::of(config), &checkpoint, public_key))
            }

            Ledger::Show { layers, id } => with(layers, |config| show(&Options::of(config), &id)),
            Ledger::Export { layers, from, to } => {
                with(layers, |config| ledger::copy(&Options::of(config), &Choose::Between(from, to), out()).map(drop))
            }

            Ledger::Checkpoint { layers } => with(layers, |config| checkpoint(&Options::of(config))),
            Ledger::Receipt(Receipt::Verify { file, public_key, checkpoint }) => {
                ended(verify_receipt(&file, public_key, checkpoint.as_deref()))
            }
            Ledger::Cut { layers, before } => with(layers, |config| cut(config, before)),
        }
    }
}

fn with(layers: Layers, work: impl FnOnce(&Config) -> Result<(), LedgerError>) -> ExitCode {
    let config = match layers.load(std::iter::empty()) {
        Ok(config) => config,
        Err(error) => return wrong(&error),
    };
    ended(work(&config))
}

fn ended(outcome: Result<(), LedgerError>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("footfall: {error}");
            match error {
                LedgerError::Damaged { .. } | LedgerError::Checkpoint { .. } | LedgerError::Receipt { .. } => {
                    ExitCode::FAILURE
                }
                _ => ExitCode::from(2),
            }
        }
    }
}

fn verify(options: &Options, checkpoints: &[PathBuf], key: Option<PublicKey>) -> Result<(), LedgerError> {
    let started = Instant::now();
    let mut bar = Bar::new(MEGABYTES);
    let verified = ledger::verify(options, checkpoints, key, &mut |done, of| bar.show(done, of));
    drop(bar);
    let verified = verified?;

    let (found, tally) = (&verified.found, verified.found.tally);
    say!("records      {}", tally.records);
    say!("grants       {}", tally.grants);
    say!("refusals     {}", tally.refusals);
    say!("withdrawals  {}", tally.withdrawals);

    if let Some(cut) = &found.cut {
        say!("cut          records 1 to {}, before {}", cut.head.size, cut.before);
    }

    say!("head         {} at record {}", found.head.hash_text(), found.head.size);
    say!("checkpoints  {} agree, {} are of records that were cut", verified.checkpoints, verified.cut_off);
    say!("seconds      {:.2}", started.elapsed().as_secs_f64());
    say_torn(found);
    Ok(())
}

fn say_torn(found: &ledger::Found) {
    if found.torn {
        eprintln!(
            "footfall: the line at byte {} is unfinished: it is being written, or its act was never answered and the next start drops it",
            found.bytes
        );
    }
}

fn show(options: &Options, id: &str) -> Result<(), LedgerError> {
    let id = &ConsentId::read(id).expect("checked when the command line was read");
    if ledger::copy(options, &Choose::Of(id), out())? == 0 {
        eprintln!("footfall: no record has this consent id");
    }
    Ok(())
}

fn verify_receipt(file: &Path, key: Option<PublicKey>, checkpoint: Option<&Path>) -> Result<(), LedgerError> {
    let read =
        |path: &Path| std::fs::read_to_string(path).map_err(|error| LedgerError::Io { path: path.to_owned(), error });
    let (receipt, note) = (read(file)?, checkpoint.map(read).transpose()?);

    let trust = match (key, &note) {
        (Some(key), _) => Trust::Key(key),
        (None, note) => Trust::Checkpoint(note.as_deref().unwrap_or_default()),
    };
    let told =
        ledger::check_receipt(&receipt, &trust).map_err(|what| LedgerError::Receipt { file: file.to_owned(), what })?;

    say!("receipt      {}", told.origin);
    say!("records      {}", told.acts.len());
    for act in &told.acts {
        let granted = if act.granted.is_empty() { "nothing".to_owned() } else { act.granted.join(", ") };
        say!("{:<12} record {}, {}, leaves granted: {granted}", act.act.word(), act.seq, act.at);
    }

    say!("signed by    {}", told.key);
    if let Some(size) = told.checkpoint {
        let younger = told.acts.iter().filter(|act| act.seq > size).count();
        say!("checkpoint   of {size} records, by the same key; {younger} of these are younger than it");
    }
    Ok(())
}

/// Beside a running collector, which alone may sign, the collector's own newest checkpoint is
/// shown. The output says whether anything was signed.
fn checkpoint(options: &Options) -> Result<(), LedgerError> {
    ledger::must_exist(options)?;
    let before = ledger::newest_checkpoint(options).ok().and_then(|newest| newest.note).map_or(0, |(_, size)| size);

    let mut running = false;
    match ledger::Ledger::open(options, Arc::<Withdrawn>::default(), &mut |_, _| ()) {
        Ok((ledger, found)) => {
            say_torn(&found);
            ledger.finish()?;
        }
        Err(LedgerError::InUse(_)) => running = true,
        Err(error) => return Err(error),
    }

    let newest = ledger::newest_checkpoint(options)?;
    let size = newest.note.as_ref().map_or(0, |(_, size)| *size);
    match running {
        true => {
            let secs = options.checkpoint_secs;
            say!(
                "signed       nothing: a collector writes this ledger, and signs it itself every {secs} s and when it stops"
            );
            say!("not signed   {} records since its newest checkpoint", ledger::records(options)?.saturating_sub(size));
        }
        false if size > before => say!("signed       records 1 to {size}, now"),
        false => say!("signed       nothing: there is no record the newest checkpoint does not sign for"),
    }

    match newest.note {
        Some((file, _)) => say!("checkpoint   {}", file.display()),
        None if running => say!("checkpoint   none yet"),
        None => say!("checkpoint   none: the ledger holds no record"),
    }
    say!("public key   {}", newest.key);
    Ok(())
}

fn cut(config: &Config, before: Date) -> Result<(), LedgerError> {
    let options = Options::of(config);
    let mut bar = Bar::new(MEGABYTES);
    let (now, life) = (Clock::System.now(), config.consent.cookie.max_age_secs);
    let dropped = ledger::cut(&options, before, now, life, &mut |done, of| bar.show(done, of));
    drop(bar);
    let dropped = dropped?;
    say!("dropped      {} records before {before}", dropped.records);
    say!("begins after record {}", dropped.head.size);
    Ok(())
}
