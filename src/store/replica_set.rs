//! Which databases are replicas of each other, and the tables that only replicas have.
//!
//! The replicas of a shard belong to a set, whose name each of them records before it holds any
//! rows. A database without a set is new, or it was a shard of its own before. A new one beside
//! siblings with rows is refused: it would be filled with the counts of today and would lack the
//! others. `footfall store rebuild-replica` fills it from a sibling.

use clickhouse::Row;
use futures_util::future::join_all;
use serde::Deserialize;

use super::archive::find_filled_table;
use super::client::StoreClient;
use super::error::{StoreError, error_during};
use super::replicas::ReplicaHandle;
use super::schema::{DEDUPLICATION_WINDOW, SYNCED_SETTINGS, create_database};
use super::shard::PLACES_TABLE;
use super::transfer_state::read_database_id;
use super::{Store, StoreOptions, open_client};

/// The table of the set. It is not copied with the others.
pub(super) const SETS_TABLE: &str = "replica_sets";
/// The table of each collector's last segment. It is not copied with the others.
pub(super) const PROGRESS_TABLE: &str = "segment_progress";

const STEP: &str = "reading which replicas belong together";

#[derive(Row, Deserialize)]
struct SetRow {
    name: String,
    urls: Vec<String>,
}

/// What a database is before it is used as a replica.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct ReplicaRecord {
    /// The set it belongs to.
    pub set: Option<String>,
    /// The replicas that the last collector had in its configuration. Empty without a set, and for
    /// one that was told of its set and has not joined it: its siblings may not have been told.
    pub urls: Vec<String>,
    /// Whether it holds rows.
    pub is_filled: bool,
    /// The id that the server gave the database; `None` if it does not exist.
    id: Option<String>,
}

/// The set of a replica that has not joined one yet.
#[derive(PartialEq, Eq, Debug)]
enum NewSet {
    /// No replica has rows: all are told of this set.
    OfAll(String),
    /// Others are not told: they were before, or they are to be rebuilt.
    OfOne(String),
}

impl ReplicaRecord {
    /// Reads what a database is, which may not exist.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses a query.
    pub(super) async fn read(
        client: &StoreClient,
        database: &str,
    ) -> Result<ReplicaRecord, StoreError> {
        let (set, urls) = read_set(client, database)
            .await?
            .map(|row| (row.name, row.urls))
            .unzip();
        let own = [PLACES_TABLE, SETS_TABLE, PROGRESS_TABLE];
        Ok(ReplicaRecord {
            set,
            urls: urls.unwrap_or_default(),
            is_filled: find_filled_table(client, database, &own).await?.is_some(),
            id: read_database_id(client, database).await?,
        })
    }
}

/// The set that a database has on record. The database may not exist.
async fn read_set(client: &StoreClient, database: &str) -> Result<Option<SetRow>, StoreError> {
    let sql = "SELECT toBool(count() > 0) FROM system.tables WHERE database = ? AND name = ?";
    let query = client.with_database("default").query(sql).bind(database);
    let query = query.bind(SETS_TABLE);
    let has_sets: bool = query.fetch_one().await.map_err(error_during(STEP))?;
    if !has_sets {
        return Ok(None);
    }
    let sql = "SELECT name, urls FROM replica_sets ORDER BY at DESC, name LIMIT 1";
    let query = client.with_database(database).query(sql);
    query.fetch_optional().await.map_err(error_during(STEP))
}

/// Records in a database that it has joined a set, unless it did with the same URLs. Creates the
/// tables of replicas.
///
/// # Errors
///
/// The store cannot be reached in time, or ClickHouse refuses a statement.
pub(super) async fn record_set(
    client: &StoreClient,
    set: &str,
    urls: &[String],
) -> Result<(), StoreError> {
    create_replica_tables(client).await?;
    // Later than the last one also where the server's clock was set back.
    let sql = "INSERT INTO replica_sets (name, urls, at) SELECT ?, ?, greatest(now64(6, 'UTC'), \
               addMicroseconds((SELECT max(at) FROM replica_sets), 1)) WHERE (?, ?) != \
               (SELECT argMax((name, urls), at) FROM replica_sets)";
    let insert = client.query(sql).bind(set).bind(urls);
    let insert = insert.bind(set).bind(urls);
    let insert = insert.with_setting("async_insert", "0").execute();
    insert.await.map_err(error_during(STEP))
}

