//! Reads single records from their position in the file.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::act::Record;
use super::book::Fact;
use super::chain::Entry;
use super::error::LedgerError;
use super::line::{self, Fields, LONGEST};

/// A reader of records that were verified before.
pub struct Reader {
    file: File,
    path: PathBuf,
}

impl Reader {
    /// `path` is used in errors only.
    pub fn new(file: File, path: PathBuf) -> Reader {
        Reader { file, path }
    }

    /// The record whose line starts at byte `offset`. Its hash was verified when the ledger was
    /// opened and is verified again, because disks can change under a running program.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or the record does not match its hash.
    pub fn record(&self, offset: u64) -> Result<Record, LedgerError> {
        let mut bytes = vec![0; LONGEST];
        let read = self.file.read_at(&mut bytes, offset).map_err(LedgerError::io(&self.path))?;
        let line = bytes[..read].split(|byte| *byte == b'\n').next().unwrap_or_default();
        record(line).ok_or_else(|| LedgerError::Damaged {
            path: self.path.clone(),
            record: serde_json::from_slice::<Fields<'_>>(line).map_or(0, |fields| fields.seq),
            offset,
            what: "is not what it was when the ledger was opened".into(),
        })
    }
}

fn record(line: &[u8]) -> Option<Record> {
    let hash = line::sealed(line)?;
    let fields: Fields<'_> = serde_json::from_slice(line).ok()?;
    let text = std::str::from_utf8(line).ok()?.to_owned();
    Some(Record { seq: fields.seq, act: fields.act, refers: fields.refers, hash, line: text })
}

/// The part of a verified record that the index needs.
pub fn fact<'a>(entry: &'a Entry<'_>) -> Fact<'a> {
    let Entry { fields, id, offset, .. } = entry;
    Fact {
        seq: fields.seq,
        id: id.as_ref(),
        act: fields.act,
        refers: fields.refers,
        version: fields.version,
        granted: fields.purposes.0.iter().filter(|(_, granted)| *granted).map(|(name, _)| *name).collect(),
        offset: *offset,
        on: line::day(fields.at),
    }
}
