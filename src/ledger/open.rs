//! The interface of the ledger to the rest of the program.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

use super::act::{NewAct, Record};
use super::book::{Book, Standing, Tally};
use super::chain::Chain;
use super::checkpoints::{Keeper, Watch};
use super::error::LedgerError;
use super::file::Acts;
use super::folder::Folder;
use super::key::SigningKey;
use super::options::Options;
use super::quota::{Quota, Stats};
use super::read::Reader;
use super::receipt;
use super::scan::{Found, Progress, scan};
use super::writer::{Command, Waiting, Writer};
use crate::consent::{ConsentId, OnRecord, Withdrawn};

/// A ledger that is open for writing. Cheap to clone. Queries are answered from memory; acts are
/// sent to the single writer thread.
#[derive(Clone)]
pub struct Ledger(Arc<Shared>);

struct Shared {
    book: Arc<RwLock<Book>>,
    reader: Reader,
    inbox: Sender<Command>,
    thread: Mutex<Option<JoinHandle<Result<(), LedgerError>>>>,
    key: Arc<SigningKey>,
    origin: String,
    quota: Quota,
    stats: Arc<Stats>,
}

impl Ledger {
    /// Opens a ledger, or creates one: takes the lock, verifies every record, adds withdrawn ids to
    /// `withdrawn`, and drops an incomplete last line.
    ///
    /// # Errors
    ///
    /// The folder is in use, a file cannot be read or written, the key cannot be used, or the
    /// ledger is damaged or contradicts its newest checkpoint. Records are not changed in any of
    /// these cases.
    pub fn open(
        options: &Options,
        withdrawn: Arc<Withdrawn>,
        progress: Progress<'_>,
    ) -> Result<(Ledger, Found), LedgerError> {
        let folder = Folder::new(&options.dir);
        folder.create()?;
        let lock = folder.lock()?;
        folder.close_to_others()?;
        folder.clear()?;

        let mut acts = Acts::open(&folder)?;
        let key = Arc::new(SigningKey::open(&folder, &options.key_file)?);
        let mut watch = Watch::new(telling(&folder)?, &key.public())?;
        let (book, found) = scan(&folder, acts.read()?, &mut watch, withdrawn, progress, &mut |_| Ok(()))?;

        if found.torn {
            let (offset, bytes) = (found.bytes, acts.end() - found.bytes);
            tracing::warn!(file = %folder.acts().display(), offset, bytes, "the last write of the ledger is incomplete; its act was never answered and is dropped");
            acts.cut_back(offset)?;
        }

        let reader = Reader::new(folder.open_acts()?, folder.acts());
        let book = Arc::new(RwLock::new(book));

        let every = Duration::from_secs(options.checkpoint_secs);
        let (origin, stats) = (options.origin(), Arc::new(Stats::default()));
        let keeper = Keeper::new(folder, Arc::clone(&key), origin.clone(), every)?;
        let writer = Writer::new(acts, found.head, Arc::clone(&book), keeper, Arc::clone(&stats), lock);

        let (inbox, waiting) = channel();
        let thread = Mutex::new(Some(start(writer, waiting)));
        let quota = Quota::new(options.acts_per_hour);
        Ok((Ledger(Arc::new(Shared { book, reader, inbox, thread, key, origin, quota, stats })), found))
    }

    /// Queues the act at once, also if the future is never polled. The future resolves when the act
    /// is on disk; its errors are those of [`Ledger::append_all`].
    pub fn append(&self, act: NewAct) -> impl Future<Output = Result<Record, LedgerError>> + use<> {
        let appended = self.append_all(vec![act]);
        async { Ok(appended.await?.remove(0)) }
    }

    /// Queues several acts of one visitor; all of them are recorded or none. The future fails if
    /// the quota is exhausted, an act is not acceptable, the disk is full or failed, or the ledger
    /// is closed.
    pub fn append_all(&self, acts: Vec<NewAct>) -> impl Future<Output = Result<Vec<Record>, LedgerError>> + use<> {
        let (answer, answered) = oneshot::channel();
        let room = self.0.quota.take(&acts, &self.0.stats);
        let sent = room.and_then(|()| {
            self.0.inbox.send(Command::Append(Waiting { acts, answer })).map_err(|_| LedgerError::Closed)
        });
        async move {
            sent?;
            answered.await.map_err(|_| LedgerError::Closed)?
        }
    }

