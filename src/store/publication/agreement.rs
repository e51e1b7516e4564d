//! Units that are published on several replicas: all of them publish the same, whichever is away
//! meanwhile, lost, or behind.
//!
//! What decides the lots of a unit is its row in `publications`: which segments' counts it takes.
//! It is decided once:
//!
//! 1. Units are begun only while every replica responds. The first one gets a draft of the row, in
//!    `publication_drafts`. It names the segments that every replica has in full; what a replica
//!    still lacks is left for the next unit. Which one is the first does not depend on the order of
//!    URLs, so of two collectors that do this at once, one takes effect.
//! 2. The draft is copied to all other replicas.
//! 3. Only then is the unit's row made from it, on each replica, and published there.
//!
//! So a replica that begins to publish knows that all others have the draft. One that goes away
//! after that gets the row from it when it is back, with the counts of the same segments still
//! there, and one that is lost leaves the others with all that was decided. Before that, nothing
//! was published from the draft.
//!
//! The units of a zone follow each other: the next one is begun once the last is finished on every
//! replica. Between collectors that begin different units at once, the first replica's memory of
//! insert tokens decides. Drafts that a collector left without a unit are copied and begun first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use clickhouse::Row;
use serde::Deserialize;

use super::drafts::{UnitKey, copy_drafts};
use super::units::{LastUnit, unit_places};
use super::{PUBLICATION_RETENTION_DAYS, PublicationUnit, STEP, SiteSlice};
use crate::publication::CoinKey;
use crate::store::Store;
use crate::store::error::{StoreError, error_during};
use crate::store::marker::{SegmentMarkers, WHOLE_NODE, exclude_marker_sites};
use crate::store::replicas::ShardReplicas;

/// The number of last units that replicas compare: more than are begun together.
const MAX_COMPARED_UNITS: u64 = 500;
/// The number of last days with units that are compared: far fewer than are kept, because replicas
/// delete old ones at different times.
const MAX_COMPARED_DAYS: u16 = PUBLICATION_RETENTION_DAYS / 2;
const DAY_SECS: u32 = 24 * 60 * 60;

/// The sums of a segment's counts in `unpublished`, of one zone and day. They are the same where all
/// of them arrived, in one block or in halves.
#[derive(PartialEq, Eq, PartialOrd, Ord, Clone, Debug)]
struct ArrivedSegment {
    zone: String,
    day: u16,
    /// [`SegmentMarkers::segment_of_number`].
    segment: u64,
    visitors: u64,
    visits: u64,
    networks: u64,
}

/// The segments of a replica, with the numbers of their blocks.
type ArrivedSegments = BTreeMap<ArrivedSegment, BTreeSet<u64>>;

/// The sums of a block's counts in `unpublished`, of one zone and day.
#[derive(Row, Deserialize)]
struct ArrivedBlock {
    zone: String,
    day: u16,
    number: u64,
    visitors: u64,
    visits: u64,
    networks: u64,
}

/// A block of `unpublished` that is not all of its segment's rows of a day.
#[derive(Row, Deserialize)]
struct PartialBlock {
    day: u16,
    number: u64,
    of_segment: u64,
    node: u16,
}

impl ShardReplicas {
    /// Makes each replica know the units that another one has begun or has a draft of, and use the
    /// same coin key. Then each continues what it has not finished.
    ///
    /// # Errors
    ///
    /// A replica does not respond, or ClickHouse rejects a statement.
    pub async fn align_units(&self) -> Result<CoinKey, StoreError> {
        let stores = self.all_in_order().await?;
        let key = agree_on_coin_key(&stores).await?;
        let mut drafts = BTreeSet::new();
        for store in &stores {
            let left = store.read_drafts_without_unit().await?;
            copy_drafts(store, &stores, &left).await?;
            drafts.extend(left.into_keys());
        }

        let mut begun = Vec::new();
        for store in &stores {
            begun.push(store.read_last_units().await?);
        }
        // One of each zone and end: the one that was begun, or else the draft with the smallest
        // number.
        let mut all: BTreeMap<(&str, u32), &UnitKey> = BTreeMap::new();
        for unit in begun.iter().flatten().chain(&drafts) {
            all.entry((&unit.0, unit.1)).or_insert(unit);
        }
        for (store, own) in stores.iter().zip(&begun) {
            let missing: Vec<&UnitKey> = all
                .values()
                .copied()
                .filter(|unit| !own.contains(*unit))
                .collect();
            store.begin_from_drafts(&missing).await?;
        }
        Ok(key)
    }

