//! Liveness and readiness of the process: the checks behind `/healthz`, `/readyz`, the operator's
//! health page and the systemd watchdog.
//!
//! A failing check takes a collector out of a load balancer and changes nothing else: hits that
//! still arrive are counted as before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;
use tokio::time::timeout;

use crate::calendar::{Millis, TimeSpan};
use crate::clock::{Clock, MIN_CLOCK_MILLIS};
use crate::config;
use crate::flush::{RetentionStats, SegmentBacklog};
use crate::journal::Journal;
use crate::ledger::LedgerStats;
use crate::pseudonym::DayKeys;
use crate::publisher;
use crate::store::StoreShards;

/// The writer loops at least every 200 ms. After this time a disk sync hangs and hits wait for it.
const MAX_WRITER_STALL: Duration = Duration::from_secs(10);

/// After this time the process counts as dead. Shorter hangs of a disk need no restart.
const MAX_LIVE_STALL: Duration = Duration::from_secs(60);

/// Deadline of a ping of the store.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause after a ping without a response.
const PING_RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Name of the check of the store.
const STORE_CHECK: &str = "store";

/// Value of `away_since` while the store responds.
const STORE_ANSWERS: Millis = Millis::MIN;

/// The result of one check.
#[derive(Clone, PartialEq, Eq, Serialize, Debug)]
pub struct HealthCheck {
    /// Name of the check, stable.
    pub name: &'static str,
    /// Whether it passed.
    pub ok: bool,
    /// Stable, for alerts.
    pub code: &'static str,
    /// The numbers, from 1, of the shards of the store that do not respond. Only of the check of a
    /// store with several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<u32>,
}

impl HealthCheck {
    /// Fails with the code `bad`, or passes with `good`.
    fn new(name: &'static str, good: &'static str, bad: Option<&'static str>) -> HealthCheck {
        HealthCheck {
            name,
            ok: bad.is_none(),
            code: bad.unwrap_or(good),
            shards: Vec::new(),
        }
    }
}

/// What the checks read.
pub struct HealthSources {
    /// The collector's clock.
    pub clock: Clock,
    /// The journal that counts are written to.
    pub journal: Journal,
    /// The keys of the current days.
    pub day_keys: Arc<DayKeys>,
    /// The shards of the store, each once it is open.
    pub shards: Arc<StoreShards>,
    /// The publisher's counters.
    pub publisher_stats: Arc<publisher::PublisherStats>,
    /// What retention has done.
    pub retention_stats: Arc<RetentionStats>,
    /// How far the ledger is verified.
    pub ledger_stats: Arc<LedgerStats>,
}

/// Runs the checks of liveness and readiness.
pub struct HealthMonitor {
    sources: HealthSources,
    bounds: HealthBounds,
    /// Pause between pings of the store.
    check_every: Duration,
    draining: AtomicBool,
    /// For each shard of the store, Unix milliseconds, or [`STORE_ANSWERS`].
    away_since: Vec<AtomicI64>,
    overdue_secs: AtomicU64,
}

impl HealthMonitor {
    /// A monitor that takes the store for unavailable until its first answer.
    pub fn new(config: &config::HealthConfig, parts: HealthSources) -> HealthMonitor {
        HealthMonitor {
            away_since: (0..parts.shards.shard_count())
                .map(|_| AtomicI64::new(parts.clock.now()))
                .collect(),
            sources: parts,
            bounds: HealthBounds {
                store_secs: config.store_unavailable_secs,
                publication_secs: config.publication_overdue_secs,
                retention_secs: config.retention_overdue_secs,
            },
            check_every: Duration::from_secs(config.store_check_secs),
            draining: AtomicBool::new(false),
            overdue_secs: AtomicU64::new(0),
        }
    }

    /// Makes the collector report "not ready" from now on: it will close its port.
    pub fn start_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether [`HealthMonitor::start_draining`] was called.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// `false` if only a restart can help. A stop in progress ends by its own deadline.
    pub fn is_alive(&self) -> bool {
        self.is_draining()
            || self.sources.journal.stats.heartbeat.time_since_beat() < MAX_LIVE_STALL
    }

    /// All checks, in a fixed order. Reads counters and makes one `access` call; waits for no disk.
    pub fn run_checks(&self) -> [HealthCheck; 8] {
        let now = self.sources.clock.now();
        let stats = &self.sources.journal.stats;

        let facts = HealthInputs {
            draining: self.is_draining(),
            journal_full: stats.full.load(Ordering::Relaxed) == 1,
            journal_writable: self.sources.journal.folder.is_writable(),
            writer_stall: stats.heartbeat.time_since_beat(),
            overdue_keys: self.sources.day_keys.overdue_count(now),
            away_secs: self.store_unavailable_secs(),
            overdue_secs: self.overdue_secs.load(Ordering::Relaxed),
            publication_overdue_secs: self.sources.publisher_stats.overdue_secs(now),
            retention_overdue_secs: self.sources.retention_stats.overdue_secs(now),
            ledger_damaged: self.sources.ledger_stats.is_damaged(),
            ledger_unverified: self
                .sources
                .ledger_stats
                .unverified_records
                .load(Ordering::Relaxed),
            clock_ahead: self.sources.clock.time_ahead(),
            now,
        };
        let mut checks = evaluate_checks(&facts, &self.bounds);
        if self.sources.shards.shard_count() > 1 {
            let of_store = checks.iter_mut().filter(|check| check.name == STORE_CHECK);
            of_store.for_each(|check| check.shards = self.unavailable_shards());
        }
        checks
    }

