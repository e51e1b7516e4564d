//! Stage 8: counts in ClickHouse, embedded or a server, through one client.
//!
//! A segment becomes one INSERT for each table and partition, in one block with a marker of its own (marker.rs): sent again, it adds
//! nothing. That holds as long as the month was not dropped in between.

mod access;
mod age;
mod client;
pub mod engine;
mod error;
mod former;
mod mail;
mod marker;
pub mod native;
mod platform;
mod publication;
mod published;
mod read;
mod registry;
pub mod schema;
pub mod tls;
mod voids;
mod withdrawals;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

pub use access::Audited;
pub use age::Aged;
pub use engine::Limits;
pub use error::StoreError;
pub use mail::{Mailed, MailedBy, MessageRow};
pub use platform::{Active, BrokenPage, Dropped, SlowPage};
pub use publication::{Begun, Publication, Unit, ZoneProgress};
pub use published::{OfValue, Published, Valued};
pub use read::{Earned, Faulted, Measured, OfClass, Read, Top, Totals};
pub use voids::{Void, Voided};
pub use withdrawals::WithdrawalsOfDay;

use crate::aggregate::Sums;
use crate::event::SiteId;
use client::Client;
use engine::{Engine, EngineOptions};
use error::failed;
use marker::{Markers, Stored};
use native::Piece;
use schema::Table;

/// Pieces in which a block is handed to the client, so that no copy of a whole block is made on the way.
const PIECE: usize = 1 << 20;
/// The block as it comes: not split, not joined with another, whatever the server's defaults are.
const ONE_BLOCK: [(&str, &str); 6] = [
    // Counts repeat: equal blocks are not the same block.
    ("insert_deduplicate", "0"),
    ("async_insert", "0"),
    ("max_insert_block_size", "100000000"),
    ("min_insert_block_size_rows", "0"),
    ("min_insert_block_size_bytes", "0"),
    ("max_insert_threads", "1"),
];

/// Rows that are not split further where an insert is too large: that is not for their size.
const SMALLEST: usize = 256;

/// Where the counts are kept. It holds a password: no `Debug`.
#[derive(Clone)]
pub struct StoreOptions {
    /// A server's HTTP interface; the embedded engine where there is none.
    pub url: Option<String>,
    pub user: Option<String>,
    pub password: Option<String>,
    /// Certificates in PEM of the authorities that are believed, in place of the public ones.
    pub ca_file: Option<PathBuf>,
    pub database: String,
    /// Makes replicated tables on this cluster of the server.
    pub cluster: Option<String>,
    /// The embedded engine's directory; one process each.
    pub data_dir: PathBuf,
    /// libchdb.so.
    pub library: PathBuf,
    pub limits: Limits,
    /// What sites are called that the configuration names: former versions did not keep their names.
    pub names: Vec<String>,
}

pub struct Store {
    /// For inserts, publication and retention.
    client: Client,
    /// For what somebody waits for: questions, and the registry.
    calls: Client,
    engine: Option<Engine>,
    cluster: Option<String>,
    clamped: AtomicU64,
}

impl Store {
    /// Opens the store and brings its schema up to date.
    pub async fn connect(options: &StoreOptions) -> Result<Store, StoreError> {
        check(options)?;
        let (client, engine) = match &options.url {
            Some(url) => (server(url, options)?, None),
            None => {
                let engine = engine::open(engine_options(options)).await?;
                (engine::client(&engine), Some(engine))
            }
        };
        let calls = Client::new(client.with_database(&options.database));
        let client = calls.for_long_calls();
        let (cluster, alone) = (options.cluster.as_deref(), engine.is_some());
        schema::migrate((&client, &calls), &options.database, cluster, &options.names, alone).await?;
        Ok(Store { client, calls, engine, cluster: options.cluster.clone(), clamped: AtomicU64::new(0) })
    }

