//! The `clickhouse` crate's client, with a deadline for every call.
//!
//! A server that hangs accepts a connection and never responds, and TCP does not end that.
//! Therefore the store uses only this client, and each of its methods has a deadline.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clickhouse::error::{Error, Result};
use clickhouse::insert::Insert;
use clickhouse::insert_formatted::InsertFormatted;
use clickhouse::query::BytesCursor;
use clickhouse::sql::Bind;
use clickhouse::{Row, RowOwned, RowRead};
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

/// One call of a report, of the registry, or of a segment's preparation.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
/// One statement of publication, retention or a migration, which move whole slices of tables.
const LONG_CALL_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// One chunk of an insert's body.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// The end of an insert; a full segment takes seconds. After this time its outcome is unknown, and
/// its markers decide.
const INSERT_TIMEOUT: Duration = Duration::from_secs(120);

/// Upper bound of a statement's text, in bytes. A share link's stored response is part of its
/// statement, and several hundred rows with long names exceed the default.
pub(super) const MAX_SQL_BYTES: &str = "16777216";
/// The largest number of ids in one statement, whose length is limited.
pub(super) const MAX_IDS_PER_STATEMENT: usize = 2000;

/// The first words of statements that change tables. They are refused while a store is held.
const CHANGING_KEYWORDS: [&str; 7] = [
    "INSERT", "ALTER", "CREATE", "DROP", "RENAME", "DELETE", "TRUNCATE",
];

/// The error of a statement that would change the tables of a store that is held.
#[derive(Debug, thiserror::Error)]
#[error("the store is held")]
pub(super) struct HeldStatement;

/// A client with a deadline for each call. Clones share their connections, and whether they are
/// held.
#[derive(Clone)]
pub struct StoreClient {
    inner: clickhouse::Client,
    deadline: Duration,
    /// Whether statements that change tables are refused. Locked for reading while one runs.
    held: Arc<RwLock<bool>>,
}

/// The permission to change tables. While it exists, the store does not become held.
pub(super) type WritePermit = OwnedRwLockReadGuard<bool>;

impl StoreClient {
    /// A client whose calls end after 20 seconds.
    pub(super) fn new(inner: clickhouse::Client) -> StoreClient {
        StoreClient {
            inner,
            deadline: CALL_TIMEOUT,
            held: Arc::default(),
        }
    }

    /// The same connections with a deadline of 30 minutes.
    pub(super) fn with_long_deadline(&self) -> StoreClient {
        StoreClient {
            inner: self.inner.clone(),
            deadline: LONG_CALL_TIMEOUT,
            held: Arc::clone(&self.held),
        }
    }

    /// The same connections and deadline, for another database.
    pub(super) fn with_database(&self, database: &str) -> StoreClient {
        StoreClient {
            inner: self.inner.clone().with_database(database),
            deadline: self.deadline,
            held: Arc::clone(&self.held),
        }
    }

    /// Refuses statements that change tables, in this client and its clones, or allows them again.
    /// Waits for those that are running.
    pub(super) async fn set_held(&self, held: bool) {
        *self.held.write().await = held;
    }

    /// Waits until the store may be changed or is held.
    ///
    /// # Errors
    ///
    /// The store is held.
    pub(super) async fn permit_write(&self) -> Result<WritePermit> {
        permit_write(&self.held).await
    }

    /// The crate's client, without deadlines.
    pub(super) fn raw_client(&self) -> &clickhouse::Client {
        &self.inner
    }

    /// A statement with `?` for each parameter.
    pub(super) fn query(&self, sql: &str) -> StoreQuery {
        self.wrap_query(self.inner.query(sql), sql)
    }

    /// A statement without parameters: a `?` in it is not replaced.
    pub(super) fn query_raw(&self, sql: &str) -> StoreQuery {
        self.wrap_query(self.inner.query_raw(sql), sql)
    }

    /// Does not wait, because the caller keeps from becoming held what is not held yet.
    fn check_not_held(&self) -> Result<()> {
        match self.held.try_read().is_ok_and(|held| !*held) {
            true => Ok(()),
            false => Err(Error::Other(Box::new(HeldStatement))),
        }
    }

    fn wrap_query(&self, inner: clickhouse::query::Query, sql: &str) -> StoreQuery {
        let first = sql.split_whitespace().next().unwrap_or_default();
        StoreQuery {
            inner,
            deadline: self.deadline,
            held: CHANGING_KEYWORDS
                .contains(&first)
                .then(|| Arc::clone(&self.held)),
        }
    }

    /// Begins an insert by rows. Nothing is written until its `end` succeeds. A caller that does
    /// not keep the store's write gate keeps a [`WritePermit`] until then.
    pub(super) async fn begin_insert<T: Row>(&self, table: &str) -> Result<Insert<T>> {
        self.check_not_held()?;
        let insert = await_within_deadline(self.deadline, self.inner.insert::<T>(table)).await?;
        Ok(insert.with_timeouts(Some(SEND_TIMEOUT), Some(INSERT_TIMEOUT)))
    }

    /// Begins an insert of bytes in the format that the statement names. The caller keeps the
    /// store's write gate.
    pub(super) fn begin_formatted_insert(&self, sql: String) -> Result<InsertFormatted> {
        self.check_not_held()?;
        let insert = self.inner.insert_formatted_with(sql);
        Ok(insert.with_timeouts(Some(SEND_TIMEOUT), Some(INSERT_TIMEOUT)))
    }
}

