//! Copies all tables of a database to another ClickHouse, partition by partition.
//!
//! Neither side reaches the other: rows go through this process, in ClickHouse's Native format and
//! in chunks. A partition is replaced as a whole. That it was copied is recorded in the target,
//! with a fingerprint of its parts in the source, so that a later pass copies only what changed.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::archive::{TableRow, TableSum, list_tables, table_sum_columns};
use super::client::{StoreClient, StoreQuery};
use super::engine::Engine;
use super::error::{StoreError, error_during};
use super::http::engine_client;
use super::replica_set::{
    PROGRESS_TABLE, ReplicaRecord, SETS_TABLE, create_replica_tables, record_set,
};
use super::replicas::ReplicaProgress;
use super::schema::{self, quote_name};
use super::shard::PLACES_TABLE;
use super::transfer_state::{COPIED_TABLE, TRANSFERS_TABLE, TransferState, read_database_id};
use super::{AUDIT_RETENTION_DAYS, StoreOptions, check_options, check_whole, open_client};
use crate::random::random_u64;

/// One chunk of a partition's rows; the first one waits until the parts are opened.
const CHUNK_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// The end of a partition's insert, or the sums of a table.
const PARTITION_TIMEOUT: Duration = Duration::from_secs(12 * 3600);

/// How often running statements of the source are looked for, and how often at most.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
const MAX_POLLS: u32 = 600;

/// Each database has its own; they are not copied.
const OWN_TABLES: [&str; 6] = [
    "migrations",
    TRANSFERS_TABLE,
    COPIED_TABLE,
    SETS_TABLE,
    PROGRESS_TABLE,
    PLACES_TABLE,
];

const COPY_STEP: &str = "copying a partition";

/// A partition of a table: names and ids as in `system.parts`.
type PartitionName = (String, String);

/// The sums of all partitions with rows.
pub type PartitionSums = BTreeMap<PartitionName, TableSum>;

/// One of the two databases of a move.
pub struct TransferEnd {
    client: StoreClient,
    engine: Option<Engine>,
    database: String,
    id: String,
    place: String,
    /// The number of the state that this process recorded: it fills the database while that is the
    /// last one.
    claim: Option<u64>,
}

/// How to reach the embedded engine that another process runs. It contains a password, so it has no
/// `Debug`.
#[derive(Serialize, Deserialize, Clone)]
pub struct EngineLogin {
    /// Its HTTP address.
    pub url: String,
    /// Its user.
    pub user: String,
    /// The password of this start.
    pub password: String,
}

/// What a pass copied.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct PassTotals {
    /// Partitions that were copied.
    pub partitions: u64,
    /// Their bytes in the Native format.
    pub bytes: u64,
}

#[derive(Row, Deserialize)]
struct PartRow {
    name: String,
    partition: String,
    fingerprint: String,
}

#[derive(Row, Deserialize)]
struct PartitionSumRow {
    partition: String,
    rows: u64,
    digest: String,
    sums: Vec<String>,
}

impl TransferEnd {
    /// Opens the database to copy from, and brings its schema up to date unless another process
    /// uses it: that one did. `login` is that of the engine that this process does not run.
    ///
    /// # Errors
    ///
    /// An option is invalid, the store cannot be reached, or the database has no tables.
    pub async fn open_source(
        options: &StoreOptions,
        login: Option<&EngineLogin>,
        is_shared: bool,
    ) -> Result<TransferEnd, StoreError> {
        let mut end = TransferEnd::open(options, login).await?;
        let Some(id) = read_database_id(&end.client, &end.database).await? else {
            return Err(StoreError::NothingToMove { place: end.place });
        };
        end.id = id;
        if !is_shared {
            end.apply_migrations(options).await?;
        }
        Ok(end)
    }

    /// Opens the database to copy to. Nothing is created in it yet.
    ///
    /// # Errors
    ///
    /// An option is invalid, or the store cannot be reached.
    pub async fn open_target(options: &StoreOptions) -> Result<TransferEnd, StoreError> {
        let mut end = TransferEnd::open(options, None).await?;
        let id = read_database_id(&end.client, &end.database).await?;
        end.id = id.unwrap_or_default();
        Ok(end)
    }

