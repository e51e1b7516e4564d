//! Reads and changes the registry's sites and aliases.
//!
//! The first read after a start is complete, in pages. From then on only rows with a higher
//! revision than those read last are read.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::snapshot::RegistryCopy;
use super::{Registry, validation};
use crate::access::AuditEntry;
use crate::config::{AliasRule, RegistryChange, SiteRule};
use crate::event::Problem;
use crate::sites::SiteDirectory;
use crate::store::{RegistryRevisions, Store, StoreError};

/// How long a row may take from getting its revision until it can be read. Rows of other collectors
/// with higher revisions may become visible before it, so for this time after a change, polls read
/// the rows of this time before it again.
const MAX_INSERT_TIME: Duration = Duration::from_secs(60);

/// A revision that was asked for longer ago is asked for again: another collector's change may have
/// been confirmed since, and must not hold against this one.
const MAX_REVISION_AGE: Duration = Duration::from_secs(1);

/// State of the sites and aliases read last.
#[derive(Default)]
pub(super) struct EntriesState {
    /// `None` until they were read from the store.
    revisions: Option<RegistryRevisions>,
    /// The same, also while a complete read is due.
    read_revisions: RegistryRevisions,
    /// When they last grew, until the rows of that time were read again.
    grown_at: Option<Instant>,
    /// When everything is read again, after changes that were too many to be read again by each
    /// poll.
    pub(super) complete_read_at: Option<Instant>,
    /// How often entries without a row in the store were removed.
    pub(super) erasures: u64,
    /// While rows are read without the lock: what was changed since.
    changed: Option<ChangedEntries>,
}

/// Entries that must not be overwritten by rows that were read before.
#[derive(Default)]
struct ChangedEntries {
    names: HashSet<String>,
    /// Whether all were read again.
    is_all: bool,
}

impl EntriesState {
    pub(super) fn set_revisions(&mut self, revisions: RegistryRevisions) {
        if self.read_revisions != revisions {
            self.read_revisions = revisions;
            self.grown_at = Some(Instant::now());
        }
        self.revisions = Some(revisions);
    }

    fn note_changed<'n>(&mut self, names: impl Iterator<Item = &'n str>) {
        if let Some(changed) = &mut self.changed {
            changed.names.extend(names.map(str::to_owned));
        }
    }

    pub(super) fn note_all_changed(&mut self) {
        if let Some(changed) = &mut self.changed {
            changed.is_all = true;
        }
    }
}

/// Reads the copy on disk, and makes its entries those of the directory.
pub(super) fn read_copy(copy: &RegistryCopy, directory: &SiteDirectory) {
    match copy.read_entries(&directory.time_zones()) {
        Ok(Some(entries)) => directory.replace_entries(entries),
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(
                path = %copy.path().display(),
                error,
                "the copy of the registry cannot be read; its sites count once the store can be \
                 reached"
            );
        }
    }
}

impl Registry {
    /// Registers a site, or replaces its rule.
    ///
    /// # Errors
    ///
    /// 400 `bad_value` for a malformed rule, 409 `taken` if a name, id or host belongs to another
    /// site or the zone changes, 503 `store_unavailable` or `change_unconfirmed`.
    pub async fn register_site(&self, by: AuditEntry, rule: SiteRule) -> Result<(), Problem> {
        let fits = |directory: &SiteDirectory| validation::check_site(directory, &rule);
        let change = |next: RegistryRevisions| RegistryChange::Site {
            rule: rule.clone(),
            revision: next.sites,
        };
        self.change_entries(by, fits, change).await
    }

    /// Removes a registered site. Its counts stay; hits of its hosts no longer count.
    ///
    /// # Errors
    ///
    /// 404 `unknown_site` if it is not registered, 503 `store_unavailable` or `change_unconfirmed`.
    pub async fn remove_site(&self, by: AuditEntry, name: &str) -> Result<(), Problem> {
        let known = |directory: &SiteDirectory| validation::require_site(directory, name);
        let change = |next: RegistryRevisions| RegistryChange::RemovedSite {
            name: name.to_owned(),
            revision: next.sites,
        };
        self.change_entries(by, known, change).await
    }

    /// Registers another name of a site, or moves it to another site.
    ///
    /// # Errors
    ///
    /// 400 `bad_value` for a malformed rule, 404 `unknown_site`, 409 `taken` if the alias is a site
    /// or has aliases itself, 503 `store_unavailable` or `change_unconfirmed`.
    pub async fn register_alias(&self, by: AuditEntry, rule: AliasRule) -> Result<(), Problem> {
        let fits = |directory: &SiteDirectory| validation::check_alias(directory, &rule);
        let change = |next: RegistryRevisions| RegistryChange::Alias {
            rule: rule.clone(),
            revision: next.aliases,
        };
        self.change_entries(by, fits, change).await
    }

