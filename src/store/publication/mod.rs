//! Publication in the store: the attribute counts of a day that is over move from `unpublished`
//! through `pending` to `published`.
//!
//! Whenever the process ends, `published`, `pending` and `unpublished` together must contain what
//! was counted, and a unit that is published again must produce the same rows. There is no
//! transaction across tables, so:
//!
//! 1. A unit (a zone's day or hour) begins with a row in `publications` that lists the segments
//!    whose counts it takes. Counts that arrive later belong to the next unit. Every later step
//!    reads this row, so it can be repeated.
//! 2. Sites are processed in slices by id; a slice fits into memory, however large the platform is.
//!    For each slice, the published rows are written first (writing them again replaces them), then
//!    the cells, in one block. A site whose cells have the unit's number is done. Cells and their
//!    numbers are read in one query, so if a site is not done, its former cells are still there.
//! 3. When all slices are written, the counts that were taken are deleted by their segments'
//!    numbers, never by partition: a late segment of another collector stays.
//! 4. A row with `done` ends the unit. A unit without it is continued by the next run, on any
//!    collector. Two collectors at once write the same rows.
//!
//! The lots of a unit follow from its row, the coin key, and the rows of the named segments. So
//! each replica of a shard publishes a unit from its own rows, and from a row of the unit that all of
//! them have (agreement.rs).

mod agreement;
mod deletion;
mod drafts;
mod insert_once;
mod rows;
mod slices;
mod unit_rows;
mod units;

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::Row;
use serde::Deserialize;

use super::Store;
use super::error::{StoreError, error_during};
use super::marker::exclude_marker_sites;
use crate::calendar::Day;
use crate::hex;
use crate::publication::{ClosedPeriod, CoinKey, LotPolicy, PublicationRules};
use crate::random::random_bytes;
pub(super) use slices::SiteSlice;

const STEP: &str = "the publication of attributes";

/// The number of days for which finished units are remembered.
const PUBLICATION_RETENTION_DAYS: u16 = 62;

/// The largest number of units that are published together: the statement that deletes their counts
/// names each.
const MAX_GROUP_UNITS: usize = 50;

/// What is published in one step: a zone's day, or an hour of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicationUnit {
    /// The IANA name of the zone whose sites are published; empty for counts of a schema that
    /// stored none.
    pub zone: String,
    /// The day, or the day of the hour, in the zone.
    pub day: Day,
    /// When the day or hour ended, in Unix seconds.
    pub ended_at: u32,
    /// Whether it is a day or an hour.
    pub occasion: ClosedPeriod,
}

/// How far the publication of a zone is.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ZoneProgress {
    /// The last day that was published.
    pub last_day: Option<Day>,
    /// The end of the last unit that was published, in Unix seconds; 0 before the first.
    pub last_end: u32,
    /// A unit that was begun and is not finished.
    pub unfinished: Option<UnfinishedUnit>,
    /// Days with counts that no unit has taken, in order.
    pub days_with_counts: Vec<Day>,
}

/// A unit that was begun and is not finished.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnfinishedUnit {
    /// Its day, in its zone.
    pub day: Day,
    /// When the day or hour ended, in Unix seconds.
    pub ended_at: u32,
    /// Whether it is a day; otherwise it is an hour.
    pub is_day: bool,
}

/// The numbers of lots and cells that a publication wrote.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct PublicationTotals {
    /// Lots, which are rows of `published`.
    pub lots: u64,
    /// Cells that changed.
    pub cells: u64,
}

#[derive(Row, Deserialize)]
struct ProgressRow {
    zone: String,
    day: u16,
    at: u32,
    closes: u8,
    is_done: u8,
    /// The table the row comes from: `unit`, `counts` or `pending`.
    of: String,
}

impl PublicationUnit {
    /// The leading units that can be published together: those of different zones, because the
    /// counts that the first unit of a zone takes are no longer there for the next one.
    pub fn leading_group(units: &[PublicationUnit]) -> &[PublicationUnit] {
        let is_another_of_its_zone = |place: &usize| {
            units[..*place]
                .iter()
                .any(|before| before.zone == units[*place].zone)
        };
        let end = (0..units.len())
            .find(is_another_of_its_zone)
            .unwrap_or(units.len());
        &units[..end.min(MAX_GROUP_UNITS)]
    }
}

