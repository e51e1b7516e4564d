//! The beginning and the end of units: their rows in `publications`.

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::Row;
use serde::Deserialize;

use super::slices::SiteSlice;
use super::unit_rows::UnitTable;
use super::{PublicationUnit, STEP, insert_once};
use crate::calendar::Day;
use crate::publication::ClosedPeriod;
use crate::store::Store;
use crate::store::client::StoreQuery;
use crate::store::error::{StoreError, error_during};
use crate::store::marker::exclude_marker_sites;

/// A unit with the contents of its row in `publications`.
pub(super) struct BegunUnit<'u> {
    /// The unit.
    pub(super) unit: &'u PublicationUnit,
    /// Its number, which grows from unit to unit.
    pub(super) lot: u64,
    /// The number of slices in which it is published.
    pub(super) slices: u32,
    /// Whether it is finished.
    pub(super) is_done: bool,
    /// The days whose counts it takes.
    pub(super) days: Vec<Day>,
    /// Whether its zone may have cells in `pending`.
    has_cells: bool,
    /// Whether an earlier run began it.
    pub(super) is_resumed: bool,
}

impl BegunUnit<'_> {
    /// Whether there is anything to publish.
    pub(super) fn has_work(&self) -> bool {
        self.has_cells || !self.days.is_empty()
    }
}

#[derive(Row, Deserialize)]
struct UnitRow {
    zone: String,
    at: u32,
    lot: u64,
    slices: u32,
    is_done: u8,
    days: Vec<u16>,
}

/// The number of a zone's rows in `unpublished`, by day, and in `pending`.
#[derive(Default)]
pub(super) struct ZoneRowCounts {
    arrived: BTreeMap<u16, u64>,
    pending: u64,
}

impl ZoneRowCounts {
    /// The rows that a unit of the zone may need: of days up to this one, and cells.
    pub(super) fn rows_until(&self, day: Day) -> u64 {
        let arrived = self.arrived.range(..=day.as_number());
        self.pending + arrived.map(|(_, count)| count).sum::<u64>()
    }
}

/// The last unit of a zone. A zone's units are begun one after the other: each takes counts that the
/// one before has not taken, which is known once that one is finished.
#[derive(Row, Deserialize, Clone, Copy, PartialEq, Eq)]
pub(super) struct LastUnit {
    /// When its day or hour ended, in Unix seconds; 0 where there is none.
    pub(super) ended_at: u32,
    /// Whether any unit of the zone is not finished, or on replicas not begun from its draft.
    has_open_unit: bool,
}

impl LastUnit {
    /// Checks that this unit may be begun now, or was.
    ///
    /// # Errors
    ///
    /// Another one is not finished.
    pub(super) fn require_finished_before(&self, unit: &PublicationUnit) -> Result<(), StoreError> {
        match self.has_open_unit && self.ended_at != unit.ended_at {
            true => Err(StoreError::UnitInProgress),
            false => Ok(()),
        }
    }
}

/// Units by zone and end.
type UnitRowMap = BTreeMap<(String, u32), UnitRow>;

