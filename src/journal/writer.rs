//! The writer thread, the only one that counts: it takes queued hits, turns them into rows, writes
//! and syncs them, and completes the hits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::bell;
use super::file::{Folder, JournalError, SegmentId, random};
use super::heartbeat::Heartbeat;
use super::inbox::{Command, Inbox, Taken, Unavailable, Waiting};
use super::key::Keys;
use super::open::OpenSegment;
use super::recover::{Recovered, Recovery};
use super::sealer::Sealer;
use crate::aggregate::{Caps, Counted, Delta, DropKey, Overflow, Release, Sums, Table, Wanted};
use crate::clock::Clock;
use crate::config::{Config, Memory};
use crate::consent::Refusals;
use crate::event::{Millis, Refusal, SiteId};
use crate::outage::Outage;
use crate::pseudonym::DayKeys;

/// Interval at which visits are closed and old keys wiped while no hit comes.
const TICK: Duration = Duration::from_millis(200);

/// Minimum time between syncs under load: more hits share one, and each is still answered within a
/// few milliseconds.
const PACE: Duration = Duration::from_millis(1);

/// Size of a batch that counts as load: the next hits are probably on their way.
const CROWD: usize = 8;

/// Most hits of one batch, which bounds its size on disk and in memory.
const BATCH: usize = 2048;

/// Most bytes that one hit needs in the journal, strings included, and that closing visits can add
/// to a batch.
pub(super) const BYTES_PER_HIT: u64 = 4096;
const BYTES_OF_CLOSING: u64 = 1 << 20;

/// How long a segment waits for the one before it to be sealed. Hits wait meanwhile; beyond it, they
/// are answered 503.
const SEALED_WITHIN: Duration = Duration::from_secs(1);
const SEALED_WITHIN_AT_THE_STOP: Duration = Duration::from_secs(10);

/// Most attribute rows that are carried from segment to segment, since each time they are written
/// again.
const MOST_CARRIED: usize = 20_000;

/// A sealed segment that waits for the store.
#[derive(Debug)]
pub struct Sealed {
    /// Its number in the folder.
    pub number: u64,
    /// Whether it was sealed by this process, so that nobody can have sent it yet.
    pub is_new: bool,
}

/// Figures for the metrics. Totals since the start, except `visitors`, `full` and `held_rows`.
#[derive(Default)]
pub struct Stats {
    /// Hits whose counts are on disk, repeats included.
    pub hits: AtomicU64,
    /// Opens and clicks of mails whose counts are on disk.
    pub mails: AtomicU64,
    /// Opens and clicks that were not counted for lack of room. They were answered all the same.
    pub mails_lost: AtomicU64,
    /// Batches written and synced.
    pub batches: AtomicU64,
    /// Bytes of batches written.
    pub bytes: AtomicU64,
    /// Visitors in memory, of all current days.
    pub visitors: AtomicU64,
    /// Hits counted without their visitor, see [`Overflow::visitors`].
    pub overflow_visitors: AtomicU64,
    /// Hits counted without their visitor, see [`Overflow::grants`].
    pub overflow_grants: AtomicU64,
    /// Texts counted as `(other)`.
    pub overflow_texts: AtomicU64,
    /// Hits counted under the site `(other)`.
    pub overflow_sites: AtomicU64,
    /// Hit ids that were not recorded.
    pub overflow_ids: AtomicU64,
    /// 1 while hits are answered 503 for lack of room, else 0.
    pub full: AtomicU64,
    /// Attribute rows in the open segment.
    pub held_rows: AtomicU64,
    /// Of the writer thread.
    pub heartbeat: Heartbeat,
}

/// The parts that the writer needs.
pub struct Parts {
    /// Time of batches.
    pub clock: Clock,
    /// Keys of the current days; the writer wipes those of days that are over.
    pub keys: Arc<DayKeys>,
    /// Counters of dropped hits, which the writer adds to segments.
    pub refusals: Arc<Refusals>,
}

