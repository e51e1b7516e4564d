//! The row of a unit in a table, which exactly one of several collectors inserts.

use super::units::LastUnit;
use super::{PublicationUnit, STEP, insert_once};
use crate::store::Store;
use crate::store::client::StoreQuery;
use crate::store::error::{StoreError, error_during};

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
    /// Inserts the row of a unit, made by `insert`, unless another collector does. `last` is the last
    /// unit of its zone.
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
        for token in insert_once::insert_tokens(&token) {
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
        Err(insert_once::ROW_MISSING)
    }

    /// Whether there is a row of this unit.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub(super) async fn has_unit_row(
        &self,
        table: UnitTable,
        unit: &PublicationUnit,
    ) -> Result<bool, StoreError> {
        let sql = format!(
            "SELECT toBool(count() > 0) FROM {} WHERE zone = ? AND at = toDateTime(?, 'UTC')",
            table.name()
        );
        let query = self.client.query(&sql);
        let query = query.bind(&unit.zone).bind(unit.ended_at);
        query.fetch_one().await.map_err(error_during(STEP))
    }
}
