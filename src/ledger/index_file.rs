//! The index on disk, so that a start need not read all records.
//!
//! It belongs to a signed checkpoint: it contains the records up to that one, the checkpoint's hash,
//! and where in the file the record ends. A start takes it only if all three fit to the ledger and
//! the signature is valid, reads the records after it, and verifies those before it while it serves
//! (background.rs). Otherwise all records are read, and the index is written anew.
//!
//! ```text
//! acts.index   magic:8  length:u32  header  row*  BLAKE3 of all before it:32  signature of it:64     little-endian
//! header       JSON: size, hash, end, cut, rows, facts (terms, counts, counts by version)
//! row          40 bytes, see index_rows.rs
//! ```

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::FileExt;

use serde::{Deserialize, Serialize};

use super::chain::ChainReader;
use super::chain_head::ChainHead;
use super::checkpoint::Checkpoint;
use super::error::LedgerError;
use super::folder::LedgerFolder;
use super::index::IndexFacts;
use super::index_rows::{IndexRow, IndexRows, ROW_BYTES};
use super::line::{self, MAX_LINE_BYTES};
use super::signing_key::{PublicKey, SigningKey};
use crate::disk;
use crate::hex;

/// The first bytes of the file, with the version of its form.
const MAGIC: [u8; 8] = *b"ffindex2";

/// The largest header: some thousand versions of the prompt.
const MAX_HEADER_BYTES: u32 = 1 << 24;

const DIGEST_BYTES: usize = 32;
const SIGNATURE_BYTES: usize = 64;

/// What the ledger's key signs: a person who can write the folder must not remove a withdrawal.
fn signed_text(digest: &blake3::Hash) -> String {
    format!("footfall ledger index {}", digest.to_hex())
}

/// A ledger's index at a checkpoint.
pub struct StoredIndex {
    /// The checkpoint.
    pub head: ChainHead,
    /// The position after its record, in bytes.
    pub end: u64,
    /// The number of the last dropped record.
    pub cut: u64,
    /// What the index knows beside the rows.
    pub facts: IndexFacts,
    /// A row for each record of a consent id.
    pub rows: IndexRows,
}

/// What is stored of a [`StoredIndex`] before its rows.
#[derive(Serialize, Deserialize)]
struct IndexHeader {
    size: u64,
    hash: String,
    end: u64,
    cut: u64,
    rows: u64,
    facts: IndexFacts,
}

/// What an index file contains, in parts that need not be joined in memory.
pub struct IndexParts<'a> {
    /// The checkpoint.
    pub head: ChainHead,
    /// The position after its record, in bytes.
    pub end: u64,
    /// The number of the last dropped record.
    pub cut: u64,
    /// What the index knows beside the rows.
    pub facts: &'a IndexFacts,
    /// The rows with which it was loaded.
    pub rows: &'a IndexRows,
    /// Those that were added since, in their order.
    pub tail: &'a [IndexRow],
}

impl IndexParts<'_> {
    /// Writes the file. At each moment the former one or this one is there.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn write_file(&self, folder: &LedgerFolder, key: &SigningKey) -> Result<(), LedgerError> {
        let header = IndexHeader {
            size: self.head.size,
            hash: self.head.hash_hex(),
            end: self.end,
            cut: self.cut,
            rows: (self.rows.len() + self.tail.len()) as u64,
            facts: self.facts.clone(),
        };
        let path = folder.index_path();
        disk::write_atomic_with(&path, |file| {
            let header = serde_json::to_vec(&header)?;
            let length = u32::try_from(header.len()).map_err(io::Error::other)?;
            let mut file = HashingWriter::new(file);
            file.write_all(&MAGIC)?;
            file.write_all(&length.to_le_bytes())?;
            file.write_all(&header)?;
            for row in self.rows.merge(self.tail) {
                file.write_all(&row.to_bytes())?;
            }
            file.write_signed_digest(key)
        })
        .map_err(LedgerError::from_io(&path))
    }
}

impl StoredIndex {
    /// Reads the index. `None` without one, and if it is damaged or does not fit to the ledger and
    /// to a checkpoint that `key` signed; then it must be written anew.
    ///
    /// # Errors
    ///
    /// The file of records cannot be read.
    pub fn read_fitting(
        folder: &LedgerFolder,
        key: &PublicKey,
    ) -> Result<Option<StoredIndex>, LedgerError> {
        let path = folder.index_path();
        let index = match File::open(&path).map(|file| read_index(file, key)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Ok(Ok(index)) => index,
            Ok(Err(error)) | Err(error) => {
                tracing::warn!(file = %path.display(), %error, "the ledger's index cannot be read; \
                    it is made anew from the records");
                return Ok(None);
            }
        };

        let is_fitting = index.has_checkpoint(folder, key)
            && index.fits_records(folder, &folder.open_records()?)?;
        if !is_fitting {
            tracing::warn!(file = %path.display(), "the ledger's index is of other records; it is \
                made anew");
        }
        Ok(is_fitting.then_some(index))
    }

