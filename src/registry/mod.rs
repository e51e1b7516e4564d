//! The registry: sites, hosts and aliases that are registered while the collector runs, in addition
//! to those in the configuration.
//!
//! It is kept in the store, shared by all collectors of a database. Each collector reads it into
//! memory and polls for changes every few seconds. A copy lies beside the journal, so that hits of
//! a registered site count from the start, even without the store. Withdrawals of consent are
//! shared the same way.

mod keys;
mod messages;
mod rules;
mod snapshot;
mod voids;
mod withdrawals;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;

use crate::access::{Entry, Keys};
use crate::config::{AliasRule, Directory, SiteRule};
use crate::consent::Withdrawn;
use crate::event::Problem;
use crate::mail::Opened;
use crate::outage::Outage;
use crate::store::{Store, StoreError};

/// Polling interval until the store is there for the first time.
const UNTIL_THERE: Duration = Duration::from_millis(100);

/// The registry as this collector knows it, and the queue of what it has to write.
pub struct Registry {
    /// Sites and hosts in force, from configuration and registry.
    pub directory: Arc<Directory>,
    store: Arc<ArcSwapOption<Store>>,
    snapshot: PathBuf,
    keys: ArcSwapOption<Keys>,
    /// Revisions read last. Locked while reading or writing: one change at a time.
    read: Mutex<Revisions>,
    /// Audit entries that are not in the store yet.
    waiting: std::sync::Mutex<Vec<Entry>>,
    /// Opened messages that are not in the store yet.
    pub opened: Arc<Opened>,
    /// Templates whose opens are counted.
    templates: Vec<String>,
    /// Locked while audit entries and opened messages are written.
    keeping: Mutex<()>,
    withdrawn: Arc<Withdrawn>,
    /// State of the withdrawals read last. Locked while they are read or written.
    withdrawals: Mutex<Option<withdrawals::Days>>,
    /// Outage of everything that is polled or written in the background.
    away: Outage,
}

/// Revisions read last.
#[derive(Default)]
struct Revisions {
    sites: Option<u64>,
    keys: Option<u64>,
}

impl Registry {
    /// Starts with the copy that the last run left. `dir` is the journal's folder, `templates` the
    /// counted mail templates.
    pub fn open(
        directory: Arc<Directory>,
        store: Arc<ArcSwapOption<Store>>,
        dir: &Path,
        templates: Vec<String>,
        withdrawn: Arc<Withdrawn>,
    ) -> Registry {
        let snapshot = dir.join("registry.json");
        match snapshot::read(&snapshot) {
            Ok(Some(registered)) => _ = directory.take(registered),
            Ok(None) => {}
            Err(error) => {
                let path = snapshot.display();
                tracing::warn!(%path, error, "the copy of the registry cannot be read; its sites count once the store is there");
            }
        }
        Registry {
            directory,
            store,
            snapshot,
            keys: ArcSwapOption::empty(),
            read: Mutex::default(),
            waiting: std::sync::Mutex::default(),
            opened: Arc::default(),
            templates,
            keeping: Mutex::default(),
            withdrawn,
            withdrawals: Mutex::default(),
            away: Outage::default(),
        }
    }

