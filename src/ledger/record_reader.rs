//! Reads single records from their position in the file.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::act::LedgerRecord;
use super::chain::VerifiedRecord;
use super::error::LedgerError;
use super::index::RecordSummary;
use super::line::{self, LedgerLine, MAX_LINE_BYTES};

/// A reader of records that were verified before.
pub struct RecordReader {
    file: File,
    path: PathBuf,
}

impl RecordReader {
    /// `path` is used in errors only.
    pub fn new(file: File, path: PathBuf) -> RecordReader {
        RecordReader { file, path }
    }

    /// The record whose line starts at byte `offset`. Its hash was verified when the ledger was
    /// opened and is verified again, because disks can change while the program runs.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or the record does not match its hash.
    pub fn read_record(&self, offset: u64) -> Result<LedgerRecord, LedgerError> {
        let mut bytes = vec![0; MAX_LINE_BYTES];
        let read = self
            .file
            .read_at(&mut bytes, offset)
            .map_err(LedgerError::from_io(&self.path))?;
        let line = bytes[..read]
            .split(|byte| *byte == b'\n')
            .next()
            .unwrap_or_default();
        parse_record(line).ok_or_else(|| LedgerError::Damaged {
            path: self.path.clone(),
            record: serde_json::from_slice::<LedgerLine<'_>>(line).map_or(0, |fields| fields.seq),
            offset,
            what: "is not what it was when the ledger was opened".into(),
        })
    }
}

pub(super) fn parse_record(line: &[u8]) -> Option<LedgerRecord> {
    let hash = line::verified_chain_digest(line)?;
    let fields: LedgerLine<'_> = serde_json::from_slice(line).ok()?;
    let text = std::str::from_utf8(line).ok()?.to_owned();
    Some(LedgerRecord {
        seq: fields.seq,
        act: fields.act,
        refers: fields.refers,
        hash,
        line: text,
    })
}

/// The part of a verified record that the index needs.
pub fn summarize_record<'a>(entry: &'a VerifiedRecord<'_>) -> RecordSummary<'a> {
    let VerifiedRecord {
        fields, id, offset, ..
    } = entry;
    RecordSummary {
        seq: fields.seq,
        id: id.as_ref(),
        act: fields.act,
        refers: fields.refers,
        version: fields.version,
        granted: fields
            .purposes
            .0
            .iter()
            .filter(|(_, granted)| *granted)
            .map(|(name, _)| *name)
            .collect(),
        offset: *offset,
        day: line::day_from_text(fields.at),
    }
}
