//! The registry's tables: sites with hosts of their own, and other names of sites.
//!
//! Rows are only added. The row with the highest revision is valid, and a removal is a row with
//! `removed`. Revisions grow across all collectors of a database, so the highest one shows whether
//! anything changed.

use clickhouse::Row;
use serde::Deserialize;

use super::Store;
use super::error::{StoreError, error_during};
use crate::config::{AliasRule, RegisteredSites, SiteRule};

const STEP: &str = "the registry";

/// An expression for the next revision of a table: the server's time in microseconds, or one more
/// than the highest revision if that is larger.
pub(super) fn next_revision_expression(table: &str) -> String {
    format!(
        "greatest(toUInt64(toUnixTimestamp64Micro(now64(6))), \
         assumeNotNull((SELECT max(revision) FROM {table})) + 1)"
    )
}

#[derive(Row, Deserialize)]
struct SiteRow {
    name: String,
    hosts: Vec<String>,
    zone: String,
    embed: Vec<String>,
    /// 0 if the site has no limit of its own.
    max_amount: u32,
    /// 0 if the site has no limit of its own.
    keep_days: u32,
}

impl From<SiteRow> for SiteRule {
    fn from(row: SiteRow) -> SiteRule {
        SiteRule {
            id: row.name,
            hosts: row.hosts,
            zone: row.zone,
            embed: row.embed,
            max_amount: (row.max_amount > 0).then_some(row.max_amount),
            keep_days: (row.keep_days > 0).then_some(row.keep_days),
        }
    }
}

#[derive(Row, Deserialize)]
struct AliasRow {
    alias: String,
    site: String,
}

impl Store {
    /// A number that changes with every change of the registry, and only then. 0 if it is empty.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn registry_revision(&self) -> Result<u64, StoreError> {
        let sql = "SELECT max(revision) FROM (SELECT revision FROM sites \
            UNION ALL SELECT revision FROM aliases)";
        self.short_client
            .query(sql)
            .fetch_one()
            .await
            .map_err(error_during(STEP))
    }

    /// All registered sites and aliases, in the order of their last change.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects a query.
    pub async fn load_registered_sites(&self) -> Result<RegisteredSites, StoreError> {
        let sites = self
            .client
            .query(
                "SELECT name, argMax(hosts, revision) AS hosts, \
                 toString(argMax(zone, revision)) AS zone, \
                 argMax(embed, revision) AS embed, argMax(max_amount, revision) AS max_amount, \
                 argMax(keep_days, revision) AS keep_days FROM sites GROUP BY name \
                 HAVING NOT argMax(removed, revision) ORDER BY max(revision), name",
            )
            .fetch_all::<SiteRow>()
            .await
            .map_err(error_during(STEP))?;

        let aliases = self
            .client
            .query(
                "SELECT alias, argMax(site, revision) AS site FROM aliases \
                 GROUP BY alias HAVING NOT argMax(removed, revision) ORDER BY max(revision), alias",
            )
            .fetch_all::<AliasRow>()
            .await
            .map_err(error_during(STEP))?;

        Ok(RegisteredSites {
            sites: sites.into_iter().map(SiteRule::from).collect(),
            aliases: aliases
                .into_iter()
                .map(|row| AliasRule {
                    alias: row.alias,
                    site: row.site,
                })
                .collect(),
        })
    }

    /// Registers a site, changes the entry with its name, or removes it.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the insert. If only the response
    /// was lost, the row is stored; inserting it again is harmless.
    pub async fn insert_site(&self, rule: &SiteRule, removed: bool) -> Result<(), StoreError> {
        let next = next_revision_expression("sites");
        let sql = format!(
            "INSERT INTO sites (name, hosts, zone, embed, max_amount, keep_days, removed, \
             revision) SELECT ?, ?, ?, ?, ?, ?, ?, {next}"
        );

        let query = self
            .short_client
            .query(&sql)
            .bind(&rule.id)
            .bind(&rule.hosts)
            .bind(&rule.zone);
        query
            .bind(&rule.embed)
            .bind(rule.max_amount.unwrap_or(0))
            .bind(rule.keep_days.unwrap_or(0))
            .bind(removed)
            .execute()
            .await
            .map_err(error_during(STEP))
    }

    /// Registers another name of a site, changes the entry with that name, or removes it.
    ///
    /// # Errors
    ///
    /// As for [`Store::insert_site`].
    pub async fn insert_alias(&self, rule: &AliasRule, removed: bool) -> Result<(), StoreError> {
        let next = next_revision_expression("aliases");
        let sql =
            format!("INSERT INTO aliases (alias, site, removed, revision) SELECT ?, ?, ?, {next}");
        self.short_client
            .query(&sql)
            .bind(&rule.alias)
            .bind(&rule.site)
            .bind(removed)
            .execute()
            .await
            .map_err(error_during(STEP))
    }
}
