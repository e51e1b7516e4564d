//! Stage 7: sealed segments go to the store, exactly once, in order.
//!
//! A segment is sent until it is acknowledged; then its file goes. An outcome nobody knows (a lost connection, a crash) is resolved by
//! looking which of its blocks are there and sending the others, however long ago that was.
//!
//! A segment that the store refuses again and again must not stop those behind it. Whether it is the segment or the store's moment is
//! told by another one: where that is taken and this one, tried once more, is not, it is set aside.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use crate::clock::Clock;
use crate::config::Retention;
use crate::event::Day;
use crate::journal::{Folder, JournalError, Sealed, SegmentId, read_sealed};
use crate::outage::Outage;
use crate::store::{Store, StoreError, StoreOptions};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// A segment that has waited so long is told of.
const OVERDUE_AFTER: Duration = Duration::from_secs(86_400);

/// A segment that was set aside can be put back for so long: until then its markers stay.
const KEPT_ASIDE: Duration = Duration::from_secs(62 * 86_400);

/// Tries the store may refuse before another segment is tried, and how many others then are at once.
const REFUSALS: u32 = 5;
const OTHERS_TRIED: usize = 8;

const AGEING: Duration = Duration::from_secs(3600);

/// Figures for the metrics.
#[derive(Default)]
pub struct Stats {
    pub segments: AtomicU64,
    pub rows: AtomicU64,
    pub failures: AtomicU64,
    /// Damaged, or refused where others were taken.
    pub quarantined: AtomicU64,
}

/// What waits to be sent. Of what lies in the folder, so that it is known with the store away too.
pub struct Waiting {
    pub segments: u64,
    /// Age of the oldest once that is more than a day, else 0.
    pub overdue_secs: u64,
}

impl Waiting {
    /// `now` is what the times of files are compared with. `None` where the folder cannot be read.
    pub fn of(folder: &Folder, now: SystemTime) -> Option<Waiting> {
        let numbers = folder.numbers("sealed").ok()?;
        let age = oldest(folder, &numbers, now);
        let overdue_secs = if age > OVERDUE_AFTER { age.as_secs() } else { 0 };
        Some(Waiting { segments: numbers.len() as u64, overdue_secs })
    }
}

fn oldest(folder: &Folder, numbers: &[u64], now: SystemTime) -> Duration {
    numbers.first().map(|oldest| age(&folder.file(*oldest, "sealed"), now)).unwrap_or_default()
}

fn age(path: &Path, now: SystemTime) -> Duration {
    let sealed = std::fs::metadata(path).and_then(|meta| meta.modified());
    sealed.ok().and_then(|at| now.duration_since(at).ok()).unwrap_or_default()
}

/// The store, once it can be reached. Hits do not wait for it; questions do.
pub type StoreSlot = Arc<ArcSwapOption<Store>>;

pub struct Flusher {
    pub folder: Arc<Folder>,
    pub sealed: mpsc::UnboundedReceiver<Sealed>,
    pub options: StoreOptions,
    pub retention: Retention,
    pub clock: Clock,
    pub slot: StoreSlot,
    pub stats: Arc<Stats>,
    /// The number of the last segment that is done with; `None` until the store can be reached.
    pub done: watch::Sender<Option<u64>>,
    pub stopping: watch::Receiver<bool>,
    /// Whether the store takes nothing at the moment.
    pub away: Outage,
    pub queue: Queue,
}

/// Segments that were announced and are not done with.
#[derive(Default)]
pub struct Queue {
    waiting: VecDeque<Sealed>,
    /// Whether no more will be announced.
    is_closed: bool,
    /// The place of the segment that is tried next while the first one is refused.
    next: usize,
}

