//! The replicas of a shard: databases with the same rows, each written by the collectors.
//!
//! Each replica is a store of its own: it is sent every segment by a task of its own, with markers
//! of its own, and it deletes what is old on its own. Everything else that is stored is written to
//! all of them (`replica_writes.rs`), and attributes are published on all of them from one decision
//! (`publication/agreement.rs`). So replicas differ only in how far they are, and a report is read
//! from one that is not behind any other.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::timeout;

use super::client::StoreClient;
use super::error::{StoreError, error_during};
use super::{Store, StoreSlot};
use crate::outage::Outage;

/// How often replicas are asked how far they are, how long the answer may take, and for how long an
/// answer counts for reports: together less than a second, after which another replica is read.
const WATCH_INTERVAL: Duration = Duration::from_millis(150);
const ANSWER_TIMEOUT: Duration = Duration::from_millis(350);
const ANSWER_VALIDITY: Duration = Duration::from_millis(500);

/// For how long an answer counts for writes: a replica that is slow must not hold up changes and
/// publication, and one that refuses connections is away at once.
const PRESENCE_VALIDITY: Duration = Duration::from_secs(5);
/// How long a replica that responds may lack what a sibling has: segments are sent to both at once,
/// and arrive one after the other.
const ARRIVAL_GRACE: Duration = Duration::from_secs(5);

/// After this time the log says that a replica lacks something: the collector that should send it may
/// be gone.
const LONG_BEHIND: Duration = Duration::from_secs(60);

/// How often a report that waits for a replica looks whether another one is read by now.
const READ_POLL_INTERVAL: Duration = Duration::from_millis(25);

/// The key in [`ReplicaProgress`] of the number of the last finished unit of publication.
const PUBLISHED_KEY: &str = "published";

const STEP: &str = "reading how far a replica is";

/// How far a replica is: by collector, the place of the last of its segments that the replica has,
/// with all before it; and what was published.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct ReplicaProgress(BTreeMap<String, u64>);

impl ReplicaProgress {
    /// A progress of one collector.
    pub fn of_collector(collector: &str, place: u64) -> ReplicaProgress {
        ReplicaProgress([(collector.to_owned(), place)].into())
    }

    /// The place of a collector's last segment; 0 if the replica has none.
    pub fn place_of(&self, collector: &str) -> u64 {
        self.0.get(collector).copied().unwrap_or(0)
    }

    /// Whether the other has something that this one lacks.
    pub fn is_behind(&self, other: &ReplicaProgress) -> bool {
        let mut others = other.0.iter();
        others.any(|(key, place)| self.0.get(key).copied().unwrap_or(0) < *place)
    }

    /// Takes over what the other has more.
    fn raise_to(&mut self, other: &ReplicaProgress) {
        for (key, place) in &other.0 {
            let known = self.0.entry(key.clone()).or_default();
            *known = (*place).max(*known);
        }
    }

    /// The last finished unit of publication only.
    fn published(&self) -> ReplicaProgress {
        let published = self.0.get_key_value(PUBLISHED_KEY).into_iter();
        ReplicaProgress(published.map(|(key, lot)| (key.clone(), *lot)).collect())
    }

    /// The segments of all collectors, without what was published.
    pub(super) fn segments(&self) -> impl Iterator<Item = (&str, u64)> {
        let segments = self.0.iter().filter(|(key, _)| *key != PUBLISHED_KEY);
        segments.map(|(key, place)| (key.as_str(), *place))
    }
}

/// The replicas of one shard. A shard without replicas has one.
pub struct ShardReplicas {
    /// The replica that is read.
    reading: StoreSlot,
    replicas: Vec<ReplicaState>,
    /// Whether replicas record how far they are: also one whose siblings were taken out of
    /// `store.shards` for a while.
    is_recorded: bool,
    /// What this collector's journal held at its start, so that a replica which was sent less than
    /// its siblings before is not read.
    floor: Mutex<ReplicaProgress>,
    /// What some replica had at these moments of the last seconds, the oldest first.
    history: Mutex<VecDeque<(Instant, ReplicaProgress)>>,
    /// Held while rows are copied between the replicas, and while a site is erased: its rows must
    /// not come back from a replica that still has them.
    copying: tokio::sync::Mutex<()>,
    /// Whether rows may be on one replica and not on another, after a failure or a start.
    may_differ: AtomicBool,
    /// The set that the replicas belong to, once the first is open.
    set: Mutex<Option<String>>,
    outage: Outage,
}

