//! The writer thread, the only one that counts: it takes queued hits, turns them into rows, writes
//! and syncs them, and completes the hits.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::completion::{self, CommitError};
use super::handle::Journal;
use super::hit_queue::{DrainedQueue, HitQueue, JournalCommand, QueuedHit};
use super::journal_stats::JournalStats;
use super::open_segment::OpenSegment;
use super::recovery::SegmentRecovery;
use super::sealed_segment::SealedSegment;
use super::segment_closer::SegmentCloser;
use super::segment_file::{JournalError, JournalFolder, SegmentId};
use super::segment_keys::SegmentKeys;
use super::suspension::{Decision, SuspendRequest, WriterState};
use crate::aggregate::{
    Aggregator, CountedEvent, DropKey, ReleasePolicy, ReleaseScope, SegmentDelta, SegmentSums,
};
use crate::calendar::Millis;
use crate::clock::Clock;
use crate::config::{Config, MemoryBudget};
use crate::consent::DropCounters;
use crate::event::{DropReason, SiteId};
use crate::outage::Outage;
use crate::pseudonym::DayKeys;
use crate::random::random_u64;

/// Interval at which visits are closed and old keys wiped while no hit arrives.
const IDLE_INTERVAL: Duration = Duration::from_millis(200);

/// Minimum time between syncs under load: more hits share one, and each is still acknowledged
/// within a few milliseconds.
const MIN_SYNC_INTERVAL: Duration = Duration::from_millis(1);

/// Minimum number of hits of a batch that counts as load: the next hits are probably on their way.
const MIN_LOADED_BATCH_HITS: usize = 8;

/// Maximum number of hits of one batch, which limits its size on disk and in memory.
const MAX_BATCH_HITS: usize = 2048;

/// Maximum number of bytes that one hit needs in the journal, including strings, and that closing
/// visits can add to a batch.
pub(super) const MAX_BYTES_PER_HIT: u64 = 4096;
const MAX_VISIT_CLOSE_BYTES: u64 = 1 << 20;

/// How long a segment waits until the one before it is closed. Hits wait meanwhile; after this time
/// the response is 503.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
const FINAL_CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum number of attribute rows that are carried from segment to segment, since they are
/// written again each time.
const MAX_CARRIED_ROWS: usize = 20_000;

/// The parts that the writer needs.
pub struct WriterParts {
    /// Time of batches.
    pub clock: Clock,
    /// Keys of the current days; the writer wipes those of days that are over.
    pub day_keys: Arc<DayKeys>,
    /// Counters of dropped hits, which the writer adds to segments.
    pub drop_counters: Arc<DropCounters>,
}

/// Who waits for the number of the last sealed segment.
#[derive(Default)]
struct WaitingReplies {
    sealed: Vec<oneshot::Sender<u64>>,
    forgotten: Vec<(SiteId, oneshot::Sender<u64>)>,
}

/// The writer thread's state. It owns the aggregator and the open segment, so no locks are needed.
pub struct JournalWriter {
    folder: Arc<JournalFolder>,
    queue: Arc<HitQueue>,
    stats: Arc<JournalStats>,
    parts: WriterParts,
    table: Aggregator,
    open_segment: OpenSegment,
    keys: SegmentKeys,
    /// Since when attribute rows are held, and whether some may be released.
    held_since: Option<Instant>,
    releasable: bool,
    epoch: u64,
    closer: SegmentCloser,
    reported_drops: [u64; DropReason::ALL.len()],
    segment_age: Duration,
    segment_rows: usize,
    segment_bytes: usize,
    attribute_age: Duration,
    release: ReleasePolicy,
    max_bytes: u64,
    full: bool,
    /// Logs one line per outage, however many hits are rejected.
    outage: Outage,
    last_check: Instant,
    /// Start of the last sync, and whether its batch was large.
    last_sync: Instant,
    is_loaded: bool,
}