    /// Begins units of different zones on every replica, with the same counts on each.
    ///
    /// # Errors
    ///
    /// A replica does not respond, ClickHouse rejects a statement, or another collector publishes
    /// another unit of a zone. Units may have been begun; [`ShardReplicas::align_units`] begins them
    /// on the others.
    pub async fn begin_units(&self, units: &[PublicationUnit]) -> Result<(), StoreError> {
        let stores = self.all_in_order().await?;
        let (first, others) = stores.split_first().ok_or(StoreError::ReplicaAway)?;
        // Before the segments that have arrived: those that a finished unit took are gone then.
        let mut last_units = Vec::with_capacity(units.len());
        for unit in units {
            last_units.push(read_common_last_unit(first, others, unit).await?);
        }

        let zones: BTreeSet<&str> = units.iter().map(|unit| unit.zone.as_str()).collect();
        let mut on_all = first.read_arrived_segments(&zones).await?;
        for other in others {
            let mut arrived = other.read_arrived_segments(&zones).await?;
            // Replicas may have the same rows in different blocks.
            on_all.retain(|segment, numbers| match arrived.remove(segment) {
                Some(theirs) => {
                    numbers.extend(theirs);
                    true
                }
                None => false,
            });
        }

        let rows = first.count_rows_by_zone().await?;
        for (unit, last) in units.iter().zip(&last_units) {
            let taken: Vec<(u16, u64)> = on_all
                .iter()
                .filter(|(of, _)| of.zone == unit.zone && of.day <= unit.day.as_number())
                .flat_map(|(of, numbers)| numbers.iter().map(|number| (of.day, *number)))
                .collect();
            let rows = rows
                .get(&unit.zone)
                .map_or(0, |rows| rows.rows_until(unit.day));
            let slices = SiteSlice::count_for_rows(rows);
            first.insert_draft(unit, last, &taken, slices).await?;
        }

        let drafts = first.read_drafts(&unit_places(units)).await?;
        copy_drafts(first, others, &drafts).await?;
        for store in &stores {
            store
                .begin_from_drafts(&drafts.keys().collect::<Vec<_>>())
                .await?;
        }
        Ok(())
    }

    /// All replicas, in the same order at every collector: by the ids of their databases.
    async fn all_in_order(&self) -> Result<Vec<Arc<Store>>, StoreError> {
        let stores = self.all_present().ok_or(StoreError::ReplicaAway)?;
        let mut by_id = Vec::new();
        for store in stores {
            by_id.push((store.read_database_id().await?, store));
        }
        by_id.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(by_id.into_iter().map(|(_, store)| store).collect())
    }
}

/// The last unit of this one's zone, if it is finished on every replica, or is this one.
async fn read_common_last_unit(
    first: &Store,
    others: &[Arc<Store>],
    unit: &PublicationUnit,
) -> Result<LastUnit, StoreError> {
    let last = first.read_last_unit(&unit.zone).await?;
    last.require_finished_before(unit)?;

    // Replicas delete old units at different times.
    let oldest = unit
        .ended_at
        .saturating_sub(u32::from(MAX_COMPARED_DAYS) * DAY_SECS);
    for other in others {
        let theirs = other.read_last_unit(&unit.zone).await?;
        theirs.require_finished_before(unit)?;
        let newer = last.ended_at.max(theirs.ended_at);
        if theirs.ended_at != last.ended_at && newer != unit.ended_at && newer >= oldest {
            return Err(StoreError::UnitInProgress);
        }
    }
    Ok(last)
}

