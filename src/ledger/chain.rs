//! Reads a ledger from its first byte and verifies that every line follows the one before it.

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Sha256Digest;
use super::chain_head::ChainHead;
use super::error::LedgerError;
use super::line::{self, LedgerLine, MAX_LINE_BYTES};
use crate::consent::ConsentId;
use crate::hex;

/// A verified record.
pub struct VerifiedRecord<'a> {
    /// The fields of the record.
    pub fields: LedgerLine<'a>,
    /// The consent id; `None` for a refusal.
    pub id: Option<ConsentId>,
    /// The hash of the record.
    pub hash: Sha256Digest,
    /// The position of the line in the file, in bytes.
    pub offset: u64,
    /// The line without its newline.
    pub text: &'a str,
}

impl VerifiedRecord<'_> {
    /// The position after this record.
    pub fn head(&self) -> ChainHead {
        ChainHead {
            size: self.fields.seq,
            hash: self.hash,
        }
    }

    /// An error that names this record, for a contradiction that is not in its bytes.
    pub fn damage_error(&self, path: &Path, what: String) -> LedgerError {
        damaged_record(path, self.fields.seq, self.offset, what)
    }
}

/// The first line of a ledger whose oldest records were dropped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CutPoint {
    /// The position of the last dropped record.
    pub head: ChainHead,
    /// The UTC day before which records were dropped, as written: `2024-01-01`.
    pub before: String,
}

/// A reader that verifies the chain.
pub struct ChainReader<R> {
    source: R,
    path: PathBuf,
    head: ChainHead,
    cut: Option<CutPoint>,
    /// The position after the last complete line, in bytes.
    end: u64,
    line: Vec<u8>,
    torn: bool,
}

impl<R: BufRead> ChainReader<R> {
    /// Starts to read `source`. `path` is used in errors only.
    ///
    /// # Errors
    ///
    /// The first bytes cannot be read, or the line about dropped records is malformed.
    pub fn new(source: R, path: &Path) -> Result<ChainReader<R>, LedgerError> {
        let path = path.to_owned();
        let mut chain = ChainReader {
            source,
            path,
            head: ChainHead::EMPTY,
            cut: None,
            end: 0,
            line: Vec::new(),
            torn: false,
        };
        chain.read_cut_line()?;
        Ok(chain)
    }

    /// Continues after a record: `head` is its position in the chain, `end` that of the byte after
    /// it, where `source` is.
    pub fn resume(source: R, path: &Path, head: ChainHead, end: u64) -> ChainReader<R> {
        ChainReader {
            source,
            path: path.to_owned(),
            head,
            cut: None,
            end,
            line: Vec::new(),
            torn: false,
        }
    }

    /// The position of the last record that was read.
    pub fn head(&self) -> ChainHead {
        self.head
    }

    /// The cut at the start of the ledger, if there is one.
    pub fn cut_point(&self) -> Option<&CutPoint> {
        self.cut.as_ref()
    }

    /// The number of bytes of complete lines read so far.
    pub fn end_offset(&self) -> u64 {
        self.end
    }

    /// Whether an incomplete last line follows them. Only meaningful after the last record was
    /// read.
    pub fn is_torn(&self) -> bool {
        self.torn
    }

    /// The next record; `None` after the last.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or the next line is damaged or does not follow the one before it.
    /// The error names the record and its position.
    pub fn next_record(&mut self) -> Result<Option<VerifiedRecord<'_>>, LedgerError> {
        let offset = self.end;
        if !self.read_line()? {
            return Ok(None);
        }
        let entry = verify_line(&self.line, &self.head, offset)
            .map_err(|what| damaged_record(&self.path, self.head.size + 1, offset, what))?;
        self.head = entry.head();
        Ok(Some(entry))
    }

    fn read_cut_line(&mut self) -> Result<(), LedgerError> {
        let start = self
            .source
            .fill_buf()
            .map_err(LedgerError::from_io(&self.path))?;
        if !start.starts_with(br#"{"cut":"#) || !self.read_line()? {
            return Ok(());
        }
        let cut = parse_cut_line(&self.line).ok_or_else(|| {
            damaged_record(
                &self.path,
                1,
                0,
                "is unknown: the line about the cut cannot be read".into(),
            )
        })?;
        self.head = cut.head;
        self.cut = Some(cut);
        Ok(())
    }

    /// Reads a line into `self.line`. `false` at the end, and at an incomplete last line.
    fn read_line(&mut self) -> Result<bool, LedgerError> {
        self.line.clear();
        let mut bounded = (&mut self.source).take(MAX_LINE_BYTES as u64);
        bounded
            .read_until(b'\n', &mut self.line)
            .map_err(LedgerError::from_io(&self.path))?;
        if self.line.pop_if(|last| *last == b'\n').is_some() {
            self.end += self.line.len() as u64 + 1;
            return Ok(true);
        }

        if self.line.is_empty() {
            return Ok(false);
        }

        if self.line.len() == MAX_LINE_BYTES || !line::is_line_prefix(&self.line) {
            let what = "does not end where a record ends".to_owned();
            return Err(damaged_record(
                &self.path,
                self.head.size + 1,
                self.end,
                what,
            ));
        }
        self.torn = true;
        Ok(false)
    }
}

fn verify_line<'a>(
    line: &'a [u8],
    before: &ChainHead,
    offset: u64,
) -> Result<VerifiedRecord<'a>, String> {
    let hash = line::verified_chain_digest(line)
        .ok_or("is damaged: its bytes do not give the hash it ends with")?;
    // serde's own message could quote the record.
    let fields: LedgerLine<'a> = serde_json::from_slice(line).map_err(|error| {
        format!(
            "is no record as this version knows it, at column {}",
            error.column()
        )
    })?;
    let text = std::str::from_utf8(line).map_err(|_| "is no UTF-8")?;

    let (expected, found) = (before.size + 1, fields.seq);
    if found > expected {
        return Err(format!("is missing: record {found} is in its place"));
    }
    if found < expected {
        return Err(format!(
            "has record {found} in its place, a second time or out of order"
        ));
    }
    if hex::decode_lower(fields.prev.as_bytes()) != Some(before.hash) {
        return Err(format!(
            "does not follow record {}: its `prev` is another hash",
            before.size
        ));
    }

    let id = match fields.id {
        Some(id) => {
            Some(ConsentId::from_hex(id).ok_or("has an id that is not 32 lower-case hex digits")?)
        }
        None => None,
    };
    Ok(VerifiedRecord {
        fields,
        id,
        hash,
        offset,
        text,
    })
}

fn damaged_record(path: &Path, record: u64, offset: u64, what: String) -> LedgerError {
    LedgerError::Damaged {
        path: path.to_owned(),
        record,
        offset,
        what,
    }
}

fn parse_cut_line(line: &[u8]) -> Option<CutPoint> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct CutLine<'a> {
        #[serde(borrow)]
        cut: CutFields<'a>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct CutFields<'a> {
        seq: u64,
        hash: &'a str,
        before: &'a str,
    }

    let CutLine { cut } = serde_json::from_slice(line).ok()?;
    let head = ChainHead {
        size: cut.seq,
        hash: hex::decode_lower(cut.hash.as_bytes())?,
    };
    Some(CutPoint {
        head,
        before: cut.before.to_owned(),
    })
}
