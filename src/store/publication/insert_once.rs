//! Rows that exactly one of several collectors writes: the row that begins a publication, and the
//! coin key.
//!
//! Only the presence of the row decides. ClickHouse's memory of insert tokens serves as a lock
//! between collectors that write at the same moment: of the inserts with one token, one takes
//! effect. That memory can contain a token whose row was never written, after a crash between the
//! two, or was deleted as old. If no insert is running and neither this row nor another one with the
//! same token is there, the next token is tried.

use std::time::Duration;

use crate::store::client::StoreQuery;

use super::units::{LastUnit, unit_places};
use super::{PublicationUnit, STEP};
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

/// A table with a row for each unit.
#[derive(Clone, Copy)]
pub(super) enum UnitTable {
    Publications,
    Drafts,
}

impl UnitTable {
    fn name(self) -> &'static str {
        match self {
            UnitTable::Publications => "publications",
            UnitTable::Drafts => "publication_drafts",
        }
    }

    fn token_prefix(self) -> &'static str {
        match self {
            UnitTable::Publications => "publication",
            UnitTable::Drafts => "draft",
        }
    }
}

impl Store {
    /// Inserts the row of a unit, made by `insert`, unless another collector does. It follows `last`
    /// in its zone.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, ClickHouse rejects a statement, or another collector
    /// inserted the row of another unit.
    pub(super) async fn insert_unit_row(
        &self,
        table: UnitTable,
        unit: &PublicationUnit,
        last: &LastUnit,
        insert: impl Fn() -> StoreQuery,
    ) -> Result<(), StoreError> {
        // Names the unit that follows the last one: of the collectors that begin one, one succeeds.
        let token = format!(
            "{}-{}-after-{}",
            table.token_prefix(),
            unit.zone,
            last.ended_at
        );
        for token in insert_tokens(&token) {
            self.insert_with_token(token, insert()).await?;
            if self.has_unit_row(table, unit).await? {
                return Ok(());
            }
            self.wait_for_inserts(table.name()).await?;
            if self.has_unit_row(table, unit).await? {
                return Ok(());
            }
            if self.read_last_unit(&unit.zone).await? != *last {
                return Err(StoreError::UnitInProgress);
            }
        }
        Err(ROW_MISSING)
    }

    pub(super) async fn has_unit_row(
        &self,
        table: UnitTable,
        unit: &PublicationUnit,
    ) -> Result<bool, StoreError> {
        let units = std::slice::from_ref(unit);
        Ok(match table {
            UnitTable::Publications => !self.read_begun_units(units).await?.is_empty(),
            UnitTable::Drafts => !self.read_drafts(&unit_places(units)).await?.is_empty(),
        })
    }

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