impl JournalWriter {
    /// Recovers the folder and opens a segment. The numbers of sealed segments are sent to
    /// `sealed`, in order. `inherited` is the state of the process that this one takes over from;
    /// the segment that it left open is recovered as after a crash.
    ///
    /// # Errors
    ///
    /// The folder cannot be opened, locked, read or written, or a segment cannot be closed. Nothing
    /// is lost: the next start recovers it.
    pub fn open(
        config: &Config,
        parts: WriterParts,
        sealed: mpsc::UnboundedSender<SealedSegment>,
        inherited: Option<WriterState>,
    ) -> Result<(Journal, JournalWriter), JournalError> {
        let WriterState {
            aggregator: table,
            reported_drops,
            process_keys,
            stats,
        } = inherited.unwrap_or_else(|| WriterState::empty(config));
        let folder = Arc::new(JournalFolder::open(&config.journal.dir)?);
        let epoch = random_u64();
        let mut keys = SegmentKeys::open(&config.journal.key_dir, folder.collector_id(), epoch);
        keys.add_former_keys(process_keys);
        let release = ReleasePolicy {
            min_visits: config.report.k,
            // Leaves space for more rows in a segment that begins with them.
            max_rows: MAX_CARRIED_ROWS.min(config.journal.segment_rows / 4),
            max_bytes: config.journal.segment_bytes / 4,
        };

        let mut recovery =
            SegmentRecovery::replay_open_segments(&folder, &keys, release, parts.clock.now())?;
        let id = SegmentId {
            collector: folder.collector_id(),
            epoch,
            number: recovery.next_number().max(1),
        };
        let carried = std::mem::take(&mut recovery.carried);
        let (open, carried) = OpenSegment::create_segment(&folder, id, &mut keys, carried)?;
        let recovered = recovery.close_last_segment(&folder, &carried)?;
        keys.forget_former_keys();

        let waiting = folder.segment_numbers("sealed")?;
        for &number in &waiting {
            let _ = sealed.send(SealedSegment {
                number,
                is_new: false,
            });
        }
        let (inbox, stats) = (
            Arc::new(HitQueue::new(
                MemoryBudget::from_config(config).caps.queued_hits,
            )),
            Arc::new(stats),
        );
        let journal = Journal {
            queue: Arc::clone(&inbox),
            stats: Arc::clone(&stats),
            folder: Arc::clone(&folder),
            recovered: Arc::new(recovered),
        };
        let writer = JournalWriter {
            closer: SegmentCloser::spawn_thread(
                Arc::clone(&folder),
                sealed,
                waiting.last().copied().unwrap_or(0),
            ),
            folder,
            queue: inbox,
            stats,
            table,
            held_since: (open.segment.attribute_row_count() > 0).then(Instant::now),
            open_segment: open,
            keys,
            releasable: false,
            parts,
            epoch,
            reported_drops,
            segment_age: Duration::from_secs(config.journal.segment_secs),
            segment_rows: config.journal.segment_rows,
            segment_bytes: config.journal.segment_bytes,
            attribute_age: Duration::from_secs(config.journal.attribute_secs),
            release,
            max_bytes: config.journal.max_bytes,
            full: false,
            outage: Outage::default(),
            last_check: Instant::now(),
            last_sync: Instant::now(),
            is_loaded: false,
        };
        Ok((journal, writer))
    }

    /// Runs until the queue is closed and drained.
    ///
    /// # Errors
    ///
    /// A write or a sync failed, so the content of the disk is uncertain: the process must end.
    pub fn run(mut self) -> Result<(), JournalError> {
        let mut more = false;
        let mut replies = WaitingReplies::default();
        loop {
            self.stats.heartbeat.record_beat();
            self.wait_for_more_hits();
            let DrainedQueue {
                hits,
                commands,
                closed,
            } = self
                .queue
                .wait_and_drain(if more { Duration::ZERO } else { IDLE_INTERVAL });
            let now = self.parts.clock.now();
            self.run_maintenance(now);

            let mut hits = hits.into_iter();
            loop {
                more = self.commit_hits(next_batch(&mut hits), now)?;
                if self.is_rotation_due(now) {
                    self.rotate_segment(self.release_scope(), now)?;
                }
                if hits.len() == 0 {
                    break;
                }
            }

            self.parts.day_keys.drop_expired(now);
            if self.perform_commands(commands, &mut replies, now) == Decision::End {
                return self.end_for_successor();
            }
            if !more {
                self.send_replies(&mut replies, now)?;
            }
            self.update_stats();
            if closed {
                // Nothing was queued after the queue was closed, and everything before is
                // acknowledged.
                return self.finish_writing(now);
            }
        }
    }

