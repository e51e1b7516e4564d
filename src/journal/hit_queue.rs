//! The bounded queue of hits for the writer; a full queue rejects hits.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::completion::{self, CommitError, CommitNotifier, CommitTicket};
use super::suspension::SuspendRequest;
use crate::aggregate::CountedEvent;
use crate::event::SiteId;
use crate::pseudonym::Event;
use crate::visits::VisitEstimate;

/// A queued hit. The hits of one body are committed together; the last one carries its notifier.
pub(super) struct QueuedHit {
    pub(super) counted: CountedEvent,
    pub(super) notifier: Option<CommitNotifier>,
}

pub(super) enum JournalCommand {
    /// Close the open segment; replied with the number of the last sealed one.
    CloseSegment(oneshot::Sender<u64>),
    /// Forget a site, and seal all that is held of it; answered as `CloseSegment`.
    ForgetSite(SiteId, oneshot::Sender<u64>),
    /// The number of a site's visitors in the last five minutes.
    CountLiveVisitors(SiteId, oneshot::Sender<u32>),
    /// Reply with what a view would add.
    EstimateView(Box<Event>, oneshot::Sender<Option<VisitEstimate>>),
    /// Write the state for another process, and wait for its decision.
    Suspend(SuspendRequest),
}

#[derive(Default)]
struct QueueState {
    hits: Vec<QueuedHit>,
    commands: Vec<JournalCommand>,
    closed: bool,
}

/// The queue, and commands for the writer.
pub struct HitQueue {
    state: Mutex<QueueState>,
    arrived: Condvar,
    max_hits: usize,
}

pub(super) struct DrainedQueue {
    pub(super) hits: Vec<QueuedHit>,
    pub(super) commands: Vec<JournalCommand>,
    /// Whether the queue is closed: nothing more will be added.
    pub(super) closed: bool,
}

impl HitQueue {
    pub(super) fn new(most: usize) -> HitQueue {
        HitQueue {
            state: Mutex::default(),
            arrived: Condvar::new(),
            max_hits: most,
        }
    }

    /// Queues the hits of one body, or an open or click of a mail; they are committed in one batch.
    ///
    /// # Errors
    ///
    /// The queue is closed ([`CommitError::Stopping`]) or has no capacity for all of them
    /// ([`CommitError::QueueFull`]). Nothing was queued.
    pub fn submit_hits<E: Into<CountedEvent>>(
        &self,
        events: impl ExactSizeIterator<Item = E>,
    ) -> Result<CommitTicket, CommitError> {
        let (answer, ticket) = completion::notifier_pair();
        let mut state = self.lock();
        if state.closed {
            return Err(CommitError::Stopping);
        }
        if state.hits.len() + events.len() > self.max_hits {
            return Err(CommitError::QueueFull);
        }
        let was_empty = state.hits.is_empty();
        state.hits.extend(events.map(|event| QueuedHit {
            counted: event.into(),
            notifier: None,
        }));
        match state.hits.last_mut() {
            Some(last) if last.notifier.is_none() => last.notifier = Some(answer),
            // A body without hits to count is complete at once.
            _ => completion::notify_all(std::iter::once(answer), Ok(())),
        }
        drop(state);
        if was_empty {
            self.arrived.notify_one();
        }
        Ok(ticket)
    }

    pub(super) fn send_command(&self, command: JournalCommand) {
        self.lock().commands.push(command);
        self.arrived.notify_one();
    }

    /// What a view would add to the visits in memory; nothing changes. `None` if it would be the
    /// day's first hit, or if the writer has stopped.
    pub async fn estimate_view(&self, event: Event) -> Option<VisitEstimate> {
        let (answer, foreseen) = oneshot::channel();
        self.send_command(JournalCommand::EstimateView(Box::new(event), answer));
        foreseen.await.ok().flatten()
    }

    /// Closes the queue to new hits; queued ones are still taken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }

    /// Waits for hits, a command or the timeout, and takes everything queued.
    pub(super) fn wait_and_drain(&self, timeout: Duration) -> DrainedQueue {
        let mut state = self.lock();
        if state.hits.is_empty() && state.commands.is_empty() && !state.closed {
            state = self
                .arrived
                .wait_timeout(state, timeout)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        DrainedQueue {
            hits: std::mem::take(&mut state.hits),
            commands: std::mem::take(&mut state.commands),
            closed: state.closed,
        }
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
