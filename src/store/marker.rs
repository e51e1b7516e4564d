//! Markers: rows that record which blocks of a segment a table has.
//!
//! Each block contains one marker in the same part as its counts, so that either both are stored or
//! neither, whatever happens to the process, the machine or a backup. A segment is sent again only
//! after its markers were looked up.
//!
//! A marker is a row of its table. In tables with sites, its site is an id that no name has:
//!
//! ```text
//! 40 bits of ones, collector:20 segment:52 node:16         hashes of the segment's token
//! ```
//!
//! In `drops` and `mail` the reason or template is a text with the same number. `node` identifies
//! the block: 1 is all rows of the segment in one partition of the table, 2n and 2n + 1 are the
//! first and second half of node n.

use std::collections::HashSet;

use crate::calendar::Day;
use crate::event::SiteId;

use super::Store;
use super::error::{StoreError, error_during};
use super::schema::CountsTable;

/// The node of all rows of a partition.
pub(super) const WHOLE_NODE: u16 = 1;

/// The beginning of a marker's reason or template.
const MARKER_TEXT_PREFIX: &str = "segment ";

const COLLECTOR_BITS: u32 = 20;
const SEGMENT_BITS: u32 = 52;
const NODE_BITS: u32 = 16;

/// In days, how long after the end of a partition its markers are kept if no older segment is
/// waiting. A segment is closed within a day or two of its counts.
pub const MARKER_GRACE_DAYS: u16 = 3;

const STEP: &str = "looking for a segment's markers";

/// The markers of a segment: their common number, with node 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentMarkers(u128);

impl SegmentMarkers {
    /// SQL for the segment's bits of a marker's site.
    pub(super) const SEGMENT_OF_SITE: &str =
        "toUInt64(bitAnd(bitShiftRight(site, 16), toUInt128(4503599627370495)))";
    /// SQL for the node of a marker's site.
    pub(super) const NODE_OF_SITE: &str = "toUInt16(bitAnd(site, toUInt128(65535)))";

    /// The segment's bits of the markers, by the number of the whole segment in `unpublished`.
    pub(super) fn segment_of_number(number: u64) -> u64 {
        number >> (64 - SEGMENT_BITS)
    }

    /// The part of a partition's rows that the block of a node has: 1, 1/2, 1/4 and so on.
    pub(super) fn share_of_node(node: u16) -> f64 {
        1.0 / f64::from(1u32 << node.max(1).ilog2())
    }

    /// The markers of the segment with this token, `<collector>-<epoch>-<number>`.
    pub fn from_token(token: &str) -> SegmentMarkers {
        let collector = token.split('-').next().unwrap_or_default();
        let (collector, segment) = (
            truncated_hash(collector, COLLECTOR_BITS),
            truncated_hash(token, SEGMENT_BITS),
        );
        let numbers = u128::from(collector) << SEGMENT_BITS | u128::from(segment);
        SegmentMarkers(SiteId::MIN_MARKER_ID.as_u128() | numbers << NODE_BITS)
    }

    /// The site of the marker of a node.
    pub(super) fn marker_site(self, node: u16) -> SiteId {
        SiteId::from_u128(self.0 | u128::from(node))
    }

    /// The reason or template of the marker of a node.
    pub(super) fn marker_text(self, node: u16) -> String {
        format!("{}{node}", self.text_prefix())
    }

    /// The common beginning of the texts of all nodes, including the space before the node.
    fn text_prefix(self) -> String {
        format!("{MARKER_TEXT_PREFIX}{:032x} ", self.0)
    }

    /// The first and last id of all markers of the segment's collector, both inclusive.
    fn collector_range(self) -> (u128, u128) {
        let others = (1 << (SEGMENT_BITS + NODE_BITS)) - 1;
        (self.0 & !others, self.0 | others)
    }
}

/// The highest `bits` bits of the first 8 bytes of BLAKE3, read little-endian.
fn truncated_hash(text: &str, bits: u32) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..8]);
    u64::from_le_bytes(number) >> (64 - bits)
}

/// A condition that excludes markers from a query over all sites.
pub(super) fn exclude_marker_sites() -> String {
    format!("site < toUInt128('{}')", SiteId::MIN_MARKER_ID.as_u128())
}