    fn perform_commands(
        &mut self,
        commands: Vec<JournalCommand>,
        replies: &mut WaitingReplies,
        now: Millis,
    ) -> Decision {
        for command in commands {
            match command {
                JournalCommand::CloseSegment(answer) => replies.sealed.push(answer),
                JournalCommand::ForgetSite(site, answer) => replies.forgotten.push((site, answer)),
                JournalCommand::CountLiveVisitors(site, answer) => {
                    _ = answer.send(self.table.live_visitors(site, now))
                }
                JournalCommand::EstimateView(event, answer) => {
                    _ = answer.send(self.table.estimate_view(&event))
                }
                JournalCommand::Suspend(request) => {
                    if self.suspend(request) == Decision::End {
                        return Decision::End;
                    }
                }
            }
        }
        Decision::Continue
    }

    /// Closes the segment for those that wait for it. Without space for another one the replies wait
    /// on: they must not claim that counts can be read.
    fn send_replies(
        &mut self,
        replies: &mut WaitingReplies,
        now: Millis,
    ) -> Result<(), JournalError> {
        if !replies.sealed.is_empty() && self.rotate_segment(self.release_scope(), now)? {
            for answer in replies.sealed.drain(..) {
                let _ = answer.send(self.closer.last_number());
            }
        }

        while let Some((site, answer)) = replies.forgotten.pop() {
            self.table.forget_site(site);
            if !self.rotate_segment(ReleaseScope::Site(site), now)? {
                replies.forgotten.push((site, answer));
                break;
            }
            let _ = answer.send(self.closer.last_number());
        }
        Ok(())
    }

    /// Writes the state, and waits until it is decided who continues. All hits that were taken from
    /// the queue are on disk, and nothing is counted meanwhile.
    fn suspend(&self, request: SuspendRequest) -> Decision {
        request.write_and_wait(&self.stats.heartbeat, |out| {
            self.parts.day_keys.write_state(out);
            self.table.write_state(out);
            WriterState::write_drops(self.parts.drop_counters.totals(), self.reported_drops, out);
            self.keys.write_state(out);
            self.stats.write_state(out);
        })
    }

    /// Leaves the open segment and its key to the process that takes over, as after a crash. Its
    /// visits go on there.
    fn end_for_successor(self) -> Result<(), JournalError> {
        self.closer.join_thread();
        Ok(())
    }

    /// Lets hits gather under load. A single hit never waits for others.
    fn wait_for_more_hits(&self) {
        if self.is_loaded {
            std::thread::sleep(MIN_SYNC_INTERVAL.saturating_sub(self.last_sync.elapsed()));
        }
    }

    /// Counts, writes and syncs hits, then completes them. `true` if more visits are waiting to be
    /// closed.
    fn commit_hits(&mut self, hits: Vec<QueuedHit>, now: Millis) -> Result<bool, JournalError> {
        let need = hits.len() as u64 * MAX_BYTES_PER_HIT + MAX_VISIT_CLOSE_BYTES;
        if !self.has_capacity(need) {
            // None of these hits was counted, so a retry counts once.
            self.stats
                .mails_lost
                .fetch_add(count_mails(&hits), Ordering::Relaxed);
            notify_hits(hits, Err(CommitError::DiskFull));
            return Ok(false);
        }
        self.is_loaded = hits.len() >= MIN_LOADED_BATCH_HITS;
        for hit in &hits {
            self.table.count_event(&hit.counted);
        }
        let more = self.table.close_expired(now);
        if let Err(error) = self.commit_delta() {
            // The process ends now. An undone frame was not counted; for any other, clients get an
            // error that says that the outcome is unknown.
            if !error.is_undone() {
                notify_hits(hits, Err(CommitError::Uncertain));
            }
            return Err(error);
        }
        let mails = count_mails(&hits);
        self.stats
            .hits
            .fetch_add(hits.len() as u64 - mails, Ordering::Relaxed);
        self.stats.mails.fetch_add(mails, Ordering::Relaxed);
        // Before the answers, so that the metrics include every hit that was answered.
        self.update_stats();
        notify_hits(hits, Ok(()));
        Ok(more)
    }