/// Access to the journal for other parts.
#[derive(Clone)]
pub struct Journal {
    /// Queue for hits.
    pub inbox: Arc<Inbox>,
    /// Figures for the metrics.
    pub stats: Arc<Stats>,
    /// The folder of the segments.
    pub folder: Arc<Folder>,
    /// What recovery found at this start.
    pub recovered: Arc<Recovered>,
}

impl Journal {
    /// Seals the open segment and returns the number of the last sealed one. `None` if the writer
    /// has stopped.
    pub async fn seal(&self) -> Option<u64> {
        let (answer, sealed) = oneshot::channel();
        self.inbox.command(Command::Seal(answer));
        sealed.await.ok()
    }

    /// Visitors of a site in the last five minutes. `None` if the writer has stopped.
    pub async fn live(&self, site: SiteId) -> Option<u32> {
        let (answer, live) = oneshot::channel();
        self.inbox.command(Command::Live(site, answer));
        live.await.ok()
    }
}

/// The writer thread's state. It owns the table of counts and the open segment, so nothing here
/// locks.
pub struct Writer {
    folder: Arc<Folder>,
    inbox: Arc<Inbox>,
    stats: Arc<Stats>,
    parts: Parts,
    table: Table,
    open: OpenSegment,
    keys: Keys,
    /// Since when attribute rows are held, and whether some may be released.
    held_since: Option<Instant>,
    releasable: bool,
    epoch: u64,
    sealer: Sealer,
    drops: [u64; Refusal::ALL.len()],
    segment_age: Duration,
    segment_rows: usize,
    segment_bytes: usize,
    attribute_age: Duration,
    release: Release,
    max_bytes: u64,
    full: bool,
    /// Logs one line per outage, however many hits find no room.
    outage: Outage,
    checked: Instant,
    /// Start of the last sync, and whether its batch was large.
    synced: Instant,
    crowded: bool,
}

impl Writer {
    /// Recovers the folder and opens a segment. The numbers of sealed segments are sent on
    /// `sealed`, in order.
    ///
    /// # Errors
    ///
    /// The folder cannot be opened, locked, read or written, or a file cannot be sealed. Nothing is
    /// lost: the next start recovers it.
    pub fn open(
        config: &Config,
        parts: Parts,
        sealed: mpsc::UnboundedSender<Sealed>,
    ) -> Result<(Journal, Writer), JournalError> {
        let folder = Arc::new(Folder::open(&config.journal.dir)?);
        let epoch = random();
        let mut keys = Keys::open(&config.journal.key_dir, folder.collector(), epoch);
        let release = Release {
            visits: config.report.k,
            // So that a segment that begins with them has room for more.
            most_rows: MOST_CARRIED.min(config.journal.segment_rows / 4),
            most_bytes: config.journal.segment_bytes / 4,
        };

        let mut recovery = Recovery::start(&folder, &keys, release, parts.clock.now())?;
        let id = SegmentId { collector: folder.collector(), epoch, number: recovery.next().max(1) };
        let carried = std::mem::take(&mut recovery.carried);
        let (open, carried) = OpenSegment::create(&folder, id, &mut keys, carried)?;
        let recovered = recovery.finish(&folder, &carried)?;
        keys.forget_former();

        let waiting = folder.numbers("sealed")?;
        for &number in &waiting {
            let _ = sealed.send(Sealed { number, is_new: false });
        }
        let (inbox, stats) = (Arc::new(Inbox::new(Memory::of(config).caps.waiting_hits)), Arc::new(Stats::default()));
        let journal = Journal {
            inbox: Arc::clone(&inbox),
            stats: Arc::clone(&stats),
            folder: Arc::clone(&folder),
            recovered: Arc::new(recovered),
        };
        let writer = Writer {
            sealer: Sealer::start(Arc::clone(&folder), sealed, waiting.last().copied().unwrap_or(0)),
            folder,
            inbox,
            stats,
            table: Table::new(Caps::new(config), random()),
            held_since: (open.segment.attribute_rows() > 0).then(Instant::now),
            open,
            keys,
            releasable: false,
            parts,
            epoch,
            drops: [0; Refusal::ALL.len()],
            segment_age: Duration::from_secs(config.journal.segment_secs),
            segment_rows: config.journal.segment_rows,
            segment_bytes: config.journal.segment_bytes,
            attribute_age: Duration::from_secs(config.journal.attribute_secs),
            release,
            max_bytes: config.journal.max_bytes,
            full: false,
            outage: Outage::default(),
            checked: Instant::now(),
            synced: Instant::now(),
            crowded: false,
        };
        Ok((journal, writer))
    }

