//! The registry: sites, hosts and aliases that are registered while the collector runs, in addition
//! to those in the configuration.
//!
//! It is kept in the store, shared by all collectors of a database. Each collector reads it into
//! memory and polls for changes every few seconds. A copy is kept in the journal's folder, so that
//! hits of a registered site count from the start, even without the store. Withdrawals of consent
//! are shared the same way.

mod erasure;
mod keys;
mod messages;
mod snapshot;
mod validation;
mod voids;
mod withdrawals;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;

use crate::access::{AuditEntry, CredentialIndex};
use crate::config::{AliasRule, SiteRule};
use crate::consent::WithdrawnGrants;
use crate::event::Problem;
use crate::mail::OpenedQueue;
use crate::outage::Outage;
use crate::sites::SiteDirectory;
use crate::store::{Store, StoreError};

/// Polling interval until the store is reached for the first time.
const STORE_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The registry as last read by this collector, and the queue of what it has to write.
pub struct Registry {
    /// Sites and hosts in force, from configuration and registry.
    pub directory: Arc<SiteDirectory>,
    store: Arc<ArcSwapOption<Store>>,
    snapshot_path: PathBuf,
    keys: ArcSwapOption<CredentialIndex>,
    /// Revisions read last. Locked while reading or writing: one change at a time.
    revisions: Mutex<RegistryRevisions>,
    /// Audit entries that are not in the store yet.
    audit_queue: std::sync::Mutex<Vec<AuditEntry>>,
    /// Opened messages that are not in the store yet.
    pub opened_messages: Arc<OpenedQueue>,
    /// Templates whose opens are counted.
    templates: Vec<String>,
    /// Locked while audit entries and opened messages are written.
    write_lock: Mutex<()>,
    withdrawn: Arc<WithdrawnGrants>,
    /// State of the withdrawals read last. Locked while they are read or written.
    withdrawal_days: Mutex<Option<withdrawals::WithdrawalDays>>,
    /// Outage of everything that is polled or written in the background.
    outage: Outage,
}

/// Revisions read last.
#[derive(Default)]
struct RegistryRevisions {
    sites: Option<u64>,
    keys: Option<u64>,
}

impl Registry {
    /// Starts with the copy on disk from the last run. `dir` is the journal's folder, `templates`
    /// the counted mail templates.
    pub fn open(
        directory: Arc<SiteDirectory>,
        store: Arc<ArcSwapOption<Store>>,
        dir: &Path,
        templates: Vec<String>,
        withdrawn: Arc<WithdrawnGrants>,
    ) -> Registry {
        let snapshot = dir.join("registry.json");
        match snapshot::read_snapshot(&snapshot) {
            Ok(Some(registered)) => _ = directory.replace_registered(registered),
            Ok(None) => {}
            Err(error) => {
                let path = snapshot.display();
                tracing::warn!(%path, error, "the copy of the registry cannot be read; its sites \
                    count once the store can be reached");
            }
        }
        Registry {
            directory,
            store,
            snapshot_path: snapshot,
            keys: ArcSwapOption::empty(),
            revisions: Mutex::default(),
            audit_queue: std::sync::Mutex::default(),
            opened_messages: Arc::default(),
            templates,
            write_lock: Mutex::default(),
            withdrawn,
            withdrawal_days: Mutex::default(),
            outage: Outage::default(),
        }
    }

