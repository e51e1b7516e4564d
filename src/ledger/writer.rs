//! The one thread that writes: takes what waits, writes and syncs it, makes it known, answers.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::oneshot;

use super::act::{NewAct, Record};
use super::book::Book;
use super::chain::Head;
use super::checkpoints::Keeper;
use super::error::LedgerError;
use super::file::{Acts, Failure};
use super::group::{Group, fact};
use super::quota::Stats;
use crate::disk::Lock;
use crate::outage::Outage;

/// Acts that share one sync at the most: bounds what one write needs.
const GROUP: usize = 256;

type Outcome = Result<Vec<Record>, LedgerError>;

pub struct Waiting {
    /// All of them are recorded, or none.
    pub acts: Vec<NewAct>,
    pub answer: oneshot::Sender<Outcome>,
}

pub enum Command {
    Append(Waiting),
    Finish,
}

pub struct Writer {
    acts: Acts,
    head: Head,
    book: Arc<RwLock<Book>>,
    keeper: Keeper,
    stats: Arc<Stats>,
    /// A sync failed: nothing more is written.
    failed: bool,
    /// Told once, however many acts come.
    outage: Outage,
    _lock: Lock,
}

impl Writer {
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

    /// Until it is told to finish, or nobody is left to tell it.
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

    /// Commits what waits. `true` when it is the last.
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
                    // Who no longer waits for the answer is on record all the same.
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

    /// An act that cannot be recorded is an outcome of its own; a disk that fails is one failure for all.
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

    /// Before the answers: the next hit of who has withdrawn is dropped.
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
