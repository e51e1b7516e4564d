//! Writes of what is no segment: to every replica of a shard, or to none.
//!
//! A change that a caller waits for (a site, a token, a share link, a void) is written to all
//! replicas or refused: so any of them has every change that was confirmed, whichever is lost. What
//! the collector notes on its own account (names, the audit log, digests, opened messages) is written
//! to those that respond; a replica that was away gets it when it is back. All these tables only gain
//! rows, each with a revision, so that two replicas become equal when each has the rows of both.

use std::sync::Arc;

use super::archive::{TableRow, list_tables};
use super::client::{StoreClient, StoreQuery};
use super::error::{StoreError, error_during};
use super::registry::next_revision_expression;
use super::{ONE_BLOCK_SETTINGS, Store};
use crate::random::random_u64;

/// The tables that are written by this module. Segments, publication and retention write the
/// others.
const SHARED_TABLES: [&str; 11] = [
    "aliases",
    "audit",
    "messages",
    "money_voids",
    "names",
    "shares",
    "sign_outs",
    "site_ids",
    "sites",
    "tokens",
    "withdrawals",
];

const COPY_STEP: &str = "copying rows to a replica";

impl Store {
    /// The other replicas, for a change that all must have.
    ///
    /// # Errors
    ///
    /// One of them does not respond. Nothing was changed.
    pub(super) fn require_siblings(&self) -> Result<Vec<Arc<Store>>, StoreError> {
        match self.replica.siblings() {
            (siblings, true) => Ok(siblings),
            (_, false) => Err(StoreError::ReplicaAway),
        }
    }

    /// The other replicas that respond, for rows that those which do not get later.
    pub(super) fn note_present_siblings(&self) -> Vec<Arc<Store>> {
        let (siblings, is_all) = self.replica.siblings();
        if !is_all {
            self.replica.note_difference();
        }
        siblings
    }

    /// Executes a statement that changes a shared table on every replica. It must have the same
    /// effect on each.
    ///
    /// # Errors
    ///
    /// A replica does not respond: nothing was changed. Or the statement failed on one of them: the
    /// others may have executed it.
    pub(super) async fn execute_on_all(
        &self,
        build: impl Fn(&StoreClient) -> StoreQuery,
        step: &'static str,
    ) -> Result<(), StoreError> {
        let siblings = self.require_siblings()?;
        let write = self.replica.begin_write();
        let own = build(&self.short_client).execute();
        own.await.map_err(error_during(step))?;
        for sibling in siblings {
            let copy = build(&sibling.short_client).execute();
            copy.await.map_err(error_during(step))?;
        }
        write.finish();
        Ok(())
    }

    /// The same on this replica and those that respond. A failure on another one is repaired later.
    ///
    /// # Errors
    ///
    /// The statement failed on this replica.
    pub(super) async fn execute_on_present(
        &self,
        build: impl Fn(&StoreClient) -> StoreQuery,
        step: &'static str,
    ) -> Result<(), StoreError> {
        let write = self.replica.begin_write();
        let own = build(&self.short_client).execute();
        own.await.map_err(error_during(step))?;
        for sibling in self.note_present_siblings() {
            if build(&sibling.short_client).execute().await.is_err() {
                self.replica.note_difference();
            }
        }
        write.finish();
        Ok(())
    }

    /// The next revision of a table, as SQL: an expression, or a number where replicas must get the
    /// same one.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub(super) async fn next_revision(
        &self,
        table: &str,
        step: &'static str,
    ) -> Result<String, StoreError> {
        if !self.replica.is_replicated() {
            return Ok(next_revision_expression(table));
        }
        let query = self
            .short_client
            .query_raw(&format!("SELECT {}", next_revision_expression(table)));
        let revision: u64 = query.fetch_one().await.map_err(error_during(step))?;
        Ok(format!("toUInt64({revision})"))
    }

    /// Copies rows of a table to another replica, as one block. `rows` is what follows SELECT.
    pub(super) async fn copy_rows(
        &self,
        to: &Store,
        table: &str,
        rows: &str,
    ) -> Result<(), StoreError> {
        let failed = error_during(COPY_STEP);
        let query = self.client.query_raw(&format!("SELECT {rows}"));
        let mut rows = query.fetch_bytes("Native").map_err(&failed)?;
        let Some(mut chunk) = rows.next_chunk().await.map_err(&failed)? else {
            return Ok(());
        };
        let permit = to.client.permit_write().await;
        let _permit = permit.map_err(&failed)?;
        let insert = format!("INSERT INTO {table} FORMAT Native");
        let mut insert = to.client.begin_formatted_insert(insert).map_err(&failed)?;
        for (setting, value) in ONE_BLOCK_SETTINGS {
            insert = insert.with_setting(setting, value);
        }
        // Some versions ignore `insert_deduplicate`: a copy that a crash lost must not be taken for a
        // repetition.
        let token = format!("copy-{:016x}", random_u64());
        insert = insert.with_setting("insert_deduplication_token", token);
        loop {
            insert.send(chunk).await.map_err(&failed)?;
            match rows.next_chunk().await.map_err(&failed)? {
                Some(next) => chunk = next,
                None => break,
            }
        }
        insert.end().await.map_err(&failed)
    }

    /// The number of a table's rows, and the sum of a hash of each.
    async fn read_table_digest(&self, table: &TableRow) -> Result<(u64, u64), StoreError> {
        let sql = format!(
            "SELECT count(), sum(cityHash64(*)) FROM {}{}",
            table.name,
            table.fold_clause()
        );
        let query = self.client.query_raw(&sql);
        query.fetch_one().await.map_err(error_during(COPY_STEP))
    }
}

/// Gives each replica the rows of shared tables that another one has. Returns the tables that
/// differed.
///
/// # Errors
///
/// A replica cannot be reached in time, or ClickHouse rejects a statement. Some rows may be copied.
pub(super) async fn align_shared_tables(
    stores: &[Arc<Store>],
) -> Result<Vec<&'static str>, StoreError> {
    let Some(first) = stores.first() else {
        return Ok(Vec::new());
    };
    let mut differing = Vec::new();
    for table in list_tables(&first.client, &first.database).await? {
        let shared = SHARED_TABLES.iter().find(|name| **name == table.name);
        let Some(name) = shared else {
            continue;
        };
        let mut digests = Vec::new();
        for store in stores {
            digests.push(store.read_table_digest(&table).await?);
        }
        if digests.iter().all(|digest| *digest == digests[0]) {
            continue;
        }
        differing.push(*name);
        let rows = format!("* FROM {name}{}", table.fold_clause());
        for (from, source) in stores.iter().enumerate() {
            for (to, target) in stores.iter().enumerate() {
                if from != to {
                    source.copy_rows(target, name, &rows).await?;
                }
            }
        }
    }
    Ok(differing)
}
