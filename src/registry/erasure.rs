//! Removes a site from the registry for good, and from the record of its changes.

use std::collections::BTreeMap;

use super::{Registry, validation};
use crate::access::AuditEntry;
use crate::event::{Problem, SiteId};
use crate::store::ErasedSite;

impl Registry {
    /// The names of a site: its own, and its aliases.
    ///
    /// # Errors
    ///
    /// 409 `taken` if the name is an alias itself.
    pub fn all_names_of(&self, name: &str) -> Result<Vec<String>, Problem> {
        let registered = self.directory.registered_entries();
        if let Some(site) = registered.alias_target(name) {
            return Err(validation::taken_problem(&format!(
                "this is another name of {site}; erase that"
            )));
        }
        let others = registered.aliases_of(name).map(|alias| alias.to_string());
        Ok(std::iter::once(name.to_owned()).chain(others).collect())
    }

    /// Records an action without a change of the registry.
    ///
    /// # Errors
    ///
    /// 503 `store_unavailable`.
    pub async fn record_action(&self, by: AuditEntry) -> Result<(), Problem> {
        let store = self.require_store()?;
        store
            .insert_audit_entries(&[by])
            .await
            .map_err(validation::store_problem)
    }

    /// Erases a site from every table, from the memory and from the copy beside the journal. Returns
    /// the numbers of rows by table.
    ///
    /// # Errors
    ///
    /// 503 `store_unavailable`, or `change_unconfirmed`: some rows may be gone. Repeating it
    /// finishes it.
    pub async fn erase_site(&self, erased: &ErasedSite) -> Result<BTreeMap<String, u64>, Problem> {
        let store = self.require_store()?;
        let mut replicas = self
            .shards
            .all_replicas()
            .ok_or_else(validation::store_unavailable)?;
        // The first shard last: what else is known of the site is there.
        replicas.reverse();
        let _no_copies = self.shards.pause_copying().await;
        // Sign-ins that wait may name a token of the site.
        self.write_audit_queue(&store).await;
        let names = self.directory.site_names();
        for name in &erased.names {
            let site = SiteId::from_key(name);
            names.forget_site(site);
            self.lock_shard_names().retain(|(known, _)| *known != site);
        }
        let mut rows = BTreeMap::new();
        for replicas in replicas.chunk_by(|one, other| one.shard() == other.shard()) {
            let mut of_shard: BTreeMap<String, u64> = BTreeMap::new();
            for replica in replicas {
                let erased = replica.erase_site(erased).await;
                for (table, count) in erased.map_err(validation::unconfirmed_problem)? {
                    // Each replica has the same rows, unless an erasure was interrupted.
                    let most = of_shard.entry(table).or_default();
                    *most = count.max(*most);
                }
            }
            for (table, count) in of_shard {
                *rows.entry(table).or_default() += count;
            }
        }
        self.forget_entries(&erased.names).await?;
        let mut read = self.keys_revision.lock().await;
        // Fewer rows need not change the highest revision.
        *read = None;
        self.refresh_keys(&store, &mut read)
            .await
            .map_err(validation::unconfirmed_problem)?;
        Ok(rows)
    }
}
