//! Sites, hosts and other names that are registered while the collector runs, beside the rules of its configuration.
//!
//! They live in the store, so that all collectors of a database share them; each reads them into memory and looks for changes every few
//! seconds. A copy lies beside the journal: hits of a registered site count from the first moment of a start, and with the store away.
//! Withdrawals of consent go the same way.

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

/// How often a start looks whether the store is there.
const UNTIL_THERE: Duration = Duration::from_millis(100);

pub struct Registry {
    pub directory: Arc<Directory>,
    store: Arc<ArcSwapOption<Store>>,
    snapshot: PathBuf,
    keys: ArcSwapOption<Keys>,
    /// Held while reading or writing: one change at a time.
    read: Mutex<Revisions>,
    /// Entries of the audit log that are not in the store yet.
    waiting: std::sync::Mutex<Vec<Entry>>,
    /// Messages that were opened and are not in the store yet.
    pub opened: Arc<Opened>,
    /// The mails whose openings are counted.
    templates: Vec<String>,
    /// Held while those are written.
    keeping: Mutex<()>,
    withdrawn: Arc<Withdrawn>,
    /// What was read last of the withdrawals; held while they are read or told.
    withdrawals: Mutex<Option<withdrawals::Days>>,
    /// Of everything that is read and written here by itself.
    away: Outage,
}

/// What was read last.
#[derive(Default)]
struct Revisions {
    sites: Option<u64>,
    keys: Option<u64>,
}

impl Registry {
    /// Takes what the last run knew. `dir` is the journal's, `templates` are the mails that are counted.
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

    /// Looks for changes for as long as the collector runs.
    pub async fn follow(self: Arc<Self>, every: Duration) {
        let mut tick = tokio::time::interval(every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                // At once, and nothing else: the next hit of who has withdrawn may come to another collector.
                () = self.withdrawn.noted() => {
                    if let Some(store) = self.store.load_full() {
                        self.follow_withdrawals(&store).await;
                    }
                    continue;
                }
            }
            let Some(store) = self.store.load_full() else {
                // Tokens and share links open nothing until the store was read.
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

    /// One line for all that is tried here every few seconds, however long the store is away.
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

    /// What newly counted sites are called. With the store away they wait in memory; after a crash the site's next hit tells again.
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

    pub async fn put_site(&self, by: Entry, rule: SiteRule) -> Result<(), Problem> {
        let fits = |registry: &Registry| rules::site(&registry.directory, &rule);
        self.change(by, fits, async |store| store.put_site(&rule, false).await).await
    }

    /// The site's counts stay; its hosts are counted no more.
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

    pub async fn put_alias(&self, by: Entry, rule: AliasRule) -> Result<(), Problem> {
        let fits = |registry: &Registry| rules::alias(&registry.directory, &rule);
        self.change(by, fits, async |store| store.put_alias(&rule, false).await).await
    }

    pub async fn remove_alias(&self, by: Entry, alias: &str) -> Result<(), Problem> {
        let gone = AliasRule { alias: alias.to_owned(), site: String::new() };
        let known = |registry: &Registry| rules::registered_alias(&registry.directory, alias);
        self.change(by, known, async |store| store.put_alias(&gone, true).await).await
    }

    /// Checks against what is registered now, puts the change on record, writes it, and puts it in force here; other collectors follow
    /// within seconds.
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