    /// Opens a replica of a shard, to copy from or to. Nothing is created in it.
    ///
    /// # Errors
    ///
    /// An option is invalid, or the store cannot be reached.
    pub async fn open_replica(options: &StoreOptions) -> Result<TransferEnd, StoreError> {
        let mut end = TransferEnd::open_any(options, None).await?;
        let id = read_database_id(&end.client, &end.database).await?;
        end.id = id.unwrap_or_default();
        Ok(end)
    }

    async fn open(
        options: &StoreOptions,
        login: Option<&EngineLogin>,
    ) -> Result<TransferEnd, StoreError> {
        check_whole(options)?;
        TransferEnd::open_any(options, login).await
    }

    async fn open_any(
        options: &StoreOptions,
        login: Option<&EngineLogin>,
    ) -> Result<TransferEnd, StoreError> {
        check_options(options)?;

        let (client, engine) = match login {
            Some(login) => {
                let client = engine_client(&login.url, &login.user, &login.password);
                (client, None)
            }
            None => open_client(options).await?,
        };
        let client = StoreClient::new(client.with_database(&options.database));
        super::repair::check_version(&client, options.url_or_engine()).await?;
        Ok(TransferEnd {
            client: client.with_long_deadline(),
            engine,
            database: options.database.clone(),
            id: String::new(),
            place: options.place(),
            claim: None,
        })
    }

    async fn apply_migrations(&self, options: &StoreOptions) -> Result<(), StoreError> {
        schema::apply_migrations(
            (&self.client, &self.client),
            &self.database,
            None,
            &options.site_names,
            self.engine.is_some(),
        )
        .await
    }

    /// The database's id; empty if it does not exist yet.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The database and where it is, for people.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Ends the embedded engine, if this process runs it, in order.
    pub async fn close(self) {
        let TransferEnd { client, engine, .. } = self;
        drop(client);
        if let Some(engine) = engine {
            engine.close().await;
        }
    }

    /// Whether the database was or is part of a move.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses the query.
    pub async fn read_state(&self) -> Result<TransferState, StoreError> {
        TransferState::read_state(&self.client, &self.database).await
    }

    /// Records whether the database is part of a move.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses a statement.
    pub async fn write_state(&self, state: &TransferState) -> Result<(), StoreError> {
        state.write_state(&self.client).await.map(drop)
    }

    /// The number of the newest schema change that the database has seen.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses the query.
    pub async fn schema_number(&self) -> Result<u32, StoreError> {
        let query = self.client.query("SELECT max(number) FROM migrations");
        query
            .fetch_one()
            .await
            .map_err(error_during("reading migrations"))
    }

    /// A table of the database that holds rows, if any does.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses the query.
    pub async fn find_filled_table(&self) -> Result<Option<String>, StoreError> {
        super::archive::find_filled_table(&self.client, &self.database, &[]).await
    }

    /// What the database is as a replica.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses a query.
    pub(super) async fn read_replica_record(&self) -> Result<ReplicaRecord, StoreError> {
        ReplicaRecord::read(&self.client, &self.database).await
    }

    /// How far the database is as a replica.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses the query.
    pub(super) async fn read_progress(&self) -> Result<ReplicaProgress, StoreError> {
        super::replicas::read_progress(&self.client).await
    }

    /// What tells whether something was published meanwhile: the units that were begun, those that
    /// are finished, and the last one's number.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses the query.
    pub(super) async fn count_units(&self) -> Result<(u64, u64, u64), StoreError> {
        // Of two numbers of a unit, only one is finished.
        let sql = "SELECT uniqExact((zone, at)), uniqExactIf((zone, at), done = 1), max(lot) \
                   FROM publications";
        let query = self.client.query(sql);
        query
            .fetch_one()
            .await
            .map_err(error_during("reading what was published"))
    }

