//! Stage 8: counts in ClickHouse, embedded or a server, through one client.
//!
//! A segment becomes one INSERT for each table and partition, in one block with a marker of its own
//! (marker.rs). Sending it again adds nothing, as long as its month was not dropped in between.

pub mod accept;
mod access;
mod activity_source;
mod ageing;
pub mod archive;
mod bi;
mod client;
mod digests;
pub mod engine;
mod erasure;
mod error;
mod error_text;
mod former_site_ids;
mod http;
mod mail;
mod marker;
pub mod native;
mod partition;
mod platform;
mod publication;
mod published;
pub mod rebuild;
mod registry;
mod repair;
mod replica_set;
mod replica_writes;
mod replicas;
mod retention;
pub mod schema;
mod shard;
mod shards;
mod site_reader;
pub mod tls;
pub mod transfer;
mod transfer_state;
mod voids;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

pub use access::{AUDIT_RETENTION_DAYS, AuditRow};
pub use ageing::{AgeingMonth, AgeingOutcome};
pub use bi::BiReach;
pub use digests::{DigestDaySummary, DigestTable, WITHDRAWAL_RETENTION_DAYS};
pub use engine::{BI_USER_PREFIX, BiUsers, EngineLimits, close_engines};
pub use erasure::ErasedSite;
pub use error::StoreError;
pub use mail::{MailCountRow, MailGrouping, MessageRow};
pub use marker::MARKER_GRACE_DAYS;
pub use platform::{ActivityRow, DropTotal, PageHistogram, SiteFaultTotal};
pub use publication::{PublicationTotals, PublicationUnit, UnfinishedUnit, ZoneProgress};
pub use published::{ItemCounts, PublicationCutoff, ValueCounts};
pub use registry::RegistryRevisions;
pub use replicas::{ReplicaHandle, ReplicaProgress, ShardReplicas};
pub use retention::{ExpiredRows, HeldSince, RetentionOutcome};
pub use schema::NEWEST_SCHEMA;
pub use shard::ShardPlace;
pub use shards::{RespondingShards, StoreShards, StoreSlot};
pub use site_reader::{
    CounterSums, DeviceBucketCount, FaultTotal, RevenueTotal, SiteReader, TopItem, VitalBucketCount,
};
pub use transfer_state::TransferState;
pub use voids::{VoidRequest, VoidRow};

use crate::aggregate::SegmentSums;
use crate::event::SiteId;
use crate::random::random_u64;
use client::StoreClient;
use engine::{Engine, EngineOptions};
use error::error_during;
use marker::{SegmentMarkers, StoredBlocks};
use native::PartitionRows;
use schema::CountsTable;

/// Size in bytes of the chunks in which a block is passed to the client, so that the whole block is
/// never copied.
const CHUNK_BYTES: usize = 1 << 20;
/// Settings that keep an insert's block as it is, neither split nor merged with another, whatever
/// the server's defaults are.
const ONE_BLOCK_SETTINGS: [(&str, &str); 6] = [
    // Counts repeat: equal blocks may be two blocks, not one block sent twice.
    ("insert_deduplicate", "0"),
    ("async_insert", "0"),
    ("max_insert_block_size", "100000000"),
    ("min_insert_block_size_rows", "0"),
    ("min_insert_block_size_bytes", "0"),
    ("max_insert_threads", "1"),
];

/// An insert of fewer rows is not split when it is too large, because their number is not the
/// cause.
const MIN_SPLIT_ROWS: usize = 256;

/// How to reach and size the store. It contains a password, so it has no `Debug`.
#[derive(Clone)]
pub struct StoreOptions {
    /// The HTTP interface of a server; `None` for the embedded engine.
    pub url: Option<String>,
    /// The server's user; `None` for its default.
    pub user: Option<String>,
    /// The user's password; `None` for none.
    pub password: Option<String>,
    /// A PEM file of certificates of the authorities that are trusted instead of the public ones.
    /// Used for `https://` only.
    pub ca_file: Option<PathBuf>,
    /// The database's name: letters, digits and `_`. Created if it does not exist.
    pub database: String,
    /// The server's cluster on which replicated tables are made; `None` for tables of one machine.
    pub cluster: Option<String>,
    /// Which of how many shards the database is.
    pub shard: ShardPlace,
    /// The URLs of all replicas of the shard, with this one's; empty where `store.replication` is.
    pub replica_urls: Vec<String>,
    /// The embedded engine's directory. Only one process can use it.
    pub data_dir: PathBuf,
    /// The folder of backups: the embedded engine may read and write there. `None` for no backups.
    pub backup_dir: Option<PathBuf>,
    /// The program that is started as the embedded engine: this one.
    pub program: PathBuf,
    /// The path of `libchdb.so`, the embedded engine.
    pub library: PathBuf,
    /// Memory, threads and time of the embedded engine.
    pub limits: EngineLimits,
    /// The names of the configured sites: former versions did not store them, and a migration needs
    /// them.
    pub site_names: Vec<String>,
}

