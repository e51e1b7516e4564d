//! Completion of hits: commit outcomes from the writer to the HTTP workers.
//!
//! Waking each waiting request from another thread costs a system call each (measured: 20 085
//! writes per second at about 30 000 hits). So the writer stores the outcomes of a batch and wakes
//! each worker once; the worker wakes its own requests, which is a push to a local queue.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Waker};

use futures_util::task::AtomicWaker;

const UNRESOLVED: u8 = 0;
const ON_DISK: u8 = 1;
const QUEUE_FULL: u8 = 2;
const DISK_FULL: u8 = 3;
const STOPPING: u8 = 4;
const UNCERTAIN: u8 = 5;

/// Why a hit was not counted. The response is 503 with `Retry-After`, except for the last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CommitError {
    /// The queue is full (`limits.queued_hits`).
    QueueFull,
    /// The journal's disk is full, or `journal.max_bytes` is reached.
    DiskFull,
    /// The collector stops.
    Stopping,
    /// The disk failed during the write, so the hit may be counted after a restart; the response is
    /// 500.
    Uncertain,
}

type CommitOutcome = Result<(), CommitError>;

/// Resolves when the hits' counts are on disk. Must be awaited on the thread that submitted them.
pub struct CommitTicket {
    outcome_code: Arc<AtomicU8>,
}

/// The writer's end. If it is dropped without an outcome, the outcome is that the collector is
/// stopping.
pub(super) struct CommitNotifier {
    outcome_code: Arc<AtomicU8>,
    waker: Arc<AtomicWaker>,
}

/// One worker's waiting requests, and the waker of the task that checks them.
#[derive(Default)]
struct WorkerWaitList {
    waker: Arc<AtomicWaker>,
    waiting: RefCell<Vec<(Arc<AtomicU8>, Waker)>>,
    is_running: std::cell::Cell<bool>,
}

thread_local! {
    static WAIT_LIST: WorkerWaitList = WorkerWaitList::default();
}

pub(super) fn notifier_pair() -> (CommitNotifier, CommitTicket) {
    let told = Arc::new(AtomicU8::new(UNRESOLVED));
    let bell = WAIT_LIST.with(|desk| Arc::clone(&desk.waker));
    (
        CommitNotifier {
            outcome_code: Arc::clone(&told),
            waker: bell,
        },
        CommitTicket { outcome_code: told },
    )
}

/// Stores the same outcome for all notifiers, waking each worker once.
pub(super) fn notify_all(answers: impl Iterator<Item = CommitNotifier>, outcome: CommitOutcome) {
    let mut bells: Vec<Arc<AtomicWaker>> = Vec::new();
    for answer in answers {
        answer
            .outcome_code
            .store(encode_outcome(outcome), Ordering::Release);
        if !bells.iter().any(|bell| Arc::ptr_eq(bell, &answer.waker)) {
            bells.push(Arc::clone(&answer.waker));
        }
    }
    bells.iter().for_each(|bell| bell.wake());
}

impl Drop for CommitNotifier {
    fn drop(&mut self) {
        if self
            .outcome_code
            .compare_exchange(UNRESOLVED, STOPPING, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
        {
            self.waker.wake();
        }
    }
}

impl CommitTicket {
    /// Waits for the outcome.
    ///
    /// # Errors
    ///
    /// The hits were not counted, see [`CommitError`]; after [`CommitError::Uncertain`], they may
    /// have been.
    pub async fn on_disk(self) -> CommitOutcome {
        self.await
    }
}

impl Future for CommitTicket {
    type Output = CommitOutcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<CommitOutcome> {
        if let Some(outcome) = decode_outcome(&self.outcome_code) {
            return Poll::Ready(outcome);
        }
        WAIT_LIST.with(|desk| desk.add_waiter(&self.outcome_code, context.waker()));
        // Checked again: the outcome may have been stored, and the waker called, before the entry
        // was added.
        decode_outcome(&self.outcome_code).map_or(Poll::Pending, Poll::Ready)
    }
}

impl WorkerWaitList {
    fn add_waiter(&self, told: &Arc<AtomicU8>, waker: &Waker) {
        self.waiting
            .borrow_mut()
            .push((Arc::clone(told), waker.clone()));
        if !self.is_running.replace(true) {
            tokio::task::spawn_local(run_wait_list(Arc::clone(&self.waker)));
        }
    }

    fn wake_completed(&self) {
        self.waiting.borrow_mut().retain(|(told, waker)| {
            let waits = told.load(Ordering::Acquire) == UNRESOLVED;
            if !waits {
                waker.wake_by_ref();
            }
            waits
        });
    }
}

/// One task per worker, for as long as the worker runs.
async fn run_wait_list(bell: Arc<AtomicWaker>) {
    poll_fn(|context| {
        bell.register(context.waker());
        WAIT_LIST.with(WorkerWaitList::wake_completed);
        Poll::<()>::Pending
    })
    .await;
}

fn decode_outcome(told: &AtomicU8) -> Option<CommitOutcome> {
    match told.load(Ordering::Acquire) {
        UNRESOLVED => None,
        ON_DISK => Some(Ok(())),
        QUEUE_FULL => Some(Err(CommitError::QueueFull)),
        DISK_FULL => Some(Err(CommitError::DiskFull)),
        UNCERTAIN => Some(Err(CommitError::Uncertain)),
        _ => Some(Err(CommitError::Stopping)),
    }
}

fn encode_outcome(outcome: CommitOutcome) -> u8 {
    match outcome {
        Ok(()) => ON_DISK,
        Err(CommitError::QueueFull) => QUEUE_FULL,
        Err(CommitError::DiskFull) => DISK_FULL,
        Err(CommitError::Stopping) => STOPPING,
        Err(CommitError::Uncertain) => UNCERTAIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn many(outcome: Option<CommitOutcome>) -> Vec<CommitOutcome> {
        let (answers, tickets): (Vec<CommitNotifier>, Vec<CommitTicket>) =
            (0..100).map(|_| notifier_pair()).unzip();
        let waiting: Vec<_> = tickets
            .into_iter()
            .map(|ticket| tokio::task::spawn_local(ticket.on_disk()))
            .collect();
        tokio::task::yield_now().await;
        let teller = std::thread::spawn(move || match outcome {
            Some(outcome) => notify_all(answers.into_iter(), outcome),
            None => drop(answers),
        });
        let mut outcomes = Vec::new();
        for waits in waiting {
            outcomes.push(waits.await.unwrap());
        }
        teller.join().unwrap();
        outcomes
    }

    #[test]
    fn all_who_wait_are_told_from_another_thread_and_a_dropped_answer_says_stopping() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let local = tokio::task::LocalSet::new();
        let told = |outcome| local.block_on(&runtime, many(outcome));
        assert_eq!(told(Some(Ok(()))), vec![Ok(()); 100]);
        assert_eq!(
            told(Some(Err(CommitError::DiskFull))),
            vec![Err(CommitError::DiskFull); 100]
        );
        assert_eq!(told(None), vec![Err(CommitError::Stopping); 100]);
    }
}
