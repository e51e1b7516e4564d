//! The checkpoints in the ledger's folder: written atomically, and compared with the chain while it
//! is read.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::chain::Cut;
use super::error::LedgerError;
use super::folder::Folder;
use super::head::Head;
use super::key::{PublicKey, SigningKey};
use super::note::Note;
use super::options::Options;
use crate::disk;

/// Writes signed checkpoints in regular intervals.
pub struct Keeper {
    folder: Folder,
    key: Arc<SigningKey>,
    origin: String,
    every: Duration,
    due: Instant,
    /// The size that was signed last.
    noted: u64,
}

impl Keeper {
    /// The first checkpoint is due after `every`.
    ///
    /// # Errors
    ///
    /// The folder of checkpoints cannot be read.
    pub fn new(folder: Folder, key: Arc<SigningKey>, origin: String, every: Duration) -> Result<Keeper, LedgerError> {
        let noted = folder.checkpoint_sizes()?.into_iter().max().unwrap_or(0);
        Ok(Keeper { folder, key, origin, every, due: Instant::now() + every, noted })
    }

    /// The time until the next checkpoint is due.
    pub fn patience(&self) -> Duration {
        self.due.saturating_duration_since(Instant::now())
    }

    /// Writes a checkpoint if one is due and records were added. A failure is logged, and retried
    /// when the next one is due.
    pub fn tend(&mut self, head: Head) {
        if !self.patience().is_zero() {
            return;
        }
        self.due = Instant::now() + self.every;
        if let Err(error) = self.note(head) {
            tracing::error!(%error, "a checkpoint could not be written; the next one is tried when it is due");
        }
    }

    /// Writes a checkpoint of `head`, unless one of this or a larger size exists.
    ///
    /// # Errors
    ///
    /// The checkpoint cannot be written; the next call tries again.
    pub fn note(&mut self, head: Head) -> Result<(), LedgerError> {
        if head.size > self.noted {
            self.write(head, None)?;
            self.noted = head.size;
        }
        Ok(())
    }

    /// Writes a checkpoint in any case. `cut` is the day before which records up to `head` were
    /// dropped.
    ///
    /// # Errors
    ///
    /// The checkpoint cannot be written; a former one of this size is unchanged.
    pub fn write(&self, head: Head, cut: Option<String>) -> Result<(), LedgerError> {
        let note = Note { origin: self.origin.clone(), head, cut }.sign(&self.key);
        let path = self.folder.note(head.size);
        let write =
            || disk::private_folder(&self.folder.checkpoints()).and_then(|()| disk::put(&path, note.as_bytes()));
        write().map_err(LedgerError::io(&path))
    }
}

/// The newest checkpoint, and the key to verify it with.
pub struct Newest {
    /// Its file, and the number of records it signs for; `None` if there is no checkpoint.
    pub note: Option<(PathBuf, u64)>,
    /// The public key as a verifier key of signed notes.
    pub key: String,
}

/// Finds the newest checkpoint of a ledger.
///
/// # Errors
///
/// The key or the folder of checkpoints cannot be read.
pub fn newest_checkpoint(options: &Options) -> Result<Newest, LedgerError> {
    let folder = Folder::new(&options.dir);
    let key = SigningKey::read(&folder, &options.key_file)?.public();
    let note = folder.checkpoint_sizes()?.into_iter().max().map(|size| (folder.note(size), size));
    Ok(Newest { note, key: key.text(&options.origin()) })
}

/// Verifies checkpoints while the chain is read. `ahead` has those still to come, the largest
/// first.
#[derive(Default)]
pub struct Watch {
    ahead: Vec<(PathBuf, Note)>,
    /// The number of the last record that a checkpoint agreed with.
    agreed: u64,
    /// The number of checkpoints that agreed with the chain.
    pub met: u64,
    /// The number of checkpoints for dropped records: only their signatures could be checked.
    pub cut_off: u64,
    trusting: bool,
}

impl Watch {
    /// A verifier without checkpoints that also accepts unsigned cuts: for copying records, which
    /// may be done without a key.
    pub fn trusting() -> Watch {
        Watch { trusting: true, ..Watch::default() }
    }

    /// Reads checkpoint files and verifies their signatures.
    ///
    /// # Errors
    ///
    /// A file cannot be read, is not a checkpoint, or has no valid signature by `key`.
    pub fn new(files: impl IntoIterator<Item = PathBuf>, key: &PublicKey) -> Result<Watch, LedgerError> {
        let read = |file: PathBuf| {
            let text = std::fs::read_to_string(&file).map_err(LedgerError::io(&file))?;
            let note = Note::open(&text, key);
            let note = note.map_err(|what| LedgerError::Checkpoint { file: file.clone(), what })?;
            Ok((file, note))
        };

        let mut ahead = files.into_iter().map(read).collect::<Result<Vec<_>, LedgerError>>()?;
        ahead.sort_by_key(|(_, note)| std::cmp::Reverse(note.head.size));
        Ok(Watch { ahead, ..Watch::default() })
    }

    /// Called with the start of the chain. A cut must have a signed checkpoint, otherwise anyone
    /// could drop records.
    ///
    /// # Errors
    ///
    /// No checkpoint signs for the cut, or one for the same size has another hash.
    pub fn begin(&mut self, acts: &Path, cut: Option<&Cut>) -> Result<(), LedgerError> {
        let Some(cut) = cut else { return Ok(()) };
        let size = cut.head.size;
        let signed = |(_, note): &(PathBuf, Note)| note.head == cut.head && note.cut.as_ref() == Some(&cut.before);
        if !self.trusting && !self.ahead.iter().any(signed) {
            let what = format!("was cut, and no checkpoint signs for it: checkpoints/{size}.note must say the same");
            return Err(LedgerError::Damaged { path: acts.to_owned(), record: size, offset: 0, what });
        }

        while self.ahead.pop_if(|(_, note)| note.head.size < size).is_some() {
            self.cut_off += 1;
        }
        self.pass(acts, &cut.head, 0)
    }

    /// Called for each position of the chain; the record of `head` is at byte `offset`.
    ///
    /// # Errors
    ///
    /// A checkpoint of this size has another hash.
    pub fn pass(&mut self, acts: &Path, head: &Head, offset: u64) -> Result<(), LedgerError> {
        while let Some((file, note)) = self.ahead.pop_if(|(_, note)| note.head.size == head.size) {
            if note.head.hash != head.hash {
                let what = format!(
                    "or one after record {} is not what was signed: checkpoint {} has another hash",
                    self.agreed,
                    file.display()
                );
                return Err(LedgerError::Damaged { path: acts.to_owned(), record: head.size, offset, what });
            }
            self.agreed = head.size;
            self.met += 1;
        }
        Ok(())
    }

    /// Called with the end of the chain.
    ///
    /// # Errors
    ///
    /// A checkpoint signs for more records than the chain has.
    pub fn end(&self, acts: &Path, head: &Head, offset: u64) -> Result<(), LedgerError> {
        let Some((file, note)) = self.ahead.last() else { return Ok(()) };
        let what = format!("is missing: checkpoint {} says there were {}", file.display(), note.head.size);
        Err(LedgerError::Damaged { path: acts.to_owned(), record: head.size + 1, offset, what })
    }
}
