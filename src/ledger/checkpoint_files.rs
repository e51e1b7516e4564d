//! The checkpoints in the ledger's folder: written atomically, and compared with the chain while it
//! is read.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::chain::CutPoint;
use super::chain_head::ChainHead;
use super::checkpoint::Checkpoint;
use super::error::LedgerError;
use super::folder::LedgerFolder;
use super::options::LedgerOptions;
use super::signing_key::{PublicKey, SigningKey};
use crate::disk;

/// Writes signed checkpoints in regular intervals.
pub struct CheckpointWriter {
    folder: LedgerFolder,
    key: Arc<SigningKey>,
    origin: String,
    interval: Duration,
    due_at: Instant,
    /// The size that was signed last.
    signed_size: u64,
}

impl CheckpointWriter {
    /// The first checkpoint is due after `every`.
    ///
    /// # Errors
    ///
    /// The folder of checkpoints cannot be read.
    pub fn new(
        folder: LedgerFolder,
        key: Arc<SigningKey>,
        origin: String,
        every: Duration,
    ) -> Result<CheckpointWriter, LedgerError> {
        let noted = folder.checkpoint_sizes()?.into_iter().max().unwrap_or(0);
        Ok(CheckpointWriter {
            folder,
            key,
            origin,
            interval: every,
            due_at: Instant::now() + every,
            signed_size: noted,
        })
    }

    /// The size of the newest checkpoint; 0 without one.
    pub fn signed_size(&self) -> u64 {
        self.signed_size
    }

    /// The time until the next checkpoint is due.
    pub fn time_until_due(&self) -> Duration {
        self.due_at.saturating_duration_since(Instant::now())
    }

    /// Writes a checkpoint if one is due and records were added. A failure is logged, and retried
    /// when the next one is due.
    pub fn write_due_checkpoint(&mut self, head: ChainHead) {
        if !self.time_until_due().is_zero() {
            return;
        }
        self.due_at = Instant::now() + self.interval;
        if let Err(error) = self.write_newer_checkpoint(head) {
            tracing::error!(%error, "a checkpoint could not be written; the next one will be \
                written when it is due");
        }
    }

    /// Writes a checkpoint of `head`, unless one of this or a larger size exists.
    ///
    /// # Errors
    ///
    /// The checkpoint cannot be written; the next call tries again.
    pub fn write_newer_checkpoint(&mut self, head: ChainHead) -> Result<(), LedgerError> {
        if head.size > self.signed_size {
            self.write_checkpoint(head, None)?;
            self.signed_size = head.size;
        }
        Ok(())
    }

    /// Writes a checkpoint in any case. `cut` is the day before which records up to `head` were
    /// dropped.
    ///
    /// # Errors
    ///
    /// The checkpoint cannot be written; a former one of this size is unchanged.
    pub fn write_checkpoint(
        &self,
        head: ChainHead,
        cut: Option<String>,
    ) -> Result<(), LedgerError> {
        let note = Checkpoint {
            origin: self.origin.clone(),
            head,
            cut,
        }
        .to_signed_note(&self.key);
        let path = self.folder.checkpoint_path(head.size);
        let write = || {
            disk::create_private_folder(&self.folder.checkpoints_path())
                .and_then(|()| disk::write_atomic(&path, note.as_bytes()))
        };
        write().map_err(LedgerError::from_io(&path))
    }
}

/// The newest checkpoint, and the key to verify it with.
pub struct NewestCheckpoint {
    /// Its file, and its number of records; `None` if there is no checkpoint.
    pub checkpoint: Option<(PathBuf, u64)>,
    /// The public key as a verifier key of signed notes.
    pub key: String,
}

/// Finds the newest checkpoint of a ledger.
///
/// # Errors
///
/// The key or the folder of checkpoints cannot be read.
pub fn find_newest_checkpoint(options: &LedgerOptions) -> Result<NewestCheckpoint, LedgerError> {
    let folder = LedgerFolder::new(&options.dir);
    let key = SigningKey::read_key_file(&folder, &options.key_file)?.public_key();
    let note = folder
        .checkpoint_sizes()?
        .into_iter()
        .max()
        .map(|size| (folder.checkpoint_path(size), size));
    Ok(NewestCheckpoint {
        checkpoint: note,
        key: key.to_verifier_key(&options.origin()),
    })
}

