//! Stage 7: sends closed segments to the store, exactly once and in order.
//!
//! A segment is sent until the store acknowledges it; then its file is removed. If the outcome is
//! unknown (a lost connection, a crash), the segment is sent again: the store looks up which of its
//! blocks it has and takes only the others. There is no time limit on that.
//!
//! A segment that the store rejects repeatedly must not block those behind it. Another segment
//! shows whether the segment or the state of the store is the cause: if the store takes that one
//! and then rejects the first once more, the first is quarantined.

mod retention;
mod segment_progress;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};

use crate::journal::{JournalError, JournalFolder, SealedSegment, read_sealed_segment};
use crate::outage::Outage;
use crate::store::{Store, StoreError, StoreOptions, StoreSlot, close_engines};
use retention::RETENTION_INTERVAL;
pub use retention::{RetentionError, RetentionJob, RetentionStats};
pub use segment_progress::SegmentProgress;
use segment_progress::ShardOutcome;

/// Pause before the second attempt. It doubles with each further attempt.
const MIN_PAUSE: Duration = Duration::from_millis(250);
/// Upper bound of the pause.
const MAX_PAUSE: Duration = Duration::from_secs(15);

/// A segment that waits longer than this is reported in the metrics.
const OVERDUE_AFTER: Duration = Duration::from_secs(86_400);

/// Rejections of one segment before other segments are tried.
const MAX_REJECTIONS: u32 = 5;
/// How many other segments are tried in one round.
const MAX_OTHERS_TRIED: usize = 8;

/// Pause before old counts are removed while the registry was not read yet.
const REGISTRY_READ_PAUSE: Duration = Duration::from_millis(200);

/// Totals since the start, for the metrics.
#[derive(Default)]
pub struct FlushStats {
    /// Segments that were sent.
    pub segments: AtomicU64,
    /// Rows of these segments.
    pub rows: AtomicU64,
    /// Failed attempts to connect to the store or to send a segment.
    pub failures: AtomicU64,
    /// Quarantined segments: damaged, or rejected while others were taken.
    pub quarantined: AtomicU64,
}

/// The segments that wait to be sent, counted in the folder, so that the figures are known without
/// the store.
pub struct SegmentBacklog {
    /// Closed segments in the folder.
    pub segments: u64,
    /// Age of the oldest in seconds if it is more than a day, else 0.
    pub overdue_secs: u64,
}

impl SegmentBacklog {
    /// Reads the folder. Ages are relative to `now`, which must be of the same clock as file times.
    /// `None` if the folder cannot be read.
    pub fn from_folder(folder: &JournalFolder, now: SystemTime) -> Option<SegmentBacklog> {
        let numbers = folder.segment_numbers("sealed").ok()?;
        let age = oldest_age(folder, &numbers, now);
        let overdue_secs = if age > OVERDUE_AFTER {
            age.as_secs()
        } else {
            0
        };
        Some(SegmentBacklog {
            segments: numbers.len() as u64,
            overdue_secs,
        })
    }
}

/// The age of the segment with the lowest number; 0 if there is none.
fn oldest_age(folder: &JournalFolder, numbers: &[u64], now: SystemTime) -> Duration {
    numbers
        .first()
        .map(|oldest| file_age(&folder.segment_path(*oldest, "sealed"), now))
        .unwrap_or_default()
}

/// How long ago the file was last written; 0 if that is not known.
fn file_age(path: &Path, now: SystemTime) -> Duration {
    let sealed = std::fs::metadata(path).and_then(|meta| meta.modified());
    sealed
        .ok()
        .and_then(|at| now.duration_since(at).ok())
        .unwrap_or_default()
}

