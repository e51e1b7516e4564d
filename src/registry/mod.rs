//! The registry: sites, hosts and aliases that are registered while the collector runs, in addition
//! to those in the configuration.
//!
//! It is kept in the store, shared by all collectors of a database. Each collector reads it into
//! memory at its start and polls for changes every few seconds. A copy is kept in the journal's
//! folder, so that hits of a registered site count from the start, even without the store.
//! Withdrawals of consent and sign-outs are shared the same way.
//!
//! A change costs the same among a million sites as among a hundred: it is one row in the store,
//! one line in the copy, and a few nodes of the maps in memory.

mod audit_file;
mod changes;
mod complete_read;
mod digests;
mod erasure;
mod inherited;
mod keys;
mod messages;
mod sign_outs;
mod snapshot;
mod validation;
mod voids;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;

use crate::access::{AuditEntry, CredentialIndex};
use crate::cluster::{CallBuffer, CallKind, Cluster};
use crate::consent::WithdrawnGrants;
use crate::event::{Problem, SiteId};
use crate::mail::OpenedQueue;
use crate::outage::Outage;
use crate::sites::SiteDirectory;
use crate::store::{ShardPlace, Store, StoreError, StoreShards, StoreSlot};
use audit_file::AuditFile;
use changes::EntriesState;
use digests::DigestDays;
use sign_outs::SignOuts;
use snapshot::RegistryCopy;

pub use inherited::InheritedQueues;
pub use sign_outs::SignOutReach;

/// Polling interval until the store is reached for the first time.
const STORE_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Maximum number of names of new sites in one insert.
const MAX_NAME_BATCH: usize = 2000;

/// The registry as last read by this collector, and the queue of what it has to write.
pub struct Registry {
    /// Sites and hosts in force, from configuration and registry.
    pub directory: Arc<SiteDirectory>,
    /// The first shard: everything of the registry is there.
    store: StoreSlot,
    /// All shards: each has the names of its sites, and may be asked to erase one.
    shards: Arc<StoreShards>,
    /// Names of new sites that the first shard has and their own shard has not.
    shard_names: std::sync::Mutex<Vec<(SiteId, String)>>,
    /// For each shard, whether it has all names of its sites that the first shard has.
    has_names: Vec<AtomicBool>,
    /// State of the sites read last. Locked while they are read or changed: one change at a time.
    entries: Mutex<EntriesState>,
    /// Held by a poll of the entries.
    entries_poll: Mutex<()>,
    /// The sites on disk.
    copy: Arc<RegistryCopy>,
    keys: ArcSwapOption<CredentialIndex>,
    /// Revision of the keys read last. Locked while they are read or changed.
    keys_revision: Mutex<Option<u64>>,
    /// Audit entries that are not in the store yet.
    audit_queue: std::sync::Mutex<Vec<AuditEntry>>,
    audit_file: Arc<AuditFile>,
    /// Opened messages that are not in the store yet.
    pub opened_messages: Arc<OpenedQueue>,
    /// Templates whose opens are counted.
    templates: Vec<String>,
    /// Locked while names of sites, audit entries and opened messages are written.
    write_lock: Mutex<()>,
    withdrawn: Arc<WithdrawnGrants>,
    withdrawal_days: DigestDays,
    sign_outs: SignOuts,
    /// Outage of everything that is polled or written in the background.
    outage: Outage,
    /// The other collectors, which are told of changes.
    cluster: Option<Arc<Cluster>>,
}

impl Registry {
    /// Starts with the copy on disk from the last run. `dir` is the journal's folder, `templates`
    /// the counted mail templates, `inherited` what the process before had not stored.
    pub fn open(
        directory: Arc<SiteDirectory>,
        shards: Arc<StoreShards>,
        dir: &Path,
        templates: Vec<String>,
        withdrawn: Arc<WithdrawnGrants>,
        cluster: Option<Arc<Cluster>>,
        inherited: InheritedQueues,
    ) -> Registry {
        let has_names = (0..shards.shard_count())
            .map(|shard| AtomicBool::new(shard == 0))
            .collect();
        let copy = Arc::new(RegistryCopy::new(dir.join("registry.json")));
        changes::read_copy(&copy, &directory);
        let (audit_file, mut audit_entries) = AuditFile::open(dir);
        audit_entries.extend(inherited.audit_entries);
        Registry {
            directory,
            store: shards.first_slot(),
            shards,
            shard_names: std::sync::Mutex::default(),
            has_names,
            entries: Mutex::default(),
            entries_poll: Mutex::default(),
            copy,
            keys: ArcSwapOption::empty(),
            keys_revision: Mutex::default(),
            audit_queue: std::sync::Mutex::new(audit_entries),
            audit_file: Arc::new(audit_file),
            opened_messages: Arc::new(inherited.opened_messages),
            templates,
            write_lock: Mutex::default(),
            withdrawn,
            withdrawal_days: DigestDays::default(),
            sign_outs: SignOuts::in_folder(dir),
            outage: Outage::default(),
            cluster,
        }
    }