    /// Creates the tables of a target that becomes a replica, as [`TransferEnd::prepare_target`], and
    /// those that only replicas and shards have.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses a statement.
    pub(super) async fn prepare_replica(
        &mut self,
        options: &StoreOptions,
        receiving: &TransferState,
    ) -> Result<(), StoreError> {
        let claim = self.prepare_target(options, receiving).await?;
        self.claim = Some(claim);
        create_replica_tables(&self.client).await?;
        let place = options.place();
        options
            .shard
            .record_database(&self.client, &self.database, &place)
            .await
    }

    /// Refuses to continue if another process has begun to fill the database since.
    pub(super) async fn check_claim(&self) -> Result<(), StoreError> {
        let Some(claim) = self.claim else {
            return Ok(());
        };
        match TransferState::read_number(&self.client).await? == claim {
            true => Ok(()),
            false => Err(StoreError::TransferRepeated {
                place: self.place.clone(),
            }),
        }
    }

    /// Makes the database a replica: of a set, with the segments of this progress.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses a statement.
    pub(super) async fn become_replica(
        &self,
        set: &str,
        urls: &[String],
        progress: &ReplicaProgress,
    ) -> Result<(), StoreError> {
        self.check_claim().await?;
        record_set(&self.client, set, urls).await?;
        for (collector, place) in progress.segments() {
            self.record_progress(collector, place).await?;
        }
        Ok(())
    }

    /// Records that it has a collector's segments up to a place.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the insert.
    pub(super) async fn record_progress(
        &self,
        collector: &str,
        place: u64,
    ) -> Result<(), StoreError> {
        super::replicas::insert_progress(&self.client, collector, place).await
    }

    /// Creates the tables of a target, and forgets what was copied to it for an earlier move. Returns
    /// the number of its state.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses a statement.
    pub async fn prepare_target(
        &mut self,
        options: &StoreOptions,
        receiving: &TransferState,
    ) -> Result<u64, StoreError> {
        schema::create_database(&self.client, &self.database).await?;
        let id = read_database_id(&self.client, &self.database).await?;
        self.id = id.unwrap_or_default();
        self.apply_migrations(options).await?;

        let sql = format!("TRUNCATE TABLE IF EXISTS {COPIED_TABLE}");
        self.execute(&sql, "beginning a move").await?;
        receiving.write_state(&self.client).await
    }

    /// Ends the inserts of an earlier attempt: one whose caller is gone may still write.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses the statement.
    pub async fn kill_former_inserts(&self) -> Result<(), StoreError> {
        let sql = "KILL QUERY WHERE startsWith(query_id, ?) SYNC";
        let query = self.client.query(sql).bind(self.query_id_prefix());
        let killed = query.execute().await;
        killed.map_err(error_during("ending a former try"))
    }

    fn query_id_prefix(&self) -> String {
        format!("footfall-transfer-{}-", self.id)
    }

