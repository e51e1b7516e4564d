//! The hourly task: deletes counts that are over their site's limit, makes old counts coarser, and
//! deletes markers of segments that can no longer be sent again.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;

use super::file_age;
use crate::calendar::{Day, Millis};
use crate::clock::{Clock, MIN_CLOCK_MILLIS};
use crate::config::AgeingLimits;
use crate::journal::{JournalFolder, SegmentId};
use crate::sites::SiteDirectory;
use crate::store::{AgeingOutcome, RetentionOutcome, Store, StoreError};

/// How often old counts and markers are removed.
pub(super) const RETENTION_INTERVAL: Duration = Duration::from_secs(3600);

/// How long the days of a month are kept after it was summed: longer than a query that reads them
/// takes.
const READ_GRACE: Duration = Duration::from_secs(15 * 60);

/// How long a quarantined segment can be restored: its markers are kept until then.
const QUARANTINE_RETENTION: Duration = Duration::from_secs(62 * 86_400);

/// Figures for the metrics and the health checks.
pub struct RetentionStats {
    /// Runs that failed since the start.
    pub failures: AtomicU64,
    replicas: Vec<ReplicaRuns>,
}

/// The runs on one replica.
struct ReplicaRuns {
    /// The index of its shard.
    shard: usize,
    /// When old counts were last deleted, in Unix seconds; 0 before the first run of this start.
    last_success_secs: AtomicU64,
    /// When the next run is due.
    due_at: AtomicI64,
}

impl RetentionStats {
    /// The first run on each replica is due at `start`. `shards` are the indexes of their shards.
    fn due_from(start: Millis, shards: &[usize]) -> RetentionStats {
        let runs = |shard: &usize| ReplicaRuns {
            shard: *shard,
            last_success_secs: AtomicU64::default(),
            due_at: AtomicI64::new(start),
        };
        RetentionStats {
            failures: AtomicU64::default(),
            replicas: shards.iter().map(runs).collect(),
        }
    }

    /// For how many seconds a run has been due at `now`; 0 if none is due, or if the clock was not
    /// set when the last one ended. Of the replicas of a shard the one with the last run counts: one
    /// that is away has metrics of its own.
    pub fn overdue_secs(&self, now: Millis) -> u64 {
        let overdue = |runs: &ReplicaRuns| {
            let due_at = runs.due_at.load(Ordering::Relaxed);
            if due_at < MIN_CLOCK_MILLIS {
                return 0;
            }
            u64::try_from(now.saturating_sub(due_at) / 1000).unwrap_or(0)
        };
        let shards = self
            .replicas
            .chunk_by(|one, other| one.shard == other.shard);
        let shards = shards.filter_map(|replicas| replicas.iter().map(overdue).min());
        shards.max().unwrap_or(0)
    }

    /// When old counts were last deleted on every shard, in Unix seconds; 0 before the first run of
    /// this start on one of them.
    pub fn last_success_secs(&self) -> u64 {
        let last = |runs: &ReplicaRuns| runs.last_success_secs.load(Ordering::Relaxed);
        let shards = self
            .replicas
            .chunk_by(|one, other| one.shard == other.shard);
        let shards = shards.filter_map(|replicas| replicas.iter().map(last).max());
        shards.min().unwrap_or(0)
    }

    fn record_success(&self, replica: usize, now: Millis) {
        let runs = &self.replicas[replica];
        let interval = i64::try_from(RETENTION_INTERVAL.as_millis()).unwrap_or(0);
        runs.due_at.store(now + interval, Ordering::Relaxed);
        let secs = u64::try_from(now / 1000).unwrap_or(0);
        runs.last_success_secs.store(secs, Ordering::Relaxed);
    }
}

/// Why old counts were not deleted.
#[derive(thiserror::Error, Debug)]
pub enum RetentionError {
    /// No table has a day of this year.
    #[error("the clock shows no date that can be counted")]
    ClockNotSet,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Deletes old counts and markers, when it is told to.
pub struct RetentionJob {
    folder: Arc<JournalFolder>,
    /// How long the counts of each site are kept.
    directory: Arc<SiteDirectory>,
    /// The source of today's date and of file ages.
    clock: Clock,
    limits: AgeingLimits,
    stats: Arc<RetentionStats>,
    replicas: Vec<ReplicaState>,
}

/// The state of one replica.
struct ReplicaState {
    /// Held by the run in progress.
    run_lock: Mutex<()>,
    /// The day on which the markers of old days were last removed.
    markers_removed_on: Mutex<Option<Day>>,
    /// The latest day that today can be according to the counts, where the clock is ahead of it;
    /// else the end of the calendar.
    plausible_today: AtomicU16,
}

impl RetentionJob {
    /// `folder` is the journal's, whose segments need their markers; `shards` the index of the shard
    /// of each replica, in order.
    pub fn new(
        folder: Arc<JournalFolder>,
        directory: Arc<SiteDirectory>,
        clock: Clock,
        limits: AgeingLimits,
        shards: &[usize],
    ) -> RetentionJob {
        let state = |_: &usize| ReplicaState {
            run_lock: Mutex::default(),
            markers_removed_on: Mutex::default(),
            plausible_today: AtomicU16::new(u16::MAX),
        };
        RetentionJob {
            folder,
            directory,
            limits,
            stats: Arc::new(RetentionStats::due_from(clock.now(), shards)),
            clock,
            replicas: shards.iter().map(state).collect(),
        }
    }

