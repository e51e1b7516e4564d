//! Drafts of units, in `publication_drafts`: what replicas agree on before a unit is begun.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::unit_rows::UnitTable;
use super::units::{LastUnit, PLACE_PARAMETERS, bind_places, repeat_in_list};
use super::{PUBLICATION_RETENTION_DAYS, PublicationUnit, STEP};
use crate::calendar::Day;
use crate::publication::ClosedPeriod;
use crate::store::Store;
use crate::store::client::MAX_SQL_BYTES;
use crate::store::error::{StoreError, error_during};

/// The units must not be begun: replicas would publish different lots.
const OTHER_DRAFT: StoreError = StoreError::UnexpectedResponse {
    step: STEP,
    kind: "replicas have different drafts of a unit",
};

/// A unit in `publications` or a draft: zone, end, number.
pub(super) type UnitKey = (String, u32, u64);

/// For each unit the draft with the smallest number, and a hash of what it takes.
pub(super) type Drafts = BTreeMap<UnitKey, u64>;

/// Copies drafts of a replica to those that lack them.
pub(super) async fn copy_drafts(
    from: &Store,
    to: &[Arc<Store>],
    drafts: &Drafts,
) -> Result<(), StoreError> {
    if drafts.is_empty() {
        return Ok(());
    }
    let units: Vec<(&str, u32)> = drafts
        .keys()
        .map(|(zone, at, _)| (zone.as_str(), *at))
        .collect();
    for other in to {
        let known = other.read_drafts(&units).await?;
        for (draft, content) in drafts {
            match known.get(draft) {
                Some(own) if own == content => continue,
                Some(_) => return Err(OTHER_DRAFT),
                None => {}
            }
            let (zone, at, lot) = draft;
            let rows = format!(
                "* FROM publication_drafts WHERE zone = '{zone}' AND at = \
                 toDateTime({at}, 'UTC') AND lot = {lot} LIMIT 1"
            );
            from.copy_rows(other, "publication_drafts", &rows).await?;
        }
    }
    Ok(())
}

impl Store {
    /// Inserts the draft of the unit that follows this one, unless there is a draft.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, ClickHouse rejects a statement, or another collector
    /// inserted the draft of another unit.
    pub(super) async fn insert_draft(
        &self,
        unit: &PublicationUnit,
        last: &LastUnit,
        taken: &[(u16, u64)],
        slices: u32,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO publication_drafts (zone, at, lot, day, closes, segments, slices) \
                   SELECT ?, toDateTime(?, 'UTC'), greatest((SELECT max(lot) FROM publications), \
                   (SELECT max(lot) FROM publication_drafts)) + 1, toDate(?), ?, \
                   arrayMap(of -> (toDate(of.1), toUInt64(of.2)), \
                   arrayZip(CAST(?, 'Array(UInt16)'), CAST(?, 'Array(UInt64)'))), ? ORDER BY ALL";
        let (days, segments): (Vec<u16>, Vec<u64>) = taken.iter().copied().unzip();
        if self.has_unit_row(UnitTable::Drafts, unit).await? {
            return Ok(());
        }
        let insert = || {
            let insert = self.client.query(sql).bind(&unit.zone).bind(unit.ended_at);
            let insert = insert.bind(unit.day.as_number());
            let insert = insert.bind(u8::from(unit.occasion == ClosedPeriod::Day));
            let insert = insert.bind(&days).bind(&segments).bind(slices);
            insert.with_setting("max_query_size", MAX_SQL_BYTES)
        };
        self.insert_unit_row(UnitTable::Drafts, unit, last, insert)
            .await
    }

    /// Begins the units of drafts that were left when there were several replicas.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects a statement.
    pub async fn begin_drafted_units(&self) -> Result<(), StoreError> {
        if !self.replica().is_recorded() {
            return Ok(());
        }
        let drafts = self.read_drafts_without_unit().await?;
        self.begin_from_drafts(&drafts.keys().collect::<Vec<_>>())
            .await
    }

