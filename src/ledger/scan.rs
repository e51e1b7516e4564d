//! Reads the ledger, and verifies it and its checkpoints: all records, or those after the index.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::sync::Arc;

use super::chain::{ChainReader, CutPoint, VerifiedRecord};
use super::chain_head::ChainHead;
use super::checkpoint_files::CheckpointVerifier;
use super::error::LedgerError;
use super::folder::LedgerFolder;
use super::index::{ConsentIndex, RecordCounts};
use super::index_file::StoredIndex;
use super::record_reader::summarize_record;
use crate::consent::WithdrawnGrants;

/// The content of a ledger.
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
    /// The number of records that were taken from the index and are not verified.
    pub unverified: u64,
}

/// Called with the number of bytes read so far and the total number.
pub type ProgressCallback<'a> = &'a mut dyn FnMut(u64, u64);

/// Called for each record after it was verified. An error ends the scan.
pub type RecordCallback<'a> = &'a mut dyn FnMut(&VerifiedRecord<'_>) -> Result<(), LedgerError>;

const BUFFER_BYTES: usize = 1 << 20;
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
    let chain = ChainReader::new(BufReader::with_capacity(BUFFER_BYTES, file), &path)?;
    watch.verify_start(&path, chain.cut_point())?;
    let cut = chain.cut_point().cloned();
    let mut book = ConsentIndex::new(cut.as_ref().map_or(0, |cut| cut.head.size), withdrawn);

    let end = scan_records(
        folder,
        chain,
        &mut book,
        watch,
        &mut |offset| progress(offset, total),
        each,
    )?;
    progress(total, total);
    let found = end.into_summary(&book, cut, 0);
    Ok((book, found))
}

/// Verifies the records after those of `index`, and adds them to it. Withdrawn ids are added to
/// `withdrawn`. `watch` has no checkpoint before that of the index.
///
/// # Errors
///
/// As for [`scan_ledger`].
pub fn scan_after_index(
    folder: &LedgerFolder,
    mut file: File,
    index: StoredIndex,
    watch: &mut CheckpointVerifier,
    withdrawn: Arc<WithdrawnGrants>,
    progress: ProgressCallback<'_>,
) -> Result<(ConsentIndex, LedgerSummary), LedgerError> {
    let path = folder.acts_path();
    let StoredIndex {
        head,
        end,
        cut: cut_size,
        facts,
        rows,
    } = index;
    let cut = ChainReader::new(BufReader::new(folder.open_records()?), &path)?;
    let cut = cut.cut_point().cloned();
    let mut seek = || -> std::io::Result<u64> {
        let total = file.metadata()?.len();
        file.seek(SeekFrom::Start(end))?;
        Ok(total)
    };
    let total = seek().map_err(LedgerError::from_io(&path))?;

    watch.verify_head(&path, &head, end)?;
    let mut book = ConsentIndex::from_rows(rows, facts, cut_size, withdrawn);
    let source = BufReader::with_capacity(BUFFER_BYTES, file);
    let chain = ChainReader::resume(source, &path, head, end);
    let tail = scan_records(
        folder,
        chain,
        &mut book,
        watch,
        &mut |offset| progress(offset, total),
        &mut |_| Ok(()),
    )?;
    progress(total, total);
    let found = tail.into_summary(&book, cut, head.size - cut_size);
    Ok((book, found))
}

/// Where the records end.
struct ChainEnd {
    head: ChainHead,
    bytes: u64,
    torn: bool,
}

impl ChainEnd {
    fn into_summary(
        self,
        book: &ConsentIndex,
        cut: Option<CutPoint>,
        unverified: u64,
    ) -> LedgerSummary {
        LedgerSummary {
            head: self.head,
            counts: book.record_counts(),
            cut,
            bytes: self.bytes,
            torn: self.torn,
            unverified,
        }
    }
}

fn scan_records<R: BufRead>(
    folder: &LedgerFolder,
    mut chain: ChainReader<R>,
    book: &mut ConsentIndex,
    watch: &mut CheckpointVerifier,
    progress: &mut dyn FnMut(u64),
    each: RecordCallback<'_>,
) -> Result<ChainEnd, LedgerError> {
    let path = folder.acts_path();
    while let Some(entry) = chain.next_record()? {
        book.insert_record(&summarize_record(&entry))
            .map_err(|what| entry.damage_error(&path, what))?;
        watch.verify_head(&path, &entry.head(), entry.offset)?;
        each(&entry)?;
        if entry.fields.seq.is_multiple_of(PROGRESS_INTERVAL_RECORDS) {
            progress(entry.offset);
        }
    }

    watch.verify_end(&path, &chain.head(), chain.end_offset())?;
    Ok(ChainEnd {
        head: chain.head(),
        bytes: chain.end_offset(),
        torn: chain.is_torn(),
    })
}