    /// Time since the last response of the store, or since the start; `None` while it responds. Of
    /// several shards, the one that has been away for longest counts.
    pub fn store_unavailable_secs(&self) -> Option<u64> {
        self.away_times().into_iter().flatten().max()
    }

    /// The same for each shard of the store; 0 while it responds.
    pub fn shard_unavailable_secs(&self) -> Vec<u64> {
        let secs = self.away_times().into_iter();
        secs.map(Option::unwrap_or_default).collect()
    }

    /// The numbers, from 1, of the shards that do not respond.
    pub fn unavailable_shards(&self) -> Vec<u32> {
        let away = (1..).zip(self.away_times());
        away.filter_map(|(number, secs)| secs.map(|_| number))
            .collect()
    }

    fn away_times(&self) -> Vec<Option<u64>> {
        let now = self.sources.clock.now();
        let away = self.away_since.iter().map(|away_since| {
            let away_since = away_since.load(Ordering::Acquire);
            (away_since != STORE_ANSWERS).then(|| millis_to_secs(now.saturating_sub(away_since)))
        });
        away.collect()
    }

    /// Keys of days that are held in memory, and those of them whose day is over.
    pub fn day_key_counts(&self) -> (usize, usize) {
        let keys = &self.sources.day_keys;
        let now = self.sources.clock.now();
        (keys.key_count(), keys.overdue_count(now))
    }

