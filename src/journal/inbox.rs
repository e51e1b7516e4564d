//! The queue of hits for the writer. It is bounded: if it is full, clients are told so.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::bell::{self, Answer, Ticket};
use crate::aggregate::Counted;
use crate::event::SiteId;
use crate::pseudonym::{Event, Foreseen};

/// Why a hit was not counted. All but the last are answered 503 with `Retry-After`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unavailable {
    /// The queue is full (`limits.waiting_hits`).
    Crowded,
    /// The journal's disk is full, or `journal.max_bytes` is reached.
    Full,
    Stopping,
    /// The disk failed during the write, so the hit may be counted after a restart; answered 500.
    Uncertain,
}

/// A queued hit. The hits of one body are taken together; the last one carries the answer.
pub(super) struct Waiting {
    pub(super) counted: Counted,
    pub(super) answer: Option<Answer>,
}

pub(super) enum Command {
    /// Seal the open segment; answered with the number of the last sealed segment.
    Seal(oneshot::Sender<u64>),
    /// The number of a site's visitors in the last five minutes.
    Live(SiteId, oneshot::Sender<u32>),
    /// Answers what a view would add.
    Foresee(Box<Event>, oneshot::Sender<Option<Foreseen>>),
}

#[derive(Default)]
struct State {
    hits: Vec<Waiting>,
    commands: Vec<Command>,
    closed: bool,
}

/// The queue, and commands for the writer.
pub struct Inbox {
    state: Mutex<State>,
    arrived: Condvar,
    most: usize,
}

pub(super) struct Taken {
    pub(super) hits: Vec<Waiting>,
    pub(super) commands: Vec<Command>,
    /// Whether the queue is closed: nothing more will come.
    pub(super) closed: bool,
}

impl Inbox {
    pub(super) fn new(most: usize) -> Inbox {
        Inbox { state: Mutex::default(), arrived: Condvar::new(), most }
    }

    /// Queues the hits of one body, or an open or click of a mail; they are committed in one batch.
    ///
    /// # Errors
    ///
    /// The queue is closed ([`Unavailable::Stopping`]) or has no room for all of them
    /// ([`Unavailable::Crowded`]). Nothing was queued.
    pub fn submit<E: Into<Counted>>(&self, events: impl ExactSizeIterator<Item = E>) -> Result<Ticket, Unavailable> {
        let (answer, ticket) = bell::pair();
        let mut state = self.lock();
        if state.closed {
            return Err(Unavailable::Stopping);
        }
        if state.hits.len() + events.len() > self.most {
            return Err(Unavailable::Crowded);
        }
        let was_empty = state.hits.is_empty();
        state.hits.extend(events.map(|event| Waiting { counted: event.into(), answer: None }));
        match state.hits.last_mut() {
            Some(last) if last.answer.is_none() => last.answer = Some(answer),
            // A body without hits that count is complete at once.
            _ => bell::tell(std::iter::once(answer), Ok(())),
        }
        drop(state);
        if was_empty {
            self.arrived.notify_one();
        }
        Ok(ticket)
    }

    pub(super) fn command(&self, command: Command) {
        self.lock().commands.push(command);
        self.arrived.notify_one();
    }

    /// What a view would add, by the memory that counts; nothing changes. `None` if it would be the
    /// day's first hit, or if the writer is gone.
    pub async fn foresee(&self, event: Event) -> Option<Foreseen> {
        let (answer, foreseen) = oneshot::channel();
        self.command(Command::Foresee(Box::new(event), answer));
        foreseen.await.ok().flatten()
    }

    /// Closes the queue to new hits; queued ones are still taken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }

    /// Waits for hits, a command or the timeout, and takes everything there is.
    pub(super) fn take(&self, timeout: Duration) -> Taken {
        let mut state = self.lock();
        if state.hits.is_empty() && state.commands.is_empty() && !state.closed {
            state = self.arrived.wait_timeout(state, timeout).unwrap_or_else(PoisonError::into_inner).0;
        }
        Taken {
            hits: std::mem::take(&mut state.hits),
            commands: std::mem::take(&mut state.commands),
            closed: state.closed,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
