//! The step of migration 7 that needs code: it rewrites every table with site ids of 128 bits.
//!
//! A crash, or a second collector at the same time, must leave at each moment either the former
//! table or the complete new one, and repeating the step must give the same result. So the former
//! tables are first renamed (`daily` becomes `daily_v6`), and nothing is written to them any more.
//! A new table is filled under a unique name, its sums are compared with the former table's, and it
//! is renamed into place, which fails if another collector was faster. The former tables are
//! dropped last. Each statement reads one month at a time, and only the ids of sites, so memory
//! does not grow with the counts.

use std::collections::HashMap;

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::{CountsTable, quote_name, run_statement};
use crate::event::{OTHER_VALUE, SiteId};
use crate::store::client::StoreClient;
use crate::store::error::{StoreError, error_during};

/// Tables that have site ids of 64 bits in the former schema.
const FORMER_TABLES: [&str; 7] = [
    "daily", "hourly", "money", "vitals", "faults", "activity", "names",
];

/// Cells with fewer visitors were combined when their month was rolled up, and are combined here if
/// rows arrived after that.
const MIN_CELL_VISITORS: u32 = 5;

/// The number of ids that are read at a time with their names.
const NAMES_PER_PAGE: usize = 20_000;

const UNKNOWN_TABLE_CODE: u32 = 60;
const TABLE_EXISTS_CODE: u32 = 57;

const STEP: &str = "the migration to ids of 128 bits";

/// The new id of a former row's site, or the former one if its name is not known.
const NEW_ID_EXPRESSION: &str = "if(ids.site = 0, toUInt128(old.site), ids.site)";

#[derive(Row, Serialize)]
struct IdRow {
    legacy: u64,
    site: u128,
}

/// A former id and its names. At most two names are read, because two already are a conflict.
#[derive(Row, Deserialize)]
struct FormerSiteNames {
    site: u64,
    names: Vec<String>,
}

#[derive(Row, Serialize)]
struct MigratedNameRow<'a> {
    site: u128,
    name: &'a str,
    revision: u64,
}

/// The site id of former versions: xxh3 of the name, never 0.
fn former_id(name: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(name.as_bytes()).max(1)
}

/// The name that a former table is renamed to.
fn former_table_name(table: &str) -> String {
    format!("{table}_v6")
}

/// The step and its parameters.
pub(super) struct SiteIdMigration<'a> {
    /// The client for long calls.
    pub(super) client: &'a StoreClient,
    /// The cluster, if there is one.
    pub(super) cluster: Option<&'a str>,
    /// The statements that create the new tables.
    pub(super) statements: &'a [String],
    /// The names of the configured sites.
    pub(super) configured_names: &'a [String],
}