    /// Runs until the queue is closed and drained.
    ///
    /// # Errors
    ///
    /// A write or a sync failed, so what is on disk is uncertain: the process must end.
    pub fn run(mut self) -> Result<(), JournalError> {
        let mut more = false;
        let mut seals = Vec::new();
        loop {
            self.stats.heartbeat.beat();
            self.linger();
            let Taken { hits, commands, closed } = self.inbox.take(if more { Duration::ZERO } else { TICK });
            let now = self.parts.clock.now();
            self.watch(now);

            let mut hits = hits.into_iter();
            loop {
                more = self.batch(take_bodies(&mut hits), now)?;
                if self.due(now) {
                    self.rotate(self.wanted(), now)?;
                }
                if hits.len() == 0 {
                    break;
                }
            }

            self.parts.keys.retire(now);
            for command in commands {
                match command {
                    Command::Seal(answer) => seals.push(answer),
                    Command::Live(site, answer) => _ = answer.send(self.table.live(site, now)),
                    Command::Foresee(event, answer) => _ = answer.send(self.table.foresee(&event)),
                }
            }
            // Without room for another segment, the answer waits: it must not claim that counts can
            // be read.
            if !more && !seals.is_empty() && self.rotate(self.wanted(), now)? {
                for answer in seals.drain(..) {
                    let _ = oneshot::Sender::send(answer, self.sealer.last());
                }
            }
            self.publish();
            if closed {
                // Nothing was queued after the queue was closed, and what was is answered.
                return self.stop(now);
            }
        }
    }

    /// Lets hits gather under load. A lone hit never waits for others.
    fn linger(&self) {
        if self.crowded {
            std::thread::sleep(PACE.saturating_sub(self.synced.elapsed()));
        }
    }

    /// Counts, writes and syncs hits, then completes them. `true` if more visits wait to be closed.
    fn batch(&mut self, hits: Vec<Waiting>, now: Millis) -> Result<bool, JournalError> {
        let need = hits.len() as u64 * BYTES_PER_HIT + BYTES_OF_CLOSING;
        if !self.room(need) {
            // Nothing of these hits was counted, so a retry counts once.
            self.stats.mails_lost.fetch_add(mails_among(&hits), Ordering::Relaxed);
            answer_all(hits, Err(Unavailable::Full));
            return Ok(false);
        }
        self.crowded = hits.len() >= CROWD;
        for hit in &hits {
            self.table.count(&hit.counted);
        }
        let more = self.table.advance(now);
        if let Err(error) = self.commit() {
            // The process ends now. An undone frame was not counted; for any other, clients are
            // told that the outcome is unknown.
            if !error.is_undone() {
                answer_all(hits, Err(Unavailable::Uncertain));
            }
            return Err(error);
        }
        let mails = mails_among(&hits);
        self.stats.hits.fetch_add(hits.len() as u64 - mails, Ordering::Relaxed);
        self.stats.mails.fetch_add(mails, Ordering::Relaxed);
        answer_all(hits, Ok(()));
        Ok(more)
    }

