//! The one thread that counts: takes what waits, turns it into rows, writes and syncs them, answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::bell;
use super::file::{Folder, JournalError, SegmentId, random};
use super::inbox::{Command, Inbox, Taken, Unavailable, Waiting};
use super::key::Keys;
use super::open::OpenSegment;
use super::recover::{Recovered, Recovery};
use super::sealer::Sealer;
use crate::aggregate::{Caps, Counted, Delta, DropKey, Overflow, Release, Sums, Table, Wanted};
use crate::clock::Clock;
use crate::config::Config;
use crate::consent::Refusals;
use crate::event::{Millis, Refusal, SiteId};
use crate::outage::Outage;
use crate::pseudonym::DayKeys;

/// How often visits are closed and old keys wiped when no hit comes.
const TICK: Duration = Duration::from_millis(200);

/// Under load syncs are at least this far apart: more hits share one, and each of them still has its answer in a few milliseconds.
const PACE: Duration = Duration::from_millis(1);

/// What counts as load: a batch this large says that the next hits are already on their way.
const CROWD: usize = 8;

/// Hits that are committed together at the most: bounds what one batch needs on disk and in memory.
const BATCH: usize = 2048;

/// What one hit can need in the journal, strings included; and what closing visits can add to a batch.
pub(super) const BYTES_PER_HIT: u64 = 4096;
const BYTES_OF_CLOSING: u64 = 1 << 20;

/// Attribute rows that may be carried from segment to segment: each time they are written again.
const MOST_CARRIED: usize = 20_000;

/// A segment that waits for the store.
#[derive(Debug)]
pub struct Sealed {
    pub number: u64,
}

/// Figures for the metrics.
#[derive(Default)]
pub struct Stats {
    pub hits: AtomicU64,
    /// Openings and clicks of mails.
    pub mails: AtomicU64,
    /// Those that were not counted, because there was no room. Whoever opened or clicked was answered all the same.
    pub mails_lost: AtomicU64,
    pub batches: AtomicU64,
    pub bytes: AtomicU64,
    pub visitors: AtomicU64,
    pub overflow_visitors: AtomicU64,
    pub overflow_grants: AtomicU64,
    pub overflow_texts: AtomicU64,
    pub overflow_sites: AtomicU64,
    pub overflow_ids: AtomicU64,
    pub full: AtomicU64,
    /// Attribute rows in the open segment.
    pub held_rows: AtomicU64,
}

/// The parts the writer is given.
pub struct Parts {
    pub clock: Clock,
    pub keys: Arc<DayKeys>,
    pub refusals: Arc<Refusals>,
}

/// The journal as the rest of the program sees it.
#[derive(Clone)]
pub struct Journal {
    pub inbox: Arc<Inbox>,
    pub stats: Arc<Stats>,
    pub folder: Arc<Folder>,
    pub recovered: Arc<Recovered>,
}

impl Journal {
    /// Seals what is open; resolves with the number of the last sealed segment. `None` when the writer is gone.
    pub async fn seal(&self) -> Option<u64> {
        let (answer, sealed) = oneshot::channel();
        self.inbox.command(Command::Seal(answer));
        sealed.await.ok()
    }

    /// Visitors of a site who did something in the last five minutes. `None` when the writer is gone.
    pub async fn live(&self, site: SiteId) -> Option<u32> {
        let (answer, live) = oneshot::channel();
        self.inbox.command(Command::Live(site, answer));
        live.await.ok()
    }
}

pub struct Writer {
    folder: Arc<Folder>,
    inbox: Arc<Inbox>,
    stats: Arc<Stats>,
    parts: Parts,
    table: Table,
    open: OpenSegment,
    keys: Keys,
    /// Since when attributes wait, and whether there are some that may go.
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
    /// Told once, however often hits come that find no room.
    outage: Outage,
    checked: Instant,
    /// When the last sync began, and whether its batch was a large one.
    synced: Instant,
    crowded: bool,
}

impl Writer {
    /// Recovers what is in the folder and opens a segment. Sealed segments are announced in order on `sealed`.
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
            let _ = sealed.send(Sealed { number });
        }
        let (inbox, stats) = (Arc::new(Inbox::new(config.limits.waiting_hits)), Arc::new(Stats::default()));
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

    /// Runs until the inbox is closed and drained. An error means that what is on disk is uncertain: the process must end.
    pub fn run(mut self) -> Result<(), JournalError> {
        let mut more = false;
        let mut seals = Vec::new();
        loop {
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
                }
            }
            // Without room for another segment the answer waits: it must not say that counts can be read which cannot.
            if !more && !seals.is_empty() && self.rotate(self.wanted(), now)? {
                for answer in seals.drain(..) {
                    let _ = oneshot::Sender::send(answer, self.sealer.last());
                }
            }
            self.publish();
            if closed {
                // Nothing was queued after the door closed, and what was is answered.
                return self.stop(now);
            }
        }
    }

    /// Lets hits gather while many are coming. A lone hit never waits for others.
    fn linger(&self) {
        if self.crowded {
            std::thread::sleep(PACE.saturating_sub(self.synced.elapsed()));
        }
    }

    /// Counts, writes, syncs, answers. `true` when more visits wait to be closed.
    fn batch(&mut self, hits: Vec<Waiting>, now: Millis) -> Result<bool, JournalError> {
        let need = hits.len() as u64 * BYTES_PER_HIT + BYTES_OF_CLOSING;
        if !self.room(need) {
            // Nothing of these hits was counted, so a retry of them counts once.
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
            // Before the process ends: nobody is told of a hit that is not counted, or the other way round.
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

    /// Once a second: is the journal within its bound, and may attributes go that have waited long enough?
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

    /// One insert of a table must be one block, and the store must have the memory for it.
    fn is_full(&self) -> bool {
        let segment = &self.open.segment;
        let rows = segment.rows().max(segment.attribute_rows());
        let bytes = segment.bytes().max(segment.attribute_bytes());
        rows >= self.segment_rows || bytes >= self.segment_bytes
    }

    /// What of the attributes a rotation may release: to write fewer rows, those of days that are over only, for some minutes.
    fn wanted(&self) -> Wanted {
        match self.held_since {
            Some(since) if since.elapsed() >= self.attribute_age => Wanted::Enough,
            _ => Wanted::Days,
        }
    }

    fn drops_waiting(&self) -> bool {
        self.parts.refusals.totals() != self.drops
    }

    /// Hands the open segment to the sealer and opens the next one. `false`: there was no room for a new file, the old one stays open.
    fn rotate(&mut self, wanted: Wanted, now: Millis) -> Result<bool, JournalError> {
        let segment = &self.open.segment;
        if segment.rows() == 0 && !self.drops_waiting() && !segment.releases(self.release, wanted, now) {
            return Ok(true);
        }
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

    /// Drops are not promised to survive a crash, only to be right otherwise: they join the segment when it is sealed.
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

    /// Open visits are closed, the last segment sealed.
    fn stop(mut self, now: Millis) -> Result<(), JournalError> {
        loop {
            // What visits leave can be more than one segment, as at any other moment.
            if self.is_full() {
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
        let rotated = self.rotate(Wanted::All, now)?;
        if !rotated {
            tracing::warn!("no room to seal the last segment; it stays in the journal and is sealed at the next start");
        }
        // What is still open needs its key at the next start.
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

/// Up to a batch of hits, never splitting a body: its hits are answered together.
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
