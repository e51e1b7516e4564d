//! Reads all sites and aliases of the registry, in pages.

use std::sync::Arc;
use std::time::Instant;

use super::Registry;
use super::changes::{EntriesState, run_blocking};
use crate::config::RegistryChange;
use crate::sites::{MadeEntries, RegistryIndex, SiteDirectory};
use crate::store::{Store, StoreError};

impl Registry {
    /// Reads all entries, and makes them those of the directory.
    pub(super) async fn read_all_entries(
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
        state.note_all_changed();
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
        state.note_all_changed();
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
