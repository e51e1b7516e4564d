//! Completion of hits: answers from the writer to the HTTP workers.
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

use super::inbox::Unavailable;

const UNTOLD: u8 = 0;
const ON_DISK: u8 = 1;
const CROWDED: u8 = 2;
const FULL: u8 = 3;
const STOPPING: u8 = 4;
const UNCERTAIN: u8 = 5;

type Outcome = Result<(), Unavailable>;

/// Resolves when the hits' counts are on disk. Must be awaited on the thread that submitted them.
pub struct Ticket {
    told: Arc<AtomicU8>,
}

/// The writer's end. If it is dropped without an outcome, the outcome is that the collector is
/// stopping.
pub(super) struct Answer {
    told: Arc<AtomicU8>,
    bell: Arc<AtomicWaker>,
}

/// One worker's waiting requests, and the waker of the task that checks them.
#[derive(Default)]
struct Desk {
    bell: Arc<AtomicWaker>,
    waiting: RefCell<Vec<(Arc<AtomicU8>, Waker)>>,
    tended: std::cell::Cell<bool>,
}

thread_local! {
    static DESK: Desk = Desk::default();
}

pub(super) fn pair() -> (Answer, Ticket) {
    let told = Arc::new(AtomicU8::new(UNTOLD));
    let bell = DESK.with(|desk| Arc::clone(&desk.bell));
    (Answer { told: Arc::clone(&told), bell }, Ticket { told })
}

/// Stores the same outcome for all answers, waking each worker once.
pub(super) fn tell(answers: impl Iterator<Item = Answer>, outcome: Outcome) {
    let mut bells: Vec<Arc<AtomicWaker>> = Vec::new();
    for answer in answers {
        answer.told.store(code(outcome), Ordering::Release);
        if !bells.iter().any(|bell| Arc::ptr_eq(bell, &answer.bell)) {
            bells.push(Arc::clone(&answer.bell));
        }
    }
    bells.iter().for_each(|bell| bell.wake());
}

impl Drop for Answer {
    fn drop(&mut self) {
        if self.told.compare_exchange(UNTOLD, STOPPING, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            self.bell.wake();
        }
    }
}

impl Ticket {
    /// Waits for the outcome.
    ///
    /// # Errors
    ///
    /// The hits were not counted, see [`Unavailable`]; with [`Unavailable::Uncertain`], they may
    /// have been.
    pub async fn on_disk(self) -> Outcome {
        self.await
    }
}

impl Future for Ticket {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        if let Some(outcome) = outcome(&self.told) {
            return Poll::Ready(outcome);
        }
        DESK.with(|desk| desk.wait(&self.told, context.waker()));
        // Checked again: the outcome may have been stored, and the waker called, before the entry
        // was there.
        outcome(&self.told).map_or(Poll::Pending, Poll::Ready)
    }
}

impl Desk {
    fn wait(&self, told: &Arc<AtomicU8>, waker: &Waker) {
        self.waiting.borrow_mut().push((Arc::clone(told), waker.clone()));
        if !self.tended.replace(true) {
            tokio::task::spawn_local(tend(Arc::clone(&self.bell)));
        }
    }

    fn wake_told(&self) {
        self.waiting.borrow_mut().retain(|(told, waker)| {
            let waits = told.load(Ordering::Acquire) == UNTOLD;
            if !waits {
                waker.wake_by_ref();
            }
            waits
        });
    }
}

/// One task per worker, for as long as the worker runs.
async fn tend(bell: Arc<AtomicWaker>) {
    poll_fn(|context| {
        bell.register(context.waker());
        DESK.with(Desk::wake_told);
        Poll::<()>::Pending
    })
    .await;
}

fn outcome(told: &AtomicU8) -> Option<Outcome> {
    match told.load(Ordering::Acquire) {
        UNTOLD => None,
        ON_DISK => Some(Ok(())),
        CROWDED => Some(Err(Unavailable::Crowded)),
        FULL => Some(Err(Unavailable::Full)),
        UNCERTAIN => Some(Err(Unavailable::Uncertain)),
        _ => Some(Err(Unavailable::Stopping)),
    }
}

fn code(outcome: Outcome) -> u8 {
    match outcome {
        Ok(()) => ON_DISK,
        Err(Unavailable::Crowded) => CROWDED,
        Err(Unavailable::Full) => FULL,
        Err(Unavailable::Stopping) => STOPPING,
        Err(Unavailable::Uncertain) => UNCERTAIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn many(outcome: Option<Outcome>) -> Vec<Outcome> {
        let (answers, tickets): (Vec<Answer>, Vec<Ticket>) = (0..100).map(|_| pair()).unzip();
        let waiting: Vec<_> = tickets.into_iter().map(|ticket| tokio::task::spawn_local(ticket.on_disk())).collect();
        tokio::task::yield_now().await;
        let teller = std::thread::spawn(move || match outcome {
            Some(outcome) => tell(answers.into_iter(), outcome),
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
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let local = tokio::task::LocalSet::new();
        let told = |outcome| local.block_on(&runtime, many(outcome));
        assert_eq!(told(Some(Ok(()))), vec![Ok(()); 100]);
        assert_eq!(told(Some(Err(Unavailable::Full))), vec![Err(Unavailable::Full); 100]);
        assert_eq!(told(None), vec![Err(Unavailable::Stopping); 100]);
    }
}