    /// Polls for changes, and writes what is queued, for as long as the collector runs.
    pub async fn poll_changes(self: Arc<Self>, every: Duration) {
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
            }
            let Some(store) = self.store.load_full() else {
                // Without the store's first read, tokens and share links are not accepted.
                tick.reset_after(every.min(STORE_POLL_INTERVAL));
                continue;
            };
            self.sync_withdrawals(&store).await;
            self.write_site_names(&store).await;
            self.write_audit_queue(&store).await;
            self.write_opened_messages(&store).await;
            match self
                .refresh_all(&store, &mut *self.revisions.lock().await)
                .await
            {
                Ok(()) => self.record_success(),
                Err(error) => self.record_failure(
                    &error,
                    "the registry cannot be read; the last state stays in force",
                ),
            }
        }
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
        let fresh = self.directory.site_names().take_unstored();
        if fresh.is_empty() {
            return;
        }
        match store.insert_site_names(&fresh).await {
            Ok(clashes) => clashes.iter().for_each(|site| {
                tracing::error!(%site, "two names have the same site id; the counts of both are \
                    mixed");
            }),
            Err(error) => {
                self.record_failure(&error, "the names of new sites cannot be stored");
                self.directory.site_names().requeue_names(fresh);
            }
        }
    }

    /// Registers a site, or replaces its rule.
    ///
    /// # Errors
    ///
    /// 400 `bad_value` for a malformed rule, 409 `taken` if a name, id or host belongs to another
    /// site or the zone changes, 503 `store_unavailable` or `change_unconfirmed`.
    pub async fn register_site(&self, by: AuditEntry, rule: SiteRule) -> Result<(), Problem> {
        let fits = |registry: &Registry| validation::check_site(&registry.directory, &rule);
        self.apply_change(by, fits, async |store| {
            store.insert_site(&rule, false).await
        })
        .await
    }

    /// Removes a registered site. Its counts stay; hits of its hosts no longer count.
    ///
    /// # Errors
    ///
    /// 404 `unknown_site` if it is not registered, 503 `store_unavailable` or `change_unconfirmed`.
    pub async fn remove_site(&self, by: AuditEntry, name: &str) -> Result<(), Problem> {
        let gone = SiteRule {
            id: name.to_owned(),
            hosts: Vec::new(),
            zone: "UTC".to_owned(),
            embed: Vec::new(),
            max_amount: None,
            keep_days: None,
        };
        let known = |registry: &Registry| validation::require_site(&registry.directory, name);
        self.apply_change(by, known, async |store| {
            store.insert_site(&gone, true).await
        })
        .await
    }

    /// Registers another name of a site, or moves it to another site.
    ///
    /// # Errors
    ///
    /// 400 `bad_value` for a malformed rule, 404 `unknown_site`, 409 `taken` if the alias is a site
    /// or has aliases itself, 503 `store_unavailable` or `change_unconfirmed`.
    pub async fn register_alias(&self, by: AuditEntry, rule: AliasRule) -> Result<(), Problem> {
        let fits = |registry: &Registry| validation::check_alias(&registry.directory, &rule);
        self.apply_change(by, fits, async |store| {
            store.insert_alias(&rule, false).await
        })
        .await
    }

    /// Removes an alias.
    ///
    /// # Errors
    ///
    /// 404 `unknown_site` if it is not registered, 503 `store_unavailable` or `change_unconfirmed`.
    pub async fn remove_alias(&self, by: AuditEntry, alias: &str) -> Result<(), Problem> {
        let gone = AliasRule {
            alias: alias.to_owned(),
            site: String::new(),
        };
        let known = |registry: &Registry| validation::require_alias(&registry.directory, alias);
        self.apply_change(by, known, async |store| {
            store.insert_alias(&gone, true).await
        })
        .await
    }

    /// Checks a change against the current registry, writes its audit entry, then the change, and
    /// applies it here. Other collectors follow within seconds.
    async fn apply_change(
        &self,
        by: AuditEntry,
        check: impl FnOnce(&Registry) -> Result<(), Problem>,
        write: impl AsyncFnOnce(&Store) -> Result<(), StoreError>,
    ) -> Result<(), Problem> {
        let store = self
            .store
            .load_full()
            .ok_or_else(validation::store_unavailable)?;
        let mut read = self.revisions.lock().await;
        self.refresh_all(&store, &mut read)
            .await
            .map_err(validation::store_problem)?;
        check(self)?;
        store
            .insert_audit_entries(&[by])
            .await
            .map_err(validation::store_problem)?;
        write(&store)
            .await
            .map_err(validation::unconfirmed_problem)?;
        self.refresh_all(&store, &mut read)
            .await
            .map_err(validation::unconfirmed_problem)
    }

    async fn refresh_all(
        &self,
        store: &Store,
        read: &mut RegistryRevisions,
    ) -> Result<(), StoreError> {
        let revision = store.credentials_revision().await?;
        if read.keys != Some(revision) {
            self.keys
                .store(Some(Arc::new(store.load_credentials().await?)));
            read.keys = Some(revision);
        }
        self.refresh_sites(store, &mut read.sites).await
    }

    async fn refresh_sites(&self, store: &Store, read: &mut Option<u64>) -> Result<(), StoreError> {
        let revision = store.registry_revision().await?;
        if *read == Some(revision) {
            return Ok(());
        }
        let registered = store.load_registered_sites().await?;
        if let Err(error) = snapshot::write_snapshot(&self.snapshot_path, &registered) {
            let path = self.snapshot_path.display();
            tracing::warn!(%path, %error, "the copy of the registry cannot be written; a start \
                without the store will lack the last changes");
        }
        self.directory.replace_registered(registered);
        *read = Some(revision);
        Ok(())
    }
}