/// The coin key that a replica has, or a new one, once all have it.
async fn agree_on_coin_key(stores: &[Arc<Store>]) -> Result<CoinKey, StoreError> {
    let mut known = None;
    for store in stores {
        if let Some(key) = store.read_coin_key().await? {
            known = Some((store, key));
            break;
        }
    }
    let (holder, key) = match known {
        Some(known) => known,
        None => {
            let first = stores.first().ok_or(StoreError::ReplicaAway)?;
            (first, first.load_or_create_coin_key().await?)
        }
    };
    for other in stores {
        if other.read_coin_key().await?.is_none() {
            let rows = "made, secret FROM coin_keys WHERE length(secret) = 64 \
                        ORDER BY made, secret LIMIT 1";
            holder.copy_rows(other, "coin_keys", rows).await?;
        }
        if other.read_coin_key().await?.as_ref() != Some(&key) {
            return Err(StoreError::UnexpectedResponse {
                step: STEP,
                kind: "replicas have different coin keys",
            });
        }
    }
    Ok(key)
}

impl Store {
    /// The coin key, where a unit was begun: replicas agreed on it before.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, ClickHouse rejects the query, or there is no key.
    pub async fn load_agreed_coin_key(&self) -> Result<CoinKey, StoreError> {
        let key = self.read_coin_key().await?;
        key.ok_or(StoreError::UnexpectedResponse {
            step: STEP,
            kind: "a unit was begun without a coin key",
        })
    }

    /// The segments with counts of these zones, if all blocks of their day are here.
    async fn read_arrived_segments(
        &self,
        zones: &BTreeSet<&str>,
    ) -> Result<ArrivedSegments, StoreError> {
        // Before the sums: a segment that is complete then has all of them.
        let partial = self.read_partial_blocks().await?;
        let sql = format!(
            "SELECT toString(zone) AS zone, toUInt16(day) AS day, segment AS number, \
             sum(visitors) AS visitors, sum(visits) AS visits, sum(networks) AS networks \
             FROM unpublished WHERE has(?, toString(unpublished.zone)) AND {} \
             GROUP BY zone, day, segment",
            exclude_marker_sites()
        );
        let zones: Vec<&str> = zones.iter().copied().collect();
        let query = self.client.query(&sql).bind(zones);
        let blocks: Vec<ArrivedBlock> = query.fetch_all().await.map_err(error_during(STEP))?;
        Ok(join_blocks(blocks, &partial))
    }

    /// The halves of segments, and halves of those, that were too large for one insert.
    async fn read_partial_blocks(&self) -> Result<Vec<PartialBlock>, StoreError> {
        let sql = format!(
            "SELECT toUInt16(day) AS day, segment AS number, {} AS of_segment, \
             {} AS node FROM unpublished WHERE NOT ({}) AND node != {WHOLE_NODE}",
            SegmentMarkers::SEGMENT_OF_SITE,
            SegmentMarkers::NODE_OF_SITE,
            exclude_marker_sites()
        );
        let query = self.client.query(&sql);
        query.fetch_all().await.map_err(error_during(STEP))
    }

    /// The last units that were begun, finished or not.
    async fn read_last_units(&self) -> Result<BTreeSet<UnitKey>, StoreError> {
        let sql = "SELECT DISTINCT toString(zone) AS zone, toUInt32(at) AS at, lot \
                   FROM publications WHERE day > (SELECT max(day) FROM publications) - ? \
                   ORDER BY lot DESC LIMIT ?";
        let query = self.client.query(sql).bind(MAX_COMPARED_DAYS);
        let query = query.bind(MAX_COMPARED_UNITS);
        let rows: Vec<UnitKey> = query.fetch_all().await.map_err(error_during(STEP))?;
        // The others may have removed older ones, or not yet.
        let newest = rows.iter().map(|(_, _, lot)| *lot).max().unwrap_or(0);
        let is_recent = |lot: u64| lot + MAX_COMPARED_UNITS / 2 > newest;
        Ok(rows
            .into_iter()
            .filter(|(_, _, lot)| is_recent(*lot))
            .collect())
    }
}