    /// Polls for changes, and writes what is queued, for as long as the collector runs.
    pub async fn follow(self: Arc<Self>, every: Duration) {
        let mut tick = tokio::time::interval(every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                // Immediately, without the rest: the next hit of a visitor who withdrew may reach
                // another collector.
                () = self.withdrawn.noted() => {
                    if let Some(store) = self.store.load_full() {
                        self.follow_withdrawals(&store).await;
                    }
                    continue;
                }
            }
            let Some(store) = self.store.load_full() else {
                // Without the store's first read, tokens and share links are not accepted.
                tick.reset_after(every.min(UNTIL_THERE));
                continue;
            };
            self.follow_withdrawals(&store).await;
            self.keep_names(&store).await;
            self.keep_waiting(&store).await;
            self.keep_opened(&store).await;
            match self.refresh(&store, &mut *self.read.lock().await).await {
                Ok(()) => self.note_works(),
                Err(error) => {
                    self.note_failure(&error, "the registry cannot be read; what was read before stays in force")
                }
            }
        }
    }

    /// Logs one line per outage, however long the store is away.
    fn note_failure(&self, error: &StoreError, what: &'static str) {
        if self.away.begins() {
            tracing::warn!(%error, "{what}; it is tried again every few seconds");
        }
    }

    fn note_works(&self) {
        if let Some(failures) = self.away.is_over() {
            tracing::info!(failures, "the registry is read and written again");
        }
    }

    /// Stores the names of new sites. While the store is away they stay queued; after a crash, the
    /// site's next hit queues its name again.
    async fn keep_names(&self, store: &Store) {
        let fresh = self.directory.names().take();
        if fresh.is_empty() {
            return;
        }
        match store.put_names(&fresh).await {
            Ok(clashes) => clashes.iter().for_each(|site| {
                tracing::error!(%site, "two names have the id of one site; what is counted under it belongs to neither alone");
            }),
            Err(error) => {
                self.note_failure(&error, "the names of new sites cannot be kept");
                self.directory.names().put_back(fresh);
            }
        }
    }

    /// Registers a site, or replaces its rule.
    ///
    /// # Errors
    ///
    /// 400 `bad_value` for a malformed rule, 409 `taken` if a name, id or host belongs to another
    /// site or the zone changes, 503 `store_unavailable`.
    pub async fn put_site(&self, by: Entry, rule: SiteRule) -> Result<(), Problem> {
        let fits = |registry: &Registry| rules::site(&registry.directory, &rule);
        self.change(by, fits, async |store| store.put_site(&rule, false).await).await
    }

    /// Removes a registered site. Its counts stay; hits of its hosts no longer count.
    ///
    /// # Errors
    ///
    /// 404 `unknown_site` if it is not registered, 503 `store_unavailable`.
    pub async fn remove_site(&self, by: Entry, name: &str) -> Result<(), Problem> {
        let gone = SiteRule {
            id: name.to_owned(),
            hosts: Vec::new(),
            zone: "UTC".to_owned(),
            embed: Vec::new(),
            max_amount: None,
        };
        let known = |registry: &Registry| rules::registered_site(&registry.directory, name);
        self.change(by, known, async |store| store.put_site(&gone, true).await).await
    }

    /// Registers another name of a site, or moves it to another site.
    ///
    /// # Errors
    ///
    /// 400 `bad_value` for a malformed rule, 404 `unknown_site`, 409 `taken` if the alias is a site
    /// or has aliases itself, 503 `store_unavailable`.
    pub async fn put_alias(&self, by: Entry, rule: AliasRule) -> Result<(), Problem> {
        let fits = |registry: &Registry| rules::alias(&registry.directory, &rule);
        self.change(by, fits, async |store| store.put_alias(&rule, false).await).await
    }

    /// Removes an alias.
    ///
    /// # Errors
    ///
    /// 404 `unknown_site` if it is not registered, 503 `store_unavailable`.
    pub async fn remove_alias(&self, by: Entry, alias: &str) -> Result<(), Problem> {
        let gone = AliasRule { alias: alias.to_owned(), site: String::new() };
        let known = |registry: &Registry| rules::registered_alias(&registry.directory, alias);
        self.change(by, known, async |store| store.put_alias(&gone, true).await).await
    }

    /// Checks a change against the current registry, writes its audit entry, then the change, and
    /// applies it here. Other collectors follow within seconds.
    async fn change(
        &self,
        by: Entry,
        check: impl FnOnce(&Registry) -> Result<(), Problem>,
        write: impl AsyncFnOnce(&Store) -> Result<(), StoreError>,
    ) -> Result<(), Problem> {
        let store = self.store.load_full().ok_or_else(rules::no_store)?;
        let mut read = self.read.lock().await;
        self.refresh(&store, &mut read).await.map_err(rules::away)?;
        check(self)?;
        store.put_audit(&[by]).await.map_err(rules::away)?;
        write(&store).await.map_err(rules::away)?;
        self.refresh(&store, &mut read).await.map_err(rules::away)
    }

    async fn refresh(&self, store: &Store, read: &mut Revisions) -> Result<(), StoreError> {
        let revision = store.keys_revision().await?;
        if read.keys != Some(revision) {
            self.keys.store(Some(Arc::new(store.keys().await?)));
            read.keys = Some(revision);
        }
        self.refresh_sites(store, &mut read.sites).await
    }

    async fn refresh_sites(&self, store: &Store, read: &mut Option<u64>) -> Result<(), StoreError> {
        let revision = store.registry_revision().await?;
        if *read == Some(revision) {
            return Ok(());
        }
        let registered = store.registered().await?;
        if let Err(error) = snapshot::write(&self.snapshot, &registered) {
            let path = self.snapshot.display();
            tracing::warn!(%path, %error, "the copy of the registry cannot be written; a start without the store will not know the last changes");
        }
        self.directory.take(registered);
        *read = Some(revision);
        Ok(())
    }
}
