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
    /// `None` where the folder cannot be read.
    pub fn of(folder: &Folder) -> Option<Waiting> {
        let numbers = folder.numbers("sealed").ok()?;
        let age = numbers.first().map(|oldest| age(&folder.file(*oldest, "sealed"))).unwrap_or_default();
        let overdue_secs = if age > TOKEN_LIFE / 2 { age.as_secs() } else { 0 };
        Some(Waiting { segments: numbers.len() as u64, overdue_secs })
    }
}

fn age(path: &Path) -> Duration {
    let sealed = std::fs::metadata(path).and_then(|meta| meta.modified());
    sealed.ok().and_then(|at| SystemTime::now().duration_since(at).ok()).unwrap_or_default()
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
}

impl Flusher {
    /// Runs until no more segments can come and all are sent. An error is one that waiting does not cure.
    pub async fn run(mut self) -> Result<(), StoreError> {
        let store = self.connect().await?;
        self.slot.store(Some(Arc::clone(&store)));
        self.done.send_replace(Some(0));
        let mut ageing = tokio::time::interval(AGEING);
        ageing.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                sealed = self.sealed.recv() => {
                    let Some(sealed) = sealed else { return Ok(()) };
                    self.send(&store, sealed.number).await;
                    self.done.send_replace(Some(sealed.number));
                }
                _ = ageing.tick() => self.age(&store).await,
            }
        }
    }

    async fn connect(&self) -> Result<Arc<Store>, StoreError> {
        let mut pause = FIRST_PAUSE;
        loop {
            match Store::connect(&self.options).await {
                Ok(store) => return Ok(Arc::new(store)),
                Err(error) if error.is_retryable() => {
                    self.stats.failures.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%error, retry_in_ms = pause.as_millis() as u64, "the store is not there yet; hits are kept in the journal");
                }
                Err(error) => return Err(error),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn send(&self, store: &Store, number: u64) {
        let path = self.folder.file(number, "sealed");
        let mut pause = FIRST_PAUSE;
        loop {
            // Before the first try as well: the last run may have sent it and died before it knew.
            if self.too_old(&path) {
                tracing::error!(
                    segment = number,
                    "a segment waited longer than the store remembers tokens; it is set aside, not counted twice"
                );
                return self.set_aside(&path);
            }
            let outcome = self.try_once(store, &path).await;
            match outcome {
                Ok(()) => return,
                Err(Failure::Damaged(error)) => {
                    tracing::error!(%error, "a sealed segment is damaged");
                    return self.set_aside(&path);
                }
                Err(Failure::Passing(error)) => {
                    self.stats.failures.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(
                        segment = number,
                        error,
                        retry_in_ms = pause.as_millis() as u64,
                        "a segment could not be sent"
                    );
                }
            }
            tokio::time::sleep(pause).await;
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
        self.options.url.is_some() && age(path) > TOKEN_LIFE
    }

    async fn age(&self, store: &Store) {
        let today = Timestamp::from_millisecond(self.clock.now()).ok();
        let Some(today) = today.and_then(|now| Day::from_date(now.to_zoned(jiff::tz::TimeZone::UTC).date())) else {
            return;
        };
        match store.age(today, self.retention.keep_days).await {
            Ok(aged) => tracing::debug!(?aged, "old months were looked at"),
            Err(error) => tracing::error!(%error, "old months could not be dropped; it is tried again within the hour"),
        }
    }
}

enum Failure {
    Damaged(JournalError),
    /// Of the store or of this machine: the same again may go well.
    Passing(String),
}