impl StoreOptions {
    /// The embedded engine with a database `footfall` in a folder, without backups.
    pub fn embedded(data_dir: PathBuf, program: PathBuf, library: PathBuf) -> StoreOptions {
        StoreOptions {
            url: None,
            user: None,
            password: None,
            ca_file: None,
            database: "footfall".to_owned(),
            cluster: None,
            shard: ShardPlace::WHOLE,
            replica_urls: Vec::new(),
            data_dir,
            backup_dir: None,
            program,
            library,
            limits: EngineLimits::default(),
            site_names: Vec::new(),
        }
    }

    /// The database and where it is, for people.
    pub fn place(&self) -> String {
        match &self.url {
            Some(url) => format!("{} at {url}", self.database),
            None => format!("{} in {}", self.database, self.data_dir.display()),
        }
    }

    /// The server's URL, for people.
    fn url_or_engine(&self) -> &str {
        self.url.as_deref().unwrap_or("the embedded engine")
    }
}

/// A connected store whose schema is up to date.
pub struct Store {
    /// For inserts, publication and retention, which may take minutes.
    client: StoreClient,
    /// For calls with a waiting client: report queries and the registry.
    short_client: StoreClient,
    engine: Option<Engine>,
    cluster: Option<String>,
    shard: ShardPlace,
    replica: ReplicaHandle,
    database: String,
    /// The database and where it is, for people.
    place: String,
    clamped: AtomicU64,
    /// Held for reading by what changes the tables of counts; for writing by a backup.
    write_gate: Arc<tokio::sync::RwLock<()>>,
    /// Held while a site is erased, and while counts are summed that an erasure must find.
    erasure_lock: tokio::sync::Mutex<()>,
}

impl Store {
    /// Opens the store, creates its database and brings its schema up to date.
    ///
    /// # Errors
    ///
    /// An option is invalid; the engine does not start or the server cannot be reached in time; the
    /// database was written by a later version, was moved to another store or is being filled from
    /// one; or a migration fails. Completed migrations stay, and the next call continues with the
    /// rest.
    pub async fn connect(options: &StoreOptions) -> Result<Store, StoreError> {
        Store::connect_replica(options, &ReplicaHandle::alone()).await
    }

    /// The same for a replica of a shard.
    ///
    /// # Errors
    ///
    /// As for [`Store::connect`]; or the database is not a replica of its siblings, or is new and
    /// they are not.
    pub async fn connect_replica(
        options: &StoreOptions,
        replica: &ReplicaHandle,
    ) -> Result<Store, StoreError> {
        check_options(options)?;
        let (client, engine) = open_client(options).await?;

        let calls = StoreClient::new(client.with_database(&options.database));
        let client = calls.with_long_deadline();

        repair::check_version(&calls, options.url_or_engine()).await?;
        TransferState::read_state(&calls, &options.database)
            .await?
            .check_usable()?;
        let (shard, place) = (options.shard, options.place());
        shard
            .check_database(&calls, &options.database, &place)
            .await?;
        replica.join_set(&calls, options).await?;

        let (cluster, alone) = (options.cluster.as_deref(), engine.is_some());
        schema::apply_migrations(
            (&client, &calls),
            &options.database,
            cluster,
            &options.site_names,
            alone,
        )
        .await?;
        repair::restore_missing_tables(&client, &options.database, cluster).await?;
        shard
            .record_database(&calls, &options.database, &place)
            .await?;
        let (cluster, database) = (options.cluster.clone(), options.database.clone());
        Ok(Store {
            client,
            short_client: calls,
            engine,
            cluster,
            shard,
            replica: replica.clone(),
            database,
            place,
            clamped: AtomicU64::new(0),
            write_gate: Arc::default(),
            erasure_lock: tokio::sync::Mutex::default(),
        })
    }

    /// Which replica it is.
    pub fn replica(&self) -> &ReplicaHandle {
        &self.replica
    }

