//! The ledger's folder: names, access rights and the lock.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::error::LedgerError;
use crate::disk::{self, FileLock};

/// The paths in the folder. Holding this value alone allows reading only.
#[derive(Clone)]
pub struct LedgerFolder(PathBuf);

impl LedgerFolder {
    /// The folder at this path; it need not exist.
    pub fn new(path: &Path) -> LedgerFolder {
        LedgerFolder(path.to_owned())
    }

    /// The file of records.
    pub fn acts_path(&self) -> PathBuf {
        self.0.join("acts.ledger")
    }

    /// The index of the records up to a checkpoint.
    pub fn index_path(&self) -> PathBuf {
        self.0.join("acts.index")
    }

    /// The ledger's own signing key, used if none is configured.
    pub fn key_path(&self) -> PathBuf {
        self.0.join("key.pem")
    }

    /// The folder of checkpoints.
    pub fn checkpoints_path(&self) -> PathBuf {
        self.0.join("checkpoints")
    }

    /// The checkpoint of the first `size` records.
    pub fn checkpoint_path(&self, size: u64) -> PathBuf {
        self.checkpoints_path().join(format!("{size}.note"))
    }

    /// The sizes of the checkpoints in the folder, from their file names, in no particular order.
    /// Empty if there is no folder of checkpoints.
    ///
    /// # Errors
    ///
    /// The folder of checkpoints cannot be read.
    pub fn checkpoint_sizes(&self) -> Result<Vec<u64>, LedgerError> {
        let path = self.checkpoints_path();
        let entries = match std::fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(LedgerError::from_io(&path))?,
        };

        let mut sizes = Vec::new();
        for entry in entries {
            let name = entry.map_err(LedgerError::from_io(&path))?.file_name();
            sizes.extend(
                name.to_string_lossy()
                    .strip_suffix(".note")
                    .and_then(|size| size.parse::<u64>().ok()),
            );
        }
        Ok(sizes)
    }

    /// The file to which a cut ledger is written before it replaces the ledger.
    pub fn cut_temp_path(&self) -> PathBuf {
        self.0.join("acts.ledger.cutting")
    }

    /// Creates the folder if it is missing, with mode 0700.
    ///
    /// # Errors
    ///
    /// The folder cannot be created.
    pub fn create_folder(&self) -> Result<(), LedgerError> {
        disk::create_private_folder(&self.0).map_err(LedgerError::from_io(&self.0))
    }

    /// Removes access rights of other users, as set by an earlier version.
    ///
    /// # Errors
    ///
    /// The access rights of an existing file cannot be read or changed.
    pub fn restrict_access(&self) -> Result<(), LedgerError> {
        let own = [
            (self.0.clone(), 0o700),
            (self.checkpoints_path(), 0o700),
            (self.acts_path(), 0o600),
            (self.index_path(), 0o600),
            (self.lock_path(), 0o600),
        ];
        for (path, mode) in own.into_iter().filter(|(path, _)| path.exists()) {
            disk::restrict_to_owner(&path, mode).map_err(LedgerError::from_io(&path))?;
        }
        Ok(())
    }

    fn lock_path(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// Removes the temporary file of a cut that crashed. The complete ledger is still in place.
    ///
    /// # Errors
    ///
    /// The file exists and cannot be removed.
    pub fn remove_cut_temp(&self) -> Result<(), LedgerError> {
        let half = self.cut_temp_path();
        match std::fs::remove_file(&half) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(LedgerError::from_io(&half)(error))
            }
            _ => Ok(()),
        }
    }

    /// Removes the index. Without one, all records are read.
    ///
    /// # Errors
    ///
    /// The file exists and cannot be removed.
    pub fn remove_index(&self) -> Result<(), LedgerError> {
        let path = self.index_path();
        // What a crash left of one that was being written.
        for path in [path.with_extension("writing"), path] {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(LedgerError::from_io(&path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Acquires the writer's lock; it is released when the returned value is dropped.
    ///
    /// # Errors
    ///
    /// Another process holds the lock, or the lock file cannot be opened.
    pub fn acquire_lock(&self) -> Result<FileLock, LedgerError> {
        let path = self.lock_path();
        FileLock::try_lock(&path)
            .map_err(LedgerError::from_io(&path))?
            .ok_or_else(|| LedgerError::InUse(self.0.clone()))
    }

    /// Opens the file of records for reading.
    ///
    /// # Errors
    ///
    /// There is no ledger in the folder, or the file cannot be opened.
    pub fn open_records(&self) -> Result<File, LedgerError> {
        let path = self.acts_path();
        File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => LedgerError::NotFound(self.0.clone()),
            _ => LedgerError::from_io(&path)(error),
        })
    }

    /// Syncs the folder, so that created, renamed and removed names survive a power cut.
    ///
    /// # Errors
    ///
    /// The folder cannot be synced.
    pub fn sync_folder(&self) -> Result<(), LedgerError> {
        disk::sync_folder(&self.0).map_err(LedgerError::from_io(&self.0))
    }
}
