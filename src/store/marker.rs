//! Markers: rows that record which blocks of a segment a table has.
//!
//! Each block contains one in the same part as its counts, so that either both are there or
//! neither, whatever happens to the process, the machine or a backup. A segment is sent again only
//! after its markers were looked up.
//!
//! A marker is a row of its table. In tables with sites, its site is an id that no name has (see
//! [`SiteId::MARKERS`]):
//!
//! ```text
//! 40 bits of ones, collector:20 segment:52 node:16         hashes of the segment's token
//! ```
//!
//! In `drops` and `mail` the reason or template is a text with the same number. `node` identifies
//! the block: 1 is all rows of the segment in one partition of the table, 2n and 2n + 1 are the
//! first and second half of node n.

use std::collections::HashSet;

use crate::event::{Day, SiteId};

use super::Store;
use super::error::{StoreError, failed};
use super::schema::Table;

/// The node of all rows of a partition.
pub(super) const WHOLE: u16 = 1;

/// The beginning of a marker's reason or template.
const WORD: &str = "segment ";

const COLLECTOR_BITS: u32 = 20;
const SEGMENT_BITS: u32 = 52;
const NODE_BITS: u32 = 16;

/// In days, how long after the end of a partition its markers are kept if no older segment waits. A
/// segment is closed within a day or two of its counts.
const KEPT_DAYS: u32 = 3;

const STEP: &str = "looking for a segment's markers";

/// The markers of a segment: their common number, with node 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Markers(u128);

impl Markers {
    /// The markers of the segment with this token, `<collector>-<epoch>-<number>`.
    pub fn of(token: &str) -> Markers {
        let collector = token.split('-').next().unwrap_or_default();
        let (collector, segment) = (hash(collector, COLLECTOR_BITS), hash(token, SEGMENT_BITS));
        let numbers = u128::from(collector) << SEGMENT_BITS | u128::from(segment);
        Markers(SiteId::MARKERS.as_u128() | numbers << NODE_BITS)
    }

    /// The site of the marker of a node.
    pub(super) fn site(self, node: u16) -> SiteId {
        SiteId::from_u128(self.0 | u128::from(node))
    }

    /// The reason or template of the marker of a node.
    pub(super) fn text(self, node: u16) -> String {
        format!("{}{node}", self.prefix())
    }

    /// The common beginning of the texts of all nodes, including the space before the node.
    fn prefix(self) -> String {
        format!("{WORD}{:032x} ", self.0)
    }

    /// The first and last id of all markers of the segment's collector, both inclusive.
    fn of_collector(self) -> (u128, u128) {
        let others = (1 << (SEGMENT_BITS + NODE_BITS)) - 1;
        (self.0 & !others, self.0 | others)
    }
}

/// The highest `bits` bits of the first 8 bytes of BLAKE3, read little-endian.
fn hash(text: &str, bits: u32) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..8]);
    u64::from_le_bytes(number) >> (64 - bits)
}

/// A condition that excludes markers from a query over all sites.
pub(super) fn no_marker_site() -> String {
    format!("site < toUInt128('{}')", SiteId::MARKERS.as_u128())
}

/// A condition that excludes markers from a query over reasons or templates.
pub(super) fn no_marker_text(column: &str) -> String {
    format!("NOT startsWith({column}, '{WORD}')")
}

/// The blocks of a segment that a table has, as pairs of partition and node.
#[derive(Default)]
pub(super) struct Stored(HashSet<(u32, u16)>);

impl Stored {
    /// Whether the table has the block of this node.
    pub(super) fn has(&self, partition: u32, node: u16) -> bool {
        self.0.contains(&(partition, node))
    }

    /// Whether the table has a block below this node, so that its rows were sent in halves.
    pub(super) fn has_part_of(&self, partition: u32, node: u16) -> bool {
        let within = |mut lower: u16| {
            while lower > node {
                lower /= 2;
            }
            lower == node
        };
        self.0.iter().any(|(of, lower)| *of == partition && *lower > node && within(*lower))
    }
}

/// A condition on the column that the sorting key has before the site, so that markers are found by
/// the index.
fn before_site(table: Table) -> &'static str {
    if table == Table::Vitals { "metric = '' AND " } else { "" }
}

/// The column that holds the marker in tables without sites; `None` for the others.
fn text_column(table: Table) -> Option<&'static str> {
    match table {
        Table::Drops => Some("reason"),
        Table::Mail => Some("template"),
        _ => None,
    }
}

