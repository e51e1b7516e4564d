//! Verifies, while the ledger is in use, the records that a start did not read because the index
//! contained them.
//!
//! They are verified as strictly as by a start that reads all: the hash of each line and of the
//! chain, the checkpoint and a cut's signature, and what each record refers to. In addition, each
//! must be in the index as it is, and the index must have no others.

use std::io::BufReader;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::chain::{ChainReader, VerifiedRecord};
use super::chain_head::ChainHead;
use super::checkpoint_files::CheckpointVerifier;
use super::error::LedgerError;
use super::folder::LedgerFolder;
use super::index::{IndexFacts, check_reference};
use super::index_rows::{IndexRow, IndexRows};
use super::quota::LedgerStats;
use super::record_reader::summarize_record;
use super::signing_key::PublicKey;

/// Nice levels below the threads that answer requests.
const NICENESS: i32 = 10;

/// Records between two updates of the figures.
const PROGRESS_INTERVAL_RECORDS: u64 = 1024;

/// The records to verify, and what the index says about them.
pub struct UnverifiedRecords {
    /// The ledger's folder.
    pub folder: LedgerFolder,
    /// The key that signs checkpoints.
    pub key: PublicKey,
    /// The checkpoint that ends them.
    pub head: ChainHead,
    /// The number of the last dropped record.
    pub cut: u64,
    /// What the index knows beside its rows.
    pub facts: IndexFacts,
    /// The rows of the index.
    pub rows: Arc<IndexRows>,
    /// Where progress and damage are reported.
    pub stats: Arc<LedgerStats>,
}

/// The thread that verifies. It ends when this value is dropped.
pub struct BackgroundVerification {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl BackgroundVerification {
    /// Starts to verify.
    pub fn start(records: UnverifiedRecords) -> BackgroundVerification {
        let stop = Arc::new(AtomicBool::new(false));
        records
            .stats
            .unverified_records
            .store(records.head.size - records.cut, Ordering::Relaxed);
        let stopping = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("ledger-verify".into());
        let thread = thread.spawn(move || {
            // Fails only in a process that may not even lower its priority.
            let _ = rustix::process::nice(NICENESS);
            records.run(&stopping);
        });
        BackgroundVerification {
            stop,
            thread: thread.ok(),
        }
    }
}

impl Drop for BackgroundVerification {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl UnverifiedRecords {
    fn run(&self, stop: &AtomicBool) {
        match self.verify(stop) {
            Err(LedgerError::Io { path, error }) => {
                tracing::error!(file = %path.display(), %error, "the ledger's records cannot be \
                    verified; the next start reads them all");
                let _ = self.folder.remove_index();
            }
            Ok(true) => {
                self.stats.unverified_records.store(0, Ordering::Relaxed);
                let records = self.head.size - self.cut;
                tracing::info!(
                    records,
                    "the ledger's records before its index were verified"
                );
            }
            Ok(false) => {}
            Err(error) => {
                // A start reads all records again, and names the damage.
                let _ = self.folder.remove_index();
                self.stats.report_damage(&error);
            }
        }
    }

    /// `false` if it was stopped before the end.
    fn verify(&self, stop: &AtomicBool) -> Result<bool, LedgerError> {
        let path = self.folder.acts_path();
        let file = BufReader::with_capacity(1 << 20, self.folder.open_records()?);
        let mut chain = ChainReader::new(file, &path)?;
        let mut checkpoints = CheckpointVerifier::new(self.checkpoint_paths(), &self.key)?;
        checkpoints.verify_start(&path, chain.cut_point())?;

        let (mut facts, mut rows, mut end) = (IndexFacts::default(), 0, 0);
        while chain.head().size < self.head.size {
            let Some(entry) = chain.next_record()? else {
                break;
            };
            rows += usize::from(entry.id.is_some());
            self.verify_row(&entry)
                .map_err(|what| entry.damage_error(&path, what))?;
            facts.count_record(entry.fields.act, entry.fields.version);
            checkpoints.verify_head(&path, &entry.head(), entry.offset)?;

            end = entry.offset;
            if entry.fields.seq.is_multiple_of(PROGRESS_INTERVAL_RECORDS) {
                let left = self.head.size - entry.fields.seq;
                self.stats.unverified_records.store(left, Ordering::Relaxed);
                if stop.load(Ordering::Relaxed) {
                    return Ok(false);
                }
            }
        }
        checkpoints.verify_end(&path, &chain.head(), chain.end_offset())?;

        if rows != self.rows.len() || !facts.has_counts_of(&self.facts) {
            return Err(LedgerError::Damaged {
                path: self.folder.index_path(),
                record: self.head.size,
                offset: end,
                what: "or one before it is in the index and not in the ledger".to_owned(),
            });
        }
        Ok(true)
    }

    /// The checkpoint of the index, and that of a cut.
    fn checkpoint_paths(&self) -> Vec<PathBuf> {
        let mut sizes = vec![self.head.size];
        if self.cut > 0 && self.cut != self.head.size {
            sizes.push(self.cut);
        }
        sizes
            .into_iter()
            .map(|size| self.folder.checkpoint_path(size))
            .collect()
    }

    /// Checks a record against the index: its row is there, and it refers to what the rows of its id
    /// before it say.
    fn verify_row(&self, entry: &VerifiedRecord<'_>) -> Result<(), String> {
        let fact = summarize_record(entry);
        let Some(id) = fact.id else {
            return check_reference(&fact, None, false, self.cut);
        };

        let before: Vec<IndexRow> = self
            .rows
            .rows_of(id)
            .take_while(|row| row.offset <= entry.offset)
            .collect();
        let Some((own, before)) = before
            .split_last()
            .filter(|(own, _)| own.offset == entry.offset)
        else {
            return Err("is not in the index".to_owned());
        };

        let last = before.last().map(|row| self.facts.state_after(row));
        let live = last.as_ref().filter(|state| state.live);
        check_reference(&fact, live.map(|state| state.seq), last.is_some(), self.cut)?;
        let expected = fact.state_after(live);
        if self.facts.state_after(own) != expected || own.day != fact.day {
            return Err("is not what the index says".to_owned());
        }
        Ok(())
    }
}
