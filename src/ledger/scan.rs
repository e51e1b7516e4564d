//! Reads the whole ledger once, and verifies it against itself and its checkpoints.

use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;

use super::book::{Book, Tally};
use super::chain::{Chain, Cut, Entry};
use super::checkpoints::Watch;
use super::error::LedgerError;
use super::folder::Folder;
use super::head::Head;
use super::read::fact;
use crate::consent::Withdrawn;

/// The content of a verified ledger.
#[derive(Debug)]
pub struct Found {
    /// The position of the last record, whether or not the oldest records were dropped.
    pub head: Head,
    /// The number of records of each kind that are present.
    pub tally: Tally,
    /// What was dropped from the start of the ledger, if anything was.
    pub cut: Option<Cut>,
    /// The number of bytes of complete lines.
    pub bytes: u64,
    /// Whether an incomplete last line follows them.
    pub torn: bool,
}

/// Called with the number of bytes read so far and the total number.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// Called for each record after it was verified. An error ends the scan.
pub type Each<'a> = &'a mut dyn FnMut(&Entry<'_>) -> Result<(), LedgerError>;

const SAY_EVERY: u64 = 1024;

/// Verifies `file` and builds its index. Withdrawn ids are added to `withdrawn` as they are read.
///
/// # Errors
///
/// The file cannot be read, a record is damaged or contradicts the ones before it or a checkpoint,
/// or `each` failed.
pub fn scan(
    folder: &Folder,
    file: File,
    watch: &mut Watch,
    withdrawn: Arc<Withdrawn>,
    progress: Progress<'_>,
    each: Each<'_>,
) -> Result<(Book, Found), LedgerError> {
    let path = folder.acts();
    let total = file.metadata().map_err(LedgerError::io(&path))?.len();
    let mut chain = Chain::new(BufReader::with_capacity(1 << 20, file), &path)?;
    watch.begin(&path, chain.cut())?;
    let mut book = Book::new(chain.cut().map_or(0, |cut| cut.head.size), withdrawn);

    while let Some(entry) = chain.next()? {
        book.take(&fact(&entry)).map_err(|what| entry.damaged(&path, what))?;
        watch.pass(&path, &entry.head(), entry.offset)?;
        each(&entry)?;
        if entry.fields.seq.is_multiple_of(SAY_EVERY) {
            progress(entry.offset, total);
        }
    }

    watch.end(&path, &chain.head(), chain.end())?;
    progress(total, total);

    let (head, bytes, torn) = (chain.head(), chain.end(), chain.torn());
    let found = Found { head, tally: book.tally(), cut: chain.cut().cloned(), bytes, torn };
    Ok((book, found))
}