    /// Whether a checkpoint signs for the records.
    fn has_checkpoint(&self, folder: &LedgerFolder, key: &PublicKey) -> bool {
        let note = std::fs::read_to_string(folder.checkpoint_path(self.head.size));
        note.is_ok_and(|note| {
            Checkpoint::from_signed_note(&note, key).is_ok_and(|note| note.head == self.head)
        })
    }

    /// Whether the ledger begins with the same cut, and the record of the checkpoint ends where the
    /// index says.
    fn fits_records(&self, folder: &LedgerFolder, file: &File) -> Result<bool, LedgerError> {
        let path = folder.acts_path();
        let begun = ChainReader::new(BufReader::new(file), &path)?;
        let cut = begun.cut_point().map_or(0, |cut| cut.head.size);

        let start = self.end.saturating_sub(MAX_LINE_BYTES as u64 + 1);
        let mut bytes = vec![0; usize::try_from(self.end - start).unwrap_or(0)];
        match file.read_exact_at(&mut bytes, start) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            read => read.map_err(LedgerError::from_io(&path))?,
        }
        let ends_a_line = bytes.pop() == Some(b'\n');
        let last = bytes.rsplit(|byte| *byte == b'\n').next();
        let hash = last.and_then(line::verified_chain_digest);
        Ok(ends_a_line && cut == self.cut && hash == Some(self.head.hash))
    }
}

/// Reads the file and checks that it is whole, and signed by the ledger's key.
fn read_index(file: File, key: &PublicKey) -> io::Result<StoredIndex> {
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, "is damaged");
    let mut file = HashingReader {
        inner: BufReader::with_capacity(1 << 20, file),
        hasher: blake3::Hasher::new(),
    };
    let (mut magic, mut length) = ([0; 8], [0; 4]);
    file.read_exact(&mut magic)?;
    file.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if magic != MAGIC || length > MAX_HEADER_BYTES {
        return Err(damaged());
    }
    let mut header = vec![0; length as usize];
    file.read_exact(&mut header)?;
    let header: IndexHeader = serde_json::from_slice(&header).map_err(|_| damaged())?;

    let bytes = header
        .rows
        .checked_mul(ROW_BYTES as u64)
        .ok_or_else(damaged)?;
    // What the header says must not allocate more than there is.
    let there = file.inner.get_ref().metadata()?.len();
    if bytes > there {
        return Err(damaged());
    }
    let mut rows = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
    file.read_exact(&mut rows)?;
    let digest = file.hasher.finalize();
    let mut stored = [0; DIGEST_BYTES];
    file.inner.read_exact(&mut stored)?;
    let mut signature = [0; SIGNATURE_BYTES];
    file.inner.read_exact(&mut signature)?;
    let is_whole = digest == stored && file.inner.read(&mut [0])? == 0;
    if !is_whole || !key.has_signed(&signed_text(&digest), &signature) {
        return Err(damaged());
    }

    let rows = IndexRows::from_stored(rows).ok_or_else(damaged)?;
    if !header.facts.has_terms_of(&rows) {
        return Err(damaged());
    }
    Ok(StoredIndex {
        head: ChainHead {
            size: header.size,
            hash: hex::decode_lower(header.hash.as_bytes()).ok_or_else(damaged)?,
        },
        end: header.end,
        cut: header.cut,
        facts: header.facts,
        rows,
    })
}

struct HashingWriter<'a> {
    inner: &'a mut dyn Write,
    hasher: blake3::Hasher,
    /// Small writes are collected: a digest of a few bytes at a time is slow.
    buffer: Vec<u8>,
}

/// Bytes that are hashed and written at once.
const BUFFER_BYTES: usize = 1 << 16;

impl<'a> HashingWriter<'a> {
    fn new(inner: &'a mut dyn Write) -> HashingWriter<'a> {
        HashingWriter {
            inner,
            hasher: blake3::Hasher::new(),
            buffer: Vec::with_capacity(BUFFER_BYTES),
        }
    }

    fn write_signed_digest(mut self, key: &SigningKey) -> io::Result<()> {
        self.flush()?;
        let digest = self.hasher.finalize();
        self.inner.write_all(digest.as_bytes())?;
        self.inner.write_all(&key.sign_text(&signed_text(&digest)))
    }
}

impl Write for HashingWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hasher.update(&self.buffer);
        self.inner.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

struct HashingReader {
    inner: BufReader<File>,
    hasher: blake3::Hasher,
}

impl Read for HashingReader {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.hasher.update(&bytes[..read]);
        Ok(read)
    }
}