    /// Makes a change that is in the store effective at the other collectors, and returns when it
    /// is. Collectors that are not reached read it within seconds.
    ///
    /// # Errors
    ///
    /// 503 `change_unconfirmed`: a collector that is alive did not read it within a second.
    async fn notify_collectors(&self) -> Result<(), Problem> {
        let Some(cluster) = &self.cluster else {
            return Ok(());
        };
        let replies = cluster.call_others(CallKind::Registry, &[]).await;
        let is_read = |reply: &Option<CallBuffer>| {
            reply.as_ref().is_some_and(|reply| reply.as_bytes() == [1])
        };
        if replies.iter().all(is_read) {
            return Ok(());
        }
        tracing::warn!("a collector of the cluster did not confirm a change of the registry");
        let detail = "not every collector of the cluster has read it yet; check, or send it again";
        Err(Problem::change_unconfirmed().with_detail(detail))
    }

    /// Answers the call of another collector that has changed the registry or ended a session.
    pub async fn answer_change(&self) -> CallBuffer {
        let is_read = match self.store.load_full() {
            Some(store) => {
                self.sync_sign_outs(&store).await;
                self.poll_store(&store).await.is_ok()
            }
            None => false,
        };
        let mut reply = CallBuffer::default();
        reply.push_byte(u8::from(is_read));
        reply
    }

    /// The store, or its first shard.
    ///
    /// # Errors
    ///
    /// 503 `store_unavailable` until it is open.
    fn require_store(&self) -> Result<Arc<Store>, Problem> {
        self.store
            .load_full()
            .ok_or_else(validation::store_unavailable)
    }

    /// The shard that holds a site.
    ///
    /// # Errors
    ///
    /// 503 `store_unavailable` until it is open.
    fn require_shard(&self, site: SiteId) -> Result<Arc<Store>, Problem> {
        self.shards
            .find_owner(site)
            .ok_or_else(validation::store_unavailable)
    }

    /// Polls for changes, and writes what is queued, for as long as the collector runs.
    pub async fn poll_changes(self: Arc<Self>, every: Duration) {
        // A shard that hangs must not hold up the rest.
        tokio::join!(
            self.poll_registry(every),
            self.poll_complete_reads(every),
            self.poll_shards(every)
        );
    }

    /// Reads the whole registry again where that is due, beside the polls for changes.
    async fn poll_complete_reads(&self, every: Duration) {
        let mut tick = tokio::time::interval(every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if let Some(store) = self.store.load_full()
                && let Err(error) = self.repeat_complete_read(&store).await
            {
                self.record_failure(
                    &error,
                    "the registry cannot be read; the last state stays in force",
                );
            }
        }
    }

    /// Gives each shard the names of its sites.
    async fn poll_shards(&self, every: Duration) {
        if self.shards.shard_count() == 1 {
            return;
        }
        let mut tick = tokio::time::interval(every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            self.write_shard_names().await;
            if let Some(store) = self.store.load_full() {
                self.copy_shard_names(&store).await;
            }
        }
    }