    /// The drafts of units, by zone and end.
    pub(super) async fn read_drafts(&self, units: &[(&str, u32)]) -> Result<Drafts, StoreError> {
        let of_units = format!(
            "WHERE (drafts.zone, drafts.at) IN ({})",
            repeat_in_list(PLACE_PARAMETERS, units.len())
        );
        self.read_drafts_where(&of_units, units).await
    }

    /// The drafts of units that were not begun here, and that no unit of their zone follows.
    pub(super) async fn read_drafts_without_unit(&self) -> Result<Drafts, StoreError> {
        let without_unit = "LEFT JOIN (SELECT zone, max(lot) AS lot FROM publications GROUP BY zone) \
                            AS last ON last.zone = drafts.zone WHERE drafts.lot > last.lot AND \
                            (drafts.zone, drafts.at) NOT IN (SELECT zone, at FROM publications)";
        self.read_drafts_where(without_unit, &[]).await
    }

    async fn read_drafts_where(
        &self,
        condition: &str,
        places: &[(&str, u32)],
    ) -> Result<Drafts, StoreError> {
        let sql = format!(
            "SELECT toString(drafts.zone), toUInt32(drafts.at), min(drafts.lot), \
             argMin(cityHash64(drafts.day, closes, segments, slices), drafts.lot) \
             FROM publication_drafts AS drafts {condition} GROUP BY drafts.zone, drafts.at"
        );
        let query = bind_places(self.client.query(&sql), places);
        let query = query.with_setting("join_use_nulls", "0");
        let rows: Vec<(String, u32, u64, u64)> =
            query.fetch_all().await.map_err(error_during(STEP))?;
        let drafts = rows.into_iter();
        Ok(drafts
            .map(|(zone, at, lot, content)| ((zone, at, lot), content))
            .collect())
    }

    /// Makes the rows of units from their drafts, where this replica has none.
    pub(super) async fn begin_from_drafts(&self, units: &[&UnitKey]) -> Result<(), StoreError> {
        let mut of_zones = BTreeMap::new();
        for (zone, at, lot) in units {
            of_zones.insert((zone, at), lot);
        }
        for ((zone, at), lot) in of_zones {
            let sql = "INSERT INTO publications (zone, at, lot, day, closes, segments, slices, \
                       done, finished) SELECT zone, at, lot, day, closes, segments, slices, 0, \
                       toDateTime(0, 'UTC') FROM publication_drafts WHERE zone = ? AND \
                       at = toDateTime(?, 'UTC') AND lot = ? AND (zone, at, lot) NOT IN \
                       (SELECT zone, at, lot FROM publications WHERE zone = ? AND \
                       at = toDateTime(?, 'UTC')) LIMIT 1";
            let insert = self.client.query(sql).bind(zone).bind(at).bind(lot);
            let insert = insert.bind(zone).bind(at);
            let insert = insert.with_setting("async_insert", "0");
            let insert = insert.with_setting("insert_deduplicate", "0").execute();
            insert.await.map_err(error_during(STEP))?;

            let sql = "SELECT toBool(count() > 0) FROM publications WHERE zone = ? AND \
                       at = toDateTime(?, 'UTC') AND lot = ?";
            let begun = self.client.query(sql).bind(zone).bind(at).bind(lot);
            let begun: bool = begun.fetch_one().await.map_err(error_during(STEP))?;
            if !begun {
                // It was published while this replica was not in `store.shards`.
                return Err(StoreError::ReplicaIncomplete {
                    place: self.place.clone(),
                });
            }
        }
        Ok(())
    }

    /// Deletes the drafts of old units. The last one stays, as in `publications`.
    pub(super) async fn delete_old_drafts(&self, today: Day) -> Result<(), StoreError> {
        let first = today.as_number().saturating_sub(PUBLICATION_RETENTION_DAYS);
        let condition =
            format!("day < toDate({first}) AND lot < (SELECT max(lot) FROM publication_drafts)");
        self.delete_rows("publication_drafts", &condition)
            .await
            .map(drop)
    }
}