impl Flusher {
    /// Runs until no more segments can come and all are sent, or the collector stops and the store does not take them. An error is one that
    /// waiting does not cure.
    pub async fn run(mut self) -> Result<(), StoreError> {
        let Some(store) = self.connect().await? else { return Ok(()) };
        self.slot.store(Some(Arc::clone(&store)));
        self.done.send_replace(Some(0));
        let mut ageing = tokio::time::interval(AGEING);
        ageing.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            if let Some(sealed) = self.queue.waiting.pop_front() {
                let number = sealed.number;
                if !self.send(&store, sealed).await {
                    return Ok(());
                }
                self.done.send_replace(Some(number));
                continue;
            }
            if self.queue.is_closed {
                return Ok(());
            }
            tokio::select! {
                biased;
                sealed = self.sealed.recv() => match sealed {
                    Some(sealed) => self.queue.waiting.push_back(sealed),
                    None => self.queue.is_closed = true,
                },
                _ = ageing.tick() => self.age(&store).await,
            }
        }
    }

    /// `None` where the collector stops first.
    async fn connect(&mut self) -> Result<Option<Arc<Store>>, StoreError> {
        let mut pause = FIRST_PAUSE;
        loop {
            match Store::connect(&self.options).await {
                Ok(store) => return Ok(Some(Arc::new(store))),
                Err(error) if error.is_retryable() => {
                    self.stats.failures.fetch_add(1, Ordering::Relaxed);
                    if self.away.begins() {
                        tracing::warn!(%error, "the store is not there yet; hits are kept in the journal");
                    }
                }
                Err(error) => return Err(error),
            }
            if self.stops_within(pause).await {
                return Ok(None);
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Waits before the next try; not while the collector stops, when waiting gains nothing.
    async fn stops_within(&mut self, pause: Duration) -> bool {
        tokio::time::timeout(pause, self.stopping.wait_for(|stopping| *stopping)).await.is_ok()
    }

    /// Sends a segment, or sets it aside. `false` where the collector stops and the store does not take it: it is sent at the next start.
    async fn send(&mut self, store: &Store, mut sealed: Sealed) -> bool {
        let number = sealed.number;
        let path = self.folder.file(number, "sealed");
        let (mut pause, mut refusals) = (FIRST_PAUSE, 0);
        loop {
            match self.try_once(store, &mut sealed).await {
                Ok(_) => {
                    if let Some(failures) = self.away.is_over() {
                        tracing::info!(failures, "segments are sent again");
                    }
                    return true;
                }
                Err(Failure::Damaged(error)) => {
                    tracing::error!(%error, "a sealed segment is damaged");
                    self.set_aside(&path);
                    return true;
                }
                Err(Failure::Refused(error)) => {
                    self.note_failure(number, &error);
                    refusals += 1;
                }
                Err(Failure::Passing(error)) => self.note_failure(number, &error),
            }
            if self.stops_within(pause).await {
                return false;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);

            if refusals >= REFUSALS && self.another_is_taken(store).await {
                if let Err(Failure::Refused(error)) = self.try_once(store, &mut sealed).await {
                    tracing::error!(segment = number, error, "the store takes other segments and not this one");
                    self.set_aside(&path);
                    return true;
                }
                refusals = 0;
            }
        }
    }

    /// Tries some of those that wait behind, other ones each time, until the store takes one.
    async fn another_is_taken(&mut self, store: &Store) -> bool {
        self.hear_announced();
        for _ in 0..self.queue.waiting.len().min(OTHERS_TRIED) {
            let place = self.queue.next % self.queue.waiting.len();
            self.queue.next = place + 1;
            let mut sealed = self.queue.waiting.remove(place).expect("the place is below the length");
            let outcome = self.try_once(store, &mut sealed).await;
            // Where it was taken its file is gone, and its turn does nothing.
            self.queue.waiting.insert(place, sealed);
            match outcome {
                Ok(true) => return true,
                Err(Failure::Passing(_)) => return false,
                Ok(false) | Err(Failure::Refused(_) | Failure::Damaged(_)) => {}
            }
        }
        false
    }

    /// Takes what was announced while a segment was tried.
    fn hear_announced(&mut self) {
        loop {
            match self.sealed.try_recv() {
                Ok(sealed) => self.queue.waiting.push_back(sealed),
                Err(mpsc::error::TryRecvError::Empty) => return,
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    self.queue.is_closed = true;
                    return;
                }
            }
        }
    }

    fn note_failure(&self, segment: u64, error: &str) {
        self.stats.failures.fetch_add(1, Ordering::Relaxed);
        if self.away.begins() {
            tracing::warn!(segment, error, "a segment could not be sent; it is tried again");
        }
    }

    /// `false`: there is no such segment any more.
    async fn try_once(&self, store: &Store, sealed: &mut Sealed) -> Result<bool, Failure> {
        let path = self.folder.file(sealed.number, "sealed");
        let (id, sums) = match read_sealed(&path) {
            Ok(read) => read,
            Err(JournalError::Io { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error @ JournalError::Damaged { .. }) => return Err(Failure::Damaged(error)),
            // No free file descriptor, no memory: it says nothing of what lies in the file.
            Err(error) => return Err(Failure::Passing(error.to_string())),
        };
        let sent = match std::mem::replace(&mut sealed.is_new, false) {
            true => store.insert_first(&id.token(), &sums).await,
            false => store.insert(&id.token(), &sums).await,
        };
        sent.map_err(|error| match error.is_refusal() {
            true => Failure::Refused(error.to_string()),
            false => Failure::Passing(error.to_string()),
        })?;
        self.stats.segments.fetch_add(1, Ordering::Relaxed);
        self.stats.rows.fetch_add(sums.rows() as u64, Ordering::Relaxed);
        if let Err(error) = std::fs::remove_file(&path) {
            // Looked at again at the next start, and found there by its markers.
            tracing::error!(file = %path.display(), %error, "a segment that was sent could not be removed");
        }
        Ok(true)
    }

    fn set_aside(&self, path: &Path) {
        self.stats.quarantined.fetch_add(1, Ordering::Relaxed);
        match self.folder.quarantine(path) {
            Ok(kept) => {
                tracing::error!(kept = %kept.display(), "the segment was kept; its counts are not in the reports")
            }
            Err(error) => tracing::error!(%error, "the segment could not be moved aside"),
        }
    }

    async fn age(&self, store: &Store) {
        let today = Timestamp::from_millisecond(self.clock.now()).ok();
        let Some(today) = today.and_then(|now| Day::from_date(now.to_zoned(jiff::tz::TimeZone::UTC).date())) else {
            return;
        };
        match store.age(today, self.retention.keep_days).await {
            Ok(aged) => {
                if let Some(bound) = aged.bound {
                    tracing::warn!(%today, %bound, "the clock is far ahead of what was counted; what is old is judged by the newest counts");
                }
                tracing::debug!(?aged, "retention pass finished");
            }
            Err(error) => tracing::error!(%error, "old months could not be dropped; it is tried again within the hour"),
        }
        self.forget_markers(store, today).await;
    }

    /// A marker is needed while its segment can be sent again. Nothing waits here but what lies in the folder.
    async fn forget_markers(&self, store: &Store, today: Day) {
        let now = self.clock.file_time();
        let Ok(mut segments) = self.folder.set_aside() else { return };
        segments.retain(|path| age(path, now) < KEPT_ASIDE);
        let Ok(numbers) = self.folder.numbers("sealed") else { return };
        segments.extend(numbers.iter().map(|number| self.folder.file(*number, "sealed")));
        if !self.clock.is_settled() {
            return;
        }

        let oldest = segments.iter().map(|path| age(path, now)).max().unwrap_or_default();
        let oldest_days = u32::try_from(oldest.as_secs().div_ceil(86_400)).unwrap_or(u32::MAX);
        let of_this_collector = SegmentId { collector: self.folder.collector(), epoch: 0, number: 0 };
        if let Err(error) = store.forget_markers(&of_this_collector.token(), today, oldest_days).await {
            tracing::error!(%error, "old markers of segments could not be removed; it is tried again within the hour");
        }
    }
}

enum Failure {
    Damaged(JournalError),
    /// The store was asked and did not take it.
    Refused(String),
    /// Of the store or of this machine: the same again may go well.
    Passing(String),
}
