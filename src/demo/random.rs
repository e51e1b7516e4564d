//! Reproducible pseudorandom numbers: SplitMix64. Sufficient for a simulation and for nothing else.

pub(super) struct SeededRandom(u64);

impl SeededRandom {
    /// A generator whose sequence depends on these numbers only.
    pub(super) fn from_parts(parts: &[u64]) -> SeededRandom {
        let mut random = SeededRandom(0);
        for part in parts {
            random.0 = random.next_u64() ^ part;
        }
        random
    }

    pub(super) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform between 0, inclusive, and 1, exclusive.
    pub(super) fn next_unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(super) fn random_bool(&mut self, likely: f64) -> bool {
        self.next_unit() < likely
    }

    pub(super) fn random_index(&mut self, most: usize) -> usize {
        (self.next_unit() * most as f64) as usize
    }

    /// An element of a non-empty list, with a probability proportional to its weight.
    pub(super) fn pick_weighted<'a, T>(&mut self, weighted: &'a [(T, f64)]) -> &'a T {
        let whole: f64 = weighted.iter().map(|(_, weight)| weight).sum();
        let mut left = self.next_unit() * whole;
        let found = weighted.iter().find(|(_, weight)| {
            left -= weight;
            left < 0.0
        });
        &found.unwrap_or(&weighted[0]).0
    }

    /// A log-normal distribution, given its median and the standard deviation of the logarithm.
    /// Fits reading and loading times.
    pub(super) fn log_normal(&mut self, median: f64, spread: f64) -> f64 {
        let (u, v) = (1.0 - self.next_unit(), self.next_unit());
        let normal = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
        median * (spread * normal).exp()
    }

    /// A Poisson distribution with this mean, for independent events.
    pub(super) fn poisson_count(&mut self, mean: f64) -> usize {
        // In parts: `exp` of a large negative number would be zero.
        let (mut left, mut count) = (mean, 0);
        while left > 0.0 {
            let part = left.min(30.0);
            left -= part;
            let (limit, mut product) = ((-part).exp(), self.next_unit());
            while product > limit {
                product *= self.next_unit();
                count += 1;
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_parts_give_the_same_numbers_and_others_give_others() {
        let first = |parts: &[u64]| SeededRandom::from_parts(parts).next_u64();
        assert_eq!(first(&[1, 2, 3]), first(&[1, 2, 3]));
        assert_ne!(first(&[1, 2, 3]), first(&[1, 3, 2]));
        assert_ne!(first(&[1]), first(&[2]));
    }

    #[test]
    fn means_medians_and_weights_are_what_was_asked_for() {
        let mut random = SeededRandom::from_parts(&[7]);
        let count: usize = (0..2000).map(|_| random.poisson_count(45.0)).sum();
        assert!((44.0..46.0).contains(&(count as f64 / 2000.0)), "{count}");
        let below = (0..2000)
            .filter(|_| random.log_normal(8.0, 0.7) < 8.0)
            .count();
        assert!((930..1070).contains(&below), "{below}");
        let picked = (0..2000)
            .filter(|_| *random.pick_weighted(&[("a", 3.0), ("b", 1.0)]) == "a")
            .count();
        assert!((1430..1570).contains(&picked), "{picked}");
        assert_eq!(random.poisson_count(0.0), 0);
    }
}
