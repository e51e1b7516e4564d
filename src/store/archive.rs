//! The tables as a whole: copied by ClickHouse's own BACKUP and RESTORE, compared by sums, and
//! replaced by others.
//!
//! Tables are compared by what a reader of them sees, not by their parts: merges may run on one
//! side and not on the other. So each table is read with `FINAL`, partition by partition.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::client::{StoreClient, StoreQuery};
use super::engine::Engine;
use super::error::{StoreError, error_during};
use super::schema::{create_database, quote_name};
use super::transfer_state::{COPIED_TABLE, TRANSFERS_TABLE};
use super::{Store, StoreOptions, check_options, check_whole, open_client};
use crate::random::random_u64;

/// A copy of all tables, or their sums. Beyond this the server hangs.
const ARCHIVE_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// Tables that change while counts are held back: what people register, and what is recorded of
/// them. They are small.
const REGISTRY_TABLES: [&str; 12] = [
    "aliases",
    "audit",
    "coin_keys",
    "messages",
    "migrations",
    "money_voids",
    "names",
    "shares",
    "sign_outs",
    "sites",
    "tokens",
    "withdrawals",
];

/// Tables that have rows in a database that counts nothing yet.
const PREFILLED_TABLES: [&str; 2] = ["coin_keys", "migrations"];

/// Tables that say whether the database was moved. A backup does not have them: what is restored
/// may be used.
const TRANSFER_TABLES: [&str; 2] = [TRANSFERS_TABLE, COPIED_TABLE];

string_enum! {
    /// Which tables are copied together, in the order of a backup.
    pub enum TableGroup {
        /// What segments, publication and retention write. See [`Store::pause_writes`].
        Counts = "counts",
        /// All others.
        Registry = "registry",
    }
}

impl TableGroup {
    fn has_table(self, name: &str) -> bool {
        REGISTRY_TABLES.contains(&name) == (self == TableGroup::Registry)
    }
}

/// Where a backup has the tables of each group: paths below the folder of backups.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct GroupFolders {
    /// Of [`TableGroup::Counts`].
    pub counts: String,
    /// Of [`TableGroup::Registry`].
    pub registry: String,
}

impl GroupFolders {
    /// The folder of a group.
    pub fn group_folder(&self, group: TableGroup) -> &str {
        match group {
            TableGroup::Counts => &self.counts,
            TableGroup::Registry => &self.registry,
        }
    }
}

/// What a table contains, independent of how its rows are spread over parts.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct TableSum {
    /// Rows with different keys.
    pub rows: u64,
    /// The sum, modulo 2^64, of a hash of each row: 16 hex digits.
    pub digest: String,
    /// The sum of each counter, in decimal.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sums: BTreeMap<String, String>,
}

/// The sums of tables, by name.
pub type TableSums = BTreeMap<String, TableSum>;

#[derive(Row, Deserialize)]
pub(super) struct TableRow {
    pub name: String,
    is_plain: bool,
    pub counters: Vec<String>,
    /// All columns, in the table's order.
    pub columns: Vec<String>,
}

impl TableRow {
    /// What makes a query see each key once.
    pub fn fold_clause(&self) -> &'static str {
        match self.is_plain {
            true => "",
            false => " FINAL",
        }
    }
}

#[derive(Row, Deserialize)]
struct SumRow {
    rows: u64,
    digest: String,
    sums: Vec<String>,
}

/// The database's tables, opened without bringing their schema up to date.
pub struct TableArchive {
    client: StoreClient,
    engine: Option<Engine>,
    database: String,
    disk: String,
}

impl Store {
    /// The same tables, to be copied. `disk` is the server's disk for the copies; empty for the
    /// folder that it allows for backups.
    pub fn table_archive(&self, disk: &str) -> TableArchive {
        TableArchive {
            client: self.client.with_database("default"),
            engine: self.engine.clone(),
            database: self.database.clone(),
            disk: disk.to_owned(),
        }
    }
}

