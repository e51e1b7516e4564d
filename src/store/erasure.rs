//! Erasure: removes a site from every table.
//!
//! ClickHouse keeps the text of the last mutations beside a table. So a mutation names a site by a
//! salted digest, never by its name or id.

use std::collections::BTreeMap;

use clickhouse::Row;
use serde::Deserialize;

use super::Store;
use super::error::{StoreError, error_during};
use crate::event::SiteId;

const STEP: &str = "erasing a site";

/// The site whose rows are erased.
pub struct ErasedSite {
    /// Its name and its aliases.
    pub names: Vec<String>,
    /// What stands for it in the audit log, and salts the digests.
    pub reference: String,
}

/// A column that holds a site.
#[derive(Row, Deserialize)]
struct SiteColumn {
    table: String,
    kind: String,
}

/// Tables that are needed to find the others' rows again after a failure, in the order of their
/// erasure at the end.
const LAST_TABLES: [&str; 2] = ["site_ids", "aliases"];

impl Store {
    /// Removes a site from every table, and its names from the audit log. Returns the numbers of
    /// rows by table. Repeating it after a failure finishes it. Rows are in no active part then;
    /// inactive parts are removed within minutes.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses a statement. Some of the rows may
    /// be gone.
    pub async fn erase_site(
        &self,
        erased: &ErasedSite,
    ) -> Result<BTreeMap<String, u64>, StoreError> {
        let _no_sums = self.erasure_lock.lock().await;
        let ids: Vec<u128> = erased
            .names
            .iter()
            .map(|name| SiteId::from_key(name).as_u128())
            .collect();
        let by_id = self
            .digest_condition("toString(site)", erased, &ids)
            .await?;
        let by_name = |column: &'static str| self.digest_condition(column, erased, &erased.names);
        let mut rows = BTreeMap::new();

        self.redact_audit(erased, &mut rows).await?;

        // Legacy ids of 64 bits are in the tables that a former version set aside.
        let legacy: Vec<u64> = self
            .short_client
            .query("SELECT legacy FROM site_ids WHERE site IN ?")
            .bind(&ids)
            .fetch_all()
            .await
            .map_err(error_during(STEP))?;

        for SiteColumn { table, kind } in self.site_columns().await? {
            let condition = match kind.as_str() {
                "String" => by_name("site").await?,
                "UInt64" => {
                    self.digest_condition("toString(site)", erased, &legacy)
                        .await?
                }
                _ => by_id.clone(),
            };
            self.erase_rows(&table, &condition, &mut rows).await?;
        }
        self.erase_rows("sites", &by_name("name").await?, &mut rows)
            .await?;
        self.erase_rows("site_ids", &by_id, &mut rows).await?;
        let either = format!("{} OR {}", by_name("alias").await?, by_name("site").await?);
        self.erase_rows("aliases", &either, &mut rows).await?;
        Ok(rows)
    }

    async fn erase_rows(
        &self,
        table: &str,
        condition: &str,
        rows: &mut BTreeMap<String, u64>,
    ) -> Result<(), StoreError> {
        let erased = self.delete_rows(table, condition).await?;
        if erased > 0 {
            *rows.entry(table.to_owned()).or_default() += erased;
        }
        Ok(())
    }

    /// Every table with a column `site`, also one that a later version adds.
    async fn site_columns(&self) -> Result<Vec<SiteColumn>, StoreError> {
        let last = LAST_TABLES.map(|name| format!("'{name}'")).join(", ");
        let sql = format!(
            "SELECT table, type AS kind FROM system.columns WHERE database = currentDatabase() \
             AND name = 'site' AND table NOT IN ({last}) ORDER BY table"
        );
        self.short_client
            .query(&sql)
            .fetch_all()
            .await
            .map_err(error_during(STEP))
    }

    /// Replaces entries and callers of the audit log that name the site.
    async fn redact_audit(
        &self,
        erased: &ErasedSite,
        rows: &mut BTreeMap<String, u64>,
    ) -> Result<(), StoreError> {
        for column in ["what", "who"] {
            let word = self.digest_condition("word", erased, &erased.names).await?;
            let condition = format!(
                "arrayExists(word -> {word}, splitByRegexp('[^A-Za-z0-9._~-]+', {column}))"
            );
            let mutation = format!("UPDATE {column} = '(erased {})'", erased.reference);
            let redacted = self.mutate_rows("audit", &mutation, &condition).await?;
            if redacted > 0 {
                *rows.entry("audit".to_owned()).or_default() += redacted;
            }
        }
        Ok(())
    }

    /// A condition for rows in which `column` is one of `values`, without the values.
    async fn digest_condition<T: ToString>(
        &self,
        column: &str,
        erased: &ErasedSite,
        values: &[T],
    ) -> Result<String, StoreError> {
        if values.is_empty() {
            return Ok("false".to_owned());
        }
        let values: Vec<String> = values.iter().map(ToString::to_string).collect();
        let digests: Vec<String> = self
            .short_client
            .query("SELECT hex(SHA256(concat(?, arrayJoin(?))))")
            .bind(&erased.reference)
            .bind(values)
            .fetch_all()
            .await
            .map_err(error_during(STEP))?;
        Ok(format!(
            "hex(SHA256(concat('{}', {column}))) IN ('{}')",
            erased.reference,
            digests.join("', '")
        ))
    }
}