/// The task that sends segments to one shard, or to a store without shards. It owns everything that
/// it needs; [`SegmentFlusher::run`] consumes it.
pub struct SegmentFlusher {
    /// The journal's folder.
    pub folder: Arc<JournalFolder>,
    /// Segments announced by the journal, in order of their numbers.
    pub closed_segments: mpsc::UnboundedReceiver<SealedSegment>,
    /// How to connect to the store.
    pub options: StoreOptions,
    /// Deletes old counts and markers.
    pub retention: Arc<RetentionJob>,
    /// Filled once the store is connected. Hits do not wait for it, report queries do.
    pub store_slot: StoreSlot,
    /// Shared by the flushers of all shards.
    pub progress: Arc<SegmentProgress>,
    /// The counters that the metrics read.
    pub stats: Arc<FlushStats>,
    /// The number of the last segment that was sent or quarantined; `Some(0)` when the store is
    /// connected, `None` before.
    pub finished: watch::Sender<Option<u64>>,
    /// Whether the collector is stopping.
    pub stopping: watch::Receiver<bool>,
    /// The outage of the store, for the log.
    pub outage: Outage,
    /// The segments that are known and not finished. Starts empty.
    pub queue: FlushQueue,
}

/// Segments that were announced and are not finished.
#[derive(Default)]
pub struct FlushQueue {
    segments: VecDeque<SealedSegment>,
    /// Whether no more segments will be announced.
    is_closed: bool,
    /// The index of the segment that is tried next while the first one is rejected.
    next_tried: usize,
}

impl SegmentFlusher {
    /// Runs until all segments are sent and the journal is closed, or until the collector stops
    /// while the store takes nothing. Segments that were not sent stay in the folder for the next
    /// start.
    ///
    /// # Errors
    ///
    /// A connection failed for a permanent reason: a wrong option, an engine that does not start, a
    /// database of a later version. No segment was sent or removed.
    pub async fn run(mut self) -> Result<(), StoreError> {
        let Some(store) = self.connect_store().await? else {
            return Ok(());
        };
        self.store_slot.store(Some(Arc::clone(&store)));
        self.finish_up_to(0);

        let mut ageing = tokio::time::interval(RETENTION_INTERVAL);
        ageing.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);

