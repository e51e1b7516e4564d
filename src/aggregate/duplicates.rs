//! Deduplication of hits: the ids of the last two to three minutes, so that a retry counts once.
//!
//! There are three generations of a minute each; the oldest is dropped as a whole. An id is kept as
//! 64 bits of its hash under a seed of this process: 9 bytes per hit, never written to disk.

use foldhash::fast::RandomState;
use hashbrown::HashSet;

use crate::calendar::{Millis, TimeSpan};
use crate::event::SiteId;
use crate::state_codec::{StateError, StateReader, StateWriter};

const GENERATION: TimeSpan = TimeSpan::from_secs(60);

pub(super) struct DuplicateFilter {
    generations: [HashSet<u64, RandomState>; 3],
    /// Start of the youngest generation.
    newest_start: Millis,
    max: usize,
    seed: u64,
    pub(super) overflow_count: u64,
}

impl DuplicateFilter {
    pub(super) fn new(max: usize, seed: u64) -> DuplicateFilter {
        let generations = std::array::from_fn(|_| HashSet::with_hasher(RandomState::default()));
        DuplicateFilter {
            generations,
            newest_start: Millis::MIN,
            max,
            seed,
            overflow_count: 0,
        }
    }

    /// Writes the ids for the process that takes over, with the seed of their hashes.
    pub(super) fn write_state(&self, out: &mut StateWriter<'_>) {
        out.put_u64(self.seed);
        out.put_i64(self.newest_start);
        out.put_u64(self.overflow_count);
        for generation in &self.generations {
            out.put_count(generation.len());
            generation.iter().for_each(|key| out.put_u64(*key));
        }
    }

    /// Reads the ids of the process before; at most `max` new ones are recorded a minute from now
    /// on.
    pub(super) fn read_state(
        input: &mut StateReader<'_>,
        max: usize,
    ) -> Result<DuplicateFilter, StateError> {
        let mut filter = DuplicateFilter::new(max, input.read_u64()?);
        filter.newest_start = input.read_i64()?;
        filter.overflow_count = input.read_u64()?;
        for generation in &mut filter.generations {
            let count = input.read_count(8)?;
            generation.reserve(count);
            for _ in 0..count {
                generation.insert(input.read_u64()?);
            }
        }
        Ok(filter)
    }

    /// Records the id; `false` if it was seen before.
    pub(super) fn insert_if_new(&mut self, site: SiteId, id: u128, at: Millis) -> bool {
        self.rotate_generations(at);
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&site.as_u128().to_le_bytes());
        bytes[16..].copy_from_slice(&id.to_le_bytes());
        let key = xxhash_rust::xxh3::xxh3_64_with_seed(&bytes, self.seed);
        if self
            .generations
            .iter()
            .any(|generation| generation.contains(&key))
        {
            return false;
        }
        if self.generations[0].len() >= self.max {
            // The number of ids is limited. Beyond the limit, retries may count twice.
            self.overflow_count += 1;
            return true;
        }
        self.generations[0].insert(key);
        true
    }

    fn rotate_generations(&mut self, at: Millis) {
        let passed = TimeSpan::between(self.newest_start, at);
        if passed < GENERATION {
            return;
        }
        if passed >= 3 * GENERATION {
            self.generations
                .iter_mut()
                .for_each(|generation| *generation = HashSet::default());
            self.newest_start = at;
            return;
        }
        // Steps of whole minutes, so that an id is kept for at least two minutes.
        for _ in 0..passed.as_millis() / GENERATION.as_millis() {
            self.generations.rotate_right(1);
            self.generations[0] = HashSet::default();
            self.newest_start += GENERATION;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: SiteId = SiteId::from_u128(7);

    #[test]
    fn an_id_is_known_for_two_minutes_and_forgotten_after_three() {
        for offset in [0, 1, 59_999, 30_000] {
            let mut recent = DuplicateFilter::new(100, 1);
            assert!(recent.insert_if_new(SITE, 1, 1_000_000));
            let at = 1_000_000 + offset;
            assert!(recent.insert_if_new(SITE, 2, at));
            assert!(
                !recent.insert_if_new(SITE, 2, at + 120_000),
                "offset {offset}"
            );
            assert!(
                recent.insert_if_new(SITE, 2, at + 180_001),
                "offset {offset}"
            );
        }
    }

    #[test]
    fn the_same_id_of_another_site_is_another_hit() {
        let mut recent = DuplicateFilter::new(100, 1);
        assert!(recent.insert_if_new(SITE, 1, 0));
        assert!(recent.insert_if_new(SiteId::from_u128(8), 1, 0));
    }

    #[test]
    fn a_flood_of_ids_is_held_at_the_cap() {
        let mut recent = DuplicateFilter::new(10, 1);
        assert!((0..1000).all(|id| recent.insert_if_new(SITE, id, 0)));
        assert_eq!(
            (recent.generations[0].len(), recent.overflow_count),
            (10, 990)
        );
    }
}
