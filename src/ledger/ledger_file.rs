//! The file of records, extended by its only writer.

use std::fs::{File, FileTimes, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::error::LedgerError;
use super::folder::LedgerFolder;

/// The open file, and the position of its end.
pub struct LedgerFile {
    file: File,
    path: PathBuf,
    end: u64,
}

/// The state of the file after a failed append.
pub enum AppendError {
    /// The file is unchanged.
    Undone(io::Error),
    /// The content of the disk is unknown.
    Uncertain(io::Error),
}

impl LedgerFile {
    /// Opens the ledger's file, or creates an empty one.
    ///
    /// # Errors
    ///
    /// The file cannot be opened or created, or the folder cannot be synced.
    pub fn open(folder: &LedgerFolder) -> Result<LedgerFile, LedgerError> {
        let path = folder.acts_path();
        let is_new = !path.try_exists().map_err(LedgerError::from_io(&path))?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path);
        let file = file.map_err(LedgerError::from_io(&path))?;
        if is_new {
            folder.sync_folder()?;
        }
        let end = file.metadata().map_err(LedgerError::from_io(&path))?.len();
        Ok(LedgerFile { file, path, end })
    }

    /// The position at which the next record is written, in bytes.
    pub fn end_offset(&self) -> u64 {
        self.end
    }

    /// Opens the file once more, for a reader with a position of its own.
    ///
    /// # Errors
    ///
    /// The file cannot be opened.
    pub fn open_reader(&self) -> Result<File, LedgerError> {
        File::open(&self.path).map_err(LedgerError::from_io(&self.path))
    }

    /// Truncates the file to `end` bytes and syncs it.
    ///
    /// # Errors
    ///
    /// The file cannot be truncated or synced.
    pub fn truncate_file(&mut self, end: u64) -> Result<(), LedgerError> {
        self.file
            .set_len(end)
            .and_then(|()| self.sync_file())
            .map_err(LedgerError::from_io(&self.path))?;
        self.end = end;
        Ok(())
    }

    /// Appends complete lines and syncs them.
    ///
    /// # Errors
    ///
    /// [`AppendError::Undone`] if nothing was written and the file is unchanged, for example on a
    /// full disk; [`AppendError::Uncertain`] if a sync failed.
    pub fn append_lines(&mut self, lines: &[u8]) -> Result<(), AppendError> {
        if let Err(error) = self.file.write_all_at(lines, self.end) {
            // A part may have been written. It must be removed, so that it does not precede the
            // next record.
            return Err(
                match self.file.set_len(self.end).and_then(|()| self.sync_file()) {
                    Ok(()) => AppendError::Undone(error),
                    Err(error) => AppendError::Uncertain(error),
                },
            );
        }
        self.sync_file().map_err(AppendError::Uncertain)?;
        self.end += lines.len() as u64;
        self.round_file_times();
        Ok(())
    }

    /// Sets the file's times to the full hour, as in the records; otherwise they would reveal the
    /// moment of the last act.
    fn round_file_times(&self) {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let hour = SystemTime::UNIX_EPOCH + Duration::from_secs(now - now % 3600);
        // A file system without this feature keeps the time; nothing else depends on it.
        let _ = self
            .file
            .set_times(FileTimes::new().set_accessed(hour).set_modified(hour));
    }

    fn sync_file(&self) -> io::Result<()> {
        rustix::fs::fdatasync(&self.file).map_err(io::Error::from)
    }
}
