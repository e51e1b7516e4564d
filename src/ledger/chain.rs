//! Reads a ledger from its first byte and verifies that every line follows the one before it.

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Hash;
use super::error::LedgerError;
use super::head::Head;
use super::line::{self, Fields, LONGEST};
use crate::consent::ConsentId;
use crate::hex;

/// A verified record.
pub struct Entry<'a> {
    /// The fields of the record.
    pub fields: Fields<'a>,
    /// The consent id; `None` for a refusal.
    pub id: Option<ConsentId>,
    /// The hash of the record.
    pub hash: Hash,
    /// The position of the line in the file, in bytes.
    pub offset: u64,
    /// The line without its newline.
    pub text: &'a str,
}

impl Entry<'_> {
    /// The position after this record.
    pub fn head(&self) -> Head {
        Head { size: self.fields.seq, hash: self.hash }
    }

    /// An error that names this record, for a contradiction that is not in its bytes.
    pub fn damaged(&self, path: &Path, what: String) -> LedgerError {
        damaged(path, self.fields.seq, self.offset, what)
    }
}

/// The first line of a ledger whose oldest records were dropped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cut {
    /// The position of the last dropped record.
    pub head: Head,
    /// The UTC day before which records were dropped, as written: `2024-01-01`.
    pub before: String,
}

/// A reader that verifies the chain.
pub struct Chain<R> {
    source: R,
    path: PathBuf,
    head: Head,
    cut: Option<Cut>,
    /// The position after the last complete line, in bytes.
    end: u64,
    line: Vec<u8>,
    torn: bool,
}

impl<R: BufRead> Chain<R> {
    /// Starts to read `source`. `path` is used in errors only.
    ///
    /// # Errors
    ///
    /// The first bytes cannot be read, or the line about dropped records is malformed.
    pub fn new(source: R, path: &Path) -> Result<Chain<R>, LedgerError> {
        let path = path.to_owned();
        let mut chain = Chain { source, path, head: Head::EMPTY, cut: None, end: 0, line: Vec::new(), torn: false };
        chain.begin()?;
        Ok(chain)
    }

    /// The position of the last record that was read.
    pub fn head(&self) -> Head {
        self.head
    }

    /// What was dropped from the start of the ledger, if anything was.
    pub fn cut(&self) -> Option<&Cut> {
        self.cut.as_ref()
    }

    /// The number of bytes of complete lines read so far.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Whether an incomplete last line follows them. Only meaningful after the last record was
    /// read.
    pub fn torn(&self) -> bool {
        self.torn
    }

    /// The next record; `None` after the last.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or the next line is damaged or does not follow the one before it.
    /// The error names the record and its position.
    pub fn next(&mut self) -> Result<Option<Entry<'_>>, LedgerError> {
        let offset = self.end;
        if !self.read_line()? {
            return Ok(None);
        }
        let entry = follow(&self.line, &self.head, offset)
            .map_err(|what| damaged(&self.path, self.head.size + 1, offset, what))?;
        self.head = entry.head();
        Ok(Some(entry))
    }

    fn begin(&mut self) -> Result<(), LedgerError> {
        let start = self.source.fill_buf().map_err(LedgerError::io(&self.path))?;
        if !start.starts_with(br#"{"cut":"#) || !self.read_line()? {
            return Ok(());
        }
        let cut = read_cut(&self.line).ok_or_else(|| {
            damaged(&self.path, 1, 0, "cannot be told: the line that says what was cut cannot be read".into())
        })?;
        self.head = cut.head;
        self.cut = Some(cut);
        Ok(())
    }

    /// Reads a line into `self.line`. `false` at the end, and at an incomplete last line.
    fn read_line(&mut self) -> Result<bool, LedgerError> {
        self.line.clear();
        let mut bounded = (&mut self.source).take(LONGEST as u64);
        bounded.read_until(b'\n', &mut self.line).map_err(LedgerError::io(&self.path))?;
        if self.line.pop_if(|last| *last == b'\n').is_some() {
            self.end += self.line.len() as u64 + 1;
            return Ok(true);
        }

        if self.line.is_empty() {
            return Ok(false);
        }

        if self.line.len() == LONGEST || !line::begins_one(&self.line) {
            let what = "does not end where a record ends".to_owned();
            return Err(damaged(&self.path, self.head.size + 1, self.end, what));
        }
        self.torn = true;
        Ok(false)
    }
}

fn follow<'a>(line: &'a [u8], before: &Head, offset: u64) -> Result<Entry<'a>, String> {
    let hash = line::sealed(line).ok_or("is damaged: its bytes do not give the hash it ends with")?;
    // serde's own message could quote the record.
    let fields: Fields<'a> = serde_json::from_slice(line)
        .map_err(|error| format!("is no record as this version knows it, at column {}", error.column()))?;
    let text = std::str::from_utf8(line).map_err(|_| "is no UTF-8")?;

    let (expected, found) = (before.size + 1, fields.seq);
    if found > expected {
        return Err(format!("is missing: record {found} stands in its place"));
    }
    if found < expected {
        return Err(format!("has record {found} in its place, a second time or out of order"));
    }
    if hex::read(fields.prev.as_bytes()) != Some(before.hash) {
        return Err(format!("does not follow record {}: its `prev` is another hash", before.size));
    }

    let id = match fields.id {
        Some(id) => Some(ConsentId::read(id).ok_or("has an id that is not 32 lower-case hex digits")?),
        None => None,
    };
    Ok(Entry { fields, id, hash, offset, text })
}

fn damaged(path: &Path, record: u64, offset: u64, what: String) -> LedgerError {
    LedgerError::Damaged { path: path.to_owned(), record, offset, what }
}

fn read_cut(line: &[u8]) -> Option<Cut> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Line<'a> {
        #[serde(borrow)]
        cut: Fields<'a>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Fields<'a> {
        seq: u64,
        hash: &'a str,
        before: &'a str,
    }

    let Line { cut } = serde_json::from_slice(line).ok()?;
    let head = Head { size: cut.seq, hash: hex::read(cut.hash.as_bytes())? };
    Some(Cut { head, before: cut.before.to_owned() })
}