    /// Waits until no statement changes the database any more.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or statements keep running for a minute.
    pub async fn wait_for_writers(&self) -> Result<(), StoreError> {
        const STEP: &str = "waiting for running inserts";

        let sql = "SELECT count() FROM system.processes WHERE current_database = ? AND query_kind \
                   IN ('Insert', 'AsyncInsertFlush', 'Alter', 'Delete')";
        for _ in 0..MAX_POLLS {
            let query = self.client.query(sql).bind(&self.database);
            let running: u64 = query.fetch_one().await.map_err(error_during(STEP))?;
            if running == 0 {
                return Ok(());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Err(StoreError::UnexpectedResponse {
            step: STEP,
            kind: "they do not end",
        })
    }

    /// The oldest moment of the audit log that is copied, in seconds: older entries are about to be
    /// removed, on either side at another moment.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses the query.
    pub async fn oldest_audit_entry(&self) -> Result<u32, StoreError> {
        let sql = "SELECT toUnixTimestamp(toStartOfDay(now('UTC')) - toIntervalDay(?))";
        let query = self.client.query(sql).bind(AUDIT_RETENTION_DAYS - 1);
        query
            .fetch_one()
            .await
            .map_err(error_during("reading the time"))
    }

    async fn list_tables(&self) -> Result<Vec<TableRow>, StoreError> {
        let mut tables = list_tables(&self.client, &self.database).await?;
        tables.retain(|table| !OWN_TABLES.contains(&table.name.as_str()));
        Ok(tables)
    }

    /// Each partition's fingerprint: of its parts, so that a merge changes it too.
    async fn list_partitions(&self) -> Result<HashMap<PartitionName, String>, StoreError> {
        let sql = "SELECT p.table AS name, p.partition_id AS partition, \
                   hex(groupBitXor(cityHash64(p.name, p.hash_of_all_files, p.rows))) AS \
                   fingerprint FROM system.parts AS p WHERE p.database = ? AND p.active AND \
                   p.rows > 0 GROUP BY p.table, p.partition_id";
        let query = self.client.query(sql).bind(&self.database);
        read_fingerprints(query, "listing partitions").await
    }

    /// The fingerprints of the source's partitions when they were copied to this database.
    async fn list_copied(&self) -> Result<HashMap<PartitionName, String>, StoreError> {
        let sql = "SELECT name, partition, fingerprint FROM transferred_partitions FINAL";
        read_fingerprints(self.client.query(sql), "listing what was copied").await
    }

    async fn record_copied(
        &self,
        (name, partition): &PartitionName,
        fingerprint: &str,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO transferred_partitions (name, partition, fingerprint, revision) \
                   SELECT ?, ?, ?, toUnixTimestamp64Nano(now64(9))";
        let query = self.client.query(sql).bind(name).bind(partition);
        let query = query.bind(fingerprint).with_setting("async_insert", "0");
        query
            .execute()
            .await
            .map_err(error_during("recording what was copied"))
    }

    async fn drop_partition(&self, name: &str, partition: &str) -> Result<(), StoreError> {
        self.check_claim().await?;
        let partition = partition.replace('\'', "");
        let sql = format!(
            "ALTER TABLE {} DROP PARTITION ID '{partition}'",
            quote_name(name)
        );
        let query = self.client.query_raw(&sql);
        let query = query.with_setting("max_partition_size_to_drop", "0");
        query
            .execute()
            .await
            .map_err(error_during("replacing a partition"))
    }

    /// The sums of all partitions, as a reader sees their rows.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses a query.
    pub async fn sum_partitions(&self, oldest_audit: u32) -> Result<PartitionSums, StoreError> {
        let mut sums = PartitionSums::new();
        for table in self.list_tables().await? {
            let sql = format!(
                "SELECT _partition_id AS partition, {} FROM {}{}{} GROUP BY partition",
                table_sum_columns(&table),
                quote_name(&table.name),
                table.fold_clause(),
                audit_clause(&table.name, oldest_audit, "WHERE"),
            );
            let query = without_limits(self.client.query_raw(&sql), PARTITION_TIMEOUT);
            let rows: Vec<PartitionSumRow> = query
                .fetch_all()
                .await
                .map_err(error_during("summing a table"))?;

            for row in rows {
                let sum = TableSum {
                    rows: row.rows,
                    digest: row.digest,
                    sums: table.counters.iter().cloned().zip(row.sums).collect(),
                };
                sums.insert((table.name.clone(), row.partition), sum);
            }
        }
        Ok(sums)
    }

    async fn execute(&self, sql: &str, step: &'static str) -> Result<(), StoreError> {
        let query = self.client.query_raw(sql);
        query.execute().await.map_err(error_during(step))
    }
}

/// Copies the partitions of the source that changed since they were copied, or were not copied yet,
/// and removes those from the target that the source does not have. `show` is called with the
/// number of partitions that are done, and of all.
///
/// # Errors
///
/// A store cannot be reached in time, or ClickHouse refuses a statement. What was copied stays.
pub async fn copy_changed_partitions(
    source: &TransferEnd,
    target: &TransferEnd,
    oldest_audit: u32,
    show: &mut dyn FnMut(u64, u64),
) -> Result<PassTotals, StoreError> {
    let tables = source.list_tables().await?;
    let (present, copied) = (source.list_partitions().await?, target.list_copied().await?);
    let mut changed: Vec<(&TableRow, &PartitionName, &String)> = Vec::new();
    for (partition, fingerprint) in &present {
        let table = tables.iter().find(|table| table.name == partition.0);
        if let Some(table) = table.filter(|_| copied.get(partition) != Some(fingerprint)) {
            changed.push((table, partition, fingerprint));
        }
    }
    changed.sort_by_key(|(_, partition, _)| *partition);

    for (name, partition) in target.list_partitions().await?.into_keys() {
        let is_gone = !present.contains_key(&(name.clone(), partition.clone()));
        if is_gone && !OWN_TABLES.contains(&name.as_str()) {
            target.drop_partition(&name, &partition).await?;
        }
    }

    let mut totals = PassTotals::default();
    let of = changed.len() as u64;
    for (table, partition, fingerprint) in changed {
        show(totals.partitions, of);
        totals.bytes += copy_partition(source, target, table, &partition.1, oldest_audit).await?;
        target.record_copied(partition, fingerprint).await?;
        totals.partitions += 1;
    }
    show(of, of);
    Ok(totals)
}

async fn read_fingerprints(
    query: StoreQuery,
    step: &'static str,
) -> Result<HashMap<PartitionName, String>, StoreError> {
    let rows: Vec<PartRow> = query.fetch_all().await.map_err(error_during(step))?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|row| ((row.name, row.partition), row.fingerprint))
        .collect())
}

