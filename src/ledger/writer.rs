//! The single thread that writes: it takes the queued acts, writes and syncs them, updates the
//! index, and then answers.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::oneshot;

use super::act::{NewAct, Record};
use super::book::Book;
use super::checkpoints::Keeper;
use super::error::LedgerError;
use super::file::{Acts, Failure};
use super::group::{Group, fact};
use super::head::Head;
use super::quota::Stats;
use crate::disk::Lock;
use crate::outage::Outage;

/// The maximum number of requests that share one sync; it bounds the memory of a write.
const GROUP: usize = 256;

type Outcome = Result<Vec<Record>, LedgerError>;

/// Acts of one visitor that wait to be written.
pub struct Waiting {
    /// All of them are recorded, or none.
    pub acts: Vec<NewAct>,
    /// Receives the records once they are on disk, or the error.
    pub answer: oneshot::Sender<Outcome>,
}

/// A message to the writer thread.
pub enum Command {
    /// Record these acts.
    Append(Waiting),
    /// Write what was queued before, then a checkpoint, and end.
    Finish,
}

/// The state of the writer thread.
pub struct Writer {
    acts: Acts,
    head: Head,
    book: Arc<RwLock<Book>>,
    keeper: Keeper,
    stats: Arc<Stats>,
    /// Whether a sync failed; then nothing more is written.
    failed: bool,
    /// Logs a disk failure once, however many acts it affects.
    outage: Outage,
    _lock: Lock,
}

impl Writer {
    /// `head` is the position of the last record in `acts`. The lock is held until the writer ends.
    pub fn new(
        acts: Acts,
        head: Head,
        book: Arc<RwLock<Book>>,
        keeper: Keeper,
        stats: Arc<Stats>,
        lock: Lock,
    ) -> Writer {
        Writer { acts, head, book, keeper, stats, failed: false, outage: Outage::default(), _lock: lock }
    }

    /// Runs until it receives [`Command::Finish`] or all senders are dropped.
    ///
    /// # Errors
    ///
    /// The disk failed earlier, or the last checkpoint cannot be written.
    pub fn run(mut self, inbox: &Receiver<Command>) -> Result<(), LedgerError> {
        loop {
            let next = inbox.recv_timeout(self.keeper.patience());
            let finish = match next {
                Ok(Command::Append(first)) => self.commit_all(first, inbox),
                Ok(Command::Finish) | Err(RecvTimeoutError::Disconnected) => true,
                Err(RecvTimeoutError::Timeout) => false,
            };
            if finish {
                return self.stop();
            }
            if !self.failed {
                self.keeper.tend(self.head);
            }
        }
    }

    /// Commits the queued acts as one group. Returns `true` if the writer should end.
    fn commit_all(&mut self, first: Waiting, inbox: &Receiver<Command>) -> bool {
        let mut group = vec![first];
        let mut finish = false;
        while group.len() < GROUP && !finish {
            match inbox.try_recv() {
                Ok(Command::Append(next)) => group.push(next),
                Ok(Command::Finish) => finish = true,
                Err(_) => break,
            }
        }
        self.commit(group);
        finish
    }

    fn commit(&mut self, group: Vec<Waiting>) {
        match self.write(&group) {
            Ok(outcomes) => {
                for (waiting, outcome) in group.into_iter().zip(outcomes) {
                    // An act is recorded even if its sender no longer waits.
                    let _ = waiting.answer.send(outcome);
                }
            }
            Err(failure) => {
                for waiting in group {
                    let _ = waiting.answer.send(Err(failure()));
                }
            }
        }
    }

    /// An act that cannot be recorded has an outcome of its own; a disk failure is one error for
    /// all.
    fn write(&mut self, acts: &[Waiting]) -> Result<Vec<Outcome>, fn() -> LedgerError> {
        if self.failed {
            return Err(|| LedgerError::Failed);
        }
        let book = self.book.read().unwrap_or_else(PoisonError::into_inner);
        let mut group = Group::new(&book, self.head);
        let outcomes: Vec<Outcome> = acts.iter().map(|waiting| group.add_all(&waiting.acts)).collect();
        let Group { lines, head, .. } = group;
        drop(book);

        if lines.is_empty() {
            return Ok(outcomes);
        }

        let start = self.acts.end();
        self.append(&lines)?;

        self.stats.records.fetch_add(head.size - self.head.size, Ordering::Relaxed);
        self.head = head;
        self.make_known(acts, &outcomes, start);
        Ok(outcomes)
    }

    fn append(&mut self, lines: &str) -> Result<(), fn() -> LedgerError> {
        match self.acts.append(lines.as_bytes()) {
            Ok(()) => {
                if let Some(failures) = self.outage.is_over() {
                    tracing::info!(failures, "the ledger can be written again");
                }
                Ok(())
            }

            Err(Failure::Undone(error)) => {
                if self.outage.begins() {
                    tracing::error!(%error, "the ledger cannot be written; acts are refused until it can");
                }
                Err(|| LedgerError::Full)
            }

            Err(Failure::Uncertain(error)) => {
                self.failed = true;
                tracing::error!(%error, "the ledger's disk failed; acts are refused until a restart reads what is there");
                Err(|| LedgerError::Failed)
            }
        }
    }

    /// Updates the index before the answers are sent, so that the next hit after a withdrawal is
    /// dropped.
    fn make_known(&self, acts: &[Waiting], outcomes: &[Outcome], start: u64) {
        let mut book = self.book.write().unwrap_or_else(PoisonError::into_inner);
        let mut offset = start;
        for (waiting, outcome) in acts.iter().zip(outcomes) {
            let Ok(records) = outcome else { continue };
            for (act, record) in waiting.acts.iter().zip(records) {
                book.take(&fact(act, record, offset)).expect("the group decided by the same book");
                offset += record.line.len() as u64 + 1;
            }
        }
    }

    fn stop(mut self) -> Result<(), LedgerError> {
        if self.failed {
            return Err(LedgerError::Failed);
        }
        self.keeper.note(self.head)
    }
}
