//! A row that of several collectors exactly one writes: the one by which a publication begins, the coin's key.
//!
//! Whether the row is there decides, and nothing else. ClickHouse's memory of insert tokens serves as a lock while two collectors write at the
//! same moment: of those that give one token one is heard. That memory can hold a token whose row never came (a crash between the two),
//! so where nobody writes any more and the row is still missing the next token is tried.

use std::time::Duration;

use crate::store::client::Query;

use super::STEP;
use crate::store::Store;
use crate::store::error::{StoreError, failed};

/// Crashes between token and row that one row survives.
const TOKENS: u32 = 64;

const PAUSE: Duration = Duration::from_millis(50);

/// How long another collector's insert is waited for; after that the next run looks again.
const PATIENCE: u32 = 200;

/// The tokens to try, one after the other.
pub(super) fn tokens(first: &str) -> impl Iterator<Item = String> {
    (0..TOKENS).map(move |number| if number == 0 { first.to_owned() } else { format!("{first}-{number}") })
}

/// What there is to say where all tokens are used up.
pub(super) const NOT_THERE: StoreError =
    StoreError::Answer { step: STEP, kind: "a row that was inserted is not there" };

impl Store {
    /// Runs the insert, where nobody did so under this token before.
    pub(super) async fn insert_under(&self, token: String, insert: Query) -> Result<(), StoreError> {
        let insert = insert.with_setting("insert_deduplication_token", token).with_setting("async_insert", "0");
        insert.execute().await.map_err(failed(STEP))
    }

    /// Waits until nobody inserts into the table.
    pub(super) async fn wait_for_inserts(&self, table: &str) -> Result<(), StoreError> {
        let sql = "SELECT count() FROM system.processes WHERE startsWith(query, ?)";
        for _ in 0..PATIENCE {
            let running = self.client.query(sql).bind(format!("INSERT INTO {table} "));
            if running.fetch_one::<u64>().await.map_err(failed(STEP))? == 0 {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(StoreError::Unreachable { step: STEP, kind: "another collector is writing the same" })
    }
}
