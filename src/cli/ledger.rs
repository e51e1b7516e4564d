//! `footfall ledger …`: for operators, auditors, and whoever has to answer a person's question.
//!
//! Exit codes: 0 done; 1 the ledger or a checkpoint is bad, the first bad record is on standard error; 2 nothing was done, because the
//! command line, the configuration or the moment was wrong.

use std::io::stdout;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use clap::Subcommand;
use jiff::civil::Date;

use super::progress::{Bar, MEGABYTES};
use super::{Layers, wrong};
use crate::clock::Clock;
use crate::config::Config;
use crate::consent::{ConsentId, Withdrawn};
use crate::ledger::{self, Choose, LedgerError, Options, PublicKey};

#[derive(Subcommand)]
pub enum Ledger {
    /// Check every record, and every checkpoint that lies there.
    Verify {
        #[command(flatten)]
        layers: Layers,
        /// A checkpoint kept elsewhere, to be checked too. Can be given several times.
        #[arg(long, value_name = "FILE")]
        checkpoint: Vec<PathBuf>,
        /// What `checkpoint` printed: checks signatures where the private key is not at hand.
        #[arg(long, value_name = "KEY", value_parser = public_key)]
        public_key: Option<PublicKey>,
    },
    /// Print the records of one consent id.
    Show {
        #[command(flatten)]
        layers: Layers,
        /// 32 hex digits, from the consent cookie or a receipt.
        #[arg(value_name = "CONSENT ID", value_parser = consent_id)]
        id: ConsentId,
    },
    /// Print the records of some days, or all.
    Export {
        #[command(flatten)]
        layers: Layers,
        /// The first day, in UTC.
        #[arg(long, value_name = "DATE", value_parser = date)]
        from: Option<Date>,
        /// The last day, in UTC.
        #[arg(long, value_name = "DATE", value_parser = date)]
        to: Option<Date>,
    },
    /// Sign what the ledger holds, and print where the checkpoint lies and the public key it can be checked with.
    Checkpoint {
        #[command(flatten)]
        layers: Layers,
    },
    /// Drop the records before a day; what is left can still be verified. The collector must be stopped.
    Cut {
        #[command(flatten)]
        layers: Layers,
        /// The first day that is kept, in UTC.
        #[arg(long, value_name = "DATE", value_parser = date)]
        before: Date,
    },
}

fn date(text: &str) -> Result<Date, &'static str> {
    text.parse().map_err(|_| "must be a day such as 2024-01-31")
}

fn consent_id(text: &str) -> Result<ConsentId, &'static str> {
    ConsentId::read(text).ok_or("must be 32 hex digits, letters in lower case")
}

fn public_key(text: &str) -> Result<PublicKey, &'static str> {
    PublicKey::from_text(text).ok_or("must be the line `ledger checkpoint` prints: name+8 hex digits+base64")
}

impl Ledger {
    pub fn run(self) -> ExitCode {
        match self {
            Ledger::Verify { layers, checkpoint, public_key } => {
                with(layers, |config| verify(&Options::of(config), &checkpoint, public_key))
            }
            Ledger::Show { layers, id } => with(layers, |config| show(&Options::of(config), &id)),
            Ledger::Export { layers, from, to } => with(layers, |config| {
                ledger::copy(&Options::of(config), &Choose::Between(from, to), stdout()).map(drop)
            }),
            Ledger::Checkpoint { layers } => with(layers, |config| checkpoint(&Options::of(config))),
            Ledger::Cut { layers, before } => with(layers, |config| cut(config, before)),
        }
    }
}

fn with(layers: Layers, work: impl FnOnce(&Config) -> Result<(), LedgerError>) -> ExitCode {
    let config = match layers.load(std::iter::empty()) {
        Ok(config) => config,
        Err(error) => return wrong(&error),
    };
    match work(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("footfall: {error}");
            match error {
                LedgerError::Damaged { .. } | LedgerError::Checkpoint { .. } => ExitCode::FAILURE,
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
    println!("records      {}", tally.records);
    println!("grants       {}", tally.grants);
    println!("refusals     {}", tally.refusals);
    println!("withdrawals  {}", tally.withdrawals);
    if let Some(cut) = &found.cut {
        println!("cut          records 1 to {}, before {}", cut.head.size, cut.before);
    }
    println!("head         {} at record {}", found.head.hash_text(), found.head.size);
    println!("checkpoints  {} agree, {} are of records that were cut", verified.checkpoints, verified.cut_off);
    println!("seconds      {:.2}", started.elapsed().as_secs_f64());
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

fn show(options: &Options, id: &ConsentId) -> Result<(), LedgerError> {
    if ledger::copy(options, &Choose::Of(id), stdout())? == 0 {
        eprintln!("footfall: no record has this consent id");
    }
    Ok(())
}

/// Beside a running collector, which alone may say what is on disk, its own newest checkpoint is what there is to show.
fn checkpoint(options: &Options) -> Result<(), LedgerError> {
    ledger::must_exist(options)?;
    match ledger::Ledger::open(options, Arc::<Withdrawn>::default(), &mut |_, _| ()) {
        Ok((ledger, found)) => {
            say_torn(&found);
            ledger.finish()?;
        }
        Err(LedgerError::InUse(_)) => eprintln!(
            "footfall: a collector writes this ledger, and signs it every {} s; this is its newest checkpoint",
            options.checkpoint_secs
        ),
        Err(error) => return Err(error),
    }
    let (newest, key) = ledger::newest_checkpoint(options)?;
    match newest {
        Some(file) => println!("checkpoint   {}", file.display()),
        None => println!("checkpoint   none: the ledger holds no record"),
    }
    println!("public key   {key}");
    Ok(())
}

fn cut(config: &Config, before: Date) -> Result<(), LedgerError> {
    let options = Options::of(config);
    let mut bar = Bar::new(MEGABYTES);
    let (now, life) = (Clock::System.now(), config.consent.cookie.max_age_secs);
    let dropped = ledger::cut(&options, before, now, life, &mut |done, of| bar.show(done, of));
    drop(bar);
    let dropped = dropped?;
    println!("dropped      {} records before {before}", dropped.records);
    println!("begins after record {}", dropped.head.size);
    Ok(())
}