impl SiteIdMigration<'_> {
    /// Runs the step, or the rest of it.
    ///
    /// # Errors
    ///
    /// A statement fails, or a former table changed while it was copied. The next run continues.
    pub(super) async fn run(&self) -> Result<(), StoreError> {
        for table in ["site_ids", "pending", "publications", "coin_keys"] {
            run_statement(self.client, self.find_create_statement(table)?).await?;
        }
        for table in FORMER_TABLES {
            self.set_aside_table(table).await?;
        }
        self.record_new_ids().await?;

        for table in [
            CountsTable::Hourly,
            CountsTable::Money,
            CountsTable::Vitals,
            CountsTable::Faults,
            CountsTable::Activity,
        ] {
            self.build_table(table.name(), async |side| {
                self.copy_counts(table, side).await
            })
            .await?;
        }
        self.build_table("names", async |side| self.copy_names(side).await)
            .await?;
        self.build_table("published", async |side| {
            self.publish_folded_attributes(side).await
        })
        .await?;
        self.build_table("unpublished", async |side| {
            self.move_unfolded_attributes(side).await
        })
        .await?;
        self.build_table("daily", async |side| self.copy_daily_totals(side).await)
            .await?;

        self.log_unknown_sites().await?;
        for table in FORMER_TABLES
            .map(former_table_name)
            .into_iter()
            .chain(["folds".to_owned()])
        {
            run_statement(
                self.client,
                &format!(
                    "DROP TABLE IF EXISTS {table}{} SYNC",
                    self.on_cluster_clause()
                ),
            )
            .await?;
        }
        Ok(())
    }

    fn on_cluster_clause(&self) -> String {
        self.cluster.map_or_else(String::new, |name| {
            format!(" ON CLUSTER {}", quote_name(name))
        })
    }

    /// The statement that creates the table.
    fn find_create_statement(&self, table: &str) -> Result<&str, StoreError> {
        let head = format!("CREATE TABLE IF NOT EXISTS {table}");
        let is_of = |sql: &&String| {
            sql.strip_prefix(&head)
                .is_some_and(|rest| rest.starts_with([' ', '(']))
        };
        let found = self.statements.iter().find(is_of);
        found
            .map(String::as_str)
            .ok_or(StoreError::UnexpectedResponse {
                step: STEP,
                kind: "a table is not in its file",
            })
    }

    /// The type of the table's column `site`; `None` if there is no such table.
    async fn site_column_type(&self, table: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT type FROM system.columns WHERE database = currentDatabase() \
            AND table = ? AND name = 'site'";
        self.client
            .query(sql)
            .bind(table)
            .fetch_optional()
            .await
            .map_err(error_during(STEP))
    }

    async fn has_table(&self, table: &str) -> Result<bool, StoreError> {
        let sql =
            "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = ?";
        let found: u64 = self
            .client
            .query(sql)
            .bind(table)
            .fetch_one()
            .await
            .map_err(error_during(STEP))?;
        Ok(found > 0)
    }

    /// Renames a table with the former ids. Does nothing if it was renamed before.
    async fn set_aside_table(&self, table: &str) -> Result<(), StoreError> {
        if self.site_column_type(table).await?.as_deref() != Some("UInt64") {
            return Ok(());
        }

        let rename = format!(
            "RENAME TABLE {table} TO {}{}",
            former_table_name(table),
            self.on_cluster_clause()
        );
        match run_statement(self.client, &rename).await {
            // Another collector was faster.
            Err(error) if error.error_code() == Some(UNKNOWN_TABLE_CODE) => {}
            done => done?,
        }

        if self.cluster.is_some() {
            run_statement(
                self.client,
                &format!("SYSTEM SYNC REPLICA {}", former_table_name(table)),
            )
            .await?;
        }
        Ok(())
    }

    /// Fills a new table under a unique name and renames it. Does nothing if the table exists.
    async fn build_table(
        &self,
        table: &str,
        fill: impl AsyncFnOnce(&str) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if self.site_column_type(table).await?.is_some() {
            return Ok(());
        }

        let side = super::side_table_name(table);
        let create = self.find_create_statement(table)?.replacen(
            &format!("IF NOT EXISTS {table}"),
            &side,
            1,
        );
        run_statement(self.client, &create).await?;

        fill(&side).await?;

        let rename = format!("RENAME TABLE {side} TO {table}{}", self.on_cluster_clause());
        match run_statement(self.client, &rename).await {
            // Another collector was faster; its table is complete too.
            Err(error) if error.error_code() == Some(TABLE_EXISTS_CODE) => {
                run_statement(
                    self.client,
                    &format!(
                        "DROP TABLE IF EXISTS {side}{} SYNC",
                        self.on_cluster_clause()
                    ),
                )
                .await
            }
            done => done,
        }
    }

    /// The months with rows, ascending, as in 202603.
    async fn list_months(&self, table: &str) -> Result<Vec<u32>, StoreError> {
        let sql = "SELECT DISTINCT toUInt32(partition_id) FROM system.parts \
                   WHERE database = currentDatabase() \
                   AND table = ? AND active AND rows > 0 ORDER BY 1";
        self.client
            .query(sql)
            .bind(table)
            .fetch_all()
            .await
            .map_err(error_during(STEP))
    }

    /// Copies all rows with their new ids and compares the sums.
    async fn copy_counts(&self, table: CountsTable, side: &str) -> Result<(), StoreError> {
        let from = former_table_name(table.name());
        let time = if table == CountsTable::Hourly {
            "hour"
        } else {
            "day"
        };
        let columns = table.all_columns();
        let old = columns.iter().map(|name| {
            if *name == "site" {
                NEW_ID_EXPRESSION.to_owned()
            } else {
                format!("old.{name}")
            }
        });
        let (into, old) = (columns.join(", "), old.collect::<Vec<_>>().join(", "));

        for month in self.list_months(&from).await? {
            self.run_long_insert(&format!(
                "INSERT INTO {side} ({into}) SELECT {old} FROM {} \
                 WHERE toYYYYMM(old.{time}) = {month}",
                join_new_ids(&from)
            ))
            .await?;
        }

        let sums = sums_as_text(&table.counter_columns());
        self.check_same_sums(
            &format!("SELECT {sums} FROM {from}"),
            &format!("SELECT {sums} FROM {side}"),
        )
        .await
    }

    /// Copies the rows of `daily` without attributes and compares the sums.
    async fn copy_daily_totals(&self, side: &str) -> Result<(), StoreError> {
        let from = former_table_name("daily");
        let counters = CountsTable::Daily.counter_columns();
        let old = counters
            .iter()
            .map(|name| format!("old.{name}"))
            .collect::<Vec<_>>()
            .join(", ");

        for month in self.list_months(&from).await? {
            self.run_long_insert(&format!(
                "INSERT INTO {side} (site, day, subject, item, {}) \
                 SELECT {NEW_ID_EXPRESSION}, old.day, old.subject, old.item, {old} \
                 FROM {} WHERE toYYYYMM(old.day) = {month} AND old.dim = ''",
                counters.join(", "),
                join_new_ids(&from)
            ))
            .await?;
        }

        let sums = sums_as_text(&counters);
        let former = format!("SELECT {sums} FROM {from} WHERE dim = ''");
        self.check_same_sums(&former, &format!("SELECT {sums} FROM {side}"))
            .await
    }

    /// Publishes the attributes of rolled-up months as of the last day of their month.
    async fn publish_folded_attributes(&self, side: &str) -> Result<(), StoreError> {
        let from = former_table_name("daily");
        let (folded, _) = self.partition_by_fold(&from).await?;
        for month in &folded {
            let (year, number) = (month / 100, month % 100);
            // The same grouping as the rollup. Rows that arrived after the last rollup are still by
            // day, and their cells may be small.
            self.run_long_insert(&format!(
                "INSERT INTO {side} (site, day, subject, item, dim, value, lot, visitors, visits) \
                 SELECT {NEW_ID_EXPRESSION}, toLastDayOfMonth(toDate('{year:04}-{number:02}-01')), \
                 old.subject, old.item, old.dim, old.kept, 0, \
                 old.n, old.m FROM (SELECT site, subject, item, dim, kept, sum(visitors) AS n, \
                 sum(visits) AS m FROM ( \
                     SELECT site, subject, item, dim, \
                     if(sum(n) < {MIN_CELL_VISITORS}, '{OTHER_VALUE}', toString(value)) AS kept, \
                     sum(n) AS visitors, sum(m) AS visits \
                     FROM (SELECT site, subject, item, dim, value, visitors AS n, \
                     visits AS m FROM {from} WHERE toYYYYMM(day) = {month} AND dim != '') \
                     GROUP BY site, subject, dim, item, value \
                 ) GROUP BY site, subject, dim, item, kept) AS old \
                 LEFT ANY JOIN site_ids AS ids ON ids.legacy = old.site",
            ))
            .await?;
        }
        self.check_same_visitors(&from, &folded, side).await
    }

    /// Moves the attributes of the other months to `unpublished`, by day.
    async fn move_unfolded_attributes(&self, side: &str) -> Result<(), StoreError> {
        let from = former_table_name("daily");
        let (_, unfolded) = self.partition_by_fold(&from).await?;
        for month in &unfolded {
            self.run_long_insert(&format!(
                "INSERT INTO {side} (site, zone, day, subject, item, dim, value, segment, \
                 visitors, visits, networks) \
                 SELECT {NEW_ID_EXPRESSION}, '', old.day, old.subject, old.item, old.dim, \
                 old.value, 0, old.visitors, old.visits, \
                 old.visitors FROM {} WHERE toYYYYMM(old.day) = {month} AND old.dim != ''",
                join_new_ids(&from)
            ))
            .await?;
        }
        self.check_same_visitors(&from, &unfolded, side).await
    }

    /// Compares the visitors and visits of these months with those of the new table.
    async fn check_same_visitors(
        &self,
        from: &str,
        months: &[u32],
        side: &str,
    ) -> Result<(), StoreError> {
        let sums = sums_as_text(&["visitors", "visits"]);
        // Not an IN list, because an empty one is an error.
        let of =
            format!("SELECT {sums} FROM {from} WHERE dim != '' AND has({months:?}, toYYYYMM(day))");
        self.check_same_sums(&of, &format!("SELECT {sums} FROM {side}"))
            .await
    }

    /// The months of `daily` that were rolled up, and the others.
    async fn partition_by_fold(&self, from: &str) -> Result<(Vec<u32>, Vec<u32>), StoreError> {
        let sql = "SELECT DISTINCT month FROM folds WHERE counts = 'daily'";
        let folded: Vec<u32> = match self.has_table("folds").await? {
            true => self
                .client
                .query(sql)
                .fetch_all()
                .await
                .map_err(error_during(STEP))?,
            false => Vec::new(),
        };
        Ok(self
            .list_months(from)
            .await?
            .into_iter()
            .partition(|month| folded.contains(month)))
    }

    /// Records the new id of each former id whose name is known.
    async fn record_new_ids(&self) -> Result<(), StoreError> {
        let mut known: HashMap<u64, Option<String>> = HashMap::new();
        for name in self.list_known_names().await? {
            let one = known
                .entry(former_id(&name))
                .or_insert_with(|| Some(name.clone()));
            if one.as_ref().is_some_and(|one| *one != name) {
                *one = None;
            }
        }

        let mut clashes = known.values().filter(|name| name.is_none()).count();
        let rows = |(legacy, name): (&u64, &Option<String>)| {
            Some((*legacy, SiteId::from_key(name.as_deref()?)))
        };
        self.insert_ids(known.iter().filter_map(rows).collect())
            .await?;

        let names = former_table_name("names");
        let mut after = 0;
        while self.has_table(&names).await? {
            let page = self.read_names_page(&names, after).await?;
            let Some(last) = page.last() else { break };
            after = last.site;
            let mut ids = Vec::with_capacity(page.len());
            for FormerSiteNames {
                site: legacy,
                names,
            } in &page
            {
                // A configured or registered name owns its former id, even if other names have the
                // same one.
                match (known.get(legacy), names.as_slice()) {
                    (None, [name]) => ids.push((*legacy, SiteId::from_key(name))),
                    (Some(Some(own)), [name]) if own == name => {}
                    _ => clashes += 1,
                }
            }
            self.insert_ids(ids).await?;
        }
        if clashes > 0 {
            tracing::error!(
                clashes,
                "former ids of sites stood for two names each; what was counted under such an id \
                 stays with the name that is configured or registered, or with none"
            );
        }
        Ok(())
    }

    /// The names in the configuration and the registry, including removed entries, which may have
    /// counts.
    async fn list_known_names(&self) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT DISTINCT name FROM (SELECT name FROM sites \
                   UNION ALL SELECT arrayJoin([alias, site]) AS name \
                   FROM aliases) WHERE name != ''";
        let mut names: Vec<String> = self
            .client
            .query(sql)
            .fetch_all()
            .await
            .map_err(error_during(STEP))?;
        names.extend(self.configured_names.iter().cloned());
        Ok(names)
    }

    /// The ids after `after` with their names, in the order of ids; at most [`NAMES_PER_PAGE`].
    async fn read_names_page(
        &self,
        table: &str,
        after: u64,
    ) -> Result<Vec<FormerSiteNames>, StoreError> {
        let sql = format!(
            "SELECT site, groupUniqArray(2)(name) AS names FROM {table} WHERE site > ? \
             GROUP BY site ORDER BY site LIMIT {NAMES_PER_PAGE}"
        );
        self.client
            .query(&sql)
            .bind(after)
            .fetch_all()
            .await
            .map_err(error_during(STEP))
    }

    async fn insert_ids(&self, ids: Vec<(u64, SiteId)>) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut insert = self
            .client
            .begin_insert::<IdRow>("site_ids")
            .await
            .map_err(error_during(STEP))?;
        for (legacy, site) in ids {
            insert
                .write(&IdRow {
                    legacy,
                    site: site.as_u128(),
                })
                .await
                .map_err(error_during(STEP))?;
        }
        insert.end().await.map_err(error_during(STEP))
    }

    /// Copies the names with their new ids.
    async fn copy_names(&self, side: &str) -> Result<(), StoreError> {
        let mut after = 0;
        loop {
            let page = self
                .read_names_page(&former_table_name("names"), after)
                .await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = last.site;
            let mut insert = self
                .client
                .begin_insert::<MigratedNameRow<'_>>(side)
                .await
                .map_err(error_during(STEP))?;
            for name in page.iter().flat_map(|named| &named.names) {
                let row = MigratedNameRow {
                    site: SiteId::from_key(name).as_u128(),
                    name,
                    revision: 0,
                };
                insert.write(&row).await.map_err(error_during(STEP))?;
            }
            insert.end().await.map_err(error_during(STEP))?;
        }
    }

    /// Logs how many sites keep their former ids because their names are not known.
    async fn log_unknown_sites(&self) -> Result<(), StoreError> {
        let sql = "SELECT count() FROM (SELECT site FROM daily \
            WHERE site BETWEEN 1 AND 18446744073709551615 GROUP BY site)";
        let unknown: u64 = self
            .client
            .query(sql)
            .fetch_one()
            .await
            .map_err(error_during(STEP))?;
        if unknown > 0 {
            tracing::warn!(
                sites = unknown,
                "sites whose names are not known keep their former ids; no report shows them"
            );
        }
        Ok(())
    }

    /// Runs an insert that may take long, in bounded memory.
    async fn run_long_insert(&self, sql: &str) -> Result<(), StoreError> {
        let query = self
            .client
            .query_raw(sql)
            .with_setting("max_execution_time", "0")
            // A unique token, so that equal blocks are both kept, whatever the server's defaults
            // for deduplication are.
            .with_setting("insert_deduplication_token", super::side_table_name("fill"))
            .with_setting("max_partitions_per_insert_block", "0")
            .with_setting("max_threads", "1")
            .with_setting("max_insert_threads", "1")
            .with_setting("join_use_nulls", "0")
            .with_setting("optimize_aggregation_in_order", "1")
            .with_setting("max_bytes_before_external_group_by", "134217728")
            .with_setting("max_bytes_before_external_sort", "134217728");
        query.execute().await.map_err(error_during(STEP))
    }

    /// Fails with [`StoreError::SourceChanged`] if two queries for sums differ.
    async fn check_same_sums(&self, former: &str, new: &str) -> Result<(), StoreError> {
        let sums = async |sql: &str| {
            let query = self
                .client
                .query_raw(sql)
                .with_setting("max_execution_time", "0");
            query
                .fetch_one::<String>()
                .await
                .map_err(error_during(STEP))
        };
        if sums(former).await? == sums(new).await? {
            Ok(())
        } else {
            Err(StoreError::SourceChanged)
        }
    }
}

/// The former table as `old`, joined with the new ids as `ids`.
fn join_new_ids(from: &str) -> String {
    format!("{from} AS old LEFT ANY JOIN site_ids AS ids ON ids.legacy = old.site")
}

/// An expression for the sums of the counters as one text.
fn sums_as_text(counters: &[&str]) -> String {
    let sums: Vec<String> = counters.iter().map(|name| format!("sum({name})")).collect();
    format!("toString(tuple({}))", sums.join(", "))
}
