//! Stage 7: sends closed segments to the store, exactly once and in order.
//!
//! A segment is sent until the store acknowledges it; then its file is removed. If the outcome is
//! unknown (a lost connection, a crash), the segment is sent again: the store looks up which of its
//! blocks it has and takes only the others. There is no time limit on that.
//!
//! A segment that the store rejects repeatedly must not block those behind it. Another segment
//! shows whether the segment or the state of the store is the cause: if the store takes that one
//! and then rejects the first once more, the first is quarantined.

mod removed_segments;
mod retention;
mod segment_progress;

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};

use crate::journal::{JournalError, JournalFolder, SealedSegment, read_sealed_segment};
use crate::outage::Outage;
use crate::store::{ReplicaHandle, Store, StoreError, StoreOptions, close_engines};
pub use removed_segments::{RemovedSegments, read_last_removed};
use retention::RETENTION_INTERVAL;
pub use retention::{RetentionError, RetentionJob, RetentionStats};
use segment_progress::ReplicaOutcome;
pub use segment_progress::SegmentProgress;

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

/// The task that sends segments to one replica of a shard, or to a store without shards. It owns
/// everything that it needs; [`SegmentFlusher::run`] consumes it.
pub struct SegmentFlusher {
    /// The journal's folder.
    pub folder: Arc<JournalFolder>,
    /// Segments announced by the journal, in order of their numbers.
    pub closed_segments: mpsc::UnboundedReceiver<SealedSegment>,
    /// How to connect to the store.
    pub options: StoreOptions,
    /// Deletes old counts and markers.
    pub retention: Arc<RetentionJob>,
    /// Which replica it is. Told once the store is connected: hits do not wait for it, report
    /// queries do.
    pub replica: ReplicaHandle,
    /// Shared by the flushers of all replicas.
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
    /// Those that the store took before their turn. They are finished in order, like all.
    taken_early: BTreeSet<u64>,
}