    /// Which shard it is.
    pub fn shard(&self) -> ShardPlace {
        self.shard
    }

    /// The queries about one site.
    pub fn site_reader(&self, site: SiteId) -> SiteReader<'_> {
        SiteReader {
            clients: vec![&self.short_client],
            site,
            clamped: &self.clamped,
        }
    }

    /// The queries about one site, or the platform, whose rows are on several shards.
    pub fn site_reader_of<'s>(stores: &[&'s Store], site: SiteId) -> SiteReader<'s> {
        SiteReader {
            clients: stores.iter().map(|store| &store.short_client).collect(),
            site,
            clamped: &stores[0].clamped,
        }
    }

    /// How often, since the start, a report showed less money than was booked, because the sum
    /// exceeds the integers that JSON represents exactly.
    pub fn clamped_sums(&self) -> u64 {
        self.clamped.load(Ordering::Relaxed)
    }

    /// Checks that the store responds, at the cost of a round trip.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.short_client
            .query("SELECT 1")
            .execute()
            .await
            .map_err(error_during("a ping"))
    }

    /// The size of the tables on disk in bytes, as ClickHouse accounts for its active parts.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn disk_bytes(&self) -> Result<u64, StoreError> {
        let sql = "SELECT sum(bytes_on_disk) FROM system.parts WHERE active \
            AND database = currentDatabase()";
        self.short_client
            .query(sql)
            .fetch_one()
            .await
            .map_err(error_during("the size of the tables"))
    }

    /// The crate's client without deadlines, for queries. Read with `sum()` and `GROUP BY`, with
    /// thresholds in `HAVING`, because rows of one key may be in several parts.
    pub fn raw_client(&self) -> &clickhouse::Client {
        self.client.raw_client()
    }

    /// Creates tables again that are gone and whose rows are in another one.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, ClickHouse rejects a statement, or what a table held is
    /// lost.
    pub async fn restore_missing_tables(&self) -> Result<(), StoreError> {
        let _open = self.write_gate.read().await;
        let cluster = self.cluster.as_deref();
        repair::restore_missing_tables(&self.client, &self.database, cluster).await
    }

    /// The embedded engine; `None` with a server.
    pub fn engine(&self) -> Option<&Engine> {
        self.engine.as_ref()
    }

    /// Ends the embedded engine in order. Connections are closed first, because the engine would
    /// wait for them.
    pub async fn close(self: Arc<Store>) {
        let engine = self.engine.clone();
        drop(self);
        if let Some(engine) = engine {
            engine.close().await;
        }
    }

    /// Lets what changes the tables of counts come to an end, and holds it back for as long as the
    /// returned guard lives: segments, publication and retention wait. The registry's tables may
    /// change.
    pub async fn pause_writes(&self) -> tokio::sync::OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.write_gate).write_owned().await
    }

    /// Lets what changes the tables come to an end, and refuses it from then on with
    /// [`StoreError::Held`], or allows it again. Queries work meanwhile.
    pub async fn set_held(&self, held: bool) {
        let _paused = self.pause_writes().await;
        self.client.set_held(held).await;
    }

    /// Whether the tables were moved to another store.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn read_transfer_state(&self) -> Result<TransferState, StoreError> {
        TransferState::read_state(&self.short_client, &self.database).await
    }

    /// How another process of this user reaches the embedded engine; `None` with a server.
    pub fn engine_login(&self) -> Option<transfer::EngineLogin> {
        let engine = self.engine.as_ref()?;
        let (user, password) = engine.login_credentials();
        Some(transfer::EngineLogin {
            url: format!("http://{}", engine.address()),
            user: user.to_owned(),
            password: password.to_owned(),
        })
    }

    /// The id that the server gave the database when it was created.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn read_database_id(&self) -> Result<Option<String>, StoreError> {
        transfer_state::read_database_id(&self.short_client, &self.database).await
    }

    /// Adds the counts of a segment that was never sent. Encoding a full segment occupies the
    /// calling thread for tens of milliseconds.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects an insert. Some of the counts may
    /// be stored; from then on the segment must be sent with [`Store::insert_segment`].
    pub async fn insert_new_segment(
        &self,
        token: &str,
        sums: &SegmentSums,
    ) -> Result<(), StoreError> {
        self.send_segment(token, sums, false).await
    }

    /// Adds the counts once for each `token`, however often it is called: stored blocks are not
    /// sent again. An earlier call with the token is ended first, even if its caller is gone.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects a statement. Some of the counts
    /// may be stored; the same call adds the others.
    pub async fn insert_segment(&self, token: &str, sums: &SegmentSums) -> Result<(), StoreError> {
        self.send_segment(token, sums, true).await
    }

    /// Sends a segment to every table. `again`: whether an earlier call may have sent some of it.
    async fn send_segment(
        &self,
        token: &str,
        sums: &SegmentSums,
        again: bool,
    ) -> Result<(), StoreError> {
        let _open = self.write_gate.read().await;
        let present = self.with_present_ids(sums).await?;
        let sums = present.as_ref().unwrap_or(sums);
        let part = self.shard.is_part().then(|| self.shard.select_rows(sums));
        let sums = part.as_ref().unwrap_or(sums);
        if again {
            self.kill_former_inserts(token).await?;
        }

        for table in CountsTable::ALL {
            let pieces = native::rows_by_partition(sums, table);

            let is_new = !again || pieces.is_empty();
            let mut stored = if is_new {
                StoredBlocks::default()
            } else {
                self.find_stored_blocks(table, token).await?
            };

            for piece in &pieces {
                self.send_partition(token, sums, table, piece, &mut stored)
                    .await?;
            }
        }
        Ok(())
    }

    /// The blocks of the segment that a table has.
    async fn find_stored_blocks(
        &self,
        table: CountsTable,
        token: &str,
    ) -> Result<StoredBlocks, StoreError> {
        if self.cluster.is_some() {
            // Another replica may have received it.
            let sql = format!("SYSTEM SYNC REPLICA {}", table.name());
            self.client
                .query(&sql)
                .execute()
                .await
                .map_err(error_during("waiting for a replica"))?;
        }
        self.read_stored_blocks(table, SegmentMarkers::from_token(token))
            .await
    }

    /// The common prefix of the ids of all queries that send a segment. All databases of a server
    /// share the query ids, so it names the database.
    fn query_id_prefix(&self, token: &str) -> String {
        format!("footfall-{}-{token}-", self.database)
    }

    /// Ends queries of earlier attempts, because a query whose caller is gone may still write.
    async fn kill_former_inserts(&self, token: &str) -> Result<(), StoreError> {
        let on_cluster = self.cluster.as_deref().map(schema::quote_name);
        let on_cluster = on_cluster.map_or_else(String::new, |name| format!(" ON CLUSTER {name}"));
        let sql = format!("KILL QUERY{on_cluster} WHERE startsWith(query_id, ?) SYNC");
        let query = self
            .short_client
            .query(&sql)
            .bind(self.query_id_prefix(token));
        query
            .execute()
            .await
            .map_err(error_during("ending a former try"))
    }

    /// Sends the rows of a partition that are not stored. If they are too many for one insert,
    /// sends them in halves.
    async fn send_partition(
        &self,
        token: &str,
        sums: &SegmentSums,
        table: CountsTable,
        piece: &PartitionRows,
        stored: &mut StoredBlocks,
    ) -> Result<(), StoreError> {
        let partition = piece.partition;
        let mut waiting = vec![(marker::WHOLE_NODE, &piece.rows[..])];
        while let Some((node, rows)) = waiting.pop() {
            if stored.has_block(partition, node) {
                continue;
            }
            if !stored.has_block_below(partition, node) {
                let block = native::encode_block(sums, table, partition, rows, (token, node));
                match self.insert_block(token, table, block.into()).await {
                    Ok(()) => continue,
                    Err(error)
                        if error.is_size_limit()
                            && rows.len() > MIN_SPLIT_ROWS
                            && node < u16::MAX / 2 =>
                    {
                        tracing::warn!(%error, rows = rows.len(), "an insert is too large; it is \
                            sent in halves");
                    }
                    Err(error) => return Err(error),
                }
                // The error says that the insert failed, but not whether its block was written.
                *stored = self.find_stored_blocks(table, token).await?;
                if stored.has_block(partition, node) {
                    continue;
                }
            }

            let (first, second) = rows.split_at(rows.len() / 2);
            waiting.push((node * 2 + 1, second));
            waiting.push((node * 2, first));
        }
        Ok(())
    }

    /// Inserts one block under a unique query id, which [`Store::kill_former_inserts`] finds by its
    /// prefix.
    async fn insert_block(
        &self,
        token: &str,
        table: CountsTable,
        mut block: Bytes,
    ) -> Result<(), StoreError> {
        let name = table.name();
        let sql = format!(
            "INSERT INTO {name} ({}) FORMAT Native",
            table.all_columns().join(", ")
        );

        let attempt = random_u64();
        let step = insert_step(table);
        let begun = self.client.begin_formatted_insert(sql);
        let mut insert = begun.map_err(error_during(step))?.with_setting(
            "query_id",
            format!("{}{name}-{attempt:016x}", self.query_id_prefix(token)),
        );
        for (setting, value) in ONE_BLOCK_SETTINGS {
            insert = insert.with_setting(setting, value);
        }

        while !block.is_empty() {
            let piece = block.split_to(block.len().min(CHUNK_BYTES));
            insert.send(piece).await.map_err(error_during(step))?;
        }

        insert.end().await.map_err(error_during(step))
    }
}