    /// The questions about one site.
    pub fn read(&self, site: SiteId) -> Read<'_> {
        Read { calls: &self.calls, site, clamped: &self.clamped }
    }

    /// How often a report had to tell less money than was booked, because the sum is beyond what JSON can say exactly.
    pub fn clamped(&self) -> u64 {
        self.clamped.load(Ordering::Relaxed)
    }

    /// Bytes at rest, as ClickHouse accounts for its active parts.
    pub async fn bytes(&self) -> Result<u64, StoreError> {
        let sql = "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase()";
        self.calls.query(sql).fetch_one().await.map_err(failed("the size of the tables"))
    }

    /// For questions. Read with `sum()` and `GROUP BY`, thresholds in `HAVING`: rows of one key may still lie apart.
    pub fn client(&self) -> &clickhouse::Client {
        self.client.inner()
    }

    /// The embedded engine, to give BI tools a port; `None` with a server.
    pub fn engine(&self) -> Option<&Engine> {
        self.engine.as_ref()
    }

    /// Adds the counts of a segment that was never sent. Encoding a full segment takes tens of milliseconds of the calling thread.
    ///
    /// # Errors
    /// Some of the counts may be there: the segment must be sent by [`Store::insert`] from now on.
    pub async fn insert_first(&self, token: &str, sums: &Sums) -> Result<(), StoreError> {
        self.send(token, sums, false).await
    }

    /// Adds the counts, once for each `token`, however often it is called: what is there already is not sent again. A former call with the
    /// token is over when this begins, whatever became of its caller.
    ///
    /// # Errors
    /// Some of the counts may be there; the same call adds the others.
    pub async fn insert(&self, token: &str, sums: &Sums) -> Result<(), StoreError> {
        self.send(token, sums, true).await
    }

    async fn send(&self, token: &str, sums: &Sums, again: bool) -> Result<(), StoreError> {
        let present = self.under_present_ids(sums).await?;
        let sums = present.as_ref().unwrap_or(sums);
        if again {
            self.end_former_tries(token).await?;
        }
        for table in Table::ALL {
            let pieces = native::pieces(sums, table);
            let is_new = !again || pieces.is_empty();
            let mut stored = if is_new { Stored::default() } else { self.look(table, token).await? };
            for piece in &pieces {
                self.send_piece(token, sums, table, piece, &mut stored).await?;
            }
        }
        Ok(())
    }

    /// What a table has of the segment.
    async fn look(&self, table: Table, token: &str) -> Result<Stored, StoreError> {
        if self.cluster.is_some() {
            // Another replica may have taken it.
            let sql = format!("SYSTEM SYNC REPLICA {}", table.name());
            self.client.query(&sql).execute().await.map_err(failed("waiting for a replica"))?;
        }
        self.stored(table, Markers::of(token)).await
    }

    /// A query that nobody waits for any more may still write.
    async fn end_former_tries(&self, token: &str) -> Result<(), StoreError> {
        let on_cluster = self.cluster.as_deref().map(engine::quoted_name);
        let on_cluster = on_cluster.map_or_else(String::new, |name| format!(" ON CLUSTER {name}"));
        let sql = format!("KILL QUERY{on_cluster} WHERE startsWith(query_id, ?) SYNC");
        let query = self.calls.query(&sql).bind(query_id(token));
        query.execute().await.map_err(failed("ending a former try"))
    }

    /// Sends what of the rows of a partition is not there. Where they are too many at once, their halves.
    async fn send_piece(
        &self,
        token: &str,
        sums: &Sums,
        table: Table,
        piece: &Piece,
        stored: &mut Stored,
    ) -> Result<(), StoreError> {
        let partition = piece.partition;
        let mut waiting = vec![(marker::WHOLE, &piece.rows[..])];
        while let Some((node, rows)) = waiting.pop() {
            if stored.has(partition, node) {
                continue;
            }
            if !stored.has_part_of(partition, node) {
                let block = native::encode(sums, table, partition, rows, (token, node));
                match self.insert_block(token, table, block.into()).await {
                    Ok(()) => continue,
                    Err(error) if error.is_for_size() && rows.len() > SMALLEST && node < u16::MAX / 2 => {
                        tracing::warn!(%error, rows = rows.len(), "an insert is too large; it is sent in halves");
                    }
                    Err(error) => return Err(error),
                }
                // The answer says that it failed, not at which step.
                *stored = self.look(table, token).await?;
                if stored.has(partition, node) {
                    continue;
                }
            }
            let (first, second) = rows.split_at(rows.len() / 2);
            waiting.push((node * 2 + 1, second));
            waiting.push((node * 2, first));
        }
        Ok(())
    }

    async fn insert_block(&self, token: &str, table: Table, mut block: Bytes) -> Result<(), StoreError> {
        let name = table.name();
        let sql = format!("INSERT INTO {name} ({}) FORMAT Native", table.columns().join(", "));
        let attempt = getrandom::u64().expect("the system's random generator works");
        let mut insert = self
            .client
            .insert_formatted_with(sql)
            .with_setting("query_id", format!("{}{name}-{attempt:016x}", query_id(token)));
        for (setting, value) in ONE_BLOCK {
            insert = insert.with_setting(setting, value);
        }
        let step = step(table);
        while !block.is_empty() {
            let piece = block.split_to(block.len().min(PIECE));
            insert.send(piece).await.map_err(failed(step))?;
        }
        insert.end().await.map_err(failed(step))
    }
}

/// How the ids of all queries that send a segment begin.
fn query_id(token: &str) -> String {
    format!("footfall-{token}-")
}

const fn step(table: Table) -> &'static str {
    match table {
        Table::Daily => "an insert into daily",
        Table::Unpublished => "an insert into unpublished",
        Table::Hourly => "an insert into hourly",
        Table::Money => "an insert into money",
        Table::Drops => "an insert into drops",
        Table::Vitals => "an insert into vitals",
        Table::Faults => "an insert into faults",
        Table::Activity => "an insert into activity",
        Table::Mail => "an insert into mail",
    }
}

fn check(options: &StoreOptions) -> Result<(), StoreError> {
    let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !word(&options.database) {
        return Err(StoreError::Option { key: "database", reason: "letters, digits and _ only" });
    }
    match (&options.url, &options.cluster) {
        (Some(url), _) if !url.starts_with("http://") && !url.starts_with("https://") => {
            Err(StoreError::Option { key: "url", reason: "must begin with http:// or https://" })
        }
        (None, Some(_)) => Err(StoreError::Option { key: "cluster", reason: "needs store.url" }),
        _ => Ok(()),
    }
}

fn engine_options(options: &StoreOptions) -> EngineOptions {
    EngineOptions {
        library: options.library.clone(),
        data_dir: options.data_dir.clone(),
        limits: options.limits.clone(),
    }
}

fn server(url: &str, options: &StoreOptions) -> Result<clickhouse::Client, StoreError> {
    let unusable = |_| StoreError::Option { key: "ca_file", reason: "holds no certificates in PEM that can be read" };
    let client = match options.ca_file.as_ref().filter(|_| url.starts_with("https://")) {
        Some(file) => tls::client(tls::roots(file).map_err(unusable)?),
        None => clickhouse::Client::default(),
    };
    let mut client = client.with_url(url);
    if let Some(user) = &options.user {
        client = client.with_user(user);
    }
    if let Some(password) = &options.password {
        client = client.with_password(password);
    }
    Ok(client)
}
