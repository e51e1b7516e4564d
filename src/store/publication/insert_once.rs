//! Rows that exactly one of several collectors writes: the row that begins a publication or its
//! draft, and the coin key.
//!
//! Only the presence of the row decides. ClickHouse's memory of insert tokens serves as a lock
//! between collectors that write at the same moment: of the inserts with one token, one takes
//! effect. That memory can contain a token whose row was never written, after a crash between the
//! two, or was deleted as old. If no insert is running and neither this row nor another one with the
//! same token is there, the next token is tried.

use std::time::Duration;

use crate::store::client::StoreQuery;

use super::STEP;
use crate::store::Store;
use crate::store::error::{StoreError, error_during};

/// The number of tokens for one row: one more than the tokens without a row that it survives.
const MAX_TOKENS: u32 = 64;

/// Pause between two checks for running inserts.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The number of checks before giving up on another collector's insert; the next run checks again.
const MAX_POLLS: u32 = 200;

/// The tokens to try, one after the other.
pub(super) fn insert_tokens(first: &str) -> impl Iterator<Item = String> {
    (0..MAX_TOKENS).map(move |number| {
        if number == 0 {
            first.to_owned()
        } else {
            format!("{first}-{number}")
        }
    })
}

/// The error when all tokens are used up.
pub(super) const ROW_MISSING: StoreError = StoreError::UnexpectedResponse {
    step: STEP,
    kind: "a row that was inserted is not there",
};

impl Store {
    /// Runs the insert; it has no effect if one with this token was made before. The SELECT must end
    /// with `ORDER BY ALL`: ClickHouse 26.1 and 26.2 ignore the token of any other
    /// (<https://github.com/ClickHouse/ClickHouse/pull/99206>).
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the insert.
    pub(super) async fn insert_with_token(
        &self,
        token: String,
        insert: StoreQuery,
    ) -> Result<(), StoreError> {
        let insert = insert
            .with_setting("insert_deduplication_token", token)
            .with_setting("async_insert", "0");
        insert.execute().await.map_err(error_during(STEP))
    }

    /// Waits until no insert into the table is running.
    ///
    /// # Errors
    ///
    /// The store cannot be read, or an insert runs for more than ten seconds.
    pub(super) async fn wait_for_inserts(&self, table: &str) -> Result<(), StoreError> {
        let sql = "SELECT count() FROM system.processes WHERE startsWith(query, ?)";
        for _ in 0..MAX_POLLS {
            let running = self.client.query(sql).bind(format!("INSERT INTO {table} "));
            if running
                .fetch_one::<u64>()
                .await
                .map_err(error_during(STEP))?
                == 0
            {
                return Ok(());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Err(StoreError::Unreachable {
            step: STEP,
            kind: "another collector is writing the same",
        })
    }
}