impl Store {
    /// The markers of a segment in a table.
    ///
    /// # Errors
    ///
    /// The table cannot be read.
    pub(super) async fn stored(&self, table: Table, markers: Markers) -> Result<Stored, StoreError> {
        let name = table.name();
        let sql = match text_column(table) {
            Some(column) => format!(
                "SELECT DISTINCT toString(_partition_id), toUInt16(splitByChar(' ', toString({column}))[3]) FROM {name} \
                 WHERE startsWith({column}, '{}')",
                markers.prefix()
            ),
            None => format!(
                "SELECT DISTINCT toString(_partition_id), toUInt16(site - toUInt128('{first}')) FROM {name} \
                 WHERE {before}site BETWEEN toUInt128('{first}') AND toUInt128('{last}')",
                before = before_site(table),
                first = markers.0,
                last = markers.0 | u128::from(u16::MAX),
            ),
        };

        let rows: Vec<(String, u16)> = self.client.query(&sql).fetch_all().await.map_err(failed(STEP))?;
        let stored = rows.iter().filter_map(|(partition, node)| Some((partition.parse().ok()?, *node)));
        Ok(Stored(stored.collect()))
    }

    /// Removes the markers of a collector from partitions that ended more than three days before its
    /// oldest segment was closed. `token` is of any of its segments; `oldest_days` is the age in
    /// days of the oldest segment that can be sent again.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses a statement. Markers that were
    /// removed stay removed.
    pub async fn forget_markers(&self, token: &str, today: Day, oldest_days: u32) -> Result<(), StoreError> {
        for table in Table::ALL {
            self.forget_markers_in(table, token, today, oldest_days).await?;
        }
        Ok(())
    }

    /// The same in `unpublished` only. Its partitions are days, and each deletion there has to
    /// clone every part of all of them: so markers of old days cost each publication.
    ///
    /// # Errors
    ///
    /// See [`Store::forget_markers`].
    pub async fn forget_markers_of_days(&self, token: &str, today: Day, oldest_days: u32) -> Result<(), StoreError> {
        self.forget_markers_in(Table::Unpublished, token, today, oldest_days).await
    }

    async fn forget_markers_in(
        &self,
        table: Table,
        token: &str,
        today: Day,
        oldest_days: u32,
    ) -> Result<(), StoreError> {
        let (first, last) = Markers::of(token).of_collector();
        let kept_days = oldest_days.saturating_add(KEPT_DAYS);
        let theirs = match text_column(table) {
            Some(column) => {
                let texts = [first, last].map(|id| format!("'{WORD}{id:032x}'"));
                format!("{column} BETWEEN {} AND concat({}, ' 99999')", texts[0], texts[1])
            }
            None => format!("{}site BETWEEN toUInt128('{first}') AND toUInt128('{last}')", before_site(table)),
        };
        let name = table.name();
        let sql = format!("SELECT DISTINCT toString(_partition_id) FROM {name} WHERE {theirs}");
        let partitions: Vec<String> = self.client.query(&sql).fetch_all().await.map_err(failed(STEP))?;

        let is_over = |id: &str| id.parse().is_ok_and(|partition| super::age::is_over(partition, today, kept_days));
        for partition in partitions.iter().filter(|id| is_over(id)) {
            // Nobody else inserts into the embedded engine, so what holds nothing else now does not
            // later.
            let is_dropped = self.engine.is_some() && self.others_in(name, partition, &theirs).await? == 0;
            let sql = match is_dropped {
                true => format!("ALTER TABLE {name} DROP PARTITION ID '{partition}'"),
                false => format!("ALTER TABLE {name} DELETE IN PARTITION ID '{partition}' WHERE {theirs}"),
            };
            let query = self.client.query(&sql).with_setting("mutations_sync", "2");
            query.execute().await.map_err(failed("removing old markers"))?;
        }
        Ok(())
    }

    /// The number of rows in a partition beside some.
    async fn others_in(&self, table: &str, partition: &str, some: &str) -> Result<u64, StoreError> {
        let sql = format!("SELECT count() FROM {table} WHERE _partition_id = '{partition}' AND NOT ({some})");
        self.client.query(&sql).fetch_one().await.map_err(failed(STEP))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_of_a_segment_differ_by_node_and_those_of_segments_do_not_meet() {
        let (one, other) = (Markers::of("c-1-1"), Markers::of("c-1-2"));
        assert_eq!(one.site(u16::MAX).as_u128() - one.site(0).as_u128(), u128::from(u16::MAX));
        assert!(one.0.abs_diff(other.0) > u128::from(u16::MAX));
        assert!(one.site(1) > SiteId::MARKERS && SiteId::of("mia") < SiteId::MARKERS);
        assert_eq!(one.of_collector(), other.of_collector());
        assert_ne!(one.of_collector(), Markers::of("d-1-1").of_collector());
    }

    #[test]
    fn halves_are_found_below_their_node_and_nowhere_else() {
        let stored = Stored([(202_603, 11)].into());
        assert_eq!([1, 2, 5].map(|node| stored.has_part_of(202_603, node)), [true; 3]);
        assert_eq!([3, 4, 10, 11, 22].map(|node| stored.has_part_of(202_603, node)), [false; 5]);
        assert!(stored.has(202_603, 11) && !stored.has(202_604, 11) && !stored.has_part_of(202_604, 1));
    }
}
