//! The registry's tables: sites with hosts of their own, and other names of sites.
//!
//! Rows are only added. The row with the highest revision is valid, and a removal is a row with
//! `removed`. Revisions grow across all collectors of a database, so rows with a higher one than a
//! collector has read are the changes since. An index by revision finds them without reading the
//! other rows.

use std::time::Duration;

use clickhouse::Row;
use serde::Deserialize;

use super::Store;
use super::client::StoreClient;
use super::error::{StoreError, error_during};
use crate::config::{AliasRule, RegistryChange, SiteRule};

const STEP: &str = "the registry";
/// The most entries that one query of a complete read returns.
const PAGE_ROWS: u64 = 20_000;
/// The most changes that are read at once. Beyond it, a complete read is cheaper.
const MAX_CHANGES: u64 = 5000;

/// An expression for the next revision of a table: the server's time in microseconds, or one more
/// than the highest revision if that is larger.
pub(super) fn next_revision_expression(table: &str) -> String {
    format!(
        "greatest(toUInt64(toUnixTimestamp64Micro(now64(6))), \
         assumeNotNull((SELECT max(revision) FROM {table})) + 1)"
    )
}

/// [`next_revision_expression`] of a table with an index by revision. `known` is a revision that the
/// table has: rows up to it are not read.
fn indexed_revision_expression(table: &str, known: u64) -> String {
    format!(
        "greatest(toUInt64(toUnixTimestamp64Micro(now64(6))), toUInt64({known}) + 1, \
         assumeNotNull((SELECT max(revision) FROM {table} WHERE revision > {known})) + 1)"
    )
}

/// The highest revisions of the registry's tables; 0 where a table is empty.
#[derive(Row, Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RegistryRevisions {
    /// Of registered sites.
    pub sites: u64,
    /// Of aliases.
    pub aliases: u64,
}

impl RegistryRevisions {
    /// The revisions of this time before these.
    pub fn before_time(self, time: Duration) -> RegistryRevisions {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        RegistryRevisions {
            sites: self.sites.saturating_sub(micros),
            aliases: self.aliases.saturating_sub(micros),
        }
    }

    /// The lowest revisions after these.
    pub fn next(self) -> RegistryRevisions {
        RegistryRevisions {
            sites: self.sites + 1,
            aliases: self.aliases + 1,
        }
    }

    /// For each table the higher one.
    pub fn max(self, other: RegistryRevisions) -> RegistryRevisions {
        RegistryRevisions {
            sites: self.sites.max(other.sites),
            aliases: self.aliases.max(other.aliases),
        }
    }

    /// Whether a table has a lower revision than in `before`: rows were removed from it.
    pub fn is_below(self, before: RegistryRevisions) -> bool {
        self.sites < before.sites || self.aliases < before.aliases
    }

    /// The revisions after these changes.
    pub fn after_changes(mut self, changes: &[RegistryChange]) -> RegistryRevisions {
        for change in changes {
            match change {
                RegistryChange::Site { revision, .. }
                | RegistryChange::RemovedSite { revision, .. } => {
                    self.sites = self.sites.max(*revision);
                }
                RegistryChange::Alias { revision, .. }
                | RegistryChange::RemovedAlias { revision, .. } => {
                    self.aliases = self.aliases.max(*revision);
                }
            }
        }
        self
    }
}

/// An entry of either table.
#[derive(Row, Deserialize)]
struct RegistryRow {
    is_alias: bool,
    name: String,
    hosts: Vec<String>,
    /// Of an alias: its site.
    zone: String,
    embed: Vec<String>,
    /// 0 if the site has no limit of its own.
    max_amount: u32,
    /// 0 if the site has no limit of its own.
    keep_days: u32,
    removed: bool,
    revision: u64,
}

impl From<RegistryRow> for RegistryChange {
    fn from(row: RegistryRow) -> RegistryChange {
        let revision = row.revision;
        match (row.is_alias, row.removed) {
            (false, false) => RegistryChange::Site {
                rule: SiteRule {
                    id: row.name,
                    hosts: row.hosts,
                    zone: row.zone,
                    embed: row.embed,
                    max_amount: (row.max_amount > 0).then_some(row.max_amount),
                    keep_days: (row.keep_days > 0).then_some(row.keep_days),
                },
                revision,
            },
            (true, false) => RegistryChange::Alias {
                rule: AliasRule {
                    alias: row.name,
                    site: row.zone,
                },
                revision,
            },
            (false, true) => RegistryChange::RemovedSite {
                name: row.name,
                revision,
            },
            (true, true) => RegistryChange::RemovedAlias {
                alias: row.name,
                revision,
            },
        }
    }
}

