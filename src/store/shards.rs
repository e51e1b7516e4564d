//! The shards of the store, as far as they have been reached.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;

use futures_util::future::join_all;

use super::Store;
use super::replicas::{ReplicaHandle, ShardReplicas};
use super::shard::ShardPlace;
use crate::event::SiteId;

/// How long a shard may take to show that it responds before a report over all sites goes without
/// it.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// The store that is read of a shard; empty until it has been reached once, and while no replica
/// of the shard may be read.
pub type StoreSlot = Arc<ArcSwapOption<Store>>;

/// All shards in the order of `store.shards`; one without them.
pub struct StoreShards {
    shards: Vec<Arc<ShardReplicas>>,
    slots: Vec<StoreSlot>,
}

impl StoreShards {
    /// Empty slots of shards with these numbers of replicas, and the handles of all replicas in
    /// order. At least one of one. `is_recorded`: whether replicas record how far they are.
    pub fn new(replicas: &[usize], is_recorded: bool) -> (StoreShards, Vec<ReplicaHandle>) {
        let mut handles = Vec::new();
        let mut shards = Vec::new();
        for count in replicas
            .iter()
            .copied()
            .chain(replicas.is_empty().then_some(1))
        {
            let of_shard = ShardReplicas::create(count, handles.len(), is_recorded);
            shards.push(Arc::clone(&of_shard[0].shard));
            handles.extend(of_shard);
        }
        let slots = shards.iter().map(|shard| shard.reading_slot()).collect();
        (StoreShards { shards, slots }, handles)
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

    /// The replicas of the shard at `index`, from 0.
    pub fn replicas(&self, index: usize) -> &Arc<ShardReplicas> {
        &self.shards[index]
    }

    /// Every replica of every shard, shard by shard; `None` if one does not respond, as far as is
    /// known.
    pub fn all_replicas(&self) -> Option<Vec<Arc<Store>>> {
        let shards: Option<Vec<_>> = self
            .shards
            .iter()
            .map(|shard| shard.all_present())
            .collect();
        shards.map(|shards| shards.into_iter().flatten().collect())
    }

    /// Whether the collector keeps replicas, and a record of the segments that all of them have.
    pub fn are_recorded(&self) -> bool {
        self.shards.iter().any(|shard| shard.is_recorded())
    }

    /// The replicas that do not respond: their shards and places in it, both from 1. None of shards
    /// with one replica.
    pub fn absent_replicas(&self) -> Vec<(u32, u32)> {
        let shards = (1..).zip(&self.shards);
        let absent = shards.filter(|(_, shard)| shard.is_replicated());
        absent
            .flat_map(|(number, shard)| {
                let places = shard.absent_replicas().into_iter();
                places.map(move |place| (number, place))
            })
            .collect()
    }

    /// Holds off the copying of rows between replicas until the guards are dropped.
    pub async fn pause_copying(&self) -> Vec<tokio::sync::MutexGuard<'_, ()>> {
        join_all(self.shards.iter().map(|shard| shard.pause_copying())).await
    }

    /// Chooses the replica of each shard that is read, until the task is dropped.
    pub async fn watch_replicas(self: Arc<Self>) {
        join_all(self.shards.iter().map(|shard| shard.watch())).await;
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

    /// Takes the stores out, for the end of the program.
    pub fn take_all(&self) -> Vec<Arc<Store>> {
        let shards = self.shards.iter();
        shards.flat_map(|shard| shard.take_all()).collect()
    }

    /// Whether every replica of every shard responds now.
    pub async fn all_respond(&self) -> bool {
        let Some(stores) = self.all_replicas() else {
            return false;
        };
        let pings = stores.iter().map(|store| responds(store));
        join_all(pings).await.into_iter().all(|responds| responds)
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
        for end in join_all(pings).await {
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
