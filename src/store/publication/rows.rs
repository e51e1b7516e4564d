//! Reads and writes the rows of one slice.

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::{Row, RowWrite};
use serde::{Deserialize, Serialize};

use super::slices::SiteSlice;
use super::units::BegunUnit;
use super::{PublicationTotals, PublicationUnit, STEP, TAKEN_QUERY};
use crate::calendar::Day;
use crate::event::{Dimension, SiteId, Subject};
use crate::publication::{CellKey, CellState, ClosedPeriod, Lot, PublicationRules, PublishedLot};
use crate::store::error::{StoreError, error_during};
use crate::store::{ONE_BLOCK_SETTINGS, Store};

#[derive(Row, Deserialize)]
struct UnpublishedRow {
    site: u128,
    subject: String,
    item: String,
    dim: String,
    value: String,
    visitors: u64,
    visits: u64,
    networks: u64,
}

/// The newest row of a cell; `newest` is the number of the unit that wrote it.
#[derive(Row, Deserialize)]
struct CellRow {
    site: u128,
    subject: String,
    item: String,
    dim: String,
    value: String,
    zone: String,
    visitors: u64,
    visits: u64,
    networks: u64,
    since: u16,
    counted: u64,
    newest: u64,
}

#[derive(Row, Serialize)]
struct PendingRow<'a> {
    site: u128,
    subject: &'a str,
    item: &'a str,
    dim: &'a str,
    value: &'a str,
    zone: &'a str,
    visitors: u64,
    visits: u64,
    networks: u64,
    since: u16,
    counted: u64,
    lot: u64,
}

#[derive(Row, Serialize)]
struct PublishedRow<'a> {
    site: u128,
    day: u16,
    subject: &'a str,
    item: &'a str,
    dim: &'a str,
    value: &'a str,
    lot: u64,
    visitors: u64,
    visits: u64,
}

/// A site's part of a unit: its cells, and the counts that the unit takes.
#[derive(Default)]
struct SiteUnitInput {
    cells: Vec<CellState>,
    arrived: Vec<(CellKey, Lot)>,
}

impl Store {
    /// Publishes those sites of a slice that are not done.
    pub(super) async fn publish_slice(
        &self,
        begun: &BegunUnit<'_>,
        slice: SiteSlice,
        rules: &PublicationRules<'_>,
    ) -> Result<PublicationTotals, StoreError> {
        let (unit, lot) = (begun.unit, begun.lot);
        // Counts are read before cells. They are deleted only after all cells were written, so if a
        // site's cells are not written, its counts are complete.
        let arrived = if begun.days.is_empty() {
            Vec::new()
        } else {
            self.read_taken_counts(unit, lot, slice).await?
        };
        let newest = self.read_cells(unit, lot, slice).await?;
        let sites = group_by_site(arrived, newest, unit, lot);

        let (mut released, mut changed) = (Vec::new(), Vec::new());
        for (site, SiteUnitInput { cells, arrived }) in sites {
            let outcome = rules.publish_lots(site, cells, arrived);
            released.extend(outcome.lots.into_iter().map(|row| (site, row)));
            changed.extend(outcome.changed_cells.into_iter().map(|cell| (site, cell)));
        }

        self.insert_published(unit, lot, &released).await?;
        self.insert_pending(unit, lot, &changed).await?;
        Ok(PublicationTotals {
            lots: released.len() as u64,
            cells: changed.len() as u64,
        })
    }

    /// The counts that the unit takes, by cell.
    async fn read_taken_counts(
        &self,
        unit: &PublicationUnit,
        lot: u64,
        slice: SiteSlice,
    ) -> Result<Vec<UnpublishedRow>, StoreError> {
        let sql = format!(
            "SELECT site, toString(subject) AS subject, item, toString(dim) AS dim, \
             toString(value) AS value, \
             sum(visitors) AS visitors, sum(visits) AS visits, sum(networks) AS networks \
             FROM unpublished \
             WHERE {slice_condition} AND zone = ? AND (day, segment) IN ({TAKEN_QUERY}) \
             GROUP BY site, subject, item, dim, value",
            slice_condition = slice_condition(slice),
        );
        let query = self
            .client
            .query(&sql)
            .bind(&unit.zone)
            .bind(&unit.zone)
            .bind(unit.ended_at)
            .bind(lot);
        query.fetch_all().await.map_err(error_during(STEP))
    }

    /// The cells of the zone's sites, and of every site with counts in the unit, because a site may
    /// have moved from another zone. For an hour, only those of sites with counts.
    async fn read_cells(
        &self,
        unit: &PublicationUnit,
        lot: u64,
        slice: SiteSlice,
    ) -> Result<Vec<CellRow>, StoreError> {
        let slice_condition = slice_condition(slice);
        let arrived = format!(
            "SELECT site FROM unpublished WHERE {slice_condition} AND zone = ? \
             AND (day, segment) IN ({TAKEN_QUERY})"
        );

        let of_zone = match unit.occasion {
            ClosedPeriod::Day => format!(
                "OR site IN (SELECT site FROM pending WHERE {slice_condition} AND zone = ?)"
            ),
            ClosedPeriod::Hour { .. } => String::new(),
        };

        let sql = format!(
            "SELECT site, toString(subject) AS subject, item, toString(dim) AS dim, \
             toString(value) AS value, \
             toString(argMax(zone, lot)) AS zone, argMax(visitors, lot) AS visitors, \
             argMax(visits, lot) AS visits, \
             argMax(networks, lot) AS networks, toUInt16(argMax(since, lot)) AS since, \
             argMax(counted, lot) AS counted, \
             max(lot) AS newest FROM (SELECT * FROM pending WHERE {slice_condition} \
             AND (site IN ({arrived}) {of_zone})) \
             GROUP BY site, subject, item, dim, value"
        );

        let mut query = self
            .client
            .query(&sql)
            .bind(&unit.zone)
            .bind(&unit.zone)
            .bind(unit.ended_at)
            .bind(lot);
        if unit.occasion == ClosedPeriod::Day {
            query = query.bind(&unit.zone);
        }
        query.fetch_all().await.map_err(error_during(STEP))
    }

