//! The `clickhouse` crate's client, with a deadline for every call.
//!
//! A server that hangs accepts a connection and never responds, and TCP does not end that.
//! Therefore the store uses only this client, and each of its methods has a deadline.

use std::future::Future;
use std::time::Duration;

use clickhouse::error::{Error, Result};
use clickhouse::insert::Insert;
use clickhouse::insert_formatted::InsertFormatted;
use clickhouse::sql::Bind;
use clickhouse::{Row, RowOwned, RowRead};

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

/// A client with a deadline for each call. Clones share their connections.
#[derive(Clone)]
pub struct StoreClient {
    inner: clickhouse::Client,
    deadline: Duration,
}

impl StoreClient {
    /// A client whose calls end after 20 seconds.
    pub(super) fn new(inner: clickhouse::Client) -> StoreClient {
        StoreClient {
            inner,
            deadline: CALL_TIMEOUT,
        }
    }

    /// The same connections with a deadline of 30 minutes.
    pub(super) fn with_long_deadline(&self) -> StoreClient {
        StoreClient {
            inner: self.inner.clone(),
            deadline: LONG_CALL_TIMEOUT,
        }
    }

    /// The same connections and deadline, for another database.
    pub(super) fn with_database(&self, database: &str) -> StoreClient {
        StoreClient {
            inner: self.inner.clone().with_database(database),
            deadline: self.deadline,
        }
    }

    /// The crate's client, without deadlines.
    pub(super) fn raw_client(&self) -> &clickhouse::Client {
        &self.inner
    }

    /// A statement with `?` for each parameter.
    pub(super) fn query(&self, sql: &str) -> StoreQuery {
        StoreQuery {
            inner: self.inner.query(sql),
            deadline: self.deadline,
        }
    }

    /// A statement without parameters: a `?` in it is not replaced.
    pub(super) fn query_raw(&self, sql: &str) -> StoreQuery {
        StoreQuery {
            inner: self.inner.query_raw(sql),
            deadline: self.deadline,
        }
    }

    /// Begins an insert by rows. Nothing is written until its `end` succeeds.
    pub(super) async fn begin_insert<T: Row>(&self, table: &str) -> Result<Insert<T>> {
        let insert = await_within_deadline(self.deadline, self.inner.insert::<T>(table)).await?;
        Ok(insert.with_timeouts(Some(SEND_TIMEOUT), Some(INSERT_TIMEOUT)))
    }

    /// Begins an insert of bytes in the format that the statement names.
    pub(super) fn begin_formatted_insert(&self, sql: String) -> InsertFormatted {
        self.inner
            .insert_formatted_with(sql)
            .with_timeouts(Some(SEND_TIMEOUT), Some(INSERT_TIMEOUT))
    }
}

/// A statement with a deadline for its response.
#[must_use]
pub struct StoreQuery {
    inner: clickhouse::query::Query,
    deadline: Duration,
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

    pub(super) async fn execute(self) -> Result<()> {
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
            inner,
            deadline: Duration::from_millis(50),
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

    #[derive(Row, serde::Serialize)]
    struct Count {
        hits: u64,
    }
}