    fn commit_delta(&mut self) -> Result<(), JournalError> {
        if self.table.open_rows() == 0 {
            return Ok(());
        }
        let segment = &self.open_segment.segment;
        let delta = self
            .table
            .take_delta(segment.next_string_id(), segment.next_attribute_string_id());

        self.last_sync = Instant::now();
        let bytes = self.open_segment.append_batch(&delta, &mut self.keys)?;
        if !delta.sums.attributes.rows.is_empty() {
            self.held_since.get_or_insert_with(Instant::now);
        }
        self.stats.batches.fetch_add(1, Ordering::Relaxed);
        self.stats.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn has_capacity(&mut self, need: u64) -> bool {
        if self.full || self.is_segment_full() {
            return false;
        }

        match self.open_segment.file.reserve_space(need) {
            Ok(()) => {
                self.stats.full.store(0, Ordering::Relaxed);
                if let Some(refused) = self.outage.record_success() {
                    tracing::info!(refused, "the journal has room again");
                }
                true
            }
            Err(error) => {
                self.log_full(&error.to_string());
                false
            }
        }
    }

    /// Once a second, checks the journal's size, and whether attributes that have waited long
    /// enough may be released.
    fn run_maintenance(&mut self, now: Millis) {
        if self.last_check.elapsed() < Duration::from_secs(1) {
            return;
        }
        self.last_check = Instant::now();
        self.full = self.folder.total_bytes() > self.max_bytes;
        if self.full {
            self.log_full("journal.max_bytes is reached");
        }
        let wanted = self.release_scope();
        self.releasable = wanted == ReleaseScope::EnoughVisits
            && self
                .open_segment
                .segment
                .would_release(self.release, wanted, now);
    }

    fn log_full(&mut self, reason: &str) {
        self.stats.full.store(1, Ordering::Relaxed);
        if self.outage.record_failure() {
            tracing::error!(
                reason,
                "the journal is full; hits are rejected with 503 until there is space"
            );
        }
    }

    fn is_rotation_due(&mut self, now: Millis) -> bool {
        if self.has_new_drops() {
            self.open_segment
                .first_count_at
                .get_or_insert_with(Instant::now);
        }
        let aged = self
            .open_segment
            .first_count_at
            .is_some_and(|began| began.elapsed() >= self.segment_age);
        aged || self.is_segment_full()
            || self.releasable
            || self.open_segment.segment.has_closed_days(now)
    }

    /// Whether the segment is full: one insert of a table must be one block, and fit into the
    /// store's memory.
    fn is_segment_full(&self) -> bool {
        let segment = &self.open_segment.segment;
        let rows = segment.row_count().max(segment.attribute_row_count());
        let bytes = segment.insert_bytes().max(segment.attribute_insert_bytes());
        rows >= self.segment_rows || bytes >= self.segment_bytes
    }

    /// Which attributes a rotation may release. Until rows are held for `attribute_age`, only those
    /// of days that are over, so that fewer rows are written.
    fn release_scope(&self) -> ReleaseScope {
        match self.held_since {
            Some(since) if since.elapsed() >= self.attribute_age => ReleaseScope::EnoughVisits,
            _ => ReleaseScope::ClosedDays,
        }
    }

    fn has_new_drops(&self) -> bool {
        self.parts.drop_counters.totals() != self.reported_drops
    }

    /// Hands the open segment to the closer and opens the next one. `false` if there was no space
    /// for a new file; then the old one stays open.
    fn rotate_segment(&mut self, wanted: ReleaseScope, now: Millis) -> Result<bool, JournalError> {
        let segment = &self.open_segment.segment;
        if segment.row_count() == 0
            && !self.has_new_drops()
            && !segment.would_release(self.release, wanted, now)
        {
            return Ok(true);
        }
        if !self.closer.wait_until_ready(CLOSE_TIMEOUT) {
            if self.is_segment_full() {
                self.log_full("segments are not closed as fast as they fill");
            }
            return Ok(false);
        }
        let segment = &self.open_segment.segment;
        let carried = segment.collect_carried(self.release, wanted, now);
        let number = self.open_segment.file.id.number + 1;
        let id = SegmentId {
            number,
            epoch: self.epoch,
            collector: self.folder.collector_id(),
        };
        let created = self
            .open_segment
            .create_next(&self.folder, id, &mut self.keys, carried);
        let (next, carried) = match created {
            Ok(created) => created,
            Err(error) => {
                self.log_full(&error.to_string());
                return Ok(false);
            }
        };

        self.add_drops(now);
        let OpenSegment { file, segment, .. } = std::mem::replace(&mut self.open_segment, next);
        file.truncate_reserved();
        self.table.begin_segment();
        self.releasable = false;
        if carried.rows.is_empty() {
            self.held_since = None;
        } else if wanted == ReleaseScope::EnoughVisits {
            self.held_since = Some(Instant::now());
        }
        self.closer.enqueue_segment(file.id, segment, carried);
        Ok(true)
    }

    /// Adds the dropped hits to the segment when it is closed. They may be lost in a crash, but are
    /// exact otherwise.
    fn add_drops(&mut self, now: Millis) {
        let totals = self.parts.drop_counters.totals();
        let hour = u32::try_from(now.div_euclid(3_600_000) * 3600).unwrap_or(0);
        let drops = DropReason::ALL.into_iter().filter_map(|reason| {
            let new = totals[reason as usize] - self.reported_drops[reason as usize];
            (new > 0).then(|| {
                (
                    DropKey { hour, reason },
                    u32::try_from(new).unwrap_or(u32::MAX),
                )
            })
        });
        let sums = SegmentSums {
            drops: drops.collect(),
            ..SegmentSums::default()
        };
        let base = self.open_segment.segment.next_string_id();
        self.open_segment.segment.add_delta(&SegmentDelta {
            first_string_id: base,
            first_attribute_string_id: 0,
            sums,
        });
        self.reported_drops = totals;
    }

    fn update_stats(&self) {
        let stats = &self.stats;
        stats.store_overflows(&self.table.overflow_counts());
        stats
            .visitors
            .store(self.table.visitor_count() as u64, Ordering::Relaxed);
        stats.held_rows.store(
            self.open_segment.segment.attribute_row_count() as u64,
            Ordering::Relaxed,
        );
    }

    /// Closes open visits and the last segment.
    fn finish_writing(mut self, now: Millis) -> Result<(), JournalError> {
        loop {
            // The rows of closed visits may fill more than one segment.
            if self.is_segment_full() {
                self.closer.wait_until_ready(FINAL_CLOSE_TIMEOUT);
                self.rotate_segment(self.release_scope(), now)?;
            }
            if !self.has_capacity(MAX_VISIT_CLOSE_BYTES) {
                tracing::error!(
                    "no space to write the ends of open visits; their bounces, seconds and exits \
                     are lost"
                );
                break;
            }
            let more = self.table.close_all_visits();
            self.commit_delta()?;
            if !more {
                break;
            }
        }
        self.closer.wait_until_ready(FINAL_CLOSE_TIMEOUT);
        let rotated = self.rotate_segment(ReleaseScope::All, now)?;
        if !rotated {
            tracing::warn!(
                "no space to close the last segment; it stays in the journal and is closed at the \
                 next start"
            );
        }
        // Segments that are still open need the key at the next start.
        if self.closer.join_thread() && rotated {
            self.keys.remove_key_file();
        }
        Ok(())
    }
}

fn count_mails(hits: &[QueuedHit]) -> u64 {
    hits.iter()
        .filter(|hit| matches!(hit.counted, CountedEvent::Mail(_)))
        .count() as u64
}

fn notify_hits(hits: Vec<QueuedHit>, outcome: Result<(), CommitError>) {
    completion::notify_all(hits.into_iter().filter_map(|hit| hit.notifier), outcome);
}

/// Takes up to a batch of hits without splitting a body, whose hits are completed together.
fn next_batch(hits: &mut std::vec::IntoIter<QueuedHit>) -> Vec<QueuedHit> {
    let mut batch = Vec::with_capacity(hits.len().min(MAX_BATCH_HITS + 20));
    while batch.len() < MAX_BATCH_HITS {
        let Some(hit) = hits.next() else { break };
        let mut last = hit.notifier.is_some();
        batch.push(hit);
        while !last {
            let Some(hit) = hits.next() else { break };
            last = hit.notifier.is_some();
            batch.push(hit);
        }
    }
    batch
}
