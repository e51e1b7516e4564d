//! The file of records, as its only writer extends it.

use std::fs::{File, FileTimes, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::error::LedgerError;
use super::folder::Folder;

/// The open file, and the position of its end.
pub struct Acts {
    file: File,
    path: PathBuf,
    end: u64,
}

/// The state of the file after a failed append.
pub enum Failure {
    /// The file is unchanged.
    Undone(io::Error),
    /// The content of the disk is not known.
    Uncertain(io::Error),
}

impl Acts {
    /// Opens the ledger's file, or creates an empty one.
    ///
    /// # Errors
    ///
    /// The file cannot be opened or created, or the folder cannot be synced.
    pub fn open(folder: &Folder) -> Result<Acts, LedgerError> {
        let path = folder.acts();
        let is_new = !path.try_exists().map_err(LedgerError::io(&path))?;
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).mode(0o600).open(&path);
        let file = file.map_err(LedgerError::io(&path))?;
        if is_new {
            folder.sync()?;
        }
        let end = file.metadata().map_err(LedgerError::io(&path))?.len();
        Ok(Acts { file, path, end })
    }

    /// The position at which the next record is written, in bytes.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Opens the file once more, for a reader with a position of its own.
    ///
    /// # Errors
    ///
    /// The file cannot be opened.
    pub fn read(&self) -> Result<File, LedgerError> {
        File::open(&self.path).map_err(LedgerError::io(&self.path))
    }

    /// Truncates the file to `end` bytes and syncs it.
    ///
    /// # Errors
    ///
    /// The file cannot be truncated or synced.
    pub fn cut_back(&mut self, end: u64) -> Result<(), LedgerError> {
        self.file.set_len(end).and_then(|()| self.sync()).map_err(LedgerError::io(&self.path))?;
        self.end = end;
        Ok(())
    }

    /// Appends complete lines and syncs them.
    ///
    /// # Errors
    ///
    /// [`Failure::Undone`] if nothing was written and the file is unchanged, for example on a full
    /// disk; [`Failure::Uncertain`] if a sync failed.
    pub fn append(&mut self, lines: &[u8]) -> Result<(), Failure> {
        if let Err(error) = self.file.write_all_at(lines, self.end) {
            // A part may have been written. It must be removed, so that it does not precede the
            // next record.
            return Err(match self.file.set_len(self.end).and_then(|()| self.sync()) {
                Ok(()) => Failure::Undone(error),
                Err(error) => Failure::Uncertain(error),
            });
        }
        self.sync().map_err(Failure::Uncertain)?;
        self.end += lines.len() as u64;
        self.blur();
        Ok(())
    }

    /// Sets the file's times back to the full hour, as in the records; otherwise they would reveal
    /// the moment of the last act.
    fn blur(&self) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let hour = SystemTime::UNIX_EPOCH + Duration::from_secs(now - now % 3600);
        // A file system without this feature keeps the time; nothing else depends on it.
        let _ = self.file.set_times(FileTimes::new().set_accessed(hour).set_modified(hour));
    }

    fn sync(&self) -> io::Result<()> {
        rustix::fs::fdatasync(&self.file).map_err(io::Error::from)
    }
}