impl TableArchive {
    /// Opens the store as [`Store::connect`] does, and creates nothing in it.
    ///
    /// # Errors
    ///
    /// An option is invalid, the engine does not start, or the tables are those of a cluster: a
    /// copy of one node would not be whole.
    pub async fn open(options: &StoreOptions, disk: &str) -> Result<TableArchive, StoreError> {
        check_options(options)?;
        check_whole(options)?;
        let (client, engine) = open_client(options).await?;
        Ok(TableArchive {
            client: StoreClient::new(client.with_database("default")).with_long_deadline(),
            engine,
            database: options.database.clone(),
            disk: disk.to_owned(),
        })
    }

    /// Ends the embedded engine in order.
    pub async fn close(self) {
        let TableArchive { client, engine, .. } = self;
        drop(client);
        if let Some(engine) = engine {
            engine.close().await;
        }
    }

    /// `embedded` or `server`.
    pub fn kind(&self) -> &'static str {
        if self.engine.is_some() {
            "embedded"
        } else {
            "server"
        }
    }

    /// The configured database's name.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The number of the newest schema change that the database has seen; 0 without a database.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses the query.
    pub async fn schema_number(&self) -> Result<u32, StoreError> {
        if !self.has_table("migrations").await? {
            return Ok(0);
        }
        let sql = "SELECT max(number) FROM migrations";
        let query = self.client.with_database(&self.database).query(sql);
        query
            .fetch_one()
            .await
            .map_err(error_during("reading migrations"))
    }

    async fn has_table(&self, table: &str) -> Result<bool, StoreError> {
        let sql = "SELECT toBool(count() > 0) FROM system.tables WHERE database = ? AND name = ?";
        let query = self.client.query(sql).bind(&self.database).bind(table);
        query
            .fetch_one()
            .await
            .map_err(error_during("looking for a table"))
    }

    /// A table of the database that holds rows, if any does.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses the query.
    pub async fn find_filled_table(&self) -> Result<Option<String>, StoreError> {
        find_filled_table(&self.client, &self.database, &[]).await
    }

    /// The sums of the tables of a group in a database.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses a query.
    pub async fn sum_tables(
        &self,
        database: &str,
        group: TableGroup,
    ) -> Result<TableSums, StoreError> {
        let client = self.client.with_database(database);
        let mut sums = TableSums::new();
        for table in self.list_tables(database, group).await? {
            let sql = format!(
                "SELECT {} FROM {}{}",
                table_sum_columns(&table),
                quote_name(&table.name),
                table.fold_clause()
            );

            let query = without_limits(client.query_raw(&sql))
                .with_setting("do_not_merge_across_partitions_select_final", "1");
            let row: SumRow = query
                .fetch_one()
                .await
                .map_err(error_during("summing a table"))?;
            let sum = TableSum {
                rows: row.rows,
                digest: row.digest,
                sums: table.counters.into_iter().zip(row.sums).collect(),
            };
            sums.insert(table.name, sum);
        }
        Ok(sums)
    }

    /// The tables of a group. Those that a crash left half written are not part of it.
    async fn list_tables(
        &self,
        database: &str,
        group: TableGroup,
    ) -> Result<Vec<TableRow>, StoreError> {
        let tables = list_tables(&self.client, database).await?;
        Ok(tables
            .into_iter()
            .filter(|table| {
                group.has_table(&table.name) && !TRANSFER_TABLES.contains(&&*table.name)
            })
            .collect())
    }

    /// Copies the tables of a group to a folder below that of backups, which must not exist; files
    /// that the folder `base` has are not copied again. `id` is the backup's name.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses the statement. What was copied
    /// so far is left.
    pub async fn back_up_tables(
        &self,
        group: TableGroup,
        (id, folder): (&str, &str),
        base: Option<&str>,
    ) -> Result<(), StoreError> {
        let database = quote_name(&self.database);
        let tables = self.list_tables(&self.database, group).await?;
        let tables: Vec<String> = tables
            .iter()
            .map(|table| format!("TABLE {database}.{}", quote_name(&table.name)))
            .collect();
        let base = base.map_or_else(String::new, |base| {
            format!(" SETTINGS base_backup = {}", self.destination(base))
        });
        let sql = format!(
            "BACKUP {} TO {}{base}",
            tables.join(", "),
            self.destination(folder)
        );

        without_limits(self.client.query_raw(&sql))
            .with_setting("query_id", copy_query_id(id, group))
            .execute()
            .await
            .map_err(error_during("a backup"))
    }

    /// Ends a copy that [`TableArchive::back_up_tables`] began and whose caller is gone.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses the statement.
    pub async fn cancel_back_up(&self, id: &str) -> Result<(), StoreError> {
        for group in TableGroup::ALL {
            let sql = "KILL QUERY WHERE query_id = ? SYNC";
            let query = self.client.query(sql).bind(copy_query_id(id, group));
            query
                .execute()
                .await
                .map_err(error_during("ending a backup"))?;
        }
        Ok(())
    }

    /// Restores the named tables of the database `source` in a backup into the database `target`,
    /// which is created and must have none of them.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses a statement. Tables that were
    /// restored stay.
    pub async fn restore_tables(
        &self,
        folders: &GroupFolders,
        source: &str,
        tables: impl Iterator<Item = &str>,
        target: &str,
    ) -> Result<(), StoreError> {
        create_database(&self.client, target).await?;
        let tables: Vec<&str> = tables.collect();
        for group in TableGroup::ALL {
            let (from, to) = (quote_name(source), quote_name(target));
            let tables: Vec<String> = tables
                .iter()
                .filter(|table| group.has_table(table))
                .map(|table| quote_name(table))
                .map(|table| format!("TABLE {from}.{table} AS {to}.{table}"))
                .collect();
            if tables.is_empty() {
                continue;
            }

            let sql = format!(
                "RESTORE {} FROM {}",
                tables.join(", "),
                self.destination(folders.group_folder(group))
            );
            without_limits(self.client.query_raw(&sql))
                .execute()
                .await
                .map_err(error_during("restoring a backup"))?;
        }
        Ok(())
    }

    /// A folder of a backup, in the words of BACKUP.
    fn destination(&self, folder: &str) -> String {
        match (self.engine.is_none(), self.disk.as_str()) {
            (true, disk) if !disk.is_empty() => format!("Disk('{disk}', '{folder}')"),
            _ => format!("File('{folder}')"),
        }
    }

    /// Keeps the embedded engine from merging and from dropping what is past its time, so that the
    /// rows stay as they were restored. Does nothing to a server, which others use.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses the statement.
    pub async fn stop_merges(&self) -> Result<(), StoreError> {
        if self.engine.is_none() {
            return Ok(());
        }
        self.execute("SYSTEM STOP MERGES", "stopping merges").await
    }

    /// A name for a database beside the configured one. See [`TableArchive::drop_side_databases`].
    pub fn side_database(&self) -> String {
        format!("{}_beside_{:016x}", self.database, random_u64())
    }

    /// Puts the database `side` in the place of the configured one, which is dropped after that.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses a statement. Each database is
    /// whole under one of the names.
    pub async fn replace_database(&self, side: &str) -> Result<(), StoreError> {
        let step = "putting restored tables in place";
        let (database, former) = (quote_name(&self.database), self.side_database());
        let sql = format!(
            "RENAME DATABASE IF EXISTS {database} TO {}",
            quote_name(&former)
        );
        self.execute(&sql, step).await?;

        let sql = format!("RENAME DATABASE {} TO {database}", quote_name(side));
        self.execute(&sql, step).await?;
        self.drop_database(&former).await
    }

    /// Drops the databases that [`TableArchive::side_database`] named, and returns their names.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses a statement.
    pub async fn drop_side_databases(&self) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT name FROM system.databases WHERE match(name, ?) ORDER BY name";
        let pattern = format!("^{}_beside_[0-9a-f]{{16}}$", self.database);
        let query = self.client.query(sql).bind(pattern);
        let names: Vec<String> = query
            .fetch_all()
            .await
            .map_err(error_during("listing databases"))?;
        for name in &names {
            self.drop_database(name).await?;
        }
        Ok(names)
    }

    /// Drops a database and its files.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses the statement.
    pub async fn drop_database(&self, name: &str) -> Result<(), StoreError> {
        let sql = format!("DROP DATABASE IF EXISTS {} SYNC", quote_name(name));
        self.execute(&sql, "dropping a database").await
    }

    async fn execute(&self, sql: &str, step: &'static str) -> Result<(), StoreError> {
        let query = self.client.query_raw(sql);
        query.execute().await.map_err(error_during(step))
    }
}