impl Store {
    /// The progress of each zone that is configured, has counts, or has a begun unit.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn zones_to_publish(
        &self,
        configured: &[String],
    ) -> Result<BTreeMap<String, ZoneProgress>, StoreError> {
        // A single statement, because it runs twice for each publication, and every quarter of an
        // hour without one.
        let sql = format!(
            "SELECT toString(zone) AS zone, toUInt16(any(day)) AS day, toUInt32(at) AS at, \
             any(closes) AS closes, max(done) AS is_done, \
             'unit' AS of FROM publications GROUP BY zone, at UNION ALL \
             SELECT DISTINCT toString(zone) AS zone, toUInt16(day) AS day, toUInt32(0) AS at, \
             toUInt8(0) AS closes, toUInt8(0) AS is_done, \
             'counts' AS of FROM unpublished WHERE {} UNION ALL \
             SELECT DISTINCT toString(zone) AS zone, toUInt16(0) AS day, toUInt32(0) AS at, \
             toUInt8(0) AS closes, toUInt8(0) AS is_done, \
             'pending' AS of FROM pending",
            exclude_marker_sites()
        );

        let mut rows: Vec<ProgressRow> = self
            .client
            .query(&sql)
            .fetch_all()
            .await
            .map_err(error_during(STEP))?;
        rows.sort_unstable_by_key(|row| (row.at, row.day));

        let mut zones: BTreeMap<String, ZoneProgress> = configured
            .iter()
            .map(|zone| (zone.clone(), ZoneProgress::default()))
            .collect();
        let mut pending = BTreeSet::new();
        for row in rows {
            let day = Day::from_number(row.day);
            if row.of == "pending" {
                pending.insert(row.zone.clone());
            }
            let progress = zones.entry(row.zone).or_default();
            match (row.of.as_str(), row.is_done) {
                ("counts", _) => progress.days_with_counts.push(day),
                ("unit", 0) => {
                    progress.unfinished = Some(UnfinishedUnit {
                        day,
                        ended_at: row.at,
                        is_day: row.closes == 1,
                    })
                }
                ("unit", _) => {
                    progress.last_end = row.at;
                    if row.closes == 1 {
                        progress.last_day = Some(day);
                    }
                }
                _ => {}
            }
        }

        zones.retain(|zone, progress| {
            let has_counts = !progress.days_with_counts.is_empty() || pending.contains(zone);
            has_counts || progress.unfinished.is_some() || configured.contains(zone)
        });
        Ok(zones)
    }

    /// Deletes old units. The last one stays, because the next unit's number follows from it.
    pub(super) async fn delete_old_publications(&self, today: Day) -> Result<(), StoreError> {
        if self.replica.is_recorded() {
            self.delete_old_drafts(today).await?;
        }
        let of =
            "FROM publications WHERE day < toDate(?) AND lot < (SELECT max(lot) FROM publications)";
        let first = today.as_number().saturating_sub(PUBLICATION_RETENTION_DAYS);
        let old = self
            .client
            .query(&format!("SELECT count() {of}"))
            .bind(first);
        if old.fetch_one::<u64>().await.map_err(error_during(STEP))? == 0 {
            return Ok(());
        }

        let delete = of.replacen("FROM publications", "ALTER TABLE publications DELETE", 1);
        self.client
            .query(&delete)
            .bind(first)
            .execute()
            .await
            .map_err(error_during(STEP))
    }

    /// Publishes a unit. See [`Store::publish_units`].
    ///
    /// # Errors
    ///
    /// As for [`Store::publish_units`].
    pub async fn publish_unit(
        &self,
        unit: &PublicationUnit,
        policy: &LotPolicy,
    ) -> Result<PublicationTotals, StoreError> {
        self.publish_units(std::slice::from_ref(unit), policy).await
    }

    /// Publishes units of different zones (see [`PublicationUnit::leading_group`]), or continues
    /// them where an earlier run ended. Publishing a finished unit changes nothing. Their counts
    /// are deleted with one statement, because waiting for it takes longer than all other steps of
    /// a unit.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects a statement. What was written
    /// stays, and the same call continues from there.
    pub async fn publish_units(
        &self,
        units: &[PublicationUnit],
        policy: &LotPolicy,
    ) -> Result<PublicationTotals, StoreError> {
        let _open = self.write_gate.read().await;
        let mut begun = self.begin_units(units).await?;
        begun.retain(|begun| !begun.is_done);

        let mut publication = PublicationTotals::default();
        for unit in begun.iter().filter(|begun| begun.has_work()) {
            let rules = PublicationRules {
                policy,
                day: unit.unit.day,
                period: unit.unit.occasion,
            };
            for slice in SiteSlice::all_slices(unit.slices) {
                let done = self.publish_slice(unit, slice, &rules).await?;
                publication.lots += done.lots;
                publication.cells += done.cells;
            }
        }

        self.delete_taken_counts(&begun).await?;
        self.finish_units(&begun).await?;
        Ok(publication)
    }

    /// The platform's coin key. The first collector that needs it creates it.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, ClickHouse rejects a statement, or another collector's
    /// insert of the key does not end. A key that is not stored is never used.
    pub async fn load_or_create_coin_key(&self) -> Result<CoinKey, StoreError> {
        let fresh = hex::encode_lower(&random_bytes::<32>());

        let sql = "INSERT INTO coin_keys (made, secret) SELECT now('UTC'), ? ORDER BY ALL";
        for token in insert_once::insert_tokens("coin-key") {
            if let Some(key) = self.read_coin_key().await? {
                return Ok(key);
            }
            self.insert_with_token(token, self.client.query(sql).bind(&fresh))
                .await?;
            if let Some(key) = self.read_coin_key().await? {
                return Ok(key);
            }
            self.wait_for_inserts("coin_keys").await?;
        }
        Err(insert_once::ROW_MISSING)
    }

    pub(super) async fn read_coin_key(&self) -> Result<Option<CoinKey>, StoreError> {
        let sql =
            "SELECT secret FROM coin_keys WHERE length(secret) = 64 ORDER BY made, secret LIMIT 1";
        let stored: Option<String> = self
            .client
            .query(sql)
            .fetch_optional()
            .await
            .map_err(error_during(STEP))?;
        Ok(stored.and_then(|text| Some(CoinKey::new(hex::decode_lower(text.as_bytes())?))))
    }
}

/// A query for the counts that a unit takes, by day and segment. Parameters: zone, at, lot.
const TAKEN_QUERY: &str = "SELECT taken.1, taken.2 FROM (SELECT arrayJoin(segments) AS taken \
                     FROM publications \
                     WHERE zone = ? AND at = toDateTime(?, 'UTC') AND lot = ? AND done = 0)";