/// A condition that excludes markers from a query over reasons or templates.
pub(super) fn exclude_marker_texts(column: &str) -> String {
    format!("NOT startsWith({column}, '{MARKER_TEXT_PREFIX}')")
}

/// The blocks of a segment that a table has, as pairs of partition and node.
#[derive(Default)]
pub(super) struct StoredBlocks(HashSet<(u32, u16)>);

impl StoredBlocks {
    /// Whether the table has the block of this node.
    pub(super) fn has_block(&self, partition: u32, node: u16) -> bool {
        self.0.contains(&(partition, node))
    }

    /// Whether the table has a block below this node, so that its rows were sent in halves.
    pub(super) fn has_block_below(&self, partition: u32, node: u16) -> bool {
        let within = |mut lower: u16| {
            while lower > node {
                lower /= 2;
            }
            lower == node
        };
        self.0
            .iter()
            .any(|(of, lower)| *of == partition && *lower > node && within(*lower))
    }
}

/// A condition on the column that precedes the site in the sorting key, so that markers are found
/// by the index.
fn index_prefix_condition(table: CountsTable) -> &'static str {
    if table == CountsTable::Vitals {
        "metric = '' AND "
    } else {
        ""
    }
}

/// The column that holds the marker in tables without sites; `None` for the others.
fn marker_text_column(table: CountsTable) -> Option<&'static str> {
    match table {
        CountsTable::Drops => Some("reason"),
        CountsTable::Mail => Some("template"),
        _ => None,
    }
}

impl Store {
    /// The markers of a segment in a table.
    ///
    /// # Errors
    ///
    /// The table cannot be read.
    pub(super) async fn read_stored_blocks(
        &self,
        table: CountsTable,
        markers: SegmentMarkers,
    ) -> Result<StoredBlocks, StoreError> {
        let name = table.name();
        let sql = match marker_text_column(table) {
            Some(column) => format!(
                "SELECT DISTINCT toString(_partition_id), \
                 toUInt16(splitByChar(' ', toString({column}))[3]) FROM {name} \
                 WHERE startsWith({column}, '{}')",
                markers.text_prefix()
            ),
            None => format!(
                "SELECT DISTINCT toString(_partition_id), \
                 toUInt16(site - toUInt128('{first}')) FROM {name} \
                 WHERE {before}site BETWEEN toUInt128('{first}') AND toUInt128('{last}')",
                before = index_prefix_condition(table),
                first = markers.0,
                last = markers.0 | u128::from(u16::MAX),
            ),
        };

        let rows: Vec<(String, u16)> = self
            .client
            .query(&sql)
            .fetch_all()
            .await
            .map_err(error_during(STEP))?;
        let stored = rows
            .iter()
            .filter_map(|(partition, node)| Some((partition.parse().ok()?, *node)));
        Ok(StoredBlocks(stored.collect()))
    }