/// When a connection is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ConnectOccasion {
    /// The first attempt of this run.
    Start,
    /// After a failure, or after the database was lost.
    Running,
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
        let Some(mut store) = self.connect_store(ConnectOccasion::Start).await? else {
            return Ok(());
        };
        self.finish_up_to(0);

        let mut ageing = tokio::time::interval(RETENTION_INTERVAL);
        ageing.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);

        loop {
            if let Some(sealed) = self.queue.segments.pop_front() {
                let number = sealed.number;
                if !self.send_segment(&mut store, sealed).await? {
                    return Ok(());
                }
                self.queue.taken_early.remove(&number);
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

    /// Records that the replica is done with all segments up to this one.
    fn finish_up_to(&self, number: u64) {
        self.finished.send_replace(Some(number));
        self.progress.advance(self.replica.number(), number);
    }

    /// Connects, with growing pauses. `None` if the collector stops first.
    ///
    /// A stop interrupts the connection: a migration of a large database takes longer than a stop
    /// may, and the next start resumes it.
    ///
    /// A replica that is refused for good at the first attempt of a start ends the program. Later,
    /// its siblings are in use, and the log says why it is not.
    async fn connect_store(
        &mut self,
        mut occasion: ConnectOccasion,
    ) -> Result<Option<Arc<Store>>, StoreError> {
        let mut pause = MIN_PAUSE;
        loop {
            let removed = self.progress.removed_segments();
            let opening = open_replica(&self.options, &self.replica, removed);
            let connected = tokio::select! {
                biased;
                connected = opening => Some(connected),
                _ = self.stopping.wait_for(|stopping| *stopping) => None,
            };
            let Some(connected) = connected else {
                close_engines().await;
                return Ok(None);
            };

            match connected {
                Ok(store) => {
                    let store = Arc::new(store);
                    self.replica.set_connected(Arc::clone(&store));
                    self.distrust_queue();
                    return Ok(Some(store));
                }
                Err(error)
                    if error.is_retryable()
                        || (occasion == ConnectOccasion::Running
                            && self.replica.is_replicated()) =>
                {
                    occasion = ConnectOccasion::Running;
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

    /// Segments that were closed while a replica could not be used may be in it all the same: it
    /// may have been filled from a sibling that has them. So their markers are looked up.
    fn distrust_queue(&mut self) {
        if self.replica.is_replicated() {
            self.drain_announced();
            let waiting = self.queue.segments.iter_mut();
            waiting.for_each(|sealed| sealed.is_new = false);
        }
    }

    /// Sends a segment, or quarantines it. `false` if the collector stops and the store does not
    /// take the segment: it is sent at the next start.
    ///
    /// # Errors
    ///
    /// None while the collector runs with replicas; see [`SegmentFlusher::connect_store`].
    async fn send_segment(
        &mut self,
        store: &mut Arc<Store>,
        mut sealed: SealedSegment,
    ) -> Result<bool, StoreError> {
        let number = sealed.number;
        let (mut pause, mut refusals, mut has_failed) = (MIN_PAUSE, 0, false);
        loop {
            match self.send_first(store, &mut sealed).await {
                Ok(()) => {
                    if has_failed {
                        self.distrust_queue();
                    }
                    if let Some(failures) = self.outage.record_success() {
                        tracing::info!(failures, "segments are sent again");
                    }
                    return Ok(true);
                }
                Err(SendFailure::Damaged(error)) => {
                    if self.reject_segment(store, number).await {
                        tracing::error!(%error, "a closed segment is damaged");
                        return Ok(true);
                    }
                }
                Err(SendFailure::Gone(error)) if self.replica.is_replicated() => {
                    self.record_failure(number, &error);
                    self.replica.set_lost();
                    match self.connect_store(ConnectOccasion::Running).await? {
                        Some(opened) => *store = opened,
                        None => return Ok(false),
                    }
                }
                Err(SendFailure::Rejected(error) | SendFailure::Gone(error)) => {
                    self.record_failure(number, &error);
                    refusals += 1;
                }
                Err(SendFailure::Transient(error)) => self.record_failure(number, &error),
            }

            has_failed = true;
            // Nothing may have been sent, but meanwhile a replica may have been filled from a sibling
            // that has the segment.
            sealed.is_new = false;
            if self.wait_for_stop(pause).await {
                return Ok(false);
            }
            pause = (pause * 2).min(MAX_PAUSE);

            if refusals >= MAX_REJECTIONS && self.try_other_segments(store).await {
                let failure = match self.send_first(store, &mut sealed).await {
                    Err(SendFailure::Rejected(failure)) => Some(failure),
                    // A replica that was lost meanwhile must not have it on record.
                    Err(SendFailure::Gone(failure)) => {
                        (!self.replica.is_replicated()).then_some(failure)
                    }
                    Ok(()) | Err(SendFailure::Damaged(_) | SendFailure::Transient(_)) => None,
                };
                if let Some(failure) = failure
                    && self.reject_segment(store, number).await
                {
                    tracing::error!(
                        segment = number,
                        error = failure.text,
                        store = self.options.place(),
                        "the store takes other segments but rejects this one"
                    );
                    return Ok(true);
                }
                refusals = 0;
            }
        }
    }

    /// Tries some of the segments behind the first, starting where the last round ended, until the
    /// store takes one. It is not finished before its turn: the record of a replica says that it
    /// has everything up to a segment.
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

            let number = sealed.number;
            // One that the store has already tells nothing about its state now.
            let outcome = match self.queue.taken_early.contains(&number) {
                true => Ok(None),
                false => self.try_send(store, &mut sealed).await,
            };
            self.queue.segments.insert(place, sealed);
            match outcome {
                Ok(Some(_)) => {
                    self.queue.taken_early.insert(number);
                    return true;
                }
                Err(SendFailure::Transient(_)) => return false,
                Ok(None)
                | Err(SendFailure::Rejected(_) | SendFailure::Gone(_) | SendFailure::Damaged(_)) => {
                }
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

    /// Sends the segment that is first in order once, and records it in the replica. Its file is
    /// removed if no other replica needs it.
    async fn send_first(
        &self,
        store: &Store,
        sealed: &mut SealedSegment,
    ) -> Result<(), SendFailure> {
        self.check_replica(store).await?;
        let rows = self.try_send(store, sealed).await?;
        self.record_segment(store, sealed.number).await?;
        if let Some(rows) = rows {
            self.finish_segment(sealed.number, ReplicaOutcome::Sent, rows);
        }
        Ok(())
    }

    /// Refuses a replica that was put back from a backup since it was opened. With the next
    /// segment on record it would look complete.
    async fn check_replica(&self, store: &Store) -> Result<(), SendFailure> {
        if !self.replica.is_replicated() {
            return Ok(());
        }
        let removed = self.progress.removed_segments();
        let checked = store.check_segments(removed.collector(), removed.last_removed());
        checked.await.map_err(|error| {
            let is_gone = matches!(error, StoreError::ReplicaIncomplete { .. })
                || error.is_table_missing()
                || error.is_database_missing();
            let failure = FailureText::from_store(&error);
            match is_gone {
                true => SendFailure::Gone(failure),
                false => SendFailure::Transient(failure),
            }
        })
    }

    /// Gives up a segment that is first in order. `false` if that cannot be recorded.
    async fn reject_segment(&self, store: &Store, number: u64) -> bool {
        match self.record_segment(store, number).await {
            Ok(()) => {
                self.finish_segment(number, ReplicaOutcome::Rejected, 0);
                true
            }
            Err(failure) => {
                if let SendFailure::Transient(failure) = failure {
                    self.record_failure(number, &failure);
                }
                false
            }
        }
    }

    /// Records in the replica that it has all segments up to this one: before the file is removed,
    /// so that a replica with fewer is never taken for complete.
    async fn record_segment(&self, store: &Store, number: u64) -> Result<(), SendFailure> {
        let removed = self.progress.removed_segments();
        let (collector, place) = (removed.collector(), removed.place_of(number));
        let recorded = store.record_segment(collector, place).await;
        recorded.map_err(|error| SendFailure::Transient(FailureText::from_store(&error)))?;
        self.replica.note_segment(collector, place);
        Ok(())
    }

    /// Sends a segment once. Returns the number of its rows; `None` if the file no longer exists.
    async fn try_send(
        &self,
        store: &Store,
        sealed: &mut SealedSegment,
    ) -> Result<Option<u64>, SendFailure> {
        let path = self.folder.segment_path(sealed.number, "sealed");
        let (id, sums) = match read_sealed_segment(&path) {
            Ok(read) => read,
            Err(JournalError::Io { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(None);
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

        Ok(Some(sums.row_count() as u64))
    }

    fn finish_segment(&self, number: u64, outcome: ReplicaOutcome, rows: u64) {
        let of = (number, self.replica.number());
        self.progress
            .finish_segment(of, outcome, rows, &self.folder, &self.stats);
    }
}

/// Opens a replica, and refuses one that lacks segments which are no longer in the journal.
async fn open_replica(
    options: &StoreOptions,
    replica: &ReplicaHandle,
    removed: &RemovedSegments,
) -> Result<Store, StoreError> {
    let store = Store::connect_replica(options, replica).await?;
    store
        .check_segments(removed.collector(), removed.last_removed())
        .await?;
    Ok(store)
}

/// Announces each segment to the flushers of all replicas, until the journal announces no more.
async fn announce_to_replicas(
    mut closed_segments: mpsc::UnboundedReceiver<SealedSegment>,
    announcers: Vec<mpsc::UnboundedSender<SealedSegment>>,
) {
    while let Some(sealed) = closed_segments.recv().await {
        for announcer in &announcers {
            // A flusher that has ended reports why in its own result.
            let _ = announcer.send(SealedSegment {
                number: sealed.number,
                is_new: sealed.is_new,
            });
        }
    }
}

/// The flushers of all replicas of all shards, and what announces segments to them.
pub struct ReplicaFlushers {
    /// Segments announced by the journal, in order of their numbers.
    pub closed_segments: mpsc::UnboundedReceiver<SealedSegment>,
    /// One for each replica.
    pub flushers: Vec<SegmentFlusher>,
    /// The other ends of the flushers' `closed_segments`.
    pub announcers: Vec<mpsc::UnboundedSender<SealedSegment>>,
}

impl ReplicaFlushers {
    /// Runs until all flushers have ended.
    ///
    /// # Errors
    ///
    /// The first permanent failure of one of them, see [`SegmentFlusher::run`].
    pub async fn run(self) -> Result<(), StoreError> {
        let announcing = tokio::spawn(announce_to_replicas(self.closed_segments, self.announcers));
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
                SendFailure::Gone(FailureText::from_store(&lost))
            }
            Err(failed) => SendFailure::Transient(FailureText::from_store(&failed)),
        };
    }
    if error.is_database_missing() {
        return SendFailure::Gone(FailureText::from_store(&error));
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
    /// The store rejected it because the database, or tables of it, are gone.
    Gone(FailureText),
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