    /// The state of a consent id; `None` if it has no record.
    pub fn standing(&self, id: &ConsentId) -> Option<Standing> {
        self.0.book.read().unwrap_or_else(PoisonError::into_inner).standing(id)
    }

    /// The records of a consent id, oldest first. Reads a few lines from disk, so it must not be
    /// called on a thread that must not block.
    ///
    /// # Errors
    ///
    /// A record cannot be read, or has changed on disk since the ledger was opened.
    pub fn records(&self, id: &ConsentId) -> Result<Vec<Record>, LedgerError> {
        let places = self.0.book.read().unwrap_or_else(PoisonError::into_inner).places(id);
        places.into_iter().map(|offset| self.0.reader.record(offset)).collect()
    }

    /// A signed receipt of the id's records, for the holder of the cookie; `None` if there is no
    /// record. Reads from disk, as [`Ledger::records`].
    ///
    /// # Errors
    ///
    /// A record cannot be read, or has changed on disk since the ledger was opened.
    pub fn receipt(&self, id: &ConsentId) -> Result<Option<String>, LedgerError> {
        let lines: Vec<String> = self.records(id)?.into_iter().map(|record| record.line).collect();
        Ok((!lines.is_empty()).then(|| receipt::write(&self.0.origin, &self.0.key, &lines)))
    }

    /// Counters for the metrics.
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.0.stats)
    }

    /// The number of records of each kind.
    pub fn tally(&self) -> Tally {
        self.0.book.read().unwrap_or_else(PoisonError::into_inner).tally()
    }

    /// The number of records of each kind, by the version that was asked about.
    pub fn tallies(&self) -> BTreeMap<u32, Tally> {
        self.0.book.read().unwrap_or_else(PoisonError::into_inner).tallies()
    }

    /// Writes the queued acts and a checkpoint, then closes the ledger. Later acts fail.
    ///
    /// # Errors
    ///
    /// The disk failed earlier, or the last checkpoint cannot be written. The ledger is closed
    /// nevertheless.
    pub fn finish(&self) -> Result<(), LedgerError> {
        self.0.stop()
    }
}

impl OnRecord for Ledger {
    fn is_live(&self, id: &ConsentId, version: u32, tiers: &mut dyn Iterator<Item = &str>) -> bool {
        self.standing(id).is_some_and(|standing| {
            let granted = |tier: &str| standing.granted.iter().any(|name| name == tier);
            standing.live && standing.version == version && Iterator::all(&mut { tiers }, granted)
        })
    }
}

impl Shared {
    fn stop(&self) -> Result<(), LedgerError> {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return Ok(()) };
        // If the writer has already ended, joining it returns the reason.
        let _ = self.inbox.send(Command::Finish);
        thread.join().unwrap_or(Err(LedgerError::Failed))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::error!(%error, "the ledger did not close in order");
        }
    }
}

fn start(writer: Writer, waiting: Receiver<Command>) -> JoinHandle<Result<(), LedgerError>> {
    let thread = std::thread::Builder::new().name("ledger".into());
    thread.spawn(move || writer.run(&waiting)).expect("a thread can be started")
}

/// The newest checkpoint and the one that signs for a cut, which are enough to recognise a
/// truncated ledger before writing to it. The others, possibly thousands, are left to `verify`.
fn telling(folder: &Folder) -> Result<Vec<PathBuf>, LedgerError> {
    let begun = Chain::new(BufReader::new(folder.open_acts()?), &folder.acts())?;
    let cut = begun.cut().map(|cut| cut.head.size);
    let newest = folder.checkpoint_sizes()?.into_iter().max();
    let mut sizes: Vec<u64> = newest.into_iter().chain(cut).collect();
    sizes.dedup();
    Ok(sizes.into_iter().map(|size| folder.note(size)).filter(|note| note.exists()).collect())
}
