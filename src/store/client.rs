//! The `clickhouse` crate's client, with an end to every call.
//!
//! A server that hangs accepts a connection and never answers; nothing in TCP ends that. So this is the only client the store has, and it
//! has no method that waits for ever.

use std::future::Future;
use std::time::Duration;

use clickhouse::error::{Error, Result};
use clickhouse::insert::Insert;
use clickhouse::insert_formatted::InsertFormatted;
use clickhouse::sql::Bind;
use clickhouse::{Row, RowOwned, RowRead};

/// One call of a reader, of the registry or of a segment's preparation.
const CALL: Duration = Duration::from_secs(20);
/// Publication, retention and migrations move whole slices of tables with one statement.
const LONG_CALL: Duration = Duration::from_secs(30 * 60);
/// One piece of an insert's body.
const SEND: Duration = Duration::from_secs(30);
/// An insert of a full segment takes seconds. After this long its outcome is unknown, and its markers are looked for.
const INSERT: Duration = Duration::from_secs(120);

#[derive(Clone)]
pub struct Client {
    inner: clickhouse::Client,
    deadline: Duration,
}

impl Client {
    pub(super) fn new(inner: clickhouse::Client) -> Client {
        Client { inner, deadline: CALL }
    }

    /// The same connections, for statements that take minutes.
    pub(super) fn for_long_calls(&self) -> Client {
        Client { inner: self.inner.clone(), deadline: LONG_CALL }
    }

    pub(super) fn with_database(&self, database: &str) -> Client {
        Client { inner: self.inner.clone().with_database(database), deadline: self.deadline }
    }

    /// Without deadlines.
    pub(super) fn inner(&self) -> &clickhouse::Client {
        &self.inner
    }

    pub(super) fn query(&self, sql: &str) -> Query {
        Query { inner: self.inner.query(sql), deadline: self.deadline }
    }

    /// Without parameters: a `?` in it is a `?`.
    pub(super) fn query_raw(&self, sql: &str) -> Query {
        Query { inner: self.inner.query_raw(sql), deadline: self.deadline }
    }

    pub(super) async fn insert<T: Row>(&self, table: &str) -> Result<Insert<T>> {
        let insert = within(self.deadline, self.inner.insert::<T>(table)).await?;
        Ok(insert.with_timeouts(Some(SEND), Some(INSERT)))
    }

    pub(super) fn insert_formatted_with(&self, sql: String) -> InsertFormatted {
        self.inner.insert_formatted_with(sql).with_timeouts(Some(SEND), Some(INSERT))
    }
}

/// A statement, and how long its answer may take.
#[must_use]
pub struct Query {
    inner: clickhouse::query::Query,
    deadline: Duration,
}

impl Query {
    pub(super) fn bind(self, value: impl Bind) -> Query {
        Query { inner: self.inner.bind(value), ..self }
    }

    pub(super) fn with_setting(self, name: impl Into<String>, value: impl Into<String>) -> Query {
        Query { inner: self.inner.with_setting(name, value), ..self }
    }

    pub(super) async fn execute(self) -> Result<()> {
        within(self.deadline, self.inner.execute()).await
    }

    pub(super) async fn fetch_one<T: RowOwned + RowRead>(self) -> Result<T> {
        within(self.deadline, self.inner.fetch_one()).await
    }

    pub(super) async fn fetch_optional<T: RowOwned + RowRead>(self) -> Result<Option<T>> {
        within(self.deadline, self.inner.fetch_optional()).await
    }

    pub(super) async fn fetch_all<T: RowOwned + RowRead>(self) -> Result<Vec<T>> {
        within(self.deadline, self.inner.fetch_all()).await
    }
}

async fn within<T>(deadline: Duration, call: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(deadline, call).await.unwrap_or(Err(Error::TimedOut))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// The kernel accepts the connection and nobody answers.
    #[tokio::test]
    async fn no_call_waits_for_a_server_that_hangs() {
        let hanging = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let url = format!("http://{}", hanging.local_addr().unwrap());
        let inner = clickhouse::Client::default().with_url(url).with_database("footfall");
        let client = Client { inner, deadline: Duration::from_millis(50) };
        let start = Instant::now();

        let insert = client.insert::<Count>("counts").await.map(drop);
        let ends: [Result<()>; 6] = [
            client.query("SELECT 1").execute().await,
            client.query_raw("SELECT 1").execute().await,
            client.query("SELECT 1").fetch_one::<u64>().await.map(drop),
            client.query("SELECT 1").fetch_optional::<u64>().await.map(drop),
            client.with_database("default").query("SELECT ?").bind(1).fetch_all::<u64>().await.map(drop),
            insert,
        ];

        assert!(ends.iter().all(|end| matches!(end, Err(Error::TimedOut))), "{ends:?}");
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    }

    #[derive(Row, serde::Serialize)]
    struct Count {
        hits: u64,
    }
}
