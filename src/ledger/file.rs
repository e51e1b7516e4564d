//! The file of acts, as its one writer extends it.

use std::fs::{File, FileTimes, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::error::LedgerError;
use super::folder::Folder;

pub struct Acts {
    file: File,
    path: PathBuf,
    end: u64,
}

/// What a failed append leaves behind.
pub enum Failure {
    /// The file is as it was before.
    Undone(io::Error),
    /// What is on disk is not known.
    Uncertain(io::Error),
}

impl Acts {
    /// Opens what is there, or begins a ledger.
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

    pub fn end(&self) -> u64 {
        self.end
    }

    /// For readers of their own place in the file.
    pub fn read(&self) -> Result<File, LedgerError> {
        File::open(&self.path).map_err(LedgerError::io(&self.path))
    }

    /// Drops what follows `end`, for good.
    pub fn cut_back(&mut self, end: u64) -> Result<(), LedgerError> {
        self.file.set_len(end).and_then(|()| self.sync()).map_err(LedgerError::io(&self.path))?;
        self.end = end;
        Ok(())
    }

    /// Appends and syncs.
    pub fn append(&mut self, lines: &[u8]) -> Result<(), Failure> {
        if let Err(error) = self.file.write_all_at(lines, self.end) {
            // Part of it may lie in the file: it must not stand before what is appended next.
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

    /// The file's own time would tell the moment of the last act: it is set back to the hour, as in the records.
    fn blur(&self) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let hour = SystemTime::UNIX_EPOCH + Duration::from_secs(now - now % 3600);
        // A file system that cannot do so keeps a time, and nothing else depends on it.
        let _ = self.file.set_times(FileTimes::new().set_accessed(hour).set_modified(hour));
    }

    fn sync(&self) -> io::Result<()> {
        rustix::fs::fdatasync(&self.file).map_err(io::Error::from)
    }
}
