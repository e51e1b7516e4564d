//! Decides when attributes are published: after each zone's day, and for busy sites after each
//! hour.
//!
//! One task for each shard of the store. It makes the journal close its segment, waits until the
//! store has all counts of the days that are over, and then lets the store publish each unit. After
//! an interruption of any kind, the next run continues. Several collectors of a database may run it
//! at the same time.

mod schedule;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use tokio::sync::{Mutex, MutexGuard, watch};

use crate::calendar::{Millis, TimeSpan};
use crate::clock::Clock;
use crate::config::{self, ReportConfig};
use crate::journal::Journal;
use crate::publication::{CoinKey, LotPolicy};
use crate::sites::SiteDirectory;
use crate::store::{
    PublicationTotals, PublicationUnit, ShardReplicas, Store, StoreError, StoreShards,
};
use schedule::ZoneSchedule;

/// How often the task checks whether a unit is due.
const CHECK_INTERVAL: Duration = Duration::from_secs(20);
/// How often a unit of another collector is waited for before the log says so.
const MAX_QUIET_WAITS: u32 = 15;

/// In milliseconds. Days and hours of all time zones end at quarters of an hour, so nothing new is
/// due between two of them.
const QUARTER_HOUR_MILLIS: i64 = 15 * 60 * 1000;

/// How long to wait for the store to take the journal's segments. After that, the run ends and the
/// next check repeats it.
const MAX_WAIT_FOR_SEGMENTS: Duration = Duration::from_secs(60);

/// Figures for the metrics and the health page. Totals since the start, except the last two.
pub struct PublisherStats {
    /// Units that were published.
    pub units: AtomicU64,
    /// Lots in these units.
    pub lots: AtomicU64,
    /// Runs that failed.
    pub failures: AtomicU64,
    /// When the last unit was published, in Unix seconds; 0 before the first.
    pub last_success_secs: AtomicU64,
    /// For each shard, when the oldest waiting unit was due, or since when it is not known whether
    /// one is, in Unix seconds; 0 if none is due.
    due_since_secs: Vec<AtomicU64>,
}

impl PublisherStats {
    fn for_shards(shards: usize) -> PublisherStats {
        PublisherStats {
            units: AtomicU64::default(),
            lots: AtomicU64::default(),
            failures: AtomicU64::default(),
            last_success_secs: AtomicU64::default(),
            due_since_secs: (0..shards).map(|_| AtomicU64::default()).collect(),
        }
    }

    /// How long the oldest due unit has waited at `now`, in seconds; 0 if none is due.
    pub fn overdue_secs(&self, now: Millis) -> u64 {
        let due = self
            .due_since_secs
            .iter()
            .map(|due| due.load(Ordering::Relaxed));
        match due.filter(|since| *since > 0).min() {
            None => 0,
            Some(since) => u64::try_from(now / 1000).unwrap_or(0).saturating_sub(since),
        }
    }

