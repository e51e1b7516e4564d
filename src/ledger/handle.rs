//! The interface of the ledger to the rest of the program.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::act::{LedgerRecord, NewAct};
use super::background::{BackgroundVerification, UnverifiedRecords};
use super::chain::ChainReader;
use super::checkpoint_files::{CheckpointVerifier, CheckpointWriter};
use super::error::LedgerError;
use super::folder::LedgerFolder;
use super::index::{ConsentIndex, ConsentState, RecordCounts};
use super::index_file::StoredIndex;
use super::index_writer::IndexWriter;
use super::ledger_file::LedgerFile;
use super::options::LedgerOptions;
use super::quota::{ActQuota, LedgerStats};
use super::receipt;
use super::record_reader::RecordReader;
use super::scan::{LedgerSummary, ProgressCallback, scan_after_index, scan_ledger};
use super::signing_key::SigningKey;
use super::writer::{AppendRequest, LedgerMessage, LedgerWriter};
use crate::consent::{ConsentId, GrantLookup, WithdrawnGrants};

/// A ledger that is open for writing. Cheap to clone. Queries are served from memory; acts are sent
/// to the single writer thread.
#[derive(Clone)]
pub struct Ledger(Arc<LedgerState>);

struct LedgerState {
    index: Arc<RwLock<ConsentIndex>>,
    reader: RecordReader,
    commands: Sender<LedgerMessage>,
    thread: Mutex<Option<JoinHandle<Result<(), LedgerError>>>>,
    /// Of the records that were taken from the index.
    verification: Mutex<Option<BackgroundVerification>>,
    key: Arc<SigningKey>,
    origin: String,
    quota: ActQuota,
    stats: Arc<LedgerStats>,
}

impl Ledger {
    /// Opens a ledger, or creates one: acquires the lock, verifies every record, adds withdrawn ids
    /// to `withdrawn`, and drops an incomplete last line. Records of an index that belongs to a
    /// signed checkpoint are verified in the background; see [`LedgerStats::is_damaged`].
    ///
    /// # Errors
    ///
    /// The folder is in use, a file cannot be read or written, the key cannot be used, or the
    /// ledger is damaged or contradicts its newest checkpoint. Records are not changed in any of
    /// these cases.
    pub fn open(
        options: &LedgerOptions,
        withdrawn: Arc<WithdrawnGrants>,
        progress: ProgressCallback<'_>,
    ) -> Result<(Ledger, LedgerSummary), LedgerError> {
        let folder = LedgerFolder::new(&options.dir);
        folder.create_folder()?;
        let lock = folder.acquire_lock()?;
        folder.restrict_access()?;
        folder.remove_cut_temp()?;

        let mut acts = LedgerFile::open(&folder)?;
        let key = Arc::new(SigningKey::open(&folder, &options.key_file)?);
        let mut watch = CheckpointVerifier::new(decisive_checkpoints(&folder)?, &key.public_key())?;
        let stats = Arc::new(LedgerStats::default());
        let index = StoredIndex::read_fitting(&folder, &key.public_key())?;
        let indexed_size = index.as_ref().map_or(0, |index| index.head.size);
        let (book, found, verification) = match index {
            Some(index) => {
                let (head, cut, facts) = (index.head, index.cut, index.facts.clone());
                watch.skip_before(head.size);
                let reader = acts.open_reader()?;
                let (book, found) =
                    scan_after_index(&folder, reader, index, &mut watch, withdrawn, progress)?;
                let unverified = UnverifiedRecords {
                    folder: folder.clone(),
                    key: key.public_key(),
                    head,
                    cut,
                    facts,
                    rows: book.rows(),
                    stats: Arc::clone(&stats),
                };
                (book, found, Some(unverified))
            }
            None => {
                folder.remove_index()?;
                let reader = acts.open_reader()?;
                let (mut book, found) = scan_ledger(
                    &folder,
                    reader,
                    &mut watch,
                    withdrawn,
                    progress,
                    &mut |_| Ok(()),
                )?;
                book.compact_rows();
                (book, found, None)
            }
        };

        if found.torn {
            let (offset, bytes) = (found.bytes, acts.end_offset() - found.bytes);
            tracing::warn!(file = %folder.acts_path().display(), offset, bytes, "the last write of \
                the ledger is incomplete; its act was never acknowledged and is dropped");
            acts.truncate_file(offset)?;
        }

        let reader = RecordReader::new(folder.open_records()?, folder.acts_path());
        let book = Arc::new(RwLock::new(book));

        let every = Duration::from_secs(options.checkpoint_secs);
        let origin = options.origin();
        let keeper =
            CheckpointWriter::new(folder.clone(), Arc::clone(&key), origin.clone(), every)?;
        let index_writer = IndexWriter::new(
            folder,
            Arc::clone(&key),
            found.cut.as_ref().map_or(0, |cut| cut.head.size),
            indexed_size,
            options.index_records,
            Arc::clone(&stats),
        );
        let writer = LedgerWriter::new(
            acts,
            found.head,
            Arc::clone(&book),
            keeper,
            index_writer,
            Arc::clone(&stats),
            lock,
        );

        let verification = Mutex::new(verification.map(BackgroundVerification::start));
        let (inbox, waiting) = channel();
        let thread = Mutex::new(Some(spawn_writer(writer, waiting)));
        let quota = ActQuota::new(options.acts_per_hour);
        Ok((
            Ledger(Arc::new(LedgerState {
                index: book,
                reader,
                commands: inbox,
                thread,
                verification,
                key,
                origin,
                quota,
                stats,
            })),
            found,
        ))
    }

