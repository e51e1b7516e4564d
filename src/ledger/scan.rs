//! Reads the whole ledger once, and verifies it and its checkpoints.

use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;

use super::chain::{ChainReader, CutPoint, VerifiedRecord};
use super::chain_head::ChainHead;
use super::checkpoint_files::CheckpointVerifier;
use super::error::LedgerError;
use super::folder::LedgerFolder;
use super::index::{ConsentIndex, RecordCounts};
use super::record_reader::summarize_record;
use crate::consent::WithdrawnGrants;

/// The content of a verified ledger.
#[derive(Debug)]
pub struct LedgerSummary {
    /// The position of the last record, whether or not the oldest records were dropped.
    pub head: ChainHead,
    /// The number of records of each kind that are present.
    pub counts: RecordCounts,
    /// The cut at the start of the ledger, if there is one.
    pub cut: Option<CutPoint>,
    /// The number of bytes of complete lines.
    pub bytes: u64,
    /// Whether an incomplete last line follows them.
    pub torn: bool,
}

/// Called with the number of bytes read so far and the total number.
pub type ProgressCallback<'a> = &'a mut dyn FnMut(u64, u64);

/// Called for each record after it was verified. An error ends the scan.
pub type RecordCallback<'a> = &'a mut dyn FnMut(&VerifiedRecord<'_>) -> Result<(), LedgerError>;

const PROGRESS_INTERVAL_RECORDS: u64 = 1024;

/// Verifies `file` and builds its index. Withdrawn ids are added to `withdrawn` as they are read.
///
/// # Errors
///
/// The file cannot be read; a record is damaged or contradicts the ones before it or a checkpoint;
/// or `each` failed.
pub fn scan_ledger(
    folder: &LedgerFolder,
    file: File,
    watch: &mut CheckpointVerifier,
    withdrawn: Arc<WithdrawnGrants>,
    progress: ProgressCallback<'_>,
    each: RecordCallback<'_>,
) -> Result<(ConsentIndex, LedgerSummary), LedgerError> {
    let path = folder.acts_path();
    let total = file.metadata().map_err(LedgerError::from_io(&path))?.len();
    let mut chain = ChainReader::new(BufReader::with_capacity(1 << 20, file), &path)?;
    watch.verify_start(&path, chain.cut_point())?;
    let mut book = ConsentIndex::new(chain.cut_point().map_or(0, |cut| cut.head.size), withdrawn);

    while let Some(entry) = chain.next_record()? {
        book.insert_record(&summarize_record(&entry))
            .map_err(|what| entry.damage_error(&path, what))?;
        watch.verify_head(&path, &entry.head(), entry.offset)?;
        each(&entry)?;
        if entry.fields.seq.is_multiple_of(PROGRESS_INTERVAL_RECORDS) {
            progress(entry.offset, total);
        }
    }

    watch.verify_end(&path, &chain.head(), chain.end_offset())?;
    progress(total, total);

    let (head, bytes, torn) = (chain.head(), chain.end_offset(), chain.is_torn());
    let found = LedgerSummary {
        head,
        counts: book.record_counts(),
        cut: chain.cut_point().cloned(),
        bytes,
        torn,
    };
    Ok((book, found))
}
