//! Reads and changes the registry's sites and aliases.
//!
//! The first read after a start is complete, in pages. From then on only rows with a higher
//! revision than those read last are read.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::snapshot::RegistryCopy;
use super::{Registry, validation};
use crate::access::AuditEntry;
use crate::config::{AliasRule, RegistryChange, SiteRule};
use crate::event::Problem;
use crate::sites::{MadeEntries, RegistryIndex, SiteDirectory};
use crate::store::{RegistryRevisions, Store, StoreError};

/// How long a row may take from getting its revision until it can be read. Rows of other collectors
/// with higher revisions may become visible before it, so for this time after a change, polls read
/// the rows of this time before it again.
const MAX_INSERT_TIME: Duration = Duration::from_secs(60);

/// State of the sites and aliases read last.
#[derive(Default)]
pub(super) struct EntriesState {
    /// `None` until they were read from the store.
    revisions: Option<RegistryRevisions>,
    /// The same, also while a complete read is due.
    read_revisions: RegistryRevisions,
    /// When they last grew.
    grown_at: Option<Instant>,
    /// When everything is read again, after changes that were too many to be read again by each
    /// poll.
    complete_read_at: Option<Instant>,
    /// How often entries without a row in the store were removed.
    erasures: u64,
}

impl EntriesState {
    fn set_revisions(&mut self, revisions: RegistryRevisions) {
        if self.read_revisions != revisions {
            self.read_revisions = revisions;
            self.grown_at = Some(Instant::now());
        }
        self.revisions = Some(revisions);
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
        let known = state.revisions.unwrap_or_default();

        // The entries known so far nearly always tell: the audit entry is written while the latest
        // are read. If those do not allow the change, it is the entry of an attempt.
        let is_likely = check(&self.directory).is_ok();
        let audit = async |is_due: bool| match is_due {
            true => store.insert_audit_entries(&by).await,
            false => Ok(()),
        };
        let (refreshed, next, audited) = tokio::join!(
            self.refresh_entries(&store, &mut state),
            store.next_registry_revisions(known),
            audit(is_likely),
        );
        refreshed.map_err(validation::store_problem)?;
        check(&self.directory)?;
        audited.map_err(validation::store_problem)?;
        audit(!is_likely).await.map_err(validation::store_problem)?;

        // Not below what was read meanwhile.
        let next = next.map_err(validation::store_problem)?;
        let change = change(next.max(state.revisions.unwrap_or_default().next()));
        store
            .insert_registry_change(&change)
            .await
            .map_err(validation::unconfirmed_problem)?;
        self.apply_entries(&mut state, vec![change]).await;
        // Another collector may change something at this moment, and wait for this one.
        drop(state);
        self.notify_collectors().await
    }

    /// Reads what other collectors changed.
    pub(super) async fn poll_entries(&self, store: &Store) -> Result<(), StoreError> {
        let mut state = self.entries.lock().await;
        if let Some(known) = state.revisions
            && store.registry_revisions().await?.is_below(known)
        {
            // Rows were removed, as by a restored backup.
            state.revisions = None;
        }
        self.refresh_entries(store, &mut state).await?;
        self.repeat_changes(store, &mut state).await
    }

    /// Reads the rows again that may have become visible after rows with higher revisions.
    async fn repeat_changes(
        &self,
        store: &Store,
        state: &mut EntriesState,
    ) -> Result<(), StoreError> {
        let is_recent = |at: Instant| at.elapsed() <= MAX_INSERT_TIME;
        let is_due = state.complete_read_at.is_none() && state.grown_at.is_some_and(is_recent);
        let Some(known) = state.revisions.filter(|_| is_due) else {
            return Ok(());
        };
        match store
            .read_registry_changes(known.before_time(MAX_INSERT_TIME))
            .await?
        {
            Some(changes) => self.apply_entries(state, changes).await,
            None => state.complete_read_at = Some(Instant::now() + MAX_INSERT_TIME),
        }
        Ok(())
    }

    /// Removes entries without a row in the store, from the memory and from the copy on disk.
    pub(super) async fn forget_entries(&self, names: &[String]) -> Result<(), Problem> {
        let mut state = self.entries.lock().await;
        state.erasures += 1;
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
        let effective = self.directory.apply_changes(changes);
        if !effective.is_empty() {
            self.store_in_copy(effective).await;
        }
    }