    /// Queues the act at once, also if the future is never polled. The future resolves when the act
    /// is on disk; its errors are those of [`Ledger::append_acts`].
    pub fn append_act(
        &self,
        act: NewAct,
    ) -> impl Future<Output = Result<LedgerRecord, LedgerError>> + use<> {
        let appended = self.append_acts(vec![act]);
        async { Ok(appended.await?.remove(0)) }
    }

    /// Queues several acts of one visitor; all of them are recorded or none. The future fails if
    /// the quota is exhausted, an act is not acceptable, the disk is full or failed, or the ledger
    /// is closed.
    pub fn append_acts(
        &self,
        acts: Vec<NewAct>,
    ) -> impl Future<Output = Result<Vec<LedgerRecord>, LedgerError>> + use<> {
        let (answer, answered) = oneshot::channel();
        let room = self.0.quota.charge_acts(&acts, &self.0.stats);
        let sent = room.and_then(|()| {
            self.0
                .commands
                .send(LedgerMessage::Append(AppendRequest {
                    acts,
                    reply: answer,
                }))
                .map_err(|_| LedgerError::Closed)
        });
        async move {
            sent?;
            answered.await.map_err(|_| LedgerError::Closed)?
        }
    }

    /// The state of a consent id; `None` if it has no record.
    pub fn consent_state(&self, id: &ConsentId) -> Option<ConsentState> {
        self.0
            .index
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .consent_state(id)
    }

    /// The records of a consent id, oldest first. Reads a few lines from disk, so it must not be
    /// called on a thread that must not block.
    ///
    /// # Errors
    ///
    /// A record cannot be read, or has changed on disk since the ledger was opened.
    pub fn read_records(&self, id: &ConsentId) -> Result<Vec<LedgerRecord>, LedgerError> {
        let places = self
            .0
            .index
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .record_offsets(id);
        places
            .into_iter()
            .map(|offset| self.0.reader.read_record(offset))
            .collect()
    }

    /// A signed receipt of the id's records, for the holder of the cookie; `None` if there is no
    /// record. Reads from disk, as [`Ledger::read_records`] does.
    ///
    /// # Errors
    ///
    /// A record cannot be read, or has changed on disk since the ledger was opened.
    pub fn create_receipt(&self, id: &ConsentId) -> Result<Option<String>, LedgerError> {
        let lines: Vec<String> = self
            .read_records(id)?
            .into_iter()
            .map(|record| record.line)
            .collect();
        Ok(
            (!lines.is_empty())
                .then(|| receipt::write_receipt(&self.0.origin, &self.0.key, &lines)),
        )
    }

    /// Counters for the metrics.
    pub fn stats(&self) -> Arc<LedgerStats> {
        Arc::clone(&self.0.stats)
    }

    /// The number of records of each kind.
    pub fn record_counts(&self) -> RecordCounts {
        self.0
            .index
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .record_counts()
    }

    /// The number of records of each kind, by the version of the consent prompt.
    pub fn counts_by_version(&self) -> BTreeMap<u32, RecordCounts> {
        self.0
            .index
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .counts_by_version()
    }

    /// Writes the queued acts and a checkpoint, then closes the ledger. Later acts fail.
    ///
    /// # Errors
    ///
    /// The disk failed earlier, or the last checkpoint cannot be written. The ledger is closed
    /// nevertheless.
    pub fn close(&self) -> Result<(), LedgerError> {
        self.0.stop_writer()
    }
}

impl GrantLookup for Ledger {
    fn is_live(&self, id: &ConsentId, version: u32, tiers: &mut dyn Iterator<Item = &str>) -> bool {
        // A damaged ledger proves no grant.
        !self.0.stats.is_damaged()
            && self.consent_state(id).is_some_and(|standing| {
                let granted = |tier: &str| standing.granted.iter().any(|name| name == tier);
                standing.live
                    && standing.version == version
                    && Iterator::all(&mut { tiers }, granted)
            })
    }
}

impl LedgerState {
    fn stop_writer(&self) -> Result<(), LedgerError> {
        drop(
            self.verification
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(thread) = thread else { return Ok(()) };
        // If the writer has already ended, joining it returns the reason.
        let _ = self.commands.send(LedgerMessage::Close);
        thread.join().unwrap_or(Err(LedgerError::DiskFailed))
    }
}

impl Drop for LedgerState {
    fn drop(&mut self) {
        if let Err(error) = self.stop_writer() {
            tracing::error!(%error, "the ledger did not close in order");
        }
    }
}

fn spawn_writer(
    writer: LedgerWriter,
    waiting: Receiver<LedgerMessage>,
) -> JoinHandle<Result<(), LedgerError>> {
    let thread = std::thread::Builder::new().name("ledger".into());
    thread
        .spawn(move || writer.run(&waiting))
        .expect("a thread can be started")
}

/// The newest checkpoint and the one that signs a cut, which suffice to recognise a truncated
/// ledger before writing to it. The others, possibly thousands, are only verified by `footfall
/// ledger verify`.
fn decisive_checkpoints(folder: &LedgerFolder) -> Result<Vec<PathBuf>, LedgerError> {
    let begun = ChainReader::new(BufReader::new(folder.open_records()?), &folder.acts_path())?;
    let cut = begun.cut_point().map(|cut| cut.head.size);
    let newest = folder.checkpoint_sizes()?.into_iter().max();
    let mut sizes: Vec<u64> = newest.into_iter().chain(cut).collect();
    sizes.dedup();
    Ok(sizes
        .into_iter()
        .map(|size| folder.checkpoint_path(size))
        .filter(|note| note.exists())
        .collect())
}