/// Verifies checkpoints while the chain is read.
#[derive(Default)]
pub struct CheckpointVerifier {
    remaining: Vec<(PathBuf, Checkpoint)>,
    /// The number of the last record that a checkpoint agreed with.
    last_matched: u64,
    /// The number of checkpoints that agreed with the chain.
    pub matched: u64,
    /// The number of checkpoints for dropped records: only their signatures could be checked.
    pub before_cut: u64,
    accepts_unsigned_cuts: bool,
}

impl CheckpointVerifier {
    /// A verifier without checkpoints that also accepts unsigned cuts: for copying records, which
    /// may be done without a key.
    pub fn accepting_unsigned_cuts() -> CheckpointVerifier {
        CheckpointVerifier {
            accepts_unsigned_cuts: true,
            ..CheckpointVerifier::default()
        }
    }

    /// Reads checkpoint files and verifies their signatures.
    ///
    /// # Errors
    ///
    /// A file cannot be read, is not a checkpoint, or has no valid signature by `key`.
    pub fn new(
        files: impl IntoIterator<Item = PathBuf>,
        key: &PublicKey,
    ) -> Result<CheckpointVerifier, LedgerError> {
        let read = |file: PathBuf| {
            let text = std::fs::read_to_string(&file).map_err(LedgerError::from_io(&file))?;
            let note = Checkpoint::from_signed_note(&text, key);
            let note = note.map_err(|what| LedgerError::InvalidCheckpoint {
                file: file.clone(),
                what,
            })?;
            Ok((file, note))
        };

        let mut ahead = files
            .into_iter()
            .map(read)
            .collect::<Result<Vec<_>, LedgerError>>()?;
        ahead.sort_by_key(|(_, note)| std::cmp::Reverse(note.head.size));
        Ok(CheckpointVerifier {
            remaining: ahead,
            ..CheckpointVerifier::default()
        })
    }

    /// Leaves out checkpoints of fewer records than `size`.
    pub fn skip_before(&mut self, size: u64) {
        self.remaining.retain(|(_, note)| note.head.size >= size);
    }

    /// Called with the start of the chain. A cut must have a signed checkpoint; otherwise anyone
    /// could drop records.
    ///
    /// # Errors
    ///
    /// No checkpoint signs the cut, or one of the same size has another hash.
    pub fn verify_start(&mut self, acts: &Path, cut: Option<&CutPoint>) -> Result<(), LedgerError> {
        let Some(cut) = cut else { return Ok(()) };
        let size = cut.head.size;
        let signed = |(_, note): &(PathBuf, Checkpoint)| {
            note.head == cut.head && note.cut.as_ref() == Some(&cut.before)
        };
        if !self.accepts_unsigned_cuts && !self.remaining.iter().any(signed) {
            let what = format!(
                "was cut, and no checkpoint signs for it: checkpoints/{size}.note must say the same"
            );
            return Err(LedgerError::Damaged {
                path: acts.to_owned(),
                record: size,
                offset: 0,
                what,
            });
        }

        while self
            .remaining
            .pop_if(|(_, note)| note.head.size < size)
            .is_some()
        {
            self.before_cut += 1;
        }
        self.verify_head(acts, &cut.head, 0)
    }

    /// Called for each position of the chain; the record of `head` is at byte `offset`.
    ///
    /// # Errors
    ///
    /// A checkpoint of this size has another hash.
    pub fn verify_head(
        &mut self,
        acts: &Path,
        head: &ChainHead,
        offset: u64,
    ) -> Result<(), LedgerError> {
        while let Some((file, note)) = self
            .remaining
            .pop_if(|(_, note)| note.head.size == head.size)
        {
            if note.head.hash != head.hash {
                let what = format!(
                    "or one after record {} is not what was signed: checkpoint {} has another hash",
                    self.last_matched,
                    file.display()
                );
                return Err(LedgerError::Damaged {
                    path: acts.to_owned(),
                    record: head.size,
                    offset,
                    what,
                });
            }
            self.last_matched = head.size;
            self.matched += 1;
        }
        Ok(())
    }

    /// Called with the end of the chain.
    ///
    /// # Errors
    ///
    /// A checkpoint has more records than the chain.
    pub fn verify_end(
        &self,
        acts: &Path,
        head: &ChainHead,
        offset: u64,
    ) -> Result<(), LedgerError> {
        let Some((file, note)) = self.remaining.last() else {
            return Ok(());
        };
        let what = format!(
            "is missing: checkpoint {} says there were {}",
            file.display(),
            note.head.size
        );
        Err(LedgerError::Damaged {
            path: acts.to_owned(),
            record: head.size + 1,
            offset,
            what,
        })
    }
}