impl Store {
    /// Records which counts each unit takes, namely those of its zone up to its day that are stored
    /// now; or reads what another collector recorded.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, ClickHouse rejects a statement, or another collector
    /// publishes another unit of a zone. Units may have been begun.
    pub(super) async fn begin_units<'u>(
        &self,
        units: &'u [PublicationUnit],
    ) -> Result<Vec<BegunUnit<'u>>, StoreError> {
        // A replica that is lost by now may have published from a draft.
        if self.replica().is_recorded() {
            let drafts = self.read_drafts(&unit_places(units)).await?;
            let drafts: Vec<_> = drafts.keys().collect();
            self.begin_from_drafts(&drafts).await?;
        }
        let mut known = self.read_begun_units(units).await?;
        let is_new = |known: &UnitRowMap, unit: &PublicationUnit| {
            !known.contains_key(&(unit.zone.clone(), unit.ended_at))
        };

        let resumed: BTreeSet<(&str, u32)> = units
            .iter()
            .filter(|unit| !is_new(&known, unit))
            .map(|unit| (unit.zone.as_str(), unit.ended_at))
            .collect();

        let mut rows = None;
        if units.iter().any(|unit| is_new(&known, unit)) {
            let by_zone = self.count_rows_by_zone().await?;
            for unit in units.iter().filter(|unit| is_new(&known, unit)) {
                self.insert_unit_begin(unit, &by_zone).await?;
            }
            known.append(&mut self.read_begun_units(units).await?);
            rows = Some(by_zone);
        }

        let mut begun = Vec::with_capacity(units.len());
        for unit in units {
            let Some(row) = known.remove(&(unit.zone.clone(), unit.ended_at)) else {
                return Err(insert_once::ROW_MISSING);
            };
            let has_cells = rows
                .as_ref()
                .is_none_or(|rows| rows.get(&unit.zone).is_some_and(|rows| rows.pending > 0));
            begun.push(BegunUnit {
                unit,
                lot: row.lot,
                slices: row.slices,
                is_done: row.is_done == 1,
                days: row.days.into_iter().map(Day::from_number).collect(),
                has_cells,
                is_resumed: resumed.contains(&(unit.zone.as_str(), unit.ended_at)),
            });
        }
        Ok(begun)
    }

    /// The rows of units in `publications`.
    async fn read_begun_units(&self, units: &[PublicationUnit]) -> Result<UnitRowMap, StoreError> {
        // If two collectors began a unit at once, both use the smaller number.
        let sql = format!(
            "SELECT toString(zone) AS zone, toUInt32(at) AS at, lot, any(slices) AS slices, \
             max(done) AS is_done, \
             arraySort(groupUniqArrayArray(arrayMap(segment -> toUInt16(segment.1), \
             segments))) AS days FROM publications \
             WHERE (zone, at) IN ({}) GROUP BY zone, at, lot \
             ORDER BY zone, at, is_done DESC, lot LIMIT 1 BY zone, at",
            repeat_in_list(PLACE_PARAMETERS, units.len())
        );

        let query = bind_places(self.client.query(&sql), &unit_places(units));
        let rows: Vec<UnitRow> = query.fetch_all().await.map_err(error_during(STEP))?;
        Ok(rows
            .into_iter()
            .map(|row| ((row.zone.clone(), row.at), row))
            .collect())
    }

    /// The number of rows of each zone.
    pub(super) async fn count_rows_by_zone(
        &self,
    ) -> Result<BTreeMap<String, ZoneRowCounts>, StoreError> {
        let sql = format!(
            "SELECT toString(zone) AS zone, toUInt16(day) AS day, count() AS rows, \
             0 AS is_pending FROM unpublished \
             WHERE {} GROUP BY zone, day UNION ALL \
             SELECT toString(zone) AS zone, toUInt16(0) AS day, count() AS rows, \
             1 AS is_pending FROM pending GROUP BY zone",
            exclude_marker_sites()
        );

        let counted: Vec<(String, u16, u64, u8)> = self
            .client
            .query(&sql)
            .fetch_all()
            .await
            .map_err(error_during(STEP))?;

        let mut by_zone = BTreeMap::<String, ZoneRowCounts>::new();
        for (zone, day, count, is_pending) in counted {
            let rows = by_zone.entry(zone).or_default();
            match is_pending {
                1 => rows.pending = count,
                _ => *rows.arrived.entry(day).or_default() += count,
            }
        }
        Ok(by_zone)
    }

    /// The last unit of a zone.
    pub(super) async fn read_last_unit(&self, zone: &str) -> Result<LastUnit, StoreError> {
        let mut units =
            "SELECT at, max(done) AS is_done FROM publications WHERE zone = ? GROUP BY at"
                .to_owned();
        let is_replica = self.replica().is_recorded();
        if is_replica {
            units += " UNION ALL SELECT at, toUInt8(0) AS is_done FROM publication_drafts \
                      WHERE zone = ? AND lot > (SELECT max(lot) FROM publications WHERE zone = ?) AND \
                      at NOT IN (SELECT at FROM publications WHERE zone = ?)";
        }
        let sql = format!(
            "SELECT toUInt32(max(at)) AS ended_at, toBool(countIf(is_done = 0) > 0) AS has_open_unit \
             FROM ({units})"
        );
        let parameters = if is_replica { 4 } else { 1 };
        let query = std::iter::repeat_n(zone, parameters)
            .fold(self.client.query(&sql), |query, zone| query.bind(zone));
        query.fetch_one().await.map_err(error_during(STEP))
    }

    /// Inserts the row that begins a unit, unless another collector does.
    ///
    /// # Errors
    ///
    /// As for [`Store::begin_units`].
    async fn insert_unit_begin(
        &self,
        unit: &PublicationUnit,
        by_zone: &BTreeMap<String, ZoneRowCounts>,
    ) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO publications (zone, at, lot, day, closes, segments, slices, done, \
             finished) \
             SELECT ?, toDateTime(?, 'UTC'), (SELECT max(lot) \
             FROM publications) + 1, toDate(?), ?, \
             (SELECT groupArray((day, segment)) FROM (SELECT DISTINCT day, segment \
             FROM unpublished \
             WHERE zone = ? AND day <= toDate(?) AND {} \
             ORDER BY day, segment)), ?, 0, toDateTime(0, 'UTC') ORDER BY ALL",
            exclude_marker_sites()
        );

        let day = unit.day.as_number();
        let rows = by_zone
            .get(&unit.zone)
            .map_or(0, |rows| rows.rows_until(unit.day));

        let last = self.read_last_unit(&unit.zone).await?;
        last.require_finished_before(unit)?;
        if last.ended_at == unit.ended_at {
            return Ok(());
        }
        let insert = || {
            let insert = self
                .client
                .query(&sql)
                .bind(&unit.zone)
                .bind(unit.ended_at)
                .bind(day);
            let insert = insert.bind(u8::from(unit.occasion == ClosedPeriod::Day));
            insert
                .bind(&unit.zone)
                .bind(day)
                .bind(SiteSlice::count_for_rows(rows))
        };
        self.insert_unit_row(UnitTable::Publications, unit, &last, insert)
            .await
    }

    /// Records that units are finished.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the insert. The units are then
    /// continued by the next run.
    pub(super) async fn finish_units(&self, units: &[BegunUnit<'_>]) -> Result<(), StoreError> {
        if units.is_empty() {
            return Ok(());
        }

        let sql = format!(
            "INSERT INTO publications (zone, at, lot, day, closes, segments, slices, done, \
             finished) \
             SELECT DISTINCT zone, at, lot, day, closes, arrayResize(segments, 0), slices, 1, \
             now('UTC') FROM publications \
             WHERE done = 0 AND (zone, at, lot) IN ({})",
            repeat_in_list(UNIT_PARAMETERS, units.len())
        );

        let query = bind_units(self.client.query(&sql), &units.iter().collect::<Vec<_>>());
        query
            .with_setting("async_insert", "0")
            .execute()
            .await
            .map_err(error_during(STEP))
    }
}