async fn permit_write(held: &Arc<RwLock<bool>>) -> Result<WritePermit> {
    let permit = Arc::clone(held).read_owned().await;
    match *permit {
        true => Err(Error::Other(Box::new(HeldStatement))),
        false => Ok(permit),
    }
}

/// A statement with a deadline for its response.
#[must_use]
pub struct StoreQuery {
    inner: clickhouse::query::Query,
    deadline: Duration,
    /// Of the client, if the statement changes tables.
    held: Option<Arc<RwLock<bool>>>,
}

/// A response's bytes, with a deadline for each chunk.
pub(super) struct ByteStream {
    inner: BytesCursor,
    deadline: Duration,
}

impl ByteStream {
    /// The next chunk; `None` after the last.
    pub(super) async fn next_chunk(&mut self) -> Result<Option<Bytes>> {
        await_within_deadline(self.deadline, self.inner.next()).await
    }
}

impl StoreQuery {
    pub(super) fn bind(self, value: impl Bind) -> StoreQuery {
        StoreQuery {
            inner: self.inner.bind(value),
            ..self
        }
    }

    pub(super) fn with_setting(
        self,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> StoreQuery {
        StoreQuery {
            inner: self.inner.with_setting(name, value),
            ..self
        }
    }

    /// The same statement with another deadline.
    pub(super) fn with_deadline(self, deadline: Duration) -> StoreQuery {
        StoreQuery { deadline, ..self }
    }

    /// The response in a format, chunk by chunk, each within the statement's deadline.
    pub(super) fn fetch_bytes(self, format: &str) -> Result<ByteStream> {
        Ok(ByteStream {
            inner: self.inner.fetch_bytes(format)?,
            deadline: self.deadline,
        })
    }

    pub(super) async fn execute(self) -> Result<()> {
        let _permit = match &self.held {
            Some(held) => Some(permit_write(held).await?),
            None => None,
        };
        await_within_deadline(self.deadline, self.inner.execute()).await
    }

    pub(super) async fn fetch_one<T: RowOwned + RowRead>(self) -> Result<T> {
        await_within_deadline(self.deadline, self.inner.fetch_one()).await
    }

    pub(super) async fn fetch_optional<T: RowOwned + RowRead>(self) -> Result<Option<T>> {
        await_within_deadline(self.deadline, self.inner.fetch_optional()).await
    }

    pub(super) async fn fetch_all<T: RowOwned + RowRead>(self) -> Result<Vec<T>> {
        await_within_deadline(self.deadline, self.inner.fetch_all()).await
    }
}

/// Ends a call with [`Error::TimedOut`] after the deadline.
async fn await_within_deadline<T>(
    deadline: Duration,
    call: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::time::timeout(deadline, call)
        .await
        .unwrap_or(Err(Error::TimedOut))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// The kernel accepts the connection, but no process responds.
    #[tokio::test]
    async fn no_call_waits_for_a_server_that_hangs() {
        let hanging = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://{}", hanging.local_addr().unwrap());
        let inner = clickhouse::Client::default()
            .with_url(url)
            .with_database("footfall");
        let client = StoreClient {
            deadline: Duration::from_millis(50),
            ..StoreClient::new(inner)
        };
        let start = Instant::now();

        let insert = client.begin_insert::<Count>("counts").await.map(drop);
        let ends: [Result<()>; 6] = [
            client.query("SELECT 1").execute().await,
            client.query_raw("SELECT 1").execute().await,
            client.query("SELECT 1").fetch_one::<u64>().await.map(drop),
            client
                .query("SELECT 1")
                .fetch_optional::<u64>()
                .await
                .map(drop),
            client
                .with_database("default")
                .query("SELECT ?")
                .bind(1)
                .fetch_all::<u64>()
                .await
                .map(drop),
            insert,
        ];

        assert!(
            ends.iter().all(|end| matches!(end, Err(Error::TimedOut))),
            "{ends:?}"
        );
        assert!(
            start.elapsed() < Duration::from_secs(3),
            "{:?}",
            start.elapsed()
        );
    }

    /// Only what changes tables is refused, before anything is sent.
    #[tokio::test]
    async fn a_held_client_reads_and_changes_nothing() {
        let nobody = clickhouse::Client::default().with_url("http://127.0.0.1:1");
        let client = StoreClient::new(nobody);
        let other = client.with_database("other");
        other.set_held(true).await;

        let is_refused = |end: Result<()>| matches!(end, Err(Error::Other(error)) if error.is::<HeldStatement>());
        for changing in [
            "INSERT INTO t SELECT 1",
            "ALTER TABLE t DELETE WHERE 1",
            "DROP TABLE t",
        ] {
            assert!(is_refused(client.query(changing).execute().await));
            assert!(is_refused(client.query_raw(changing).execute().await));
        }
        assert!(is_refused(
            client.begin_insert::<Count>("t").await.map(drop)
        ));
        let formatted = client.begin_formatted_insert("INSERT INTO t FORMAT Native".into());
        assert!(is_refused(formatted.map(drop)));
        let reading = client.query("SELECT 1").execute().await;
        assert!(matches!(reading, Err(Error::Network(_))), "{reading:?}");

        client.set_held(false).await;
        let changing = other.query("INSERT INTO t SELECT 1").execute().await;
        assert!(matches!(changing, Err(Error::Network(_))), "{changing:?}");
    }

    #[derive(Row, serde::Serialize)]
    struct Count {
        hits: u64,
    }
}