    fn commit(&mut self) -> Result<(), JournalError> {
        if self.table.waiting() == 0 {
            return Ok(());
        }
        let segment = &self.open.segment;
        let delta = self.table.take(segment.next_string(), segment.next_attribute_string());

        self.synced = Instant::now();
        let bytes = self.open.append(&delta, &mut self.keys)?;
        if !delta.sums.attributes.rows.is_empty() {
            self.held_since.get_or_insert_with(Instant::now);
        }
        self.stats.batches.fetch_add(1, Ordering::Relaxed);
        self.stats.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn room(&mut self, need: u64) -> bool {
        if self.full || self.is_full() {
            return false;
        }

        match self.open.file.reserve(need) {
            Ok(()) => {
                self.stats.full.store(0, Ordering::Relaxed);
                if let Some(refused) = self.outage.is_over() {
                    tracing::info!(refused, "the journal has room again");
                }
                true
            }
            Err(error) => {
                self.say_full(&error.to_string());
                false
            }
        }
    }

    /// Once a second, checks the journal's size, and whether attributes that have waited long
    /// enough may be released.
    fn watch(&mut self, now: Millis) {
        if self.checked.elapsed() < Duration::from_secs(1) {
            return;
        }
        self.checked = Instant::now();
        self.full = self.folder.bytes() > self.max_bytes;
        if self.full {
            self.say_full("journal.max_bytes is reached");
        }
        let wanted = self.wanted();
        self.releasable = wanted == Wanted::Enough && self.open.segment.releases(self.release, wanted, now);
    }

    fn say_full(&mut self, reason: &str) {
        self.stats.full.store(1, Ordering::Relaxed);
        if self.outage.begins() {
            tracing::error!(reason, "the journal is full; hits are answered 503 until there is room");
        }
    }

    fn due(&mut self, now: Millis) -> bool {
        if self.drops_waiting() {
            self.open.began.get_or_insert_with(Instant::now);
        }
        let aged = self.open.began.is_some_and(|began| began.elapsed() >= self.segment_age);
        aged || self.is_full() || self.releasable || self.open.segment.has_closed_days(now)
    }

    /// Whether the segment is full: one insert of a table must be one block, and fit into the
    /// store's memory.
    fn is_full(&self) -> bool {
        let segment = &self.open.segment;
        let rows = segment.rows().max(segment.attribute_rows());
        let bytes = segment.bytes().max(segment.attribute_bytes());
        rows >= self.segment_rows || bytes >= self.segment_bytes
    }

    /// Which attributes a rotation may release. To write fewer rows, for some minutes only those of
    /// days that are over.
    fn wanted(&self) -> Wanted {
        match self.held_since {
            Some(since) if since.elapsed() >= self.attribute_age => Wanted::Enough,
            _ => Wanted::Days,
        }
    }

    fn drops_waiting(&self) -> bool {
        self.parts.refusals.totals() != self.drops
    }

    /// Hands the open segment to the sealer and opens the next one. `false` if there was no room
    /// for a new file; then the old one stays open.
    fn rotate(&mut self, wanted: Wanted, now: Millis) -> Result<bool, JournalError> {
        let segment = &self.open.segment;
        if segment.rows() == 0 && !self.drops_waiting() && !segment.releases(self.release, wanted, now) {
            return Ok(true);
        }
        if !self.sealer.is_ready(SEALED_WITHIN) {
            if self.is_full() {
                self.say_full("segments are not sealed as fast as they fill");
            }
            return Ok(false);
        }
        let segment = &self.open.segment;
        let carried = segment.carried(self.release, wanted, now);
        let number = self.open.file.id.number + 1;
        let id = SegmentId { number, epoch: self.epoch, collector: self.folder.collector() };
        let (next, carried) = match OpenSegment::create(&self.folder, id, &mut self.keys, carried) {
            Ok(created) => created,
            Err(error) => {
                self.say_full(&error.to_string());
                return Ok(false);
            }
        };

        self.add_drops(now);
        let OpenSegment { file, segment, .. } = std::mem::replace(&mut self.open, next);
        file.give_back();
        self.table.next_segment();
        self.releasable = false;
        if carried.rows.is_empty() {
            self.held_since = None;
        } else if wanted == Wanted::Enough {
            self.held_since = Some(Instant::now());
        }
        self.sealer.seal(file.id, segment, carried);
        Ok(true)
    }

    /// Adds the dropped hits to the segment when it is sealed. They may be lost in a crash, but are
    /// exact otherwise.
    fn add_drops(&mut self, now: Millis) {
        let totals = self.parts.refusals.totals();
        let hour = u32::try_from(now.div_euclid(3_600_000) * 3600).unwrap_or(0);
        let drops = Refusal::ALL.into_iter().filter_map(|reason| {
            let new = totals[reason as usize] - self.drops[reason as usize];
            (new > 0).then(|| (DropKey { hour, reason }, u32::try_from(new).unwrap_or(u32::MAX)))
        });
        let sums = Sums { drops: drops.collect(), ..Sums::default() };
        let base = self.open.segment.next_string();
        self.open.segment.add(&Delta { base, attribute_base: 0, sums });
        self.drops = totals;
    }

    fn publish(&self) {
        let Overflow { visitors, grants, texts, sites, ids } = self.table.overflow();
        let stats = &self.stats;
        stats.visitors.store(self.table.visitors() as u64, Ordering::Relaxed);
        stats.overflow_visitors.store(visitors, Ordering::Relaxed);
        stats.overflow_grants.store(grants, Ordering::Relaxed);
        stats.held_rows.store(self.open.segment.attribute_rows() as u64, Ordering::Relaxed);
        stats.overflow_texts.store(texts, Ordering::Relaxed);
        stats.overflow_sites.store(sites, Ordering::Relaxed);
        stats.overflow_ids.store(ids, Ordering::Relaxed);
    }

    /// Closes open visits and seals the last segment.
    fn stop(mut self, now: Millis) -> Result<(), JournalError> {
        loop {
            // The rows of closed visits may fill more than one segment.
            if self.is_full() {
                self.sealer.is_ready(SEALED_WITHIN_AT_THE_STOP);
                self.rotate(self.wanted(), now)?;
            }
            if !self.room(BYTES_OF_CLOSING) {
                tracing::error!("no room to write how open visits ended; their bounces, seconds and exits are lost");
                break;
            }
            let more = self.table.close_all();
            self.commit()?;
            if !more {
                break;
            }
        }
        self.sealer.is_ready(SEALED_WITHIN_AT_THE_STOP);
        let rotated = self.rotate(Wanted::All, now)?;
        if !rotated {
            tracing::warn!("no room to seal the last segment; it stays in the journal and is sealed at the next start");
        }
        // Segments that are still open need the key at the next start.
        if self.sealer.finish() && rotated {
            self.keys.remove();
        }
        Ok(())
    }
}

fn mails_among(hits: &[Waiting]) -> u64 {
    hits.iter().filter(|hit| matches!(hit.counted, Counted::Mail(_))).count() as u64
}

fn answer_all(hits: Vec<Waiting>, outcome: Result<(), Unavailable>) {
    bell::tell(hits.into_iter().filter_map(|hit| hit.answer), outcome);
}

/// Takes up to a batch of hits without splitting a body, whose hits are completed together.
fn take_bodies(hits: &mut std::vec::IntoIter<Waiting>) -> Vec<Waiting> {
    let mut batch = Vec::with_capacity(hits.len().min(BATCH + 20));
    while batch.len() < BATCH {
        let Some(hit) = hits.next() else { break };
        let mut last = hit.answer.is_some();
        batch.push(hit);
        while !last {
            let Some(hit) = hits.next() else { break };
            last = hit.answer.is_some();
            batch.push(hit);
        }
    }
    batch
}
