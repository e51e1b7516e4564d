//! Stage 8: counts in ClickHouse, embedded or a server, through one client.
//!
//! A segment becomes one INSERT for each table, in one block, under a token made of the segment's: sent again, it adds nothing.
//! That holds for [`schema::DEDUPLICATION_WINDOW`] inserts into a table, for the same counts under the same token, and as long
//! as their month was not dropped in between.

mod access;
mod age;
mod client;
pub mod engine;
mod error;
mod former;
mod mail;
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
use schema::Table;

/// Pieces in which a block is handed to the client, so that no copy of a whole block is made on the way.
const PIECE: usize = 1 << 20;
/// The block as it comes: not split, not joined with another, whatever the server's defaults are.
const ONE_BLOCK: [(&str, &str); 5] = [
    ("async_insert", "0"),
    ("max_insert_block_size", "100000000"),
    ("min_insert_block_size_rows", "0"),
    ("min_insert_block_size_bytes", "0"),
    ("max_insert_threads", "1"),
];

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
        Ok(Store { client, calls, engine, clamped: AtomicU64::new(0) })
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

    /// Adds the counts, once for each `token`, however often it is called. Encoding a full segment takes tens of milliseconds
    /// of the calling thread.
    pub async fn insert(&self, token: &str, sums: &Sums) -> Result<(), StoreError> {
        let present = self.under_present_ids(sums).await?;
        let sums = present.as_ref().unwrap_or(sums);
        let segment = native::segment(token);
        for table in Table::ALL {
            if let Some(block) = native::encode(sums, table, segment) {
                self.insert_block(token, table, block.into()).await?;
            }
        }
        Ok(())
    }

    async fn insert_block(&self, token: &str, table: Table, mut block: Bytes) -> Result<(), StoreError> {
        let name = table.name();
        let sql = format!("INSERT INTO {name} ({}) FORMAT Native", table.columns().join(", "));
        let mut insert = self
            .client
            .insert_formatted_with(sql)
            .with_setting("insert_deduplication_token", format!("{token}-{name}"))
            .with_setting("insert_deduplicate", "1");
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
