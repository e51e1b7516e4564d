//! Audit entries of sign-ins that a stop could not store. They wait in a file for the next start.
//!
//! `audit-queue` in the journal's folder has a version byte and the entries as a state has them
//! ([`AuditEntry::write_state`]). It is removed once the entries are stored; entries that are stored
//! twice are one, by their id.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::access::AuditEntry;
use crate::disk;
use crate::state_codec::{StateError, StateReader, StateWriter};

const FILE_NAME: &str = "audit-queue";
const VERSION: u8 = 1;

/// The file, which seldom exists.
pub(super) struct AuditFile {
    path: PathBuf,
    exists: AtomicBool,
}

impl AuditFile {
    /// The file of a journal's folder, and the entries of the last stop. A file that cannot be read is
    /// logged, and stays until a stop has entries.
    pub(super) fn open(dir: &Path) -> (AuditFile, Vec<AuditEntry>) {
        let path = dir.join(FILE_NAME);
        let read =
            fs::read(&path).and_then(|bytes| parse_entries(&bytes).map_err(io::Error::other));
        if let Err(error) = &read
            && error.kind() != ErrorKind::NotFound
        {
            let path = path.display();
            tracing::warn!(%path, %error, "sign-ins of the last stop are not added to the audit log");
        }

        let exists = AtomicBool::new(read.is_ok());
        (AuditFile { path, exists }, read.unwrap_or_default())
    }

    /// Writes the file, or removes it if there are no entries.
    ///
    /// # Errors
    ///
    /// The file cannot be written or removed; the former one is unchanged.
    pub(super) fn replace_entries(&self, entries: &[AuditEntry]) -> io::Result<()> {
        if entries.is_empty() {
            return self.remove();
        }
        self.exists.store(true, Ordering::Release);
        disk::write_atomic(&self.path, &encode_entries(entries)?)
    }

    /// Removes the file, if there is one: its entries are stored.
    ///
    /// # Errors
    ///
    /// It cannot be removed.
    pub(super) fn remove(&self) -> io::Result<()> {
        if !self.exists.load(Ordering::Acquire) {
            return Ok(());
        }
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => self.exists.store(false, Ordering::Release),
        }
        Ok(())
    }
}

fn encode_entries(entries: &[AuditEntry]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut out = StateWriter::new(&mut bytes);
    out.put_u8(VERSION);
    super::inherited::write_entries(entries, &mut out);
    out.finish()?;
    Ok(bytes)
}

fn parse_entries(bytes: &[u8]) -> Result<Vec<AuditEntry>, StateError> {
    let length = bytes.len() as u64;
    let mut source = bytes;
    let mut input = StateReader::new(&mut source, length);
    if input.read_u8()? != VERSION {
        return Err(StateError::Invalid("it has another version"));
    }
    let entries = super::inherited::read_entries(&mut input)?;
    input.finish()?;
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{AuditAction, Principal};

    #[test]
    fn entries_read_back_until_they_are_stored_and_a_damaged_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let entry = AuditEntry::new(7, &Principal::Operator, AuditAction::SignIn, "");
        let (file, entries) = AuditFile::open(dir.path());
        assert!(entries.is_empty());

        file.replace_entries(std::slice::from_ref(&entry)).unwrap();
        let (next_start, entries) = AuditFile::open(dir.path());
        let ids: Vec<String> = entries.into_iter().map(|e| e.id).collect();
        assert_eq!(ids, [entry.id]);
        next_start.remove().unwrap();
        assert!(!dir.path().join(FILE_NAME).exists());

        for damaged in [&[VERSION + 1][..], &[VERSION, 1], &[]] {
            fs::write(dir.path().join(FILE_NAME), damaged).unwrap();
            let (file, entries) = AuditFile::open(dir.path());
            assert!(entries.is_empty());
            file.remove().unwrap();
            assert_eq!(fs::read(dir.path().join(FILE_NAME)).unwrap(), damaged);
        }
    }
}
