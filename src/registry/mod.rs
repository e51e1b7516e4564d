//! Sites, hosts and other names that are registered while the collector runs, beside the rules of its configuration.
//!
//! They live in the store, so that all collectors of a database share them; each reads them into memory and looks for changes every few
//! seconds. A copy lies beside the journal: hits of a registered site count from the first moment of a start, and with the store away.

mod rules;
mod snapshot;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Mutex;

use crate::config::{AliasRule, Directory, SiteRule};
use crate::event::Problem;
use crate::store::{Store, StoreError};

pub struct Registry {
    pub directory: Arc<Directory>,
    store: Arc<ArcSwapOption<Store>>,
    snapshot: PathBuf,
    /// The revision that was read last. Held while reading or writing: one change at a time.
    read: Mutex<Option<u64>>,
}

impl Registry {
    /// Takes what the last run knew. `dir` is the journal's.
    pub fn open(directory: Arc<Directory>, store: Arc<ArcSwapOption<Store>>, dir: &Path) -> Registry {
        let snapshot = dir.join("registry.json");
        match snapshot::read(&snapshot) {
            Ok(Some(registered)) => _ = directory.take(registered),
            Ok(None) => {}
            Err(error) => {
                let path = snapshot.display();
                tracing::warn!(%path, error, "the copy of the registry cannot be read; its sites count once the store is there");
            }
        }
        Registry { directory, store, snapshot, read: Mutex::new(None) }
    }

    /// Looks for changes for as long as the collector runs.
    pub async fn follow(self: Arc<Self>, every: Duration) {
        let mut tick = tokio::time::interval(every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let Some(store) = self.store.load_full() else { continue };
            self.keep_names(&store).await;
            if let Err(error) = self.refresh(&store, &mut *self.read.lock().await).await {
                tracing::warn!(%error, "the registry cannot be read; what was read before stays in force");
            }
        }
    }

    /// What newly counted sites are called. With the store away they wait in memory; after a crash the site's next hit tells again.
    async fn keep_names(&self, store: &Store) {
        let fresh = self.directory.names().take();
        if let (false, Err(error)) = (fresh.is_empty(), store.put_names(&fresh).await) {
            tracing::warn!(%error, "the names of new sites could not be kept; it is tried again");
            self.directory.names().put_back(fresh);
        }
    }

    pub async fn put_site(&self, rule: SiteRule) -> Result<(), Problem> {
        self.change(|directory| rules::site(directory, &rule), async |store| store.put_site(&rule, false).await).await
    }

    /// The site's counts stay; its hosts are counted no more.
    pub async fn remove_site(&self, name: &str) -> Result<(), Problem> {
        let gone = SiteRule { id: name.to_owned(), hosts: Vec::new(), zone: "UTC".to_owned() };
        let known = |directory: &Directory| rules::registered_site(directory, name);
        self.change(known, async |store| store.put_site(&gone, true).await).await
    }

    pub async fn put_alias(&self, rule: AliasRule) -> Result<(), Problem> {
        self.change(|directory| rules::alias(directory, &rule), async |store| store.put_alias(&rule, false).await).await
    }

    pub async fn remove_alias(&self, alias: &str) -> Result<(), Problem> {
        let gone = AliasRule { alias: alias.to_owned(), site: String::new() };
        let known = |directory: &Directory| rules::registered_alias(directory, alias);
        self.change(known, async |store| store.put_alias(&gone, true).await).await
    }

    /// Checks against what is registered now, writes, and puts it in force here; other collectors follow within seconds.
    async fn change(
        &self,
        check: impl FnOnce(&Directory) -> Result<(), Problem>,
        write: impl AsyncFnOnce(&Store) -> Result<(), StoreError>,
    ) -> Result<(), Problem> {
        let away = |error: StoreError| {
            tracing::error!(%error, "the registry was not changed");
            rules::no_store()
        };
        let store = self.store.load_full().ok_or_else(rules::no_store)?;
        let mut read = self.read.lock().await;
        self.refresh(&store, &mut read).await.map_err(away)?;
        check(&self.directory)?;
        write(&store).await.map_err(away)?;
        self.refresh(&store, &mut read).await.map_err(away)
    }

    async fn refresh(&self, store: &Store, read: &mut Option<u64>) -> Result<(), StoreError> {
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