/// What is known of one replica.
#[derive(Default)]
struct ReplicaState {
    /// Empty until it has been reached once.
    store: StoreSlot,
    seen: Mutex<SeenReplica>,
}

#[derive(Default)]
struct SeenReplica {
    answered_at: Option<Instant>,
    progress: ReplicaProgress,
    /// What some replica had when this one responded again after it was away.
    owed: ReplicaProgress,
    /// Since when it responds and lacks what another one has.
    behind_since: Option<Instant>,
    /// Whether the log says that it has been behind for long.
    is_told: bool,
}

/// One replica of a shard.
#[derive(Clone)]
pub struct ReplicaHandle {
    pub(super) shard: Arc<ShardReplicas>,
    pub(super) index: usize,
    /// Its index among the replicas of all shards.
    number: usize,
}

impl ReplicaHandle {
    /// The only replica of a store without others.
    pub(super) fn alone() -> ReplicaHandle {
        ShardReplicas::create(1, 0, false).remove(0)
    }

    /// Its index among the replicas of all shards, from 0.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Whether the shard has other replicas.
    pub fn is_replicated(&self) -> bool {
        self.shard.is_replicated()
    }

    /// Whether it records how far it is.
    pub(super) fn is_recorded(&self) -> bool {
        self.shard.is_recorded
    }

    /// Makes the open store known. The store of a shard without replicas is read from now on; of
    /// several, [`ShardReplicas::watch`] chooses one.
    pub fn set_connected(&self, store: Arc<Store>) {
        if !self.is_replicated() {
            self.shard.reading.store(Some(Arc::clone(&store)));
        }
        self.shard.may_differ.store(true, Ordering::Release);
        self.shard.replicas[self.index].store.store(Some(store));
    }

    /// Makes known that it has a collector's segments up to a place.
    pub fn note_segment(&self, collector: &str, place: u64) {
        let mut seen = lock(&self.shard.replicas[self.index].seen);
        let known = seen.progress.0.entry(collector.to_owned()).or_default();
        *known = place.max(*known);
    }

    /// Makes known that its database is gone.
    pub fn set_lost(&self) {
        self.shard.replicas[self.index].store.store(None);
    }

    /// Sets what a replica must have before it is read: the segments that were in this collector's
    /// journal at its start.
    pub fn set_floor(&self, floor: ReplicaProgress) {
        *lock(&self.shard.floor) = floor;
    }

    /// Notes that a change did not reach every replica.
    pub(super) fn note_difference(&self) {
        self.shard.may_differ.store(true, Ordering::Release);
    }

    /// Begins a write to several replicas.
    pub(super) fn begin_write(&self) -> UnfinishedWrite<'_> {
        UnfinishedWrite {
            replica: self,
            is_finished: false,
        }
    }

    /// The set of the replicas that are open; the first to open decides.
    pub(super) fn agree_on_set(&self, set: &str) -> bool {
        lock(&self.shard.set).get_or_insert_with(|| set.to_owned()) == set
    }

    /// Returns once another replica is read instead of `store`, or none is; never for a shard
    /// without replicas.
    pub async fn wait_until_unread(&self, store: &Store) {
        let is_read = || {
            let reading = self.shard.reading.load();
            reading
                .as_deref()
                .is_some_and(|read| std::ptr::eq(read, store))
        };
        if !self.is_replicated() {
            std::future::pending::<()>().await;
        }
        while is_read() {
            tokio::time::sleep(READ_POLL_INTERVAL).await;
        }
    }

    /// The other replicas that were reached, and whether that is all of them.
    pub(super) fn siblings(&self) -> (Vec<Arc<Store>>, bool) {
        let others = || (0..self.shard.replicas.len()).filter(|index| *index != self.index);
        let present: Vec<Arc<Store>> = others()
            .filter_map(|index| self.shard.present_store(index))
            .collect();
        let is_all = present.len() == others().count();
        (present, is_all)
    }
}