    /// After a run that could not find out what is due, `now` counts as due, unless something is.
    fn mark_due(&self, shard: usize, now_secs: u64) {
        let _ = self.due_since_secs[shard].compare_exchange(
            0,
            now_secs,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }
}

/// Why a run published nothing, or not everything that is due.
#[derive(thiserror::Error, Debug)]
pub enum PublisherError {
    /// The store has not been reached since the start.
    #[error("the store is not there yet")]
    NoStore,
    /// A replica of the shard does not respond, so nothing new is published on the others. What was
    /// begun is continued.
    #[error("a replica of the shard does not respond; attributes are published when all do")]
    ReplicaAway,
    /// The store did not take the journal's segments within a minute.
    #[error("the journal's segments could not be stored in time")]
    SegmentsWaiting,
    /// The journal is closing.
    #[error("the collector is stopping")]
    Stopping,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The task that publishes what is due. It needs the journal and the progress of the flusher.
pub struct LotPublisher {
    clock: Clock,
    directory: Arc<SiteDirectory>,
    shards: Arc<StoreShards>,
    journal: Journal,
    flushed: Vec<watch::Receiver<Option<u64>>>,
    k: u64,
    open_lot: u64,
    delay: TimeSpan,
    coin_key: Option<[u8; 32]>,
    whole_lots: bool,
    stats: Arc<PublisherStats>,
    /// One for each shard.
    run_locks: Vec<Mutex<()>>,
}

impl LotPublisher {
    /// `flushed` are the numbers of the last segments that the flushers of all replicas finished.
    /// `test` can replace the coin's key and turn off remainders.
    pub fn new(
        report: &ReportConfig,
        test: &config::TestConfig,
        clock: Clock,
        directory: Arc<SiteDirectory>,
        shards: Arc<StoreShards>,
        journal: Journal,
        flushed: Vec<watch::Receiver<Option<u64>>>,
    ) -> LotPublisher {
        LotPublisher {
            clock,
            directory,
            stats: Arc::new(PublisherStats::for_shards(shards.shard_count())),
            run_locks: (0..shards.shard_count())
                .map(|_| Mutex::default())
                .collect(),
            shards,
            journal,
            flushed,
            k: u64::from(report.k),
            open_lot: u64::from(report.min_open_lot()),
            delay: TimeSpan::from_secs(report.publish_delay_secs),
            coin_key: test.coin_key_bytes(),
            whole_lots: test.whole_lots,
        }
    }

    /// The figures, shared with this task.
    pub fn stats(&self) -> Arc<PublisherStats> {
        Arc::clone(&self.stats)
    }

    /// Publishes what is due for as long as the collector runs. With a test clock it returns at
    /// once: tests call [`LotPublisher::publish_due`].
    pub async fn run(self: Arc<Self>) {
        if matches!(self.clock, Clock::Test(_)) {
            return;
        }
        // One shard that is away or slow delays no other.
        join_all((0..self.shards.shard_count()).map(|shard| self.run_shard(shard))).await;
    }

    async fn run_shard(&self, shard: usize) {
        let mut check = tokio::time::interval(CHECK_INTERVAL);
        check.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut done, mut was_failing, mut waits) = (None, false, 0_u32);

        loop {
            check.tick().await;
            // Published lots are never revoked, so a clock that was just started, or just jumped,
            // is not trusted.
            if !self.clock.is_settled() {
                continue;
            }
            let quarter = (self.clock.now() - self.delay).div_euclid(QUARTER_HOUR_MILLIS);
            if done == Some(quarter) {
                continue;
            }

            match self.publish_shard(shard).await {
                Ok(_) => {
                    (done, waits) = (Some(quarter), 0);
                    if std::mem::take(&mut was_failing) {
                        tracing::info!(shard = shard + 1, "attributes are published again");
                    }
                }
                Err(
                    PublisherError::NoStore
                    | PublisherError::Stopping
                    | PublisherError::ReplicaAway,
                ) => {}
                Err(PublisherError::Store(StoreError::UnitInProgress)) => {
                    waits += 1;
                    if waits == MAX_QUIET_WAITS {
                        tracing::warn!(
                            shard = shard + 1,
                            "attributes wait for a unit that another collector publishes"
                        );
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut was_failing, true) {
                        tracing::error!(%error, shard = shard + 1, "attributes could not be \
                            published; will retry");
                    }
                }
            }
        }
    }

    /// Waits for the publication that runs, and holds off further ones until the guard is dropped.
    pub async fn pause_publication(&self) -> Vec<MutexGuard<'_, ()>> {
        join_all(self.run_locks.iter().map(Mutex::lock)).await
    }

    /// Publishes every unit that is due now on every shard, and returns their number. Concurrent
    /// calls run one after the other.
    ///
    /// # Errors
    ///
    /// There is no store yet, the collector is stopping, the journal's segments were not stored in
    /// time, or the store failed. Units that were published stay; the next call continues with the
    /// rest.
    pub async fn publish_due(&self) -> Result<usize, PublisherError> {
        let shards = (0..self.shards.shard_count()).map(|shard| self.publish_shard(shard));
        let mut units = 0;
        for outcome in join_all(shards).await {
            units += outcome?;
        }
        Ok(units)
    }