    /// Pings the store until the task is dropped; every second while it does not respond.
    pub async fn poll_store(self: Arc<Self>) {
        loop {
            let answers = self.ping_store().await;
            let pause = if answers {
                self.check_every
            } else {
                self.check_every.min(PING_RETRY_PAUSE)
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Returns whether every shard of the store responded.
    async fn ping_store(&self) -> bool {
        let shards = (0..self.sources.shards.shard_count()).map(|shard| self.ping_shard(shard));
        let answers = join_all(shards).await.into_iter().all(|answers| answers);

        // Reading a folder with days of segments takes milliseconds.
        let (folder, now) = (
            Arc::clone(&self.sources.journal.folder),
            self.sources.clock.file_time(),
        );
        if let Ok(Some(waiting)) =
            tokio::task::spawn_blocking(move || SegmentBacklog::from_folder(&folder, now)).await
        {
            self.overdue_secs
                .store(waiting.overdue_secs, Ordering::Relaxed);
        }
        answers
    }

    async fn ping_shard(&self, shard: usize) -> bool {
        let away_since = &self.away_since[shard];
        let answers = match self.sources.shards.slot(shard).load_full() {
            Some(store) => matches!(timeout(PING_TIMEOUT, store.ping()).await, Ok(Ok(()))),
            None => false,
        };
        if answers {
            away_since.store(STORE_ANSWERS, Ordering::Release);
        } else {
            let now = self.sources.clock.now();
            let _ = away_since.compare_exchange(
                STORE_ANSWERS,
                now,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
        }
        answers
    }
}

fn millis_to_secs(millis: Millis) -> u64 {
    u64::try_from(millis / 1000).unwrap_or(0)
}

/// Configured bounds.
struct HealthBounds {
    store_secs: u64,
    publication_secs: u64,
    retention_secs: u64,
}

/// Input of the checks.
#[derive(Clone)]
struct HealthInputs {
    draining: bool,
    journal_full: bool,
    journal_writable: bool,
    /// Time since the writer's last heartbeat.
    writer_stall: Duration,
    overdue_keys: usize,
    /// Time since the last response of the store; `None` while it responds.
    away_secs: Option<u64>,
    /// Age of the oldest segment if it is overdue, else 0.
    overdue_secs: u64,
    publication_overdue_secs: u64,
    retention_overdue_secs: u64,
    /// Whether a record of the ledger was found damaged.
    ledger_damaged: bool,
    /// Records of the ledger that are still to be verified.
    ledger_unverified: u64,
    /// How far the system's clock is ahead after a jump.
    clock_ahead: TimeSpan,
    now: Millis,
}

fn evaluate_checks(facts: &HealthInputs, bounds: &HealthBounds) -> [HealthCheck; 8] {
    let first =
        |of: &[(bool, &'static str)]| of.iter().find(|(bad, _)| *bad).map(|(_, code)| *code);

    let journal = first(&[
        (facts.writer_stall >= MAX_WRITER_STALL, "journal_stalled"),
        (!facts.journal_writable, "journal_not_writable"),
        (facts.journal_full, "journal_full"),
    ]);
    let store = first(&[
        (facts.overdue_secs > 0, "segments_overdue"),
        (
            facts.away_secs.is_some_and(|secs| secs > bounds.store_secs),
            "store_unavailable",
        ),
    ]);
    let clock = first(&[
        (facts.now < MIN_CLOCK_MILLIS, "clock_not_set"),
        (facts.clock_ahead != TimeSpan::ZERO, "clock_jumped"),
    ]);
    let reach = if facts.away_secs.is_some() {
        "unavailable_within_bound"
    } else {
        "answers"
    };
    let timeliness = |overdue_secs: u64| match overdue_secs {
        0 => "on_time",
        _ => "overdue_within_bound",
    };

    [
        HealthCheck::new("port", "open", facts.draining.then_some("draining")),
        HealthCheck::new("journal", "writable", journal),
        HealthCheck::new(
            "keys",
            "current",
            (facts.overdue_keys > 0).then_some("day_key_overdue"),
        ),
        HealthCheck::new(STORE_CHECK, reach, store),
        HealthCheck::new(
            "publication",
            timeliness(facts.publication_overdue_secs),
            (facts.publication_overdue_secs > bounds.publication_secs)
                .then_some("publication_overdue"),
        ),
        HealthCheck::new(
            "retention",
            timeliness(facts.retention_overdue_secs),
            (facts.retention_overdue_secs > bounds.retention_secs).then_some("retention_overdue"),
        ),
        HealthCheck::new(
            "ledger",
            match facts.ledger_unverified {
                0 => "verified",
                _ => "verifying",
            },
            facts.ledger_damaged.then_some("ledger_damaged"),
        ),
        HealthCheck::new("clock", "sane", clock),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: HealthBounds = HealthBounds {
        store_secs: 100,
        publication_secs: 200,
        retention_secs: 300,
    };

    fn well() -> HealthInputs {
        HealthInputs {
            draining: false,
            journal_full: false,
            journal_writable: true,
            writer_stall: Duration::from_millis(200),
            overdue_keys: 0,
            away_secs: None,
            overdue_secs: 0,
            publication_overdue_secs: 0,
            retention_overdue_secs: 0,
            ledger_damaged: false,
            ledger_unverified: 0,
            clock_ahead: TimeSpan::ZERO,
            now: MIN_CLOCK_MILLIS,
        }
    }

    #[test]
    fn each_check_fails_for_its_own_reasons_at_its_bound_and_no_other_does() {
        type Change = fn(&mut HealthInputs);
        let cases: [(Change, &str, bool, &str); 19] = [
            (|_| {}, "port", true, "open"),
            (|facts| facts.draining = true, "port", false, "draining"),
            (
                |facts| facts.writer_stall = MAX_WRITER_STALL - Duration::from_millis(1),
                "journal",
                true,
                "writable",
            ),
            (
                |facts| facts.writer_stall = MAX_WRITER_STALL,
                "journal",
                false,
                "journal_stalled",
            ),
            (
                |facts| facts.journal_writable = false,
                "journal",
                false,
                "journal_not_writable",
            ),
            (
                |facts| facts.journal_full = true,
                "journal",
                false,
                "journal_full",
            ),
            (
                |facts| facts.overdue_keys = 1,
                "keys",
                false,
                "day_key_overdue",
            ),
            (
                |facts| facts.away_secs = Some(100),
                "store",
                true,
                "unavailable_within_bound",
            ),
            (
                |facts| facts.away_secs = Some(101),
                "store",
                false,
                "store_unavailable",
            ),
            (
                |facts| facts.overdue_secs = 302_401,
                "store",
                false,
                "segments_overdue",
            ),
            (
                |facts| facts.publication_overdue_secs = 200,
                "publication",
                true,
                "overdue_within_bound",
            ),
            (
                |facts| facts.publication_overdue_secs = 201,
                "publication",
                false,
                "publication_overdue",
            ),
            (
                |facts| facts.retention_overdue_secs = 300,
                "retention",
                true,
                "overdue_within_bound",
            ),
            (
                |facts| facts.retention_overdue_secs = 301,
                "retention",
                false,
                "retention_overdue",
            ),
            (
                |facts| facts.ledger_unverified = 1,
                "ledger",
                true,
                "verifying",
            ),
            (
                |facts| facts.ledger_damaged = true,
                "ledger",
                false,
                "ledger_damaged",
            ),
            (
                |facts| facts.clock_ahead = TimeSpan::from_millis(-2_001),
                "clock",
                false,
                "clock_jumped",
            ),
            (
                |facts| facts.now = MIN_CLOCK_MILLIS - 1,
                "clock",
                false,
                "clock_not_set",
            ),
            (|facts| facts.now = 0, "clock", false, "clock_not_set"),
        ];
        for (change, name, ok, code) in cases {
            let mut facts = well();
            change(&mut facts);
            let checks = evaluate_checks(&facts, &BOUNDS);
            assert_eq!(
                checks.iter().find(|check| check.name == name),
                Some(&HealthCheck {
                    name,
                    ok,
                    code,
                    shards: Vec::new()
                })
            );
            let failing = checks.iter().filter(|check| !check.ok).count();
            assert_eq!(failing, usize::from(!ok), "{checks:?}");
        }
    }
}