/// A write to several replicas. Dropped before its end, by an error or because its caller waits no
/// longer, it notes that they may differ.
pub(super) struct UnfinishedWrite<'r> {
    replica: &'r ReplicaHandle,
    is_finished: bool,
}

impl UnfinishedWrite<'_> {
    /// All replicas have it.
    pub(super) fn finish(mut self) {
        self.is_finished = true;
    }
}

impl Drop for UnfinishedWrite<'_> {
    fn drop(&mut self) {
        if !self.is_finished {
            self.replica.note_difference();
        }
    }
}

impl ShardReplicas {
    /// The handles of `count` replicas. `first` is the first one's index among those of all shards.
    pub(super) fn create(count: usize, first: usize, is_recorded: bool) -> Vec<ReplicaHandle> {
        let count = count.max(1);
        let shard = Arc::new(ShardReplicas {
            reading: StoreSlot::default(),
            replicas: (0..count).map(|_| ReplicaState::default()).collect(),
            is_recorded,
            floor: Mutex::default(),
            history: Mutex::default(),
            copying: tokio::sync::Mutex::default(),
            may_differ: AtomicBool::new(true),
            set: Mutex::default(),
            outage: Outage::default(),
        });
        let handle = |index| ReplicaHandle {
            shard: Arc::clone(&shard),
            index,
            number: first + index,
        };
        (0..count).map(handle).collect()
    }

    pub(super) fn is_replicated(&self) -> bool {
        self.replicas.len() > 1
    }

    /// Whether its replicas record how far they are.
    pub(super) fn is_recorded(&self) -> bool {
        self.is_recorded
    }

    /// The slot of the replica that is read; empty while none may be.
    pub(super) fn reading_slot(&self) -> StoreSlot {
        Arc::clone(&self.reading)
    }

    /// The replicas that have been reached, in the order of `store.shards`.
    pub fn reached_replicas(&self) -> Vec<Arc<Store>> {
        let replicas = self.replicas.iter();
        replicas.filter_map(|of| of.store.load_full()).collect()
    }

    /// All replicas; `None` if one does not respond, as far as is known.
    pub fn all_present(&self) -> Option<Vec<Arc<Store>>> {
        let all = 0..self.replicas.len();
        all.map(|index| self.present_store(index)).collect()
    }

    /// The replicas that respond, as far as is known.
    pub fn present_replicas(&self) -> Vec<Arc<Store>> {
        let all = 0..self.replicas.len();
        all.filter_map(|index| self.present_store(index)).collect()
    }

    /// The places, from 1, of the replicas that do not respond, were not reached yet, or have been
    /// behind for long.
    pub(super) fn absent_replicas(&self) -> Vec<u32> {
        let absent = (1..).zip(0..self.replicas.len());
        absent
            .filter(|(_, index)| {
                self.present_store(*index).is_none()
                    || lock(&self.replicas[*index].seen).is_long_behind()
            })
            .map(|(number, _)| number)
            .collect()
    }

    /// Holds off the copying of rows between the replicas.
    pub(super) async fn pause_copying(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.copying.lock().await
    }

    /// Takes the stores out, for the end of the program.
    pub(super) fn take_all(&self) -> Vec<Arc<Store>> {
        drop(self.reading.swap(None));
        let replicas = self.replicas.iter();
        replicas.filter_map(|of| of.store.swap(None)).collect()
    }

    /// A replica that was reached and, if there are others, answered a moment ago.
    fn present_store(&self, index: usize) -> Option<Arc<Store>> {
        let replica = &self.replicas[index];
        let store = replica.store.load_full()?;
        let is_present = !self.is_replicated() || lock(&replica.seen).is_present();
        is_present.then_some(store)
    }