/// Tells a database which set it is to join, so that it may be empty while its siblings hold rows.
/// Creates the tables of replicas.
///
/// # Errors
///
/// The store cannot be reached in time, or ClickHouse refuses a statement.
async fn tell_of_set(client: &StoreClient, set: &str) -> Result<(), StoreError> {
    create_replica_tables(client).await?;
    // Earlier than the record of one that joins at this moment.
    let sql = "INSERT INTO replica_sets (name, urls, at) SELECT ?, [], toDateTime64(0, 6, 'UTC') \
               WHERE (SELECT count() FROM replica_sets) = 0";
    let insert = client.query(sql).bind(set);
    let insert = insert.with_setting("async_insert", "0").execute();
    insert.await.map_err(error_during(STEP))
}

/// Creates the tables that only replicas have.
///
/// # Errors
///
/// The store cannot be reached in time, or ClickHouse refuses a statement.
pub(super) async fn create_replica_tables(client: &StoreClient) -> Result<(), StoreError> {
    for sql in table_statements() {
        let create = client.query_raw(&sql).execute();
        create.await.map_err(error_during(STEP))?;
    }
    Ok(())
}

/// The statements that create the tables of replicas.
fn table_statements() -> [String; 3] {
    [
        format!(
            "CREATE TABLE IF NOT EXISTS {SETS_TABLE} (name String, urls Array(String), at \
             DateTime64(6, 'UTC') DEFAULT now64(6)) ENGINE = MergeTree ORDER BY at SETTINGS \
             {SYNCED_SETTINGS}"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {PROGRESS_TABLE} (collector String, place UInt64) ENGINE \
             = ReplacingMergeTree(place) ORDER BY collector SETTINGS {SYNCED_SETTINGS}"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS publication_drafts (zone LowCardinality(String), at \
             DateTime('UTC'), lot UInt64, day Date, closes UInt8, segments Array(Tuple(Date, \
             UInt64)), slices UInt32) ENGINE = ReplacingMergeTree ORDER BY (zone, at, lot) \
             SETTINGS non_replicated_deduplication_window = {DEDUPLICATION_WINDOW}, \
             {SYNCED_SETTINGS}"
        ),
    ]
}

impl ReplicaHandle {
    /// Refuses a database that is not a replica of its siblings, or that is new where they are not.
    /// Records the set of a new shard. Where `store.replication` is empty, refuses a replica: while
    /// nothing is recorded in it, it would become different from its siblings unnoticed.
    ///
    /// # Errors
    ///
    /// The database cannot be used yet or at all, a sibling of one without a set cannot be reached,
    /// or a statement failed.
    pub(super) async fn join_set(
        &self,
        client: &StoreClient,
        options: &StoreOptions,
    ) -> Result<(), StoreError> {
        if options.replica_urls.is_empty() {
            return match read_set(client, &options.database).await? {
                None => Ok(()),
                Some(_) => Err(StoreError::InvalidOption {
                    key: "replication",
                    reason: "must stay \"collector\", with store.shards: this database is a \
                             replica, also if it is the only one left",
                }),
            };
        }
        if !self.is_recorded() {
            return Ok(());
        }
        let own = ReplicaRecord::read(client, &options.database).await?;
        let set = match own.set {
            Some(set) if !own.urls.is_empty() => set,
            _ => self.found_set(client, options).await?,
        };
        if !self.agree_on_set(&set) {
            return Err(StoreError::OtherReplicaSet {
                place: options.place(),
            });
        }
        record_set(client, &set, &options.replica_urls).await
    }

    /// The set of a replica that has not joined one. All siblings have been told of it afterwards,
    /// unless some replica holds rows.
    async fn found_set(
        &self,
        client: &StoreClient,
        options: &StoreOptions,
    ) -> Result<String, StoreError> {
        create_database(client, &options.database).await?;
        let own = ReplicaRecord::read(client, &options.database).await?;
        let siblings = open_siblings(options).await?;
        let records = siblings
            .iter()
            .map(|sibling| ReplicaRecord::read(sibling, &options.database));
        let mut others = Vec::new();
        for record in join_all(records).await {
            others.push(record.map_err(|_| StoreError::ReplicasUnknown {
                place: options.place(),
            })?);
        }

        match choose_set(&own, &others, options)? {
            NewSet::OfOne(set) => Ok(set),
            // A sibling that is still new must not find rows here before it has the set. If this task
            // ends in between, those that were told do not take rows before the others were.
            NewSet::OfAll(set) => {
                for sibling in &siblings {
                    tell_of_set(sibling, &set).await?;
                }
                Ok(set)
            }
        }
    }
}

/// Clients of the other replicas.
async fn open_siblings(options: &StoreOptions) -> Result<Vec<StoreClient>, StoreError> {
    let mut siblings = Vec::new();
    for url in &options.replica_urls {
        if options.url.as_ref() == Some(url) {
            continue;
        }
        let options = StoreOptions {
            url: Some(url.clone()),
            ..options.clone()
        };
        let (client, _) = open_client(&options).await?;
        siblings.push(StoreClient::new(client.with_database(&options.database)));
    }
    Ok(siblings)
}

