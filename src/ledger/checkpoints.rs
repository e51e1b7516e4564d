//! The checkpoints that lie in the folder: written whole or not at all, and held against the chain while it is read.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::chain::{Cut, Head};
use super::error::LedgerError;
use super::folder::Folder;
use super::key::{PublicKey, SigningKey};
use super::note::Note;
use super::open::Options;
use crate::disk;

/// Signs what the ledger holds, now and then.
pub struct Keeper {
    folder: Folder,
    key: Arc<SigningKey>,
    origin: String,
    every: Duration,
    due: Instant,
    /// The size that was last signed.
    noted: u64,
}

impl Keeper {
    pub fn new(folder: Folder, key: Arc<SigningKey>, origin: String, every: Duration) -> Result<Keeper, LedgerError> {
        let noted = sizes(&folder)?.into_iter().max().unwrap_or(0);
        Ok(Keeper { folder, key, origin, every, due: Instant::now() + every, noted })
    }

    /// How long until the next checkpoint is due.
    pub fn patience(&self) -> Duration {
        self.due.saturating_duration_since(Instant::now())
    }

    /// Signs the head where something was added and the time has come.
    pub fn tend(&mut self, head: Head) {
        if !self.patience().is_zero() {
            return;
        }
        self.due = Instant::now() + self.every;
        if let Err(error) = self.note(head) {
            tracing::error!(%error, "a checkpoint could not be written; the next one is tried when it is due");
        }
    }

    /// Signs the head unless it was signed already.
    pub fn note(&mut self, head: Head) -> Result<(), LedgerError> {
        if head.size > self.noted {
            self.write(head, None)?;
            self.noted = head.size;
        }
        Ok(())
    }

    pub fn write(&self, head: Head, cut: Option<String>) -> Result<(), LedgerError> {
        let note = Note { origin: self.origin.clone(), head, cut }.sign(&self.key);
        let path = self.folder.note(head.size);
        let write =
            || disk::private_folder(&self.folder.checkpoints()).and_then(|()| disk::put(&path, note.as_bytes()));
        write().map_err(LedgerError::io(&path))
    }
}

/// What the checkpoints in the folder say of themselves: how many records there were.
pub fn sizes(folder: &Folder) -> Result<Vec<u64>, LedgerError> {
    let path = folder.checkpoints();
    let entries = match std::fs::read_dir(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(LedgerError::io(&path))?,
    };
    let mut sizes = Vec::new();
    for entry in entries {
        let name = entry.map_err(LedgerError::io(&path))?.file_name();
        sizes.extend(name.to_string_lossy().strip_suffix(".note").and_then(|size| size.parse::<u64>().ok()));
    }
    Ok(sizes)
}

/// The newest checkpoint, and the key to check it with.
pub struct Newest {
    /// Its file, and how many records it signs for.
    pub note: Option<(PathBuf, u64)>,
    pub key: String,
}

pub fn newest_checkpoint(options: &Options) -> Result<Newest, LedgerError> {
    let folder = Folder::new(&options.dir);
    let key = SigningKey::read(&folder, &options.key_file)?.public();
    let note = sizes(&folder)?.into_iter().max().map(|size| (folder.note(size), size));
    Ok(Newest { note, key: key.text(&options.origin()) })
}

/// Checkpoints the chain has yet to meet, the largest first.
#[derive(Default)]
pub struct Watch {
    ahead: Vec<(PathBuf, Note)>,
    /// The last record a checkpoint agreed with.
    agreed: u64,
    pub met: u64,
    /// Of records that were cut: only their signatures could be checked.
    pub cut_off: u64,
    trusting: bool,
}

impl Watch {
    /// Holds the chain to itself alone: for who copies lines, and may have no key.
    pub fn trusting() -> Watch {
        Watch { trusting: true, ..Watch::default() }
    }

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

    /// The chain begins here. What was cut must be signed for, or anybody could cut.
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

    /// The chain has come to `head`, whose record lies at `offset`.
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

    /// The chain ends here.
    pub fn end(&self, acts: &Path, head: &Head, offset: u64) -> Result<(), LedgerError> {
        let Some((file, note)) = self.ahead.last() else { return Ok(()) };
        let what = format!("is missing: checkpoint {} says there were {}", file.display(), note.head.size);
        Err(LedgerError::Damaged { path: acts.to_owned(), record: head.size + 1, offset, what })
    }
}
