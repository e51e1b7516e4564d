//! Reads the whole ledger once, holding it to itself and to its checkpoints.

use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;

use super::book::{Book, Tally};
use super::chain::{Chain, Cut, Entry, Head};
use super::checkpoints::Watch;
use super::error::LedgerError;
use super::folder::Folder;
use super::read::fact;
use crate::consent::Withdrawn;

/// What a ledger holds.
#[derive(Debug)]
pub struct Found {
    /// Where the chain stands, whether or not its beginning was cut.
    pub head: Head,
    /// Of the records that are there.
    pub tally: Tally,
    pub cut: Option<Cut>,
    /// Bytes of whole lines.
    pub bytes: u64,
    /// An unfinished last line follows them.
    pub torn: bool,
}

/// Told how many bytes were read, and of how many.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// What is done with each record on the way.
pub type Each<'a> = &'a mut dyn FnMut(&Entry<'_>) -> Result<(), LedgerError>;

const SAY_EVERY: u64 = 1024;

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