    /// Reads all entries, and makes them those of the directory.
    async fn read_all_entries(
        &self,
        store: &Store,
        state: &mut EntriesState,
    ) -> Result<(), StoreError> {
        // Before the pages: what changes meanwhile is read again afterwards.
        let revisions = store.registry_revisions().await?;
        let mut read = CompleteRead::new(&self.directory);
        let (mut is_changed, mut is_stored) = (false, true);
        loop {
            let (next, changes) = self.read_page(store, read).await?;
            read = next;
            let Some(changes) = changes else {
                break;
            };
            // Page by page: a million changes would take more memory than the sites.
            if !changes.is_empty() {
                is_changed = true;
                is_stored &= self.append_to_copy(changes).await;
            }
        }

        if is_changed {
            self.directory.replace_entries(read.entries);
        }
        if !is_stored {
            self.replace_copy_or_log().await;
        }
        state.set_revisions(revisions);
        state.complete_read_at = None;
        self.directory.set_registry_read();
        Ok(())
    }

    /// Reads all entries again where that is due. Changes do not wait for the pages, which take
    /// seconds for a million sites: what changed meanwhile is applied to what was read.
    pub(super) async fn repeat_complete_read(&self, store: &Store) -> Result<(), StoreError> {
        let erasures = {
            let state = self.entries.lock().await;
            match state.complete_read_at {
                Some(at) if at <= Instant::now() => state.erasures,
                _ => return Ok(()),
            }
        };
        let revisions = store.registry_revisions().await?;
        let mut read = CompleteRead::new(&self.directory);
        let mut read_changes = Vec::new();
        loop {
            let (next, changes) = self.read_page(store, read).await?;
            read = next;
            match changes {
                Some(changes) => read_changes.extend(changes),
                None => break,
            }
        }

        let mut state = self.entries.lock().await;
        let changes = store.read_registry_changes(revisions).await?;
        // It stays due where too much changed, or where an entry without a row might come back.
        let Some(changes) = changes.filter(|_| state.erasures == erasures) else {
            return Ok(());
        };
        if !read_changes.is_empty() {
            let zones = self.directory.time_zones();
            for change in &changes {
                read.entries.apply_change(change, &zones);
            }
            self.directory.replace_entries(read.entries);
            read_changes.extend(changes.iter().cloned());
            self.store_in_copy(read_changes).await;
        }
        state.set_revisions(revisions.after_changes(&changes));
        state.complete_read_at = None;
        Ok(())
    }

    /// Reads the next page: what it changes; `None` after the last one.
    async fn read_page(
        &self,
        store: &Store,
        read: CompleteRead,
    ) -> Result<(CompleteRead, Option<Vec<RegistryChange>>), StoreError> {
        let page = match read.next {
            NextPage::Sites => store.read_registered_sites(&read.after).await?,
            NextPage::Aliases => store.read_registered_aliases(&read.after).await?,
            NextPage::None => return Ok((read, None)),
        };
        let (read, changes) = run_blocking(move || read.with_page(page)).await;
        Ok((read, Some(changes)))
    }

    /// Adds changes to the copy on disk, which are in the directory.
    async fn store_in_copy(&self, changes: Vec<RegistryChange>) {
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
    async fn append_to_copy(&self, changes: Vec<RegistryChange>) -> bool {
        let copy = Arc::clone(&self.copy);
        let appended = run_blocking(move || copy.append_changes(&changes)).await;
        appended.unwrap_or_else(|error| {
            log_copy_error(&error);
            true
        })
    }

    fn replace_copy_or_log(&self) -> impl Future<Output = ()> + Send + use<> {
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

/// A complete read of the registry, before it is in force: the sites by name, then the aliases, then
/// the removal of all others.
struct CompleteRead {
    directory: Arc<SiteDirectory>,
    entries: RegistryIndex,
    made: MadeEntries,
    next: NextPage,
    /// The last name of the page before.
    after: String,
}

#[derive(Clone, Copy)]
enum NextPage {
    Sites,
    Aliases,
    None,
}

impl CompleteRead {
    fn new(directory: &Arc<SiteDirectory>) -> CompleteRead {
        CompleteRead {
            directory: Arc::clone(directory),
            entries: directory.registered_entries(),
            made: MadeEntries::default(),
            next: NextPage::Sites,
            after: String::new(),
        }
    }

    /// Applies a page. Returns what it changed.
    fn with_page(mut self, page: Vec<RegistryChange>) -> (CompleteRead, Vec<RegistryChange>) {
        let last = page.last().map(|change| change.name().to_owned());
        let Some(last) = last else {
            self.after.clear();
            let changes = match self.next {
                NextPage::Sites => {
                    self.next = NextPage::Aliases;
                    Vec::new()
                }
                NextPage::Aliases | NextPage::None => {
                    self.next = NextPage::None;
                    self.entries.remove_others(&self.made)
                }
            };
            return (self, changes);
        };
        self.after = last;

        let zones = self.directory.time_zones();
        let mut changes = page;
        changes.retain(|change| {
            self.made.add_change(change);
            self.entries.apply_change(change, &zones)
        });
        (self, changes)
    }
}

/// Runs work of more than a few microseconds on a thread for such work.
async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