/// The text for errors of an insert into the table.
const fn insert_step(table: CountsTable) -> &'static str {
    match table {
        CountsTable::Daily => "an insert into daily",
        CountsTable::Unpublished => "an insert into unpublished",
        CountsTable::Hourly => "an insert into hourly",
        CountsTable::Money => "an insert into money",
        CountsTable::Drops => "an insert into drops",
        CountsTable::Vitals => "an insert into vitals",
        CountsTable::Faults => "an insert into faults",
        CountsTable::Activity => "an insert into activity",
        CountsTable::Mail => "an insert into mail",
    }
}

/// Rejects options that cannot work, before anything is opened.
fn check_options(options: &StoreOptions) -> Result<(), StoreError> {
    let word = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    if !word(&options.database) {
        return Err(StoreError::InvalidOption {
            key: "database",
            reason: "letters, digits and _ only",
        });
    }
    if options.shard.is_part() && (options.cluster.is_some() || options.url.is_none()) {
        return Err(StoreError::InvalidOption {
            key: "shards",
            reason: "are servers with plain tables: needs URLs, and no store.cluster",
        });
    }

    match (&options.url, &options.cluster) {
        (Some(url), _) if !url.starts_with("http://") && !url.starts_with("https://") => {
            Err(StoreError::InvalidOption {
                key: "url",
                reason: "must begin with http:// or https://",
            })
        }
        (None, Some(_)) => Err(StoreError::InvalidOption {
            key: "cluster",
            reason: "needs store.url",
        }),
        _ => Ok(()),
    }
}

