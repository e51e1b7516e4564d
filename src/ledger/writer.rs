//! The single writer thread: it takes queued acts, writes and syncs them, updates the index, and
//! then replies.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::oneshot;

use super::act::{LedgerRecord, NewAct};
use super::chain_head::ChainHead;
use super::checkpoint_files::CheckpointWriter;
use super::error::LedgerError;
use super::index::ConsentIndex;
use super::index_writer::IndexWriter;
use super::ledger_file::{AppendError, LedgerFile};
use super::quota::LedgerStats;
use super::write_batch::{WriteBatch, summarize_act};
use crate::disk::FileLock;
use crate::outage::Outage;

/// The maximum number of requests that share one sync; it bounds the memory of a write.
const MAX_BATCH_REQUESTS: usize = 256;

type AppendOutcome = Result<Vec<LedgerRecord>, LedgerError>;

/// Acts of one visitor that are waiting to be written.
pub struct AppendRequest {
    /// All of them are recorded, or none.
    pub acts: Vec<NewAct>,
    /// Receives the records once they are on disk, or the error.
    pub reply: oneshot::Sender<AppendOutcome>,
}

/// A message to the writer thread.
pub enum LedgerMessage {
    /// Record these acts.
    Append(AppendRequest),
    /// Write what was queued before and a checkpoint, then end.
    Close,
}

/// The state of the writer thread.
pub struct LedgerWriter {
    file: LedgerFile,
    head: ChainHead,
    index: Arc<RwLock<ConsentIndex>>,
    checkpoints: CheckpointWriter,
    index_writer: IndexWriter,
    stats: Arc<LedgerStats>,
    /// Whether a sync failed; then nothing more is written.
    failed: bool,
    /// Logs a disk failure once, however many acts it affects.
    outage: Outage,
    _lock: FileLock,
}

impl LedgerWriter {
    /// `head` is the position of the last record in `acts`. The lock is held until the writer ends.
    pub fn new(
        acts: LedgerFile,
        head: ChainHead,
        book: Arc<RwLock<ConsentIndex>>,
        keeper: CheckpointWriter,
        index_writer: IndexWriter,
        stats: Arc<LedgerStats>,
        lock: FileLock,
    ) -> LedgerWriter {
        LedgerWriter {
            file: acts,
            head,
            index: book,
            checkpoints: keeper,
            index_writer,
            stats,
            failed: false,
            outage: Outage::default(),
            _lock: lock,
        }
    }

    /// Runs until it receives [`LedgerMessage::Close`] or all senders are dropped.
    ///
    /// # Errors
    ///
    /// The disk failed earlier, or the last checkpoint cannot be written.
    pub fn run(mut self, inbox: &Receiver<LedgerMessage>) -> Result<(), LedgerError> {
        self.write_due_index();
        loop {
            let next = inbox.recv_timeout(self.checkpoints.time_until_due());
            let finish = match next {
                Ok(LedgerMessage::Append(first)) => self.commit_queued(first, inbox),
                Ok(LedgerMessage::Close) | Err(RecvTimeoutError::Disconnected) => true,
                Err(RecvTimeoutError::Timeout) => false,
            };
            if finish {
                return self.write_last_checkpoint();
            }
            if !self.failed && !self.stats.is_damaged() {
                self.checkpoints.write_due_checkpoint(self.head);
                self.write_due_index();
            }
        }
    }

    /// Writes the index, if the last record is signed and enough were added.
    fn write_due_index(&mut self) {
        if self.checkpoints.signed_size() == self.head.size
            && self.index_writer.is_due(self.head.size)
        {
            let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
            let end = self.file.end_offset();
            self.index_writer.start(&index, self.head, end);
        }
    }

    /// Commits the queued acts as one batch. Returns `true` if the writer should end.
    fn commit_queued(&mut self, first: AppendRequest, inbox: &Receiver<LedgerMessage>) -> bool {
        let mut group = vec![first];
        let mut finish = false;
        while group.len() < MAX_BATCH_REQUESTS && !finish {
            match inbox.try_recv() {
                Ok(LedgerMessage::Append(next)) => group.push(next),
                Ok(LedgerMessage::Close) => finish = true,
                Err(_) => break,
            }
        }
        self.commit_batch(group);
        finish
    }

    fn commit_batch(&mut self, group: Vec<AppendRequest>) {
        match self.write_batch(&group) {
            Ok(outcomes) => {
                for (waiting, outcome) in group.into_iter().zip(outcomes) {
                    // An act is recorded even if its sender is gone.
                    let _ = waiting.reply.send(outcome);
                }
            }
            Err(failure) => {
                for waiting in group {
                    let _ = waiting.reply.send(Err(failure()));
                }
            }
        }
    }

    /// An act that cannot be recorded has its own outcome; a disk failure is one error for all.
    fn write_batch(
        &mut self,
        acts: &[AppendRequest],
    ) -> Result<Vec<AppendOutcome>, fn() -> LedgerError> {
        if self.failed {
            return Err(|| LedgerError::DiskFailed);
        }
        if self.stats.is_damaged() {
            return Err(|| LedgerError::FoundDamaged);
        }
        let book = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let mut group = WriteBatch::new(&book, self.head);
        let outcomes: Vec<AppendOutcome> = acts
            .iter()
            .map(|waiting| group.add_acts(&waiting.acts))
            .collect();
        let WriteBatch { lines, head, .. } = group;
        drop(book);

        if lines.is_empty() {
            return Ok(outcomes);
        }

        let start = self.file.end_offset();
        self.append_lines(&lines)?;

        self.stats
            .recorded_acts
            .fetch_add(head.size - self.head.size, Ordering::Relaxed);
        self.head = head;
        self.update_index(acts, &outcomes, start);
        Ok(outcomes)
    }

    fn append_lines(&mut self, lines: &str) -> Result<(), fn() -> LedgerError> {
        match self.file.append_lines(lines.as_bytes()) {
            Ok(()) => {
                if let Some(failures) = self.outage.record_success() {
                    tracing::info!(failures, "the ledger can be written again");
                }
                Ok(())
            }

            Err(AppendError::Undone(error)) => {
                if self.outage.record_failure() {
                    tracing::error!(%error, "the ledger cannot be written; acts are rejected until \
                        it can");
                }
                Err(|| LedgerError::DiskFull)
            }

            Err(AppendError::Uncertain(error)) => {
                self.failed = true;
                tracing::error!(%error, "the ledger's disk failed; acts are rejected until a \
                    restart");
                Err(|| LedgerError::DiskFailed)
            }
        }
    }

    /// Updates the index before the replies are sent, so that the next hit after a withdrawal is
    /// dropped.
    fn update_index(&self, acts: &[AppendRequest], outcomes: &[AppendOutcome], start: u64) {
        let mut book = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let mut offset = start;
        for (waiting, outcome) in acts.iter().zip(outcomes) {
            let Ok(records) = outcome else { continue };
            for (act, record) in waiting.acts.iter().zip(records) {
                book.insert_record(&summarize_act(act, record, offset))
                    .expect("the group decided by the same book");
                offset += record.line.len() as u64 + 1;
            }
        }
    }

    fn write_last_checkpoint(mut self) -> Result<(), LedgerError> {
        if self.failed {
            return Err(LedgerError::DiskFailed);
        }
        if self.stats.is_damaged() {
            return Err(LedgerError::FoundDamaged);
        }
        self.checkpoints.write_newer_checkpoint(self.head)?;
        self.write_due_index();
        self.index_writer.finish();
        Ok(())
    }
}
