//! The ledger's folder: who owns it, what lies in it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::error::LedgerError;
use crate::disk::{self, Lock};

/// Names of what lies in the folder. Who holds only this may read.
#[derive(Clone)]
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(path: &Path) -> Folder {
        Folder(path.to_owned())
    }

    pub fn acts(&self) -> PathBuf {
        self.0.join("acts.ledger")
    }

    pub fn key(&self) -> PathBuf {
        self.0.join("key.pem")
    }

    pub fn checkpoints(&self) -> PathBuf {
        self.0.join("checkpoints")
    }

    pub fn note(&self, size: u64) -> PathBuf {
        self.checkpoints().join(format!("{size}.note"))
    }

    /// Where a cut ledger is written before it takes the place of the whole one.
    pub fn cutting(&self) -> PathBuf {
        self.0.join("acts.ledger.cutting")
    }

    pub fn create(&self) -> Result<(), LedgerError> {
        disk::private_folder(&self.0).map_err(LedgerError::io(&self.0))
    }

    /// Takes the rights of others from what an earlier version made.
    pub fn close_to_others(&self) -> Result<(), LedgerError> {
        let own =
            [(self.0.clone(), 0o700), (self.checkpoints(), 0o700), (self.acts(), 0o600), (self.lock_file(), 0o600)];
        for (path, mode) in own.into_iter().filter(|(path, _)| path.exists()) {
            disk::close_to_others(&path, mode).map_err(LedgerError::io(&path))?;
        }
        Ok(())
    }

    fn lock_file(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// Removes what a crash in the middle of a cut left: the whole ledger still stands in its place.
    pub fn clear(&self) -> Result<(), LedgerError> {
        let half = self.cutting();
        match std::fs::remove_file(&half) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(LedgerError::io(&half)(error)),
            _ => Ok(()),
        }
    }

    /// The right to write, for as long as the lock lives.
    pub fn lock(&self) -> Result<Lock, LedgerError> {
        let path = self.lock_file();
        Lock::take(&path).map_err(LedgerError::io(&path))?.ok_or_else(|| LedgerError::InUse(self.0.clone()))
    }

    /// The acts, to be read.
    pub fn open_acts(&self) -> Result<File, LedgerError> {
        let path = self.acts();
        File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => LedgerError::Missing(self.0.clone()),
            _ => LedgerError::io(&path)(error),
        })
    }

    /// Makes names that were created, renamed or removed survive a power cut.
    pub fn sync(&self) -> Result<(), LedgerError> {
        disk::sync(&self.0).map_err(LedgerError::io(&self.0))
    }
}