/// The parameters of a unit's place in a statement: zone, at.
pub(super) const PLACE_PARAMETERS: &str = "(?, toDateTime(?, 'UTC'))";

/// The zones and ends of units.
pub(super) fn unit_places(units: &[PublicationUnit]) -> Vec<(&str, u32)> {
    let places = units.iter();
    places
        .map(|unit| (unit.zone.as_str(), unit.ended_at))
        .collect()
}

/// Binds the parameters of [`PLACE_PARAMETERS`] for each place.
pub(super) fn bind_places(query: StoreQuery, places: &[(&str, u32)]) -> StoreQuery {
    places.iter().fold(query, |query, (zone, ended_at)| {
        query.bind(zone).bind(ended_at)
    })
}

/// The parameters of a unit in a statement: zone, at, lot.
pub(super) const UNIT_PARAMETERS: &str = "(?, toDateTime(?, 'UTC'), ?)";

/// A list of `count` copies of `one`.
pub(super) fn repeat_in_list(one: &str, count: usize) -> String {
    vec![one; count].join(", ")
}

/// Binds the parameters of [`UNIT_PARAMETERS`] for each unit.
pub(super) fn bind_units(query: StoreQuery, units: &[&BegunUnit<'_>]) -> StoreQuery {
    units.iter().fold(query, |query, begun| {
        query
            .bind(&begun.unit.zone)
            .bind(begun.unit.ended_at)
            .bind(begun.lot)
    })
}