impl Store {
    /// The highest revisions. They change with every change of the registry, and only then.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn registry_revisions(&self) -> Result<RegistryRevisions, StoreError> {
        let sql = "SELECT assumeNotNull((SELECT max(revision) FROM sites)) AS sites, \
                   assumeNotNull((SELECT max(revision) FROM aliases)) AS aliases";
        self.short_client
            .query(sql)
            .fetch_one()
            .await
            .map_err(error_during(STEP))
    }

    /// The entries with higher revisions than these, in ascending order of revision; `None` if they
    /// are more than some thousands.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn read_registry_changes(
        &self,
        since: RegistryRevisions,
    ) -> Result<Option<Vec<RegistryChange>>, StoreError> {
        let sql = "SELECT is_alias, name, hosts, zone, embed, max_amount, keep_days, removed, \
                   revision FROM (\
                   SELECT false AS is_alias, name, hosts, toString(zone) AS zone, embed, \
                   max_amount, keep_days, removed, revision FROM sites WHERE sites.revision > ? \
                   UNION ALL SELECT true, alias, [], site, [], 0, 0, removed, revision \
                   FROM aliases WHERE aliases.revision > ?) \
                   ORDER BY revision DESC, name LIMIT 1 BY is_alias, name LIMIT ?";
        let rows = self
            .short_client
            .query(sql)
            .bind(since.sites)
            .bind(since.aliases)
            .bind(MAX_CHANGES + 1)
            .fetch_all::<RegistryRow>()
            .await
            .map_err(error_during(STEP))?;
        let is_complete = rows.len() as u64 <= MAX_CHANGES;
        Ok(is_complete.then(|| rows.into_iter().rev().map(RegistryChange::from).collect()))
    }

    /// A page of the registered sites, by name: those after the name `after`. Empty after the last
    /// one.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn read_registered_sites(
        &self,
        after: &str,
    ) -> Result<Vec<RegistryChange>, StoreError> {
        let latest = ["hosts", "embed", "max_amount", "keep_days"]
            .map(|column| format!("argMax({column}, sites.revision) AS {column}"))
            .join(", ");
        let sql = format!(
            "SELECT is_alias, name, hosts, zone, embed, max_amount, keep_days, removed, revision \
             FROM (SELECT false AS is_alias, name, {latest}, \
             toString(argMax(zone, sites.revision)) AS zone, \
             argMax(removed, sites.revision) AS removed, max(sites.revision) AS revision \
             FROM sites WHERE name > ? GROUP BY name HAVING NOT removed ORDER BY name LIMIT ?) \
             ORDER BY name"
        );
        self.read_registry_page(&sql, after).await
    }

    /// A page of the aliases, by name: those after the alias `after`. Empty after the last one.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn read_registered_aliases(
        &self,
        after: &str,
    ) -> Result<Vec<RegistryChange>, StoreError> {
        let sql = "SELECT true AS is_alias, alias AS name, CAST([], 'Array(String)') AS hosts, \
                   argMax(site, aliases.revision) AS zone, CAST([], 'Array(String)') AS embed, \
                   toUInt32(0) AS max_amount, toUInt32(0) AS keep_days, \
                   argMax(removed, aliases.revision) AS removed, \
                   max(aliases.revision) AS revision FROM aliases \
                   WHERE alias > ? GROUP BY alias HAVING NOT removed ORDER BY alias LIMIT ?";
        self.read_registry_page(sql, after).await
    }

    async fn read_registry_page(
        &self,
        sql: &str,
        after: &str,
    ) -> Result<Vec<RegistryChange>, StoreError> {
        let rows = self
            .short_client
            .query(sql)
            .bind(after)
            .bind(PAGE_ROWS)
            // The tables are sorted by name: only the page is aggregated.
            .with_setting("optimize_aggregation_in_order", "1")
            .fetch_all::<RegistryRow>()
            .await
            .map_err(error_during(STEP))?;
        Ok(rows.into_iter().map(RegistryChange::from).collect())
    }

    /// The revisions of the next change of each table. `known` are revisions that the tables have.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn next_registry_revisions(
        &self,
        known: RegistryRevisions,
    ) -> Result<RegistryRevisions, StoreError> {
        let sql = format!(
            "SELECT {} AS sites, {} AS aliases",
            indexed_revision_expression("sites", known.sites),
            indexed_revision_expression("aliases", known.aliases)
        );
        let query = self.short_client.query(&sql);
        query.fetch_one().await.map_err(error_during(STEP))
    }

    /// Inserts the row of a change.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the insert. If only the response
    /// was lost, the row is stored; inserting it again is harmless.
    pub async fn insert_registry_change(&self, change: &RegistryChange) -> Result<(), StoreError> {
        const INTO_SITES: &str = "INSERT INTO sites (name, hosts, zone, embed, max_amount, \
                                  keep_days, removed, revision) SELECT ?, ?, ?, ?, ?, ?, ?, ?";
        const INTO_ALIASES: &str =
            "INSERT INTO aliases (alias, site, removed, revision) SELECT ?, ?, ?, ?";
        let none: &[String] = &[];
        let build = |client: &StoreClient| match change {
            RegistryChange::Site { rule, revision } => {
                let query = client.query(INTO_SITES).bind(&rule.id).bind(&rule.hosts);
                let query = query.bind(&rule.zone).bind(&rule.embed);
                let query = query.bind(rule.max_amount.unwrap_or(0));
                let query = query.bind(rule.keep_days.unwrap_or(0));
                query.bind(false).bind(revision)
            }
            RegistryChange::RemovedSite { name, revision } => {
                let query = client.query(INTO_SITES).bind(name).bind(none);
                let query = query.bind("UTC").bind(none).bind(0).bind(0);
                query.bind(true).bind(revision)
            }
            RegistryChange::Alias { rule, revision } => {
                let query = client.query(INTO_ALIASES).bind(&rule.alias);
                query.bind(&rule.site).bind(false).bind(revision)
            }
            RegistryChange::RemovedAlias { alias, revision } => {
                let query = client.query(INTO_ALIASES).bind(alias);
                query.bind("").bind(true).bind(revision)
            }
        };
        self.execute_on_all(build, STEP).await
    }
}
