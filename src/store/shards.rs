//! The shards of the store, as far as they have been reached.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::Store;
use super::shard::ShardPlace;
use crate::event::SiteId;

/// How long a shard may take to show that it responds before a report over all sites goes without
/// it.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// One shard; empty until it has been reached once.
pub type StoreSlot = Arc<ArcSwapOption<Store>>;

/// All shards in the order of `store.shards`; one without them.
pub struct StoreShards {
    slots: Vec<StoreSlot>,
}

impl StoreShards {
    /// Empty slots of `count` shards, at least one.
    pub fn new(count: usize) -> StoreShards {
        StoreShards {
            slots: (0..count.max(1)).map(|_| StoreSlot::default()).collect(),
        }
    }

    /// How many shards there are, reached or not.
    pub fn shard_count(&self) -> usize {
        self.slots.len()
    }

    /// The slot of the shard at `index`, from 0.
    pub fn slot(&self, index: usize) -> StoreSlot {
        Arc::clone(&self.slots[index])
    }

    /// The slot of the first shard, which holds the registry.
    pub fn first_slot(&self) -> StoreSlot {
        self.slot(0)
    }

    /// The shard that holds a site; `None` until it has been reached.
    pub fn find_owner(&self, site: SiteId) -> Option<Arc<Store>> {
        self.slots[ShardPlace::owner_of(site, self.shard_count())].load_full()
    }

    /// The shards that have been reached, in order.
    pub fn reached_shards(&self) -> Vec<Arc<Store>> {
        self.slots
            .iter()
            .filter_map(|slot| slot.load_full())
            .collect()
    }

    /// All shards; `None` until each has been reached.
    pub fn all_shards(&self) -> Option<Vec<Arc<Store>>> {
        self.slots.iter().map(|slot| slot.load_full()).collect()
    }

    /// Takes the shards out, for the end of the program.
    pub fn take_all(&self) -> Vec<Arc<Store>> {
        self.slots
            .iter()
            .filter_map(|slot| slot.swap(None))
            .collect()
    }

    /// The shards that respond now, without those in `away` (numbers from 1), which are not asked.
    /// A store without shards is not asked either: its own queries tell.
    pub async fn find_responding(&self, away: &[u32]) -> RespondingShards {
        let pings = self.slots.iter().enumerate().map(async |(index, slot)| {
            let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
            match slot.load_full() {
                Some(store) if self.shard_count() == 1 => Ok(store),
                Some(store) if !away.contains(&number) && responds(&store).await => Ok(store),
                _ => Err(number),
            }
        });

        let mut found = RespondingShards::default();
        for end in futures_util::future::join_all(pings).await {
            match end {
                Ok(store) => found.stores.push(store),
                Err(number) => found.missing.push(number),
            }
        }
        found
    }
}

async fn responds(store: &Store) -> bool {
    matches!(
        tokio::time::timeout(PING_TIMEOUT, store.ping()).await,
        Ok(Ok(()))
    )
}

/// The shards that a report over all sites reads.
#[derive(Default)]
pub struct RespondingShards {
    /// Those that respond, in order.
    pub stores: Vec<Arc<Store>>,
    /// The numbers, from 1, of those that do not.
    pub missing: Vec<u32>,
}

impl RespondingShards {
    /// The first shard, which holds the names of sites; `None` if it does not respond.
    pub fn first_shard(&self) -> Option<&Arc<Store>> {
        self.stores
            .first()
            .filter(|store| store.shard().number() == 1)
    }
}