    /// Removes an alias.
    ///
    /// # Errors
    ///
    /// 404 `unknown_site` if it is not registered, 503 `store_unavailable` or `change_unconfirmed`.
    pub async fn remove_alias(&self, by: AuditEntry, alias: &str) -> Result<(), Problem> {
        let known = |directory: &SiteDirectory| validation::require_alias(directory, alias);
        let change = |next: RegistryRevisions| RegistryChange::RemovedAlias {
            alias: alias.to_owned(),
            revision: next.aliases,
        };
        self.change_entries(by, known, change).await
    }

    /// Checks a change against the current entries, writes its audit entry, then the change, and
    /// applies it here and at the other collectors of the cluster. Those of no cluster follow
    /// within seconds.
    async fn change_entries(
        &self,
        by: AuditEntry,
        check: impl Fn(&SiteDirectory) -> Result<(), Problem>,
        change: impl FnOnce(RegistryRevisions) -> RegistryChange,
    ) -> Result<(), Problem> {
        let store = self.require_store()?;
        let by = [by];
        let mut state = self.entries.lock().await;
        let (known, is_first_read) = match state.revisions {
            Some(known) => (known, false),
            None => (RegistryRevisions::default(), true),
        };

        // The entries known so far nearly always tell: the audit entry is written while the latest
        // are read. If those do not allow the change, it is the entry of an attempt.
        let began = Instant::now();
        let is_likely = check(&self.directory).is_ok();
        let audit_early = async {
            match is_likely {
                true => store.insert_audit_entries(&by).await,
                false => Ok(()),
            }
        };
        let (refreshed, next, audited) = tokio::join!(
            self.refresh_entries(&store, &mut state),
            store.next_registry_revisions(known),
            audit_early,
        );
        refreshed.map_err(validation::store_problem)?;
        check(&self.directory)?;
        audited.map_err(validation::store_problem)?;
        if !is_likely {
            let audited = store.insert_audit_entries(&by).await;
            audited.map_err(validation::store_problem)?;
        }

        let mut next = next.map_err(validation::store_problem)?;
        if is_first_read || began.elapsed() > MAX_REVISION_AGE {
            let newer = store.next_registry_revisions(known).await;
            next = newer.map_err(validation::store_problem)?;
        }
        // Not below what was read meanwhile.
        let change = change(next.max(state.revisions.unwrap_or_default().next()));
        store
            .insert_registry_change(&change)
            .await
            .map_err(validation::unconfirmed_problem)?;
        // The next read begins at the revisions of the last one: a row of another collector may
        // have a lower one than this, and not be visible yet.
        self.apply_changes(&mut state, vec![change]).await;
        // Another collector may change something at this moment, and wait for this one.
        drop(state);
        self.notify_collectors().await
    }

    /// Reads what other collectors changed. Changes by this one wait only for the rows that are new.
    pub(super) async fn poll_entries(&self, store: &Store) -> Result<(), StoreError> {
        let _one_at_a_time = self.entries_poll.lock().await;
        let known = self.entries.lock().await.revisions;
        let stored = store.registry_revisions().await?;
        let mut state = self.entries.lock().await;
        if known.is_some_and(|known| stored.is_below(known)) {
            // Rows were removed, as by a restored backup.
            state.revisions = None;
        }
        if state.revisions != Some(stored) {
            self.refresh_entries(store, &mut state).await?;
        }
        drop(state);

        while !self.repeat_changes(store).await? {}
        Ok(())
    }

    /// Reads the rows again that may have become visible after rows with higher revisions. `false`
    /// if all entries were read meanwhile, so that this must be repeated.
    async fn repeat_changes(&self, store: &Store) -> Result<bool, StoreError> {
        let began = Instant::now();
        let mut state = self.entries.lock().await;
        let Some((known, grown_at)) = state.revisions.zip(state.grown_at) else {
            return Ok(true);
        };
        if state.complete_read_at.is_some() {
            return Ok(true);
        }
        state.changed = Some(ChangedEntries::default());
        drop(state);

        let read = store
            .read_registry_changes(known.before_time(MAX_INSERT_TIME))
            .await;
        let mut state = self.entries.lock().await;
        let changed = state.changed.take().unwrap_or_default();
        let Some(mut changes) = read? else {
            state.complete_read_at = Some(Instant::now() + MAX_INSERT_TIME);
            return Ok(true);
        };
        if changed.is_all {
            return Ok(false);
        }
        changes.retain(|change| !changed.names.contains(change.name()));
        self.apply_entries(&mut state, changes).await;
        if state.grown_at == Some(grown_at) && began - grown_at > MAX_INSERT_TIME {
            state.grown_at = None;
        }
        Ok(true)
    }