/// Refuses to copy the tables of one shard as if they were all.
fn check_whole(options: &StoreOptions) -> Result<(), StoreError> {
    let (key, reason) = if options.cluster.is_some() {
        (
            "cluster",
            "is not copied: use BACKUP ... ON CLUSTER of ClickHouse",
        )
    } else if options.shard.is_part() || !options.replica_urls.is_empty() {
        (
            "shards",
            "are not copied by this command: use BACKUP of ClickHouse on each shard, see \
             docs/operate/SHARDS.md",
        )
    } else {
        return Ok(());
    };
    Err(StoreError::InvalidOption { key, reason })
}

/// A client of the configured server or of the embedded engine, which is started.
async fn open_client(
    options: &StoreOptions,
) -> Result<(clickhouse::Client, Option<Engine>), StoreError> {
    match &options.url {
        Some(url) => Ok((server_client(url, options)?, None)),
        None => {
            let engine = Engine::open(&engine_options(options)).await?;
            Ok((engine.create_client(), Some(engine)))
        }
    }
}

fn engine_options(options: &StoreOptions) -> EngineOptions {
    EngineOptions {
        program: options.program.clone(),
        library: options.library.clone(),
        data_dir: options.data_dir.clone(),
        backup_dir: options.backup_dir.clone(),
        unlock_timeout: engine::UNLOCK_TIMEOUT,
        limits: options.limits.clone(),
    }
}

/// A client of the configured server.
fn server_client(url: &str, options: &StoreOptions) -> Result<clickhouse::Client, StoreError> {
    let unusable = |_| StoreError::InvalidOption {
        key: "ca_file",
        reason: "holds no certificates in PEM that can be read",
    };
    let file = options.ca_file.as_ref();
    let roots = file
        .filter(|_| url.starts_with("https://"))
        .map(|file| tls::read_root_certificates(file).map_err(unusable))
        .transpose()?;

    let mut client = http::http_client(roots).with_url(url);
    if let Some(user) = &options.user {
        client = client.with_user(user);
    }
    if let Some(password) = &options.password {
        client = client.with_password(password);
    }
    Ok(client)
}