/// Joins the blocks of each segment. A segment that lacks a block is left out.
fn join_blocks(blocks: Vec<ArrivedBlock>, partial: &[PartialBlock]) -> ArrivedSegments {
    let mut shares: BTreeMap<(u16, u64), f64> = BTreeMap::new();
    let mut segments = BTreeMap::new();
    for block in partial {
        let of_segment = (block.day, block.of_segment);
        *shares.entry(of_segment).or_default() += SegmentMarkers::share_of_node(block.node);
        segments.insert((block.day, block.number), block.of_segment);
    }

    let mut joined: BTreeMap<(String, u16, u64), JoinedBlocks> = BTreeMap::new();
    for block in blocks {
        let segment = segments.get(&(block.day, block.number)).copied();
        let segment = segment.unwrap_or_else(|| SegmentMarkers::segment_of_number(block.number));
        // The shares are powers of two: their sums are exact.
        let share = shares.get(&(block.day, segment));
        if share.is_some_and(|share| *share != 1.0) {
            continue;
        }
        let all = joined.entry((block.zone, block.day, segment)).or_default();
        all.visitors += block.visitors;
        all.visits += block.visits;
        all.networks += block.networks;
        all.numbers.insert(block.number);
    }

    let segments = joined.into_iter().map(|((zone, day, segment), all)| {
        let arrived = ArrivedSegment {
            zone,
            day,
            segment,
            visitors: all.visitors,
            visits: all.visits,
            networks: all.networks,
        };
        (arrived, all.numbers)
    });
    segments.collect()
}

/// The sums of a segment's blocks, and their numbers.
#[derive(Default)]
struct JoinedBlocks {
    visitors: u64,
    visits: u64,
    networks: u64,
    numbers: BTreeSet<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(zone: &str, number: u64, visitors: u64) -> ArrivedBlock {
        ArrivedBlock {
            zone: zone.to_owned(),
            day: 20_000,
            number,
            visitors,
            visits: 2 * visitors,
            networks: 0,
        }
    }

    fn half(number: u64, node: u16) -> PartialBlock {
        PartialBlock {
            day: 20_000,
            number,
            of_segment: 5,
            node,
        }
    }

    #[test]
    fn a_segment_in_halves_is_the_same_as_in_one_block_once_all_of_it_is_here() {
        let whole = 5 << 12 | 77;
        let blocks = vec![block("UTC", whole, 30)];
        let in_one = join_blocks(blocks, &[]);
        let mut in_one = in_one.into_iter();
        let (segment, numbers) = in_one.next().unwrap();
        assert_eq!((segment.segment, segment.visitors), (5, 30));
        assert_eq!((numbers, in_one.next()), (BTreeSet::from([whole]), None));

        // The second half in halves of its own, one of them without rows of this zone.
        let blocks = || {
            vec![
                block("UTC", 100, 10),
                block("UTC", 101, 20),
                block("Asia/Tokyo", 102, 4),
            ]
        };
        let halves = [half(100, 2), half(101, 6), half(102, 7)];
        let in_halves = join_blocks(blocks(), &halves);
        assert_eq!(in_halves[&segment], BTreeSet::from([100, 101]));
        assert_eq!(in_halves.len(), 2);

        let mut blocks = blocks();
        blocks.truncate(2);
        assert!(
            join_blocks(blocks, &halves[..2]).is_empty(),
            "not all of it"
        );
    }
}