        loop {
            if let Some(sealed) = self.queue.segments.pop_front() {
                let number = sealed.number;
                if !self.send_segment(&store, sealed).await {
                    return Ok(());
                }
                self.finish_up_to(number);
                self.retention.remove_day_markers(&store).await;
                continue;
            }

            if self.queue.is_closed {
                return Ok(());
            }

            tokio::select! {
                biased;
                sealed = self.closed_segments.recv() => match sealed {
                    Some(sealed) => self.queue.segments.push_back(sealed),
                    None => self.queue.is_closed = true,
                },
                _ = ageing.tick() => {
                    if self.retention.is_registry_read() {
                        let _ = self.retention.run(&store).await;
                    } else {
                        ageing.reset_after(REGISTRY_READ_PAUSE);
                    }
                }
            }
        }
    }

    /// Records that the shard is done with all segments up to this one.
    fn finish_up_to(&self, number: u64) {
        self.finished.send_replace(Some(number));
        self.progress.advance_shard(self.shard(), number);
    }

    fn shard(&self) -> usize {
        self.options.shard.index()
    }

    /// Connects, with growing pauses. `None` if the collector stops first.
    ///
    /// A stop interrupts the connection: a migration of a large database takes longer than a stop
    /// may, and the next start resumes it.
    async fn connect_store(&mut self) -> Result<Option<Arc<Store>>, StoreError> {
        let mut pause = MIN_PAUSE;
        loop {
            let connected = tokio::select! {
                biased;
                connected = Store::connect(&self.options) => Some(connected),
                _ = self.stopping.wait_for(|stopping| *stopping) => None,
            };
            let Some(connected) = connected else {
                close_engines().await;
                return Ok(None);
            };

            match connected {
                Ok(store) => return Ok(Some(Arc::new(store))),
                Err(error) if error.is_retryable() => {
                    self.stats.failures.fetch_add(1, Ordering::Relaxed);
                    if self.outage.record_failure_reason(&error.reason()) {
                        let store = self.options.place();
                        tracing::warn!(%error, store, "the store cannot be used yet; hits are kept \
                            in the journal");
                    }
                }
                Err(error) => return Err(error),
            }

            if self.wait_for_stop(pause).await {
                return Ok(None);
            }
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    /// Waits before the next attempt. `true`, without waiting to the end, if the collector stops.
    async fn wait_for_stop(&mut self, pause: Duration) -> bool {
        tokio::time::timeout(pause, self.stopping.wait_for(|stopping| *stopping))
            .await
            .is_ok()
    }

    /// Sends a segment, or quarantines it. `false` if the collector stops and the store does not
    /// take the segment: it is sent at the next start.
    async fn send_segment(&mut self, store: &Store, mut sealed: SealedSegment) -> bool {
        let number = sealed.number;
        let (mut pause, mut refusals) = (MIN_PAUSE, 0);
        loop {
            match self.try_send(store, &mut sealed).await {
                Ok(_) => {
                    if let Some(failures) = self.outage.record_success() {
                        tracing::info!(failures, "segments are sent again");
                    }
                    return true;
                }
                Err(SendFailure::Damaged(error)) => {
                    tracing::error!(%error, "a closed segment is damaged");
                    self.finish_segment(number, ShardOutcome::Rejected, 0);
                    return true;
                }
                Err(SendFailure::Rejected(error)) => {
                    self.record_failure(number, &error);
                    refusals += 1;
                }
                Err(SendFailure::Transient(error)) => self.record_failure(number, &error),
            }

            if self.wait_for_stop(pause).await {
                return false;
            }
            pause = (pause * 2).min(MAX_PAUSE);

            if refusals >= MAX_REJECTIONS && self.try_other_segments(store).await {
                if let Err(SendFailure::Rejected(failure)) = self.try_send(store, &mut sealed).await
                {
                    tracing::error!(
                        segment = number,
                        error = failure.text,
                        store = self.options.place(),
                        "the store takes other segments but rejects this one"
                    );
                    self.finish_segment(number, ShardOutcome::Rejected, 0);
                    return true;
                }
                refusals = 0;
            }
        }
    }

    /// Tries some of the segments behind the first, starting where the last round ended, until the
    /// store takes one.
    async fn try_other_segments(&mut self, store: &Store) -> bool {
        self.drain_announced();
        for _ in 0..self.queue.segments.len().min(MAX_OTHERS_TRIED) {
            let place = self.queue.next_tried % self.queue.segments.len();
            self.queue.next_tried = place + 1;
            let mut sealed = self
                .queue
                .segments
                .remove(place)
                .expect("the index is below the length");

            let outcome = self.try_send(store, &mut sealed).await;
            // If it was taken, trying it again does nothing.
            self.queue.segments.insert(place, sealed);
            match outcome {
                Ok(true) => return true,
                Err(SendFailure::Transient(_)) => return false,
                Ok(false) | Err(SendFailure::Rejected(_) | SendFailure::Damaged(_)) => {}
            }
        }
        false
    }

    /// Adds the segments that were announced in the meantime to the queue.
    fn drain_announced(&mut self) {
        loop {
            match self.closed_segments.try_recv() {
                Ok(sealed) => self.queue.segments.push_back(sealed),
                Err(mpsc::error::TryRecvError::Empty) => return,
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    self.queue.is_closed = true;
                    return;
                }
            }
        }
    }

    fn record_failure(&self, segment: u64, failure: &FailureText) {
        self.stats.failures.fetch_add(1, Ordering::Relaxed);
        if self.outage.record_failure_reason(&failure.reason) {
            let error = &failure.text;
            let store = self.options.place();
            tracing::warn!(
                segment,
                error,
                store,
                "a segment could not be sent; will retry"
            );
        }
    }

    /// Sends a segment once. Its file is removed if no other shard needs it. `false` if the shard
    /// has it, or the file no longer exists.
    async fn try_send(
        &self,
        store: &Store,
        sealed: &mut SealedSegment,
    ) -> Result<bool, SendFailure> {
        if self.progress.is_done(sealed.number, self.shard()) {
            return Ok(false);
        }
        let path = self.folder.segment_path(sealed.number, "sealed");
        let (id, sums) = match read_sealed_segment(&path) {
            Ok(read) => read,
            Err(JournalError::Io { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(false);
            }
            Err(error @ JournalError::Damaged { .. }) => return Err(SendFailure::Damaged(error)),
            // For example no free file descriptor or no memory: the contents of the file may be
            // correct.
            Err(error) => return Err(SendFailure::Transient(FailureText::from_journal(&error))),
        };
        // Its token decides whether it counts, so it must be its own.
        if id.number != sealed.number {
            let what = format!("the header is of segment {}", id.number);
            return Err(SendFailure::Damaged(JournalError::Damaged { path, what }));
        }

        let sent = match std::mem::replace(&mut sealed.is_new, false) {
            true => store.insert_new_segment(&id.dedup_token(), &sums).await,
            false => store.insert_segment(&id.dedup_token(), &sums).await,
        };
        if let Err(error) = sent {
            return Err(classify_failure(store, error).await);
        }

        let rows = sums.row_count() as u64;
        self.finish_segment(sealed.number, ShardOutcome::Sent, rows);
        Ok(true)
    }

    fn finish_segment(&self, number: u64, outcome: ShardOutcome, rows: u64) {
        let of = (number, self.shard());
        self.progress
            .finish_segment(of, outcome, rows, &self.folder, &self.stats);
    }
}

/// Announces each segment to the flushers of all shards, until the journal announces no more.
async fn announce_to_shards(
    mut closed_segments: mpsc::UnboundedReceiver<SealedSegment>,
    shards: Vec<mpsc::UnboundedSender<SealedSegment>>,
) {
    while let Some(sealed) = closed_segments.recv().await {
        for shard in &shards {
            // A flusher that has ended reports why in its own result.
            let _ = shard.send(SealedSegment {
                number: sealed.number,
                is_new: sealed.is_new,
            });
        }
    }
}

/// The flushers of all shards, and what announces segments to them.
pub struct ShardFlushers {
    /// Segments announced by the journal, in order of their numbers.
    pub closed_segments: mpsc::UnboundedReceiver<SealedSegment>,
    /// One for each shard.
    pub flushers: Vec<SegmentFlusher>,
    /// The other ends of the flushers' `closed_segments`.
    pub shards: Vec<mpsc::UnboundedSender<SealedSegment>>,
}

impl ShardFlushers {
    /// Runs until all flushers have ended.
    ///
    /// # Errors
    ///
    /// The first permanent failure of one of them, see [`SegmentFlusher::run`].
    pub async fn run(self) -> Result<(), StoreError> {
        let announcing = tokio::spawn(announce_to_shards(self.closed_segments, self.shards));
        let running = self.flushers.into_iter().map(SegmentFlusher::run);
        let ended = futures_util::future::try_join_all(running).await;
        announcing.abort();
        ended.map(drop)
    }
}

/// What a failure to send a segment means. A table that is gone is created again if that loses
/// nothing. Otherwise the store rejects segments that need it, and takes others.
async fn classify_failure(store: &Store, error: StoreError) -> SendFailure {
    if error.is_table_missing() {
        return match store.restore_missing_tables().await {
            Ok(()) => SendFailure::Transient(FailureText::from_store(&error)),
            Err(lost @ StoreError::TablesMissing { .. }) => {
                SendFailure::Rejected(FailureText::from_store(&lost))
            }
            Err(failed) => SendFailure::Transient(FailureText::from_store(&failed)),
        };
    }
    match error.is_request_rejected() {
        true => SendFailure::Rejected(FailureText::from_store(&error)),
        false => SendFailure::Transient(FailureText::from_store(&error)),
    }
}

/// Why a segment was not sent.
enum SendFailure {
    /// The file cannot be read as a segment.
    Damaged(JournalError),
    /// The store rejected the segment.
    Rejected(FailureText),
    /// A failure of the store or of this machine: retrying may succeed.
    Transient(FailureText),
}

/// A failure, for the log.
struct FailureText {
    text: String,
    /// The same for all failures of this kind.
    reason: String,
}

impl FailureText {
    fn from_journal(error: &JournalError) -> FailureText {
        FailureText {
            text: error.to_string(),
            reason: error.to_string(),
        }
    }

    fn from_store(error: &StoreError) -> FailureText {
        FailureText {
            text: error.to_string(),
            reason: error.reason(),
        }
    }
}