fn choose_set(
    own: &ReplicaRecord,
    others: &[ReplicaRecord],
    options: &StoreOptions,
) -> Result<NewSet, StoreError> {
    let place = || options.place();
    let all = || others.iter().chain([own]);
    let filled: Vec<_> = others.iter().filter(|other| other.is_filled).collect();
    // It was told before the others took rows, and so were they.
    if let Some(set) = &own.set
        && !filled.is_empty()
        && filled.iter().all(|other| other.set.as_ref() == Some(set))
    {
        return Ok(NewSet::OfOne(set.clone()));
    }

    match (own.is_filled, !filled.is_empty()) {
        (true, true) => Err(StoreError::OtherReplicaSet { place: place() }),
        (false, true) => Err(StoreError::ReplicaEmpty { place: place() }),
        (true, false) => Ok(NewSet::OfOne(own.id.clone().unwrap_or_default())),
        (false, false) => {
            // Every task and every collector finds the same one.
            if let Some(set) = all().find_map(|record| record.set.clone()) {
                return Ok(NewSet::OfAll(set));
            }
            let ids: Option<Vec<&String>> = all().map(|record| record.id.as_ref()).collect();
            let smallest = ids.and_then(|ids| ids.into_iter().min().cloned());
            let smallest =
                smallest.ok_or_else(|| StoreError::ReplicasUnknown { place: place() })?;
            Ok(NewSet::OfAll(smallest))
        }
    }
}

impl Store {
    /// Refuses a replica that lacks segments which this collector's journal no longer has. `removed`
    /// is the place of the last segment that was removed from the journal. Does nothing where
    /// `store.replication` is empty.
    ///
    /// # Errors
    ///
    /// The replica lacks segments, the store cannot be reached in time, or ClickHouse rejects the
    /// query.
    pub async fn check_segments(&self, collector: &str, removed: u64) -> Result<(), StoreError> {
        if !self.replica.is_recorded() || removed == 0 {
            return Ok(());
        }
        match self.read_progress().await?.place_of(collector) >= removed {
            true => Ok(()),
            false => Err(StoreError::ReplicaIncomplete {
                place: self.place.clone(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn record(set: Option<&str>, is_filled: bool, id: Option<&str>) -> ReplicaRecord {
        ReplicaRecord {
            set: set.map(str::to_owned),
            urls: Vec::new(),
            is_filled,
            id: id.map(str::to_owned),
        }
    }

    fn options() -> StoreOptions {
        StoreOptions {
            url: Some("http://one:8123".to_owned()),
            ..StoreOptions::embedded(PathBuf::new(), PathBuf::new(), PathBuf::new())
        }
    }

    #[test]
    fn new_replicas_choose_the_same_set_and_one_beside_rows_is_refused() {
        let options = options();
        let (one, two) = (
            record(None, false, Some("1")),
            record(None, false, Some("2")),
        );
        let of_all = |set: &str| NewSet::OfAll(set.to_owned());
        let choose = |own: &ReplicaRecord, other| choose_set(own, &[other], &options);
        assert_eq!(
            choose(&one, record(None, false, Some("2"))).unwrap(),
            of_all("1")
        );
        assert_eq!(
            choose(&two, record(None, false, Some("1"))).unwrap(),
            of_all("1")
        );
        assert_eq!(
            choose(&two, record(Some("7"), false, Some("1"))).unwrap(),
            of_all("7")
        );
        assert!(matches!(
            choose(&two, record(None, false, None)),
            Err(StoreError::ReplicasUnknown { .. })
        ));

        let filled = record(None, true, Some("9"));
        assert_eq!(
            choose(&filled, record(None, false, Some("1"))).unwrap(),
            NewSet::OfOne("9".to_owned())
        );
        assert!(matches!(
            choose(&one, record(Some("7"), true, Some("9"))),
            Err(StoreError::ReplicaEmpty { .. })
        ));

        // It was told of the set before the other one took rows.
        let told = |is_filled| record(Some("7"), is_filled, Some("1"));
        for is_filled in [false, true] {
            assert_eq!(
                choose(&told(is_filled), record(Some("7"), true, Some("9"))).unwrap(),
                NewSet::OfOne("7".to_owned())
            );
        }
        assert!(matches!(
            choose(&told(false), record(Some("8"), true, Some("9"))),
            Err(StoreError::ReplicaEmpty { .. })
        ));
        assert!(matches!(
            choose(&filled, record(Some("7"), true, Some("8"))),
            Err(StoreError::OtherReplicaSet { .. })
        ));
    }
}