    /// Removes entries without a row in the store, from the memory and from the copy on disk.
    pub(super) async fn forget_entries(&self, names: &[String]) -> Result<(), Problem> {
        let mut state = self.entries.lock().await;
        state.erasures += 1;
        state.note_changed(names.iter().map(String::as_str));
        let removals = names.iter().flat_map(|name| {
            [
                RegistryChange::RemovedSite {
                    name: name.clone(),
                    revision: 0,
                },
                RegistryChange::RemovedAlias {
                    alias: name.clone(),
                    revision: 0,
                },
            ]
        });
        self.directory.apply_changes(removals.collect());
        // The lines of former changes would keep the names.
        self.replace_copy().await.map_err(|error| {
            tracing::error!(%error, "the copy of the registry cannot be written");
            Problem::change_unconfirmed()
        })
    }

    /// Reads the rows since the revisions of `state`.
    async fn refresh_entries(
        &self,
        store: &Store,
        state: &mut EntriesState,
    ) -> Result<(), StoreError> {
        let Some(known) = state.revisions else {
            return self.read_all_entries(store, state).await;
        };
        let Some(changes) = store.read_registry_changes(known).await? else {
            return self.read_all_entries(store, state).await;
        };
        self.apply_entries(state, changes).await;
        Ok(())
    }

    async fn apply_entries(&self, state: &mut EntriesState, changes: Vec<RegistryChange>) {
        let known = state.revisions.unwrap_or_default();
        state.set_revisions(known.after_changes(&changes));
        self.apply_changes(state, changes).await;
    }

    async fn apply_changes(&self, state: &mut EntriesState, changes: Vec<RegistryChange>) {
        state.note_changed(changes.iter().map(RegistryChange::name));
        let effective = self.directory.apply_changes(changes);
        if !effective.is_empty() {
            self.store_in_copy(effective).await;
        }
    }

    /// Adds changes to the copy on disk, which are in the directory.
    pub(super) async fn store_in_copy(&self, changes: Vec<RegistryChange>) {
        if !self.append_to_copy(changes).await {
            self.replace_copy_or_log().await;
        } else if self
            .copy
            .is_too_long(self.directory.registered_entries().entry_count())
        {
            // Nothing waits for it.
            tokio::spawn(self.replace_copy_or_log());
        }
    }

    /// Appends changes to the copy on disk. `false` if it must be replaced, because it lacks others.
    pub(super) async fn append_to_copy(&self, changes: Vec<RegistryChange>) -> bool {
        let copy = Arc::clone(&self.copy);
        let appended = run_blocking(move || copy.append_changes(&changes)).await;
        appended.unwrap_or_else(|error| {
            log_copy_error(&error);
            true
        })
    }

    pub(super) fn replace_copy_or_log(&self) -> impl Future<Output = ()> + Send + use<> {
        let (replacing, copy) = (self.replace_copy(), Arc::clone(&self.copy));
        async move {
            if let Err(error) = replacing.await
                && !copy.is_closed()
            {
                log_copy_error(&error);
            }
        }
    }

    /// Replaces the copy on disk by the entries of the directory as they are now, and what is stored
    /// from now on. With a million sites it takes seconds. The caller holds the lock of the entries,
    /// and need not hold it until the end.
    fn replace_copy(&self) -> impl Future<Output = io::Result<()>> + Send + use<> {
        let (copy, zones) = (Arc::clone(&self.copy), Arc::clone(&self.directory));
        let replacement = copy.begin_replacing(self.directory.registered_entries());
        run_blocking(move || copy.finish_replacing(&replacement, &zones.time_zones()))
    }

    /// Writes nothing to the copy on disk any more, which is another process's from now on.
    pub async fn close_copy(&self) {
        let copy = Arc::clone(&self.copy);
        run_blocking(move || copy.close()).await;
    }
}

fn log_copy_error(error: &io::Error) {
    tracing::warn!(
        %error,
        "the copy of the registry cannot be written; a start without the store will lack the last \
         changes"
    );
}

/// Runs work of more than a few microseconds on a thread for such work.
pub(super) async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