    async fn publish_shard(&self, shard: usize) -> Result<usize, PublisherError> {
        let _one_at_a_time = self.run_locks[shard].lock().await;
        let replicas = Arc::clone(self.shards.replicas(shard));
        let outcome = match replicas.reached_replicas().as_slice() {
            [] => Err(PublisherError::NoStore),
            [store] if !store.replica().is_replicated() => self.publish_due_units(store).await,
            _ => self.publish_on_replicas(shard, &replicas).await,
        };

        match &outcome {
            Ok(_) => {}
            Err(PublisherError::NoStore) => self.stats.mark_due(shard, self.now_secs()),
            // Hits are counted and reports are answered; the metrics of the replica tell.
            Err(PublisherError::ReplicaAway) => self.record_lateness(shard, None),
            // What is due was recorded.
            Err(PublisherError::Store(StoreError::UnitInProgress)) => {}
            Err(_) => {
                self.stats.failures.fetch_add(1, Ordering::Relaxed);
                self.stats.mark_due(shard, self.now_secs());
            }
        }
        outcome
    }

    /// Publishes on every replica of a shard, from decisions that all of them have.
    async fn publish_on_replicas(
        &self,
        shard: usize,
        replicas: &ShardReplicas,
    ) -> Result<usize, PublisherError> {
        let until = self.clock.now() - self.delay;
        let is_away = |error: &StoreError| matches!(error, StoreError::ReplicaAway);
        let key = match replicas.align_units().await {
            Ok(key) => Some(key),
            Err(error) if is_away(&error) => None,
            Err(error) => return Err(error.into()),
        };
        for store in replicas.present_replicas() {
            self.continue_units(&store).await?;
        }
        let (Some(key), Some(stores)) = (key, replicas.all_present()) else {
            return Err(PublisherError::ReplicaAway);
        };
        let first = stores.first().ok_or(PublisherError::ReplicaAway)?;
        let policy = self.lot_policy(self.coin_key.map_or(key, CoinKey::new));

        let mut due = self.collect_due_units(first, until).await?;
        self.record_lateness(shard, due.iter().map(|unit| unit.ended_at).min());
        if due.is_empty() {
            return Ok(0);
        }
        self.flush_segments(stores.iter().map(|store| store.replica().number()))
            .await?;
        due = self.collect_due_units(first, until).await?;

        let mut left = due.as_slice();
        while !left.is_empty() {
            let units = PublicationUnit::leading_group(left);
            left = &left[units.len()..];
            match replicas.begin_units(units).await {
                Err(error) if is_away(&error) => return Err(PublisherError::ReplicaAway),
                begun => begun?,
            }
            let published = stores
                .iter()
                .map(|store| store.publish_units(units, &policy));
            let published = join_all(published).await;
            let totals: Result<Vec<_>, _> = published.into_iter().collect();
            // Each replica wrote the same lots.
            self.record_published(units, totals?.first().copied().unwrap_or_default());
        }
        self.record_lateness(shard, None);
        Ok(due.len())
    }

    /// Finishes the units that a replica has begun.
    async fn continue_units(&self, store: &Store) -> Result<(), PublisherError> {
        let mut begun = Vec::new();
        for (zone, progress) in store.zones_to_publish(&[]).await? {
            let schedule = ZoneSchedule {
                progress,
                open_lot: self.open_lot,
                zone,
            };
            begun.extend(schedule.begun_unit());
        }
        if begun.is_empty() {
            return Ok(());
        }
        let key = match self.coin_key {
            Some(key) => CoinKey::new(key),
            None => store.load_agreed_coin_key().await?,
        };
        let policy = self.lot_policy(key);
        let mut left = begun.as_slice();
        while !left.is_empty() {
            let units = PublicationUnit::leading_group(left);
            left = &left[units.len()..];
            store.publish_units(units, &policy).await?;
        }
        Ok(())
    }