    /// Asks the replicas how far they are and chooses the one that is read, until the task is
    /// dropped. Returns at once for a shard without replicas.
    pub(super) async fn watch(&self) {
        if !self.is_replicated() {
            return;
        }
        let looking = async {
            loop {
                self.ask_replicas().await;
                self.choose_reading();
                tokio::time::sleep(WATCH_INTERVAL).await;
            }
        };
        // Copying rows takes longer than a replica may be read that is away.
        let aligning = async {
            loop {
                self.align_if_needed().await;
                tokio::time::sleep(WATCH_INTERVAL).await;
            }
        };
        tokio::join!(looking, aligning);
    }

    async fn ask_replicas(&self) {
        let asked = self.replicas.iter().map(async |replica| {
            let Some(store) = replica.store.load_full() else {
                return;
            };
            match timeout(ANSWER_TIMEOUT, store.read_progress()).await {
                Ok(Ok(progress)) => {
                    let known = self.known_progress();
                    let mut seen = lock(&replica.seen);
                    if !seen.is_present() {
                        seen.owed = known;
                        self.may_differ.store(true, Ordering::Release);
                    }
                    seen.answered_at = Some(Instant::now());
                    seen.progress = progress;
                }
                // It may be slow.
                Err(_) => {}
                Ok(Err(_)) => lock(&replica.seen).answered_at = None,
            }
        });
        join_all(asked).await;
    }

    /// What some replica is known to have.
    fn known_progress(&self) -> ReplicaProgress {
        let mut known = ReplicaProgress::default();
        for replica in &self.replicas {
            known.raise_to(&lock(&replica.seen).progress);
        }
        known
    }

    /// What a replica must have to be read: all that another one had some seconds ago, and all that
    /// is published.
    fn expected_progress(&self) -> ReplicaProgress {
        let known = self.known_progress();
        let mut history = lock(&self.history);
        let is_settled = |(at, _): &(Instant, _)| at.elapsed() >= ARRIVAL_GRACE;
        while history.get(1).is_some_and(is_settled) {
            history.pop_front();
        }
        let mut expected = lock(&self.floor).clone();
        if let Some((_, settled)) = history.front().filter(|entry| is_settled(entry)) {
            expected.raise_to(settled);
        }
        expected.raise_to(&known.published());
        history.push_back((Instant::now(), known));
        expected
    }

    /// Makes the first replica the one that is read that responds and lacks nothing that another is
    /// known to have. The one that is read stays, as long as that is true of it.
    fn choose_reading(&self) {
        let expected = self.expected_progress();
        // Whether it responds, and whether it may be read.
        let known: Vec<(bool, bool)> = self
            .replicas
            .iter()
            .map(|replica| {
                let mut seen = lock(&replica.seen);
                let lacks = |other| seen.progress.is_behind(other);
                let known = (seen.answers(), !lacks(&expected) && !lacks(&seen.owed));
                seen.note_behind(known == (true, false));
                known
            })
            .collect();
        let current = self.reading.load_full();
        let is_current = |index: &usize| {
            let store = self.replicas[*index].store.load_full();
            matches!((&store, &current), (Some(one), Some(other)) if Arc::ptr_eq(one, other))
        };

        let usable: Vec<usize> = (0..known.len())
            .filter(|index| known[*index] == (true, true))
            .collect();
        let kept = usable.iter().find(|index| is_current(index));
        match kept.or(usable.first()) {
            Some(index) if is_current(index) => {}
            Some(index) => self.reading.store(self.replicas[*index].store.load_full()),
            // Where no replica responds, its errors tell; one that is behind must not be read.
            None if known.iter().any(|(answers, _)| *answers) => self.reading.store(None),
            None => {}
        }
    }