    async fn poll_registry(&self, every: Duration) {
        let mut tick = tokio::time::interval(every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                // Immediately, without the rest: the next hit of a visitor who withdrew may reach
                // another collector.
                () = self.withdrawn.wait_for_unsent() => {
                    if let Some(store) = self.store.load_full() {
                        self.sync_withdrawals(&store).await;
                    }
                    continue;
                }
                () = self.sign_outs.sessions.wait_for_unsent() => {
                    if let Some(store) = self.store.load_full() {
                        self.sync_sign_outs(&store).await;
                    }
                    continue;
                }
            }
            let Some(store) = self.store.load_full() else {
                // Without the store's first read, tokens and share links are not accepted.
                tick.reset_after(every.min(STORE_POLL_INTERVAL));
                continue;
            };
            self.sync_withdrawals(&store).await;
            self.sync_sign_outs(&store).await;
            self.write_site_names(&store).await;
            self.write_audit_queue(&store).await;
            self.write_opened_messages(&store).await;
            match self.poll_store(&store).await {
                Ok(()) => self.record_success(),
                Err(error) => self.record_failure(
                    &error,
                    "the registry cannot be read; the last state stays in force",
                ),
            }
        }
    }

    async fn poll_store(&self, store: &Store) -> Result<(), StoreError> {
        self.refresh_keys(store, &mut *self.keys_revision.lock().await)
            .await?;
        self.poll_entries(store).await
    }

    /// Logs one line per outage, not one per attempt.
    fn record_failure(&self, error: &StoreError, what: &'static str) {
        if self.outage.record_failure_reason(&error.reason()) {
            tracing::warn!(%error, "{what}; will retry every few seconds");
        }
    }

    fn record_success(&self) {
        if let Some(failures) = self.outage.record_success() {
            tracing::info!(failures, "the registry is read and written again");
        }
    }

    /// Stores the names of new sites. While the store is away they stay queued; after a crash, the
    /// site's next hit queues its name again.
    async fn write_site_names(&self, store: &Store) {
        let _alone = self.write_lock.lock().await;
        loop {
            let fresh = self.directory.site_names().oldest_unstored(MAX_NAME_BATCH);
            if fresh.is_empty() {
                return;
            }
            // Removed only once they are stored, so that a cancelled call does not lose them.
            match store.insert_site_names(&fresh).await {
                Ok(clashes) => clashes.iter().for_each(|site: &SiteId| {
                    tracing::error!(%site, "two names have the same site id; the counts of both \
                        are mixed");
                }),
                Err(error) => {
                    self.record_failure(&error, "the names of new sites cannot be stored");
                    return;
                }
            }
            self.directory.site_names().remove_stored(&fresh);
            if self.shards.shard_count() > 1 {
                let of_others = |(site, _): &(SiteId, String)| self.owner_of(*site) > 0;
                let mut names = self.lock_shard_names();
                names.extend(fresh.into_iter().filter(of_others));
            }
        }
    }

    /// Stores the names of new sites on their own shards, whose retention looks names up. Names for
    /// a shard that is away stay queued.
    async fn write_shard_names(&self) {
        let mut waiting = std::mem::take(&mut *self.lock_shard_names());
        if waiting.is_empty() {
            return;
        }
        waiting.sort_by_key(|(site, _)| self.owner_of(*site));
        let of_shards =
            waiting.chunk_by(|(one, _), (other, _)| self.owner_of(*one) == self.owner_of(*other));
        let writes = of_shards.map(async |names| {
            let Some(store) = self.shards.find_owner(names[0].0) else {
                return names;
            };
            for batch in names.chunks(MAX_NAME_BATCH) {
                if let Err(error) = store.insert_known_names(batch).await {
                    self.record_failure(&error, "the names of new sites cannot be stored");
                    return names;
                }
            }
            &names[..0]
        });
        let unwritten = futures_util::future::join_all(writes).await;
        self.lock_shard_names()
            .extend(unwritten.into_iter().flatten().cloned());
    }

    /// Once after the start, copies names that a shard lacks: it may have been away when they were
    /// new, until the collector was stopped.
    async fn copy_shard_names(&self, first: &Store) {
        for (shard, has_names) in self.has_names.iter().enumerate() {
            let Some(store) = self.shards.slot(shard).load_full() else {
                continue;
            };
            if has_names.load(Ordering::Relaxed) {
                continue;
            }
            match copy_names(first, &store).await {
                Ok(()) => has_names.store(true, Ordering::Relaxed),
                Err(error) => self
                    .record_failure(&error, "the names of sites cannot be copied to their shard"),
            }
        }
    }

    fn owner_of(&self, site: SiteId) -> usize {
        ShardPlace::owner_of(site, self.shards.shard_count())
    }

    fn lock_shard_names(&self) -> std::sync::MutexGuard<'_, Vec<(SiteId, String)>> {
        self.shard_names
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Copies the names of a shard's sites from the first shard, unless it has as many.
async fn copy_names(first: &Store, shard: &Store) -> Result<(), StoreError> {
    let place = shard.shard();
    if first.count_shard_names(place).await? <= shard.count_shard_names(place).await? {
        return Ok(());
    }
    let mut after = String::new();
    loop {
        let names = first
            .read_shard_names(place, &after, MAX_NAME_BATCH)
            .await?;
        let Some((_, last)) = names.last() else {
            return Ok(());
        };
        after.clone_from(last);
        shard.insert_known_names(&names).await?;
    }
}
