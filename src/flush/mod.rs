//! Stage 7: sealed segments go to the store, exactly once, in order.
//!
//! A segment is sent under its token until it is acknowledged, the same bytes each time; then its file goes. An outcome nobody knows (a
//! lost connection, a crash) is resolved by sending it again: the store drops a token it has seen. That memory is finite, so a segment
//! that has waited for half of it raises a metric, and one that has waited for all of it is set aside rather than risked twice.

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
use crate::journal::{Folder, JournalError, Sealed, read_sealed};
use crate::outage::Outage;
use crate::store::{Store, StoreError, StoreOptions};

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// What ClickHouse remembers of a token: a week on replicated tables, and 100 000 inserts, which at one every 15 s is longer. The embedded
/// engine's tables are not replicated: it forgets by number only, however long the collector was switched off.
const TOKEN_LIFE: Duration = Duration::from_secs(7 * 86_400);

const AGEING: Duration = Duration::from_secs(3600);

/// Figures for the metrics.
#[derive(Default)]
pub struct Stats {
    pub segments: AtomicU64,
    pub rows: AtomicU64,
    pub failures: AtomicU64,
    pub quarantined: AtomicU64,
}

/// What waits to be sent. Of what lies in the folder, so that it is known with the store away too.
pub struct Waiting {
    pub segments: u64,
    /// Age of the oldest once it is past half of the token's life, else 0.
    pub overdue_secs: u64,
}

impl Waiting {
    /// `now` is what the times of files are compared with. `None` where the folder cannot be read.
    pub fn of(folder: &Folder, now: SystemTime) -> Option<Waiting> {
        let numbers = folder.numbers("sealed").ok()?;
        let age = numbers.first().map(|oldest| age(&folder.file(*oldest, "sealed"), now)).unwrap_or_default();
        let overdue_secs = if age > TOKEN_LIFE / 2 { age.as_secs() } else { 0 };
        Some(Waiting { segments: numbers.len() as u64, overdue_secs })
    }
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
            tokio::select! {
                biased;
                sealed = self.sealed.recv() => {
                    let Some(sealed) = sealed else { return Ok(()) };
                    if !self.send(&store, sealed.number).await {
                        return Ok(());
                    }
                    self.done.send_replace(Some(sealed.number));
                }
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

    /// `false` where the collector stops and the store does not take it: it is sent at the next start.
    async fn send(&mut self, store: &Store, number: u64) -> bool {
        let path = self.folder.file(number, "sealed");
        let mut pause = FIRST_PAUSE;
        loop {
            // Before the first try as well: the last run may have sent it and died before it knew.
            if self.too_old(&path) {
                // A clock that is wrong for a moment is no reason to give counts up.
                if !self.clock.is_settled() {
                    if self.stops_within(FIRST_PAUSE).await {
                        return false;
                    }
                    continue;
                }
                tracing::error!(
                    segment = number,
                    "a segment waited longer than the store remembers tokens; it is set aside, not counted twice"
                );
                self.set_aside(&path);
                return true;
            }
            let outcome = self.try_once(store, &path).await;
            match outcome {
                Ok(()) => {
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
                Err(Failure::Passing(error)) => {
                    self.stats.failures.fetch_add(1, Ordering::Relaxed);
                    if self.away.begins() {
                        tracing::warn!(segment = number, error, "a segment could not be sent; it is tried again");
                    }
                }
            }
            if self.stops_within(pause).await {
                return false;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn try_once(&self, store: &Store, path: &Path) -> Result<(), Failure> {
        let (id, sums) = match read_sealed(path) {
            Ok(read) => read,
            Err(JournalError::Io { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error @ JournalError::Damaged { .. }) => return Err(Failure::Damaged(error)),
            // No free file descriptor, no memory: it says nothing of what lies in the file.
            Err(error) => return Err(Failure::Passing(error.to_string())),
        };
        store.insert(&id.token(), &sums).await.map_err(|error| Failure::Passing(error.to_string()))?;
        self.stats.segments.fetch_add(1, Ordering::Relaxed);
        self.stats.rows.fetch_add(sums.rows() as u64, Ordering::Relaxed);
        if let Err(error) = std::fs::remove_file(path) {
            // Sent again at the next start, and dropped there by its token.
            tracing::error!(file = %path.display(), %error, "a segment that was sent could not be removed");
        }
        Ok(())
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

    fn too_old(&self, path: &Path) -> bool {
        self.options.url.is_some() && age(path, self.clock.file_time()) > TOKEN_LIFE
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
    }
}

enum Failure {
    Damaged(JournalError),
    /// Of the store or of this machine: the same again may go well.
    Passing(String),
}