/// A table of the database that holds rows, if any does beside those in `own`.
pub(super) async fn find_filled_table(
    client: &StoreClient,
    database: &str,
    own: &[&str],
) -> Result<Option<String>, StoreError> {
    let sql = "SELECT table FROM system.parts WHERE database = ? AND active AND rows > 0 AND NOT \
               has(?, table) ORDER BY table LIMIT 1";
    let empty = [&PREFILLED_TABLES[..], &TRANSFER_TABLES[..], own].concat();
    let query = client.with_database("default").query(sql);
    let query = query.bind(database).bind(empty);
    query
        .fetch_optional()
        .await
        .map_err(error_during("looking for counts"))
}

/// All tables. Those that a crash left half written are not part of them.
pub(super) async fn list_tables(
    client: &StoreClient,
    database: &str,
) -> Result<Vec<TableRow>, StoreError> {
    let sql = "SELECT t.name AS name, toBool(t.engine NOT LIKE '%ing%MergeTree') AS is_plain, \
               arraySort(groupArrayIf(c.name, c.type = 'UInt64' AND NOT c.is_in_sorting_key AND \
               NOT has(['revision', 'lot', 'counted', 'block'], c.name))) AS counters, \
               arrayMap(pair -> pair.2, arraySort(groupArray((c.position, c.name)))) AS columns \
               FROM system.tables AS t INNER JOIN system.columns AS c ON c.database = t.database \
               AND c.table = t.name WHERE t.database = ? AND c.database = ? AND t.engine LIKE \
               '%MergeTree' AND NOT match(t.name, '_(side|fold)_[0-9a-f]{16}$') GROUP BY t.name, \
               t.engine ORDER BY name";
    let query = client.with_database("default").query(sql);
    let query = query.bind(database).bind(database);
    query
        .fetch_all()
        .await
        .map_err(error_during("listing tables"))
}

