//! Writes the index beside the ledger's writer, when enough records were added.

use std::sync::Arc;
use std::thread::JoinHandle;

use super::chain_head::ChainHead;
use super::folder::LedgerFolder;
use super::index::ConsentIndex;
use super::index_file::IndexParts;
use super::quota::LedgerStats;
use super::signing_key::SigningKey;

/// The index is written again when the ledger has grown by this part: each record is then written
/// some twenty times in the life of a ledger.
const GROWTH_DIVISOR: u64 = 20;

/// Writes the index in a thread of its own, one at a time.
pub struct IndexWriter {
    folder: LedgerFolder,
    key: Arc<SigningKey>,
    /// The number of the last dropped record.
    cut: u64,
    /// The size of the ledger at the index that is on disk.
    indexed_size: u64,
    /// The smallest number of records that make an index due.
    min_records: u64,
    stats: Arc<LedgerStats>,
    /// The index that is being written: its size, and whether it was written.
    running: Option<(u64, JoinHandle<bool>)>,
}

impl IndexWriter {
    /// `indexed_size` is that of the index on disk, 0 without one.
    pub fn new(
        folder: LedgerFolder,
        key: Arc<SigningKey>,
        cut: u64,
        indexed_size: u64,
        min_records: u64,
        stats: Arc<LedgerStats>,
    ) -> IndexWriter {
        IndexWriter {
            folder,
            key,
            cut,
            indexed_size,
            min_records,
            stats,
            running: None,
        }
    }

    /// Whether an index of `size` records should be written now.
    pub fn is_due(&mut self, size: u64) -> bool {
        if self
            .running
            .as_ref()
            .is_some_and(|(_, thread)| thread.is_finished())
        {
            self.finish();
        }
        let grown = size.saturating_sub(self.indexed_size);
        self.running.is_none() && grown >= self.min_records.max(self.indexed_size / GROWTH_DIVISOR)
    }

    /// Begins to write the index of all records. The last one is at `head` and ends before byte
    /// `end`. A checkpoint of `head` is signed.
    pub fn start(&mut self, index: &ConsentIndex, head: ChainHead, end: u64) {
        let (rows, tail, facts) = (index.rows(), index.sorted_tail(), index.facts().clone());
        let (folder, key) = (self.folder.clone(), Arc::clone(&self.key));
        let (cut, stats) = (self.cut, Arc::clone(&self.stats));
        let write = move || {
            let parts = IndexParts {
                head,
                end,
                cut,
                facts: &facts,
                rows: &rows,
                tail: &tail,
            };
            if stats.is_damaged() {
                return false;
            }
            let written = parts.write_file(&folder, &key);
            if let Err(error) = &written {
                tracing::error!(%error, "the ledger's index could not be written; the next start \
                    reads more records");
            }
            written.is_ok()
        };
        let thread = std::thread::Builder::new().name("ledger-index".into());
        self.running = thread.spawn(write).ok().map(|thread| (head.size, thread));
    }

    /// Waits for the index that is being written.
    pub fn finish(&mut self) {
        if let Some((size, thread)) = self.running.take()
            && thread.join().unwrap_or(false)
        {
            self.indexed_size = size;
        }
    }
}
