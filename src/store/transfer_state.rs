//! Whether a database may be used, or its tables are being moved to or from another one.
//!
//! The table `transfers` has one row for each change of this state; the last one counts. It is
//! created by the first move, so most databases do not have it. At any time at most one of the two
//! databases of a move may be written: the source is marked as moved before the target is marked as
//! complete.

use clickhouse::Row;
use serde::Deserialize;

use super::client::StoreClient;
use super::error::{StoreError, error_during};
use crate::random::random_u64;

/// The table of states.
pub(super) const TRANSFERS_TABLE: &str = "transfers";
/// The table of partitions that were copied, in the target of a move that is not complete.
pub(super) const COPIED_TABLE: &str = "transferred_partitions";

const CREATE_TRANSFERS: &str = "CREATE TABLE IF NOT EXISTS transfers (revision UInt64, state \
                                LowCardinality(String), other String, place String, at \
                                DateTime('UTC') DEFAULT now('UTC')) ENGINE = MergeTree ORDER BY \
                                revision SETTINGS fsync_after_insert = 1, fsync_part_directory = 1";

const CREATE_COPIED: &str = "CREATE TABLE IF NOT EXISTS transferred_partitions (name String, \
                             partition String, fingerprint String, revision UInt64) ENGINE = \
                             ReplacingMergeTree(revision) ORDER BY (name, partition) SETTINGS \
                             fsync_after_insert = 1, fsync_part_directory = 1";

/// Numbers of states that follow each other differ by up to this much, at random.
const NUMBER_SPREAD: u64 = 1 << 32;

const STEP: &str = "reading whether the tables were moved";
const CHANGE_STEP: &str = "recording that the tables are moved";

/// What a move means for one of its databases. `other` is the other database's id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TransferState {
    /// It was never part of a move, or the move was cancelled.
    Unmoved,
    /// Its tables are being filled from another database. It must not be used.
    Receiving {
        /// The id of the other database.
        other: String,
        /// Where that one is, for messages.
        place: String,
    },
    /// Its tables were filled from another database, completely.
    Received {
        /// The id of the other database.
        other: String,
        /// Where that one is, for messages.
        place: String,
    },
    /// Its tables are in another database now. It must not be used.
    Moved {
        /// The id of the other database.
        other: String,
        /// Where that one is, for messages.
        place: String,
    },
}

#[derive(Row, Deserialize)]
struct StateRow {
    state: String,
    other: String,
    place: String,
}

impl TransferState {
    /// Reads the state of a client's database, which may not exist.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses the query.
    pub(super) async fn read_state(
        client: &StoreClient,
        database: &str,
    ) -> Result<TransferState, StoreError> {
        // The database may not exist, so the request must not name it.
        let system = client.with_database("default");
        let sql = "SELECT toBool(count() > 0) FROM system.tables WHERE database = ? AND name = \
                   'transfers'";
        let query = system.query(sql).bind(database);
        let exists: bool = query.fetch_one().await.map_err(error_during(STEP))?;
        if !exists {
            return Ok(TransferState::Unmoved);
        }

        let sql = "SELECT state, other, place FROM transfers ORDER BY revision DESC LIMIT 1";
        let query = client.with_database(database).query(sql);
        let row: Option<StateRow> = query.fetch_optional().await.map_err(error_during(STEP))?;
        let Some(StateRow {
            state,
            other,
            place,
        }) = row
        else {
            return Ok(TransferState::Unmoved);
        };
        Ok(match state.as_str() {
            "receiving" => TransferState::Receiving { other, place },
            "received" => TransferState::Received { other, place },
            "moved" => TransferState::Moved { other, place },
            _ => TransferState::Unmoved,
        })
    }

    /// The number of the last state; each has a higher one.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses the query.
    pub(super) async fn read_number(client: &StoreClient) -> Result<u64, StoreError> {
        let query = client.query("SELECT max(revision) FROM transfers");
        query.fetch_one().await.map_err(error_during(STEP))
    }

    /// Records the state. Returns its number, which no other process that writes at the same time
    /// has.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses a statement.
    pub(super) async fn write_state(&self, client: &StoreClient) -> Result<u64, StoreError> {
        for create in [CREATE_TRANSFERS, CREATE_COPIED] {
            let query = client.query_raw(create).execute();
            query.await.map_err(error_during(CHANGE_STEP))?;
        }

        let (state, other, place) = match self {
            TransferState::Unmoved => ("unmoved", "", ""),
            TransferState::Receiving { other, place } => ("receiving", &**other, &**place),
            TransferState::Received { other, place } => ("received", &**other, &**place),
            TransferState::Moved { other, place } => ("moved", &**other, &**place),
        };
        let number = TransferState::read_number(client).await? + 1 + random_u64() % NUMBER_SPREAD;
        let sql = "INSERT INTO transfers (revision, state, other, place) SELECT ?, ?, ?, ?";
        let query = client.query(sql).bind(number).bind(state);
        let query = query.bind(other).bind(place);
        let query = query.with_setting("async_insert", "0");
        query.execute().await.map_err(error_during(CHANGE_STEP))?;
        Ok(number)
    }

    /// Why the database must not be used, if so.
    ///
    /// # Errors
    ///
    /// The tables were moved away, or are not complete yet.
    pub(super) fn check_usable(&self) -> Result<(), StoreError> {
        match self {
            TransferState::Unmoved | TransferState::Received { .. } => Ok(()),
            TransferState::Receiving { place, .. } => Err(StoreError::TransferUnfinished {
                place: place.clone(),
            }),
            TransferState::Moved { place, .. } => Err(StoreError::Moved {
                place: place.clone(),
            }),
        }
    }
}

/// The id that the server gave a database when it was created; `None` if it does not exist.
///
/// # Errors
///
/// The store cannot be reached in time, or ClickHouse refuses the query.
pub(super) async fn read_database_id(
    client: &StoreClient,
    database: &str,
) -> Result<Option<String>, StoreError> {
    let sql = "SELECT toString(uuid) FROM system.databases WHERE name = ?";
    let query = client.with_database("default").query(sql).bind(database);
    query.fetch_optional().await.map_err(error_during(STEP))
}