    /// Writes lots. Writing them again replaces them.
    async fn insert_published(
        &self,
        unit: &PublicationUnit,
        lot: u64,
        rows: &[(SiteId, PublishedLot)],
    ) -> Result<(), StoreError> {
        let rows = rows.iter().map(
            |(
                site,
                PublishedLot {
                    key,
                    visitors,
                    visits,
                },
            )| PublishedRow {
                site: site.as_u128(),
                day: unit.day.as_number(),
                subject: key.subject.name(),
                item: &key.item,
                dim: key.dim.name(),
                value: &key.value,
                lot,
                visitors: *visitors,
                visits: *visits,
            },
        );
        self.insert_rows::<PublishedRow>("published", &rows.collect::<Vec<_>>())
            .await
    }

    /// Writes the new state of cells, with the unit's number.
    async fn insert_pending(
        &self,
        unit: &PublicationUnit,
        lot: u64,
        cells: &[(SiteId, CellState)],
    ) -> Result<(), StoreError> {
        let rows = cells.iter().map(|(site, cell)| PendingRow {
            site: site.as_u128(),
            subject: cell.key.subject.name(),
            item: &cell.key.item,
            dim: cell.key.dim.name(),
            value: &cell.key.value,
            zone: &unit.zone,
            visitors: cell.pending.visitors,
            visits: cell.pending.visits,
            networks: cell.pending.networks,
            since: cell.since.as_number(),
            counted: cell.counted,
            lot,
        });

        self.insert_rows::<PendingRow>("pending", &rows.collect::<Vec<_>>())
            .await
    }

    /// Writes the rows as one block, so that all of them are stored or none.
    async fn insert_rows<T: RowWrite>(
        &self,
        table: &str,
        rows: &[T::Value<'_>],
    ) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }

        let mut insert = self
            .client
            .begin_insert::<T>(table)
            .await
            .map_err(error_during(STEP))?;
        for (setting, value) in ONE_BLOCK_SETTINGS {
            insert = insert.with_setting(setting, value);
        }

        for row in rows {
            insert.write(row).await.map_err(error_during(STEP))?;
        }
        insert.end().await.map_err(error_during(STEP))
    }
}

/// The sites of a slice that the unit has not published yet, with their cells and counts.
fn group_by_site(
    arrived: Vec<UnpublishedRow>,
    newest: Vec<CellRow>,
    unit: &PublicationUnit,
    lot: u64,
) -> BTreeMap<SiteId, SiteUnitInput> {
    let done: BTreeSet<u128> = newest
        .iter()
        .filter(|row| row.newest >= lot)
        .map(|row| row.site)
        .collect();
    let with_counts: BTreeSet<u128> = arrived.iter().map(|row| row.site).collect();
    let mut sites = BTreeMap::<SiteId, SiteUnitInput>::new();

    for row in newest {
        let is_ours = row.zone == unit.zone || with_counts.contains(&row.site);
        if done.contains(&row.site) || !is_ours {
            continue;
        }
        let Some(key) = parse_cell_key(&row.subject, &row.item, &row.dim, &row.value) else {
            continue;
        };
        let pending = Lot {
            visitors: row.visitors,
            visits: row.visits,
            networks: row.networks,
        };
        let cell = CellState {
            key,
            pending,
            since: Day::from_number(row.since),
            counted: row.counted,
        };
        sites
            .entry(SiteId::from_u128(row.site))
            .or_default()
            .cells
            .push(cell);
    }

    for row in arrived.into_iter().filter(|row| !done.contains(&row.site)) {
        let Some(key) = parse_cell_key(&row.subject, &row.item, &row.dim, &row.value) else {
            continue;
        };
        let lot = Lot {
            visitors: row.visitors,
            visits: row.visits,
            networks: row.networks,
        };
        sites
            .entry(SiteId::from_u128(row.site))
            .or_default()
            .arrived
            .push((key, lot));
    }
    sites
}

/// `None` for a name of a later schema, which [`Store::connect`] rejects.
fn parse_cell_key(subject: &str, item: &str, dim: &str, value: &str) -> Option<CellKey> {
    Some(CellKey::new(
        Subject::from_name(subject)?,
        item,
        Dimension::from_name(dim)?,
        value,
    ))
}

/// A condition for the sites of a slice, without markers.
fn slice_condition(slice: SiteSlice) -> String {
    let last = slice.last.min(SiteId::MIN_MARKER_ID.as_u128() - 1);
    format!(
        "site BETWEEN {} AND {}",
        u128_literal(slice.first),
        u128_literal(last)
    )
}

/// An id of 128 bits as SQL, because the client has no parameter of that type.
fn u128_literal(id: u128) -> String {
    format!("toUInt128('{id}')")
}