    /// Whether any table has a block of the segment with this token.
    ///
    /// # Errors
    ///
    /// A table cannot be read.
    pub async fn has_any_block(&self, token: &str) -> Result<bool, StoreError> {
        for table in CountsTable::ALL {
            let markers = SegmentMarkers::from_token(token);
            if !self.read_stored_blocks(table, markers).await?.0.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes the markers of a collector from partitions that ended more than three days before
    /// its oldest segment was closed. `token` is of any of its segments; `oldest_days` is the age
    /// in days of the oldest segment that may be sent again.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects a statement. Markers that were
    /// removed stay removed.
    pub async fn delete_old_markers(
        &self,
        token: &str,
        today: Day,
        oldest_days: u32,
    ) -> Result<(), StoreError> {
        for table in CountsTable::ALL {
            self.delete_old_markers_in(table, token, today, oldest_days)
                .await?;
        }
        Ok(())
    }

    /// The same in `unpublished` only. Its partitions are days, and each deletion has to clone all
    /// their parts, so markers of old days slow down every publication.
    ///
    /// # Errors
    ///
    /// See [`Store::delete_old_markers`].
    pub async fn delete_old_day_markers(
        &self,
        token: &str,
        today: Day,
        oldest_days: u32,
    ) -> Result<(), StoreError> {
        self.delete_old_markers_in(CountsTable::Unpublished, token, today, oldest_days)
            .await
    }

    async fn delete_old_markers_in(
        &self,
        table: CountsTable,
        token: &str,
        today: Day,
        oldest_days: u32,
    ) -> Result<(), StoreError> {
        let _open = self.write_gate.read().await;
        let (first, last) = SegmentMarkers::from_token(token).collector_range();
        let kept_days = oldest_days.saturating_add(u32::from(MARKER_GRACE_DAYS));
        let theirs = match marker_text_column(table) {
            Some(column) => {
                let texts = [first, last].map(|id| format!("'{MARKER_TEXT_PREFIX}{id:032x}'"));
                format!(
                    "{column} BETWEEN {} AND concat({}, ' 99999')",
                    texts[0], texts[1]
                )
            }
            None => {
                format!(
                    "{}site BETWEEN toUInt128('{first}') AND toUInt128('{last}')",
                    index_prefix_condition(table)
                )
            }
        };
        let name = table.name();
        let sql = format!("SELECT DISTINCT toString(_partition_id) FROM {name} WHERE {theirs}");
        let partitions: Vec<String> = self
            .client
            .query(&sql)
            .fetch_all()
            .await
            .map_err(error_during(STEP))?;

        let is_over = |id: &str| {
            id.parse().is_ok_and(|partition| {
                super::partition::is_partition_expired(partition, today, kept_days)
            })
        };
        let mut deletions = Vec::new();
        for partition in partitions.iter().filter(|id| is_over(id)) {
            // Only this collector inserts into the embedded engine, so a partition with nothing
            // else now stays so.
            let is_dropped = self.engine.is_some()
                && self.count_other_rows(name, partition, &theirs).await? == 0;
            if is_dropped {
                let sql = format!("ALTER TABLE {name} DROP PARTITION ID '{partition}'");
                self.remove_markers(&sql).await?;
            } else {
                deletions.push(format!(
                    "DELETE IN PARTITION ID '{partition}' WHERE {theirs}"
                ));
            }
        }

        // One mutation for all of them: each costs up to seconds until the engine begins it.
        if deletions.is_empty() {
            return Ok(());
        }
        let sql = format!("ALTER TABLE {name} {}", deletions.join(", "));
        self.remove_markers(&sql).await
    }

    async fn remove_markers(&self, sql: &str) -> Result<(), StoreError> {
        let query = self.client.query(sql).with_setting("mutations_sync", "2");
        query
            .execute()
            .await
            .map_err(error_during("removing old markers"))
    }

    /// The number of rows of a partition that do not meet the condition.
    async fn count_other_rows(
        &self,
        table: &str,
        partition: &str,
        some: &str,
    ) -> Result<u64, StoreError> {
        let sql = format!(
            "SELECT count() FROM {table} WHERE _partition_id = '{partition}' AND NOT ({some})"
        );
        self.client
            .query(&sql)
            .fetch_one()
            .await
            .map_err(error_during(STEP))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_of_a_segment_differ_by_node_and_those_of_segments_do_not_meet() {
        let (one, other) = (
            SegmentMarkers::from_token("c-1-1"),
            SegmentMarkers::from_token("c-1-2"),
        );
        assert_eq!(
            one.marker_site(u16::MAX).as_u128() - one.marker_site(0).as_u128(),
            u128::from(u16::MAX)
        );
        assert!(one.0.abs_diff(other.0) > u128::from(u16::MAX));
        assert!(
            one.marker_site(1) > SiteId::MIN_MARKER_ID
                && SiteId::from_key("mia") < SiteId::MIN_MARKER_ID
        );
        assert_eq!(one.collector_range(), other.collector_range());
        assert_ne!(
            one.collector_range(),
            SegmentMarkers::from_token("d-1-1").collector_range()
        );
    }

    #[test]
    fn halves_are_found_below_their_node_and_nowhere_else() {
        let stored = StoredBlocks([(202_603, 11)].into());
        assert_eq!(
            [1, 2, 5].map(|node| stored.has_block_below(202_603, node)),
            [true; 3]
        );
        assert_eq!(
            [3, 4, 10, 11, 22].map(|node| stored.has_block_below(202_603, node)),
            [false; 5]
        );
        assert!(
            stored.has_block(202_603, 11)
                && !stored.has_block(202_604, 11)
                && !stored.has_block_below(202_604, 1)
        );
    }
}