    /// Copies rows between replicas after something may not have reached all of them.
    async fn align_if_needed(&self) {
        if !self.may_differ.load(Ordering::Acquire) {
            return;
        }
        let Some(stores) = self.all_present() else {
            return;
        };
        let _copying = self.copying.lock().await;
        self.may_differ.store(false, Ordering::Release);
        match super::replica_writes::align_shared_tables(&stores).await {
            Ok(copied) if copied.is_empty() => {
                self.outage.record_success();
            }
            Ok(tables) => {
                self.outage.record_success();
                tracing::info!(
                    ?tables,
                    "rows that a replica lacked were copied from another"
                );
            }
            Err(error) => {
                self.may_differ.store(true, Ordering::Release);
                if self.outage.record_failure_reason(&error.reason()) {
                    tracing::warn!(%error, "replicas cannot be compared; will retry");
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

impl SeenReplica {
    /// Whether it may be read.
    fn answers(&self) -> bool {
        self.answered_at
            .is_some_and(|at| at.elapsed() < WATCH_INTERVAL + ANSWER_VALIDITY)
    }

    /// Notes whether it responds and lacks something. Logs that it has for long, once.
    fn note_behind(&mut self, is_behind: bool) {
        self.behind_since = match is_behind {
            true => self.behind_since.or_else(|| Some(Instant::now())),
            false => None,
        };
        let is_long_behind = self.is_long_behind();
        if is_long_behind && !self.is_told {
            tracing::warn!(
                "a replica responds, and lacks counts that another one has for more than a minute: \
                 it is not read. If nothing sends them any more, rebuild it"
            );
        }
        self.is_told = is_long_behind;
    }

    fn is_long_behind(&self) -> bool {
        self.behind_since
            .is_some_and(|since| since.elapsed() > LONG_BEHIND)
    }

    /// Whether it is written to.
    fn is_present(&self) -> bool {
        self.answered_at
            .is_some_and(|at| at.elapsed() < PRESENCE_VALIDITY)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// How far this replica is.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub(super) async fn read_progress(&self) -> Result<ReplicaProgress, StoreError> {
        read_progress(&self.short_client).await
    }

    /// Records that this replica has a collector's segments up to a place. Does nothing where
    /// `store.replication` is empty.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the insert.
    pub async fn record_segment(&self, collector: &str, place: u64) -> Result<(), StoreError> {
        match self.replica.is_recorded() {
            true => insert_progress(&self.short_client, collector, place).await,
            false => Ok(()),
        }
    }
}

/// How far the replica of a client is.
///
/// # Errors
///
/// The store cannot be reached in time, or ClickHouse rejects the query.
pub(super) async fn read_progress(client: &StoreClient) -> Result<ReplicaProgress, StoreError> {
    let sql = format!(
        "SELECT collector AS key, max(place) AS last FROM segment_progress GROUP BY key UNION ALL \
         SELECT '{PUBLISHED_KEY}' AS key, max(lot) AS last FROM publications WHERE done = 1"
    );
    let rows: Vec<(String, u64)> = client
        .query(&sql)
        .fetch_all()
        .await
        .map_err(error_during(STEP))?;
    Ok(ReplicaProgress(rows.into_iter().collect()))
}

/// Records that the replica of a client has a collector's segments up to a place.
///
/// # Errors
///
/// The store cannot be reached in time, or ClickHouse rejects the insert.
pub(super) async fn insert_progress(
    client: &StoreClient,
    collector: &str,
    place: u64,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO segment_progress (collector, place) SELECT ?, ?";
    let insert = client.query(sql).bind(collector).bind(place);
    let insert = insert.with_setting("async_insert", "0").execute();
    insert
        .await
        .map_err(error_during("recording how far a replica is"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(places: &[(&str, u64)]) -> ReplicaProgress {
        let places = places
            .iter()
            .map(|(key, place)| ((*key).to_owned(), *place));
        ReplicaProgress(places.collect())
    }

    #[test]
    fn a_replica_is_behind_one_that_has_a_segment_or_a_unit_which_it_lacks() {
        let none = ReplicaProgress::default();
        let one = progress(&[("a", 3), ("b", 1)]);
        for (other, behind) in [
            (progress(&[("a", 3)]), false),
            (progress(&[("a", 3), ("b", 1)]), false),
            (progress(&[("a", 4)]), true),
            (progress(&[("a", 1), ("c", 1)]), true),
            (progress(&[(PUBLISHED_KEY, 1)]), true),
        ] {
            assert_eq!(one.is_behind(&other), behind, "{other:?}");
        }
        assert!(none.is_behind(&one) && !none.is_behind(&none) && !one.is_behind(&none));
        let published = progress(&[("a", 3), (PUBLISHED_KEY, 9)]);
        assert_eq!(published.segments().collect::<Vec<_>>(), [("a", 3)]);
    }
}