/// Replaces a partition of the target by the source's. Returns the bytes of its rows.
async fn copy_partition(
    source: &TransferEnd,
    target: &TransferEnd,
    table: &TableRow,
    partition: &str,
    oldest_audit: u32,
) -> Result<u64, StoreError> {
    let failed = error_during(COPY_STEP);
    target.drop_partition(&table.name, partition).await?;

    let columns: Vec<String> = table.columns.iter().map(|name| quote_name(name)).collect();
    let (name, columns) = (quote_name(&table.name), columns.join(", "));
    let select = format!(
        "SELECT {columns} FROM {name}{} WHERE _partition_id = '{}'{}",
        table.fold_clause(),
        partition.replace('\'', ""),
        audit_clause(&table.name, oldest_audit, "AND"),
    );
    let query = without_limits(source.client.query_raw(&select), CHUNK_TIMEOUT);
    let mut rows = query.fetch_bytes("Native").map_err(&failed)?;

    let query_id = format!("{}{:016x}", target.query_id_prefix(), random_u64());
    let insert = format!("INSERT INTO {name} ({columns}) FORMAT Native");
    let insert = target.client.begin_formatted_insert(insert);
    let mut insert = insert
        .map_err(&failed)?
        .with_timeouts(Some(CHUNK_TIMEOUT), Some(PARTITION_TIMEOUT))
        .with_setting("query_id", query_id)
        .with_setting("insert_deduplicate", "0")
        .with_setting("async_insert", "0")
        .with_setting("max_execution_time", "0");

    let mut bytes = 0;
    while let Some(chunk) = rows.next_chunk().await.map_err(&failed)? {
        bytes += chunk.len() as u64;
        insert.send(chunk).await.map_err(&failed)?;
    }
    target.check_claim().await?;
    insert.end().await.map_err(&failed)?;
    Ok(bytes)
}

/// The condition that leaves out entries of the audit log that are about to be removed.
fn audit_clause(table: &str, oldest: u32, keyword: &str) -> String {
    match table {
        "audit" => format!(" {keyword} at >= toDateTime({oldest}, 'UTC')"),
        _ => String::new(),
    }
}

/// The same statement without the limits of a report query. Partitions are folded one by one.
fn without_limits(query: StoreQuery, deadline: Duration) -> StoreQuery {
    query
        .with_setting("max_execution_time", "0")
        .with_setting("do_not_merge_across_partitions_select_final", "1")
        .with_deadline(deadline)
}