    /// The figures, shared with this task.
    pub fn stats(&self) -> Arc<RetentionStats> {
        Arc::clone(&self.stats)
    }

    /// When counts become coarser.
    pub fn limits(&self) -> AgeingLimits {
        self.limits
    }

    /// Whether the limits of registered sites are known. Before that, those of the copy on disk may
    /// be old: a site must not lose days for that.
    pub fn is_registry_read(&self) -> bool {
        self.directory.is_registry_read()
    }

    /// Deletes what is older than the retention allows, makes old counts coarser, and deletes old
    /// markers, on one replica. Concurrent calls for a replica run one after the other. Failures
    /// are logged and counted.
    ///
    /// # Errors
    ///
    /// The clock was not set, or the store failed. What was deleted stays deleted, and the next
    /// call continues.
    pub async fn run(&self, store: &Store) -> Result<(), RetentionError> {
        let replica = store.replica().number();
        let _one_at_a_time = self.replicas[replica].run_lock.lock().await;
        let today = self.today_utc().ok_or(RetentionError::ClockNotSet)?;

        let outcome = self.delete_old_counts(store, today).await;
        match &outcome {
            Ok(aged) => {
                self.stats.record_success(replica, self.clock.now());
                self.set_plausible_today(replica, aged.plausible_today);
                if let Some(bound) = aged.plausible_today {
                    tracing::warn!(%today, %bound, "the clock is far ahead of what was counted; \
                        retention uses the date of the newest counts");
                }
                tracing::debug!(?aged, "retention pass finished");
            }
            Err(error) => {
                self.stats.failures.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, "old counts could not be deleted; will retry within the \
                    hour");
            }
        }

        self.remove_old_markers(store, today, MarkerScope::AllTables)
            .await;
        outcome.map(drop).map_err(RetentionError::from)
    }

    /// The clock is ahead only where it is ahead of the counts of every replica.
    fn set_plausible_today(&self, replica: usize, bound: Option<Day>) {
        let number = bound.map_or(u16::MAX, Day::as_number);
        let latest = &self.replicas[replica].plausible_today;
        latest.store(number, Ordering::Relaxed);

        let of_all = self.replicas.iter();
        let of_all = of_all.map(|replica| replica.plausible_today.load(Ordering::Relaxed));
        let bound = of_all.max().filter(|number| *number != u16::MAX);
        self.directory
            .set_plausible_today(bound.map(Day::from_number));
    }

    async fn delete_old_counts(
        &self,
        store: &Store,
        today: Day,
    ) -> Result<RetentionOutcome, StoreError> {
        let policy = self.directory.retention_policy();
        let outcome = store.apply_retention(today, &policy).await?;

        let aged = store.age_counts(today, &self.limits, READ_GRACE).await?;
        if aged != AgeingOutcome::default() {
            tracing::info!(?aged, "old counts became coarser");
        }
        Ok(outcome)
    }

    /// Today in UTC.
    fn today_utc(&self) -> Option<Day> {
        Day::from_utc(self.clock.now())
    }

    /// Removes the markers of old days, once a day, because each publication reads them.
    pub(super) async fn remove_day_markers(&self, store: &Store) {
        let Some(today) = self.today_utc() else {
            return;
        };
        let state = &self.replicas[store.replica().number()];
        let mut removed_on = state.markers_removed_on.lock().await;
        if *removed_on < Some(today) {
            *removed_on = Some(today);
            self.remove_old_markers(store, today, MarkerScope::DayTables)
                .await;
        }
    }

    /// Removes old markers. A marker is needed while its segment can be sent again, that is, while
    /// the segment is in the folder.
    async fn remove_old_markers(&self, store: &Store, today: Day, old: MarkerScope) {
        let now = self.clock.file_time();
        let Ok(mut segments) = self.folder.quarantined_segments() else {
            return;
        };
        segments.retain(|path| file_age(path, now) < QUARANTINE_RETENTION);
        let Ok(numbers) = self.folder.segment_numbers("sealed") else {
            return;
        };
        segments.extend(
            numbers
                .iter()
                .map(|number| self.folder.segment_path(*number, "sealed")),
        );
        // A power cut must not bring back the file of a segment that was sent.
        if !self.clock.is_settled() || self.folder.sync_folder().is_err() {
            return;
        }

        let oldest = segments
            .iter()
            .map(|path| file_age(path, now))
            .max()
            .unwrap_or_default();
        let oldest_days = u32::try_from(oldest.as_secs().div_ceil(86_400)).unwrap_or(u32::MAX);
        let of_this_collector = SegmentId {
            collector: self.folder.collector_id(),
            epoch: 0,
            number: 0,
        };
        let token = of_this_collector.dedup_token();
        let forgotten = match old {
            MarkerScope::AllTables => store.delete_old_markers(&token, today, oldest_days).await,
            MarkerScope::DayTables => {
                store
                    .delete_old_day_markers(&token, today, oldest_days)
                    .await
            }
        };
        if let Err(error) = forgotten {
            tracing::error!(%error, "old markers of segments could not be removed; will retry \
                within the hour");
        }
    }
}

/// Where old markers are removed.
enum MarkerScope {
    /// In all tables.
    AllTables,
    /// In the table whose partitions are days.
    DayTables,
}
