//! The ledger as the rest of the program sees it.

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
use super::checkpoints::{Keeper, Watch, sizes};
use super::error::LedgerError;
use super::file::Acts;
use super::folder::Folder;
use super::key::SigningKey;
use super::quota::{Quota, Stats};
use super::read::Reader;
use super::receipt;
use super::scan::{Found, Progress, scan};
use super::writer::{Command, Waiting, Writer};
use crate::config::Config;
use crate::consent::{ConsentId, OnRecord, Withdrawn};

/// What the operator decided.
#[derive(Clone)]
pub struct Options {
    pub dir: PathBuf,
    /// The key that signs checkpoints; empty for one of the ledger's own, in its folder.
    pub key_file: String,
    /// How often a checkpoint is written where something was added.
    pub checkpoint_secs: u64,
    /// Names the ledger in its checkpoints: `footfall/<site>`.
    pub site: String,
    /// Grants and refusals that are taken in an hour.
    pub acts_per_hour: u64,
}

impl Options {
    pub fn of(config: &Config) -> Options {
        Options {
            dir: config.ledger.dir.clone(),
            key_file: config.ledger.key_file.clone(),
            checkpoint_secs: config.ledger.checkpoint_secs,
            site: config.consent.site.clone(),
            acts_per_hour: config.ledger.acts_per_hour,
        }
    }

    pub fn origin(&self) -> String {
        format!("footfall/{}", self.site)
    }
}

/// Cheap to clone. Reads are answered from memory; acts go to the one thread that writes.
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
    /// Takes the lock, verifies every record, fills `withdrawn`; drops an unfinished last line.
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

    /// Queues the act at once; resolves when it is on disk.
    pub fn append(&self, act: NewAct) -> impl Future<Output = Result<Record, LedgerError>> + use<> {
        let appended = self.append_all(vec![act]);
        async { Ok(appended.await?.remove(0)) }
    }

    /// Several acts of one person, all of them or none.
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

    /// `None` for an id that is in no record.
    pub fn standing(&self, id: &ConsentId) -> Option<Standing> {
        self.0.book.read().unwrap_or_else(PoisonError::into_inner).standing(id)
    }

    /// The id's records, oldest first. Reads the disk: a few lines, but not for a thread that must not wait.
    pub fn records(&self, id: &ConsentId) -> Result<Vec<Record>, LedgerError> {
        let places = self.0.book.read().unwrap_or_else(PoisonError::into_inner).places(id);
        places.into_iter().map(|offset| self.0.reader.record(offset)).collect()
    }

    /// The id's records, signed, for whoever holds the cookie; `None` where it is in no record. Reads the disk, as [`Ledger::records`].
    pub fn receipt(&self, id: &ConsentId) -> Result<Option<String>, LedgerError> {
        let lines: Vec<String> = self.records(id)?.into_iter().map(|record| record.line).collect();
        Ok((!lines.is_empty()).then(|| receipt::write(&self.0.origin, &self.0.key, &lines)))
    }

    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.0.stats)
    }

    pub fn tally(&self) -> Tally {
        self.0.book.read().unwrap_or_else(PoisonError::into_inner).tally()
    }

    /// By the version that was asked.
    pub fn tallies(&self) -> BTreeMap<u32, Tally> {
        self.0.book.read().unwrap_or_else(PoisonError::into_inner).tallies()
    }

    /// Writes what is queued and a checkpoint of it, then closes. Later acts are an error.
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
        // A writer that is already gone says so when it is joined.
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

/// The newest checkpoint, and the one that signs for a cut: a ledger that is shorter than it was must not be written on. All the others
/// are for `verify`, since there can be thousands.
fn telling(folder: &Folder) -> Result<Vec<PathBuf>, LedgerError> {
    let begun = Chain::new(BufReader::new(folder.open_acts()?), &folder.acts())?;
    let cut = begun.cut().map(|cut| cut.head.size);
    let newest = sizes(folder)?.into_iter().max();
    let mut sizes: Vec<u64> = newest.into_iter().chain(cut).collect();
    sizes.dedup();
    Ok(sizes.into_iter().map(|size| folder.note(size)).filter(|note| note.exists()).collect())
}