    async fn publish_due_units(&self, store: &Store) -> Result<usize, PublisherError> {
        let until = self.clock.now() - self.delay;
        let shard = store.shard().index();
        store.begin_drafted_units().await?;
        let mut due = self.collect_due_units(store, until).await?;
        self.record_lateness(shard, due.iter().map(|unit| unit.ended_at).min());
        if due.is_empty() {
            return Ok(0);
        }

        // The journal may still hold counts of these days. They can be the first of their zone.
        self.flush_segments([store.replica().number()].into_iter())
            .await?;
        due = self.collect_due_units(store, until).await?;

        let policy = self.load_policy(store).await?;
        let mut left = due.as_slice();
        while !left.is_empty() {
            let units = PublicationUnit::leading_group(left);
            left = &left[units.len()..];
            let publication = store.publish_units(units, &policy).await?;
            self.record_published(units, publication);
        }
        self.record_lateness(shard, None);
        Ok(due.len())
    }

    fn record_published(&self, units: &[PublicationUnit], published: PublicationTotals) {
        let PublicationTotals { lots, cells } = published;
        self.stats
            .units
            .fetch_add(units.len() as u64, Ordering::Relaxed);
        self.stats.lots.fetch_add(lots, Ordering::Relaxed);
        self.stats
            .last_success_secs
            .store(self.now_secs(), Ordering::Relaxed);
        let (first, units) = (&units[0], units.len());
        tracing::debug!(zone = first.zone, day = %first.day, units, lots, cells, "attributes were published");
    }

    async fn collect_due_units(
        &self,
        store: &Store,
        until: Millis,
    ) -> Result<Vec<PublicationUnit>, PublisherError> {
        let configured = self.directory.time_zones().zone_names();
        let zones = store.zones_to_publish(&configured).await?;

        let (mut begun, mut units) = (Vec::new(), Vec::new());
        for (zone, progress) in zones {
            let schedule = ZoneSchedule {
                progress,
                open_lot: self.open_lot,
                zone,
            };
            begun.extend(schedule.begun_unit());
            units.extend(schedule.due_units(until));
        }
        // A unit that was begun comes before all others, because it has the smaller number.
        begun.extend(units);
        Ok(begun)
    }

    /// Waits until these replicas, by their numbers, have what was counted until now.
    async fn flush_segments(
        &self,
        replicas: impl Iterator<Item = usize>,
    ) -> Result<(), PublisherError> {
        let last = self
            .journal
            .close_segment()
            .await
            .ok_or(PublisherError::Stopping)?;
        let stored = replicas.map(async |number| {
            let mut flushed = self.flushed[number].clone();
            let stored = flushed.wait_for(|done| done.is_some_and(|done| done >= last));
            stored.await.map(drop)
        });

        match tokio::time::timeout(MAX_WAIT_FOR_SEGMENTS, try_join_all(stored)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(PublisherError::Stopping),
            Err(_) => Err(PublisherError::SegmentsWaiting),
        }
    }

    async fn load_policy(&self, store: &Store) -> Result<LotPolicy, PublisherError> {
        let coin = match self.coin_key {
            Some(key) => CoinKey::new(key),
            None => store.load_or_create_coin_key().await?,
        };
        Ok(self.lot_policy(coin))
    }

    fn lot_policy(&self, coin: CoinKey) -> LotPolicy {
        match self.whole_lots {
            true => LotPolicy::without_remainder(self.k, coin),
            false => LotPolicy::new(self.k, coin),
        }
    }

    fn record_lateness(&self, shard: usize, oldest: Option<u32>) {
        let due = oldest.map(|at| u64::from(at) + u64::try_from(self.delay.as_secs()).unwrap_or(0));
        self.stats.due_since_secs[shard].store(due.unwrap_or(0), Ordering::Relaxed);
    }

    fn now_secs(&self) -> u64 {
        u64::try_from(self.clock.now() / 1000).unwrap_or(0)
    }
}