/// The columns of a [`TableSum`]: rows, digest, and the sums of the table's counters.
pub(super) fn table_sum_columns(table: &TableRow) -> String {
    let columns: Vec<String> = table
        .counters
        .iter()
        .map(|name| format!("toString(sum(toUInt128({name})))"))
        .collect();
    let columns = match columns.is_empty() {
        true => "emptyArrayString()".to_owned(),
        false => format!("[{}]", columns.join(", ")),
    };
    format!(
        "count() AS rows, lower(leftPad(hex(sum(cityHash64(*))), 16, '0')) AS digest, {columns} \
         AS sums"
    )
}

/// The tables whose sums differ, or that only one side has.
pub fn differing_tables(one: &TableSums, other: &TableSums) -> Vec<String> {
    let names: HashSet<&String> = one.keys().chain(other.keys()).collect();
    let mut differing: Vec<String> = names
        .into_iter()
        .filter(|name| one.get(*name) != other.get(*name))
        .cloned()
        .collect();
    differing.sort();
    differing
}

fn copy_query_id(id: &str, group: TableGroup) -> String {
    format!("footfall-backup-{id}-{}", group.name())
}

/// The same statement without the limits of a report query.
fn without_limits(query: StoreQuery) -> StoreQuery {
    query
        .with_setting("max_execution_time", "0")
        .with_deadline(ARCHIVE_TIMEOUT)
}
