//! Which collector a network belongs to.
//!
//! Each visitor must be known in exactly one memory. So a network belongs to one collector of those
//! that can count it for the whole day: those that are alive, and that started before the site's day
//! began. A collector that starts during a day does not know who was counted before, so it takes
//! part from the next midnight on.
//!
//! A network's first owner is found by a hash that load balancers can compute, so that they can
//! send its requests to the owner at once. While that one cannot count, rendezvous hashing spreads
//! its networks over the others.

use std::net::IpAddr;
use std::sync::Arc;

use crate::calendar::{Millis, TimeSpan};

/// Collectors that start within this time count as started together: on the day of the first start,
/// there is none that started before the day.
const START_WINDOW: TimeSpan = TimeSpan::from_secs(60);

/// What a collector knows of one of the collectors.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct CollectorState {
    pub(super) name: Arc<str>,
    pub(super) is_alive: bool,
    /// It stops: it answers what it has, and counts nothing new.
    pub(super) is_leaving: bool,
    /// A new process takes over from it; calls to it wait.
    pub(super) is_pausing: bool,
    /// Since when it knows who was counted: when its process started, or the first of those that
    /// took over from one another.
    pub(super) joined_at: Millis,
    /// A random number of that start.
    pub(super) process_id: u64,
    /// Visitors in its memory, as it said last.
    pub(super) visitors: u64,
}

impl CollectorState {
    pub(super) fn unknown(name: &str) -> CollectorState {
        CollectorState {
            name: name.into(),
            is_alive: false,
            is_leaving: false,
            is_pausing: false,
            joined_at: 0,
            process_id: 0,
            visitors: 0,
        }
    }

    fn may_own(&self) -> bool {
        self.is_alive && !self.is_leaving
    }
}

/// All collectors at one moment, in the order of their names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ClusterView(pub(super) Vec<CollectorState>);

impl ClusterView {
    /// The collector that counts hits of this network on a day that began at `day_start`. `None` if
    /// no collector is alive.
    pub(super) fn network_owner(&self, network: IpAddr, day_start: Millis) -> Option<usize> {
        let joined = self.0.iter().filter(|one| one.may_own());
        let first = joined.map(|one| one.joined_at).min()?;
        let latest = if first < day_start {
            day_start
        } else {
            first + START_WINDOW
        };
        let may_count = |one: &CollectorState| one.may_own() && one.joined_at <= latest;

        let place = balancer_place(network, self.0.len());
        if may_count(&self.0[place]) {
            return Some(place);
        }
        let bytes = match network {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        };
        self.rendezvous(&bytes, may_count)
    }

    /// The collector that decides about this key, whatever the day.
    pub(super) fn key_owner(&self, key: &[u8]) -> Option<usize> {
        self.rendezvous(key, CollectorState::may_own)
    }

    /// Of the collectors that `may` own the key, the one with the highest hash of key and name. If
    /// one goes, only its own keys move.
    fn rendezvous(&self, key: &[u8], may: impl Fn(&CollectorState) -> bool) -> Option<usize> {
        let candidates = self.0.iter().enumerate().filter(|(_, one)| may(one));
        let mut candidates = candidates.peekable();
        let (only, _) = *candidates.peek()?;
        let scored = candidates.map(|(place, one)| (owner_score(key, &one.name), place));
        Some(scored.max().map_or(only, |(_, place)| place))
    }
}

/// The place that nginx's `hash`, without `consistent`, chooses of `servers` equal ones for the
/// text of the network's first address. docs/operate/CLUSTER.md has the same for HAProxy.
fn balancer_place(network: IpAddr, servers: usize) -> usize {
    let hash = crc32fast::hash(network.to_string().as_bytes());
    (hash >> 16 & 0x7fff) as usize % servers
}

fn owner_score(key: &[u8], name: &str) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(b"footfall cluster owner v1\0")
        .update(&(key.len() as u64).to_le_bytes())
        .update(key)
        .update(name.as_bytes());
    let hash = hasher.finalize();
    let first = hash.as_bytes().first_chunk().expect("a hash has 32 bytes");
    u64::from_le_bytes(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Millis = 3_600_000;

    fn state(name: &str, joined_at: Millis) -> CollectorState {
        CollectorState {
            is_alive: true,
            joined_at,
            ..CollectorState::unknown(name)
        }
    }

    fn network(number: u32) -> IpAddr {
        IpAddr::from((number << 8).to_be_bytes())
    }

    fn owners(view: &ClusterView, day_start: Millis) -> Vec<usize> {
        let owner = |number| view.network_owner(network(number), day_start).unwrap();
        (0..30_000).map(owner).collect()
    }

    #[test]
    fn networks_spread_evenly_and_only_those_of_a_lost_collector_move() {
        let mut view = ClusterView(["a", "b", "c"].map(|name| state(name, 0)).to_vec());
        let before = owners(&view, HOUR);
        for place in 0..3 {
            let share = before.iter().filter(|owner| **owner == place).count();
            assert!((9_700..=10_300).contains(&share), "{place}: {share}");
        }

        view.0[1].is_alive = false;
        let after = owners(&view, HOUR);
        for (before, after) in before.iter().zip(&after) {
            assert!(*after != 1 && (before == after || *before == 1));
        }
        let moved = |to| {
            let pairs = before.iter().zip(&after);
            pairs.filter(|(was, is)| **was == 1 && **is == to).count()
        };
        assert!(moved(0).abs_diff(moved(2)) < 300);

        view.0[1].is_alive = true;
        view.0[1].is_leaving = true;
        assert_eq!(owners(&view, HOUR), after);
    }

    /// The places are those to which nginx 1.22 and HAProxy 2.6 send requests of these networks.
    #[test]
    fn a_network_belongs_to_the_collector_that_a_balancer_chooses() {
        let networks = [
            "198.51.100.0",
            "203.0.113.0",
            "20.0.7.0",
            "2001:db8:1::",
            "2001:db8::",
        ];
        let places =
            |servers| networks.map(|network| balancer_place(network.parse().unwrap(), servers));
        assert_eq!(places(2), [1, 0, 1, 1, 1]);
        assert_eq!(places(3), [0, 0, 0, 0, 1]);
    }

    #[test]
    fn a_collector_that_starts_during_a_day_owns_networks_from_the_next_one_on() {
        let mut view = ClusterView(vec![state("a", 0), state("b", 30 * HOUR)]);
        assert!(owners(&view, 24 * HOUR).iter().all(|owner| *owner == 0));
        assert!(owners(&view, 48 * HOUR).contains(&1));
        // Days begin at their zone's midnight.
        assert!(owners(&view, 31 * HOUR).contains(&1));

        // Without a collector from before the day, the first to start counts; those that started
        // within a minute of it started with it.
        view.0[0].joined_at = 30 * HOUR - 60_000;
        assert!(owners(&view, 24 * HOUR).contains(&1));
        view.0[0].joined_at -= 1;
        assert!(owners(&view, 24 * HOUR).iter().all(|owner| *owner == 0));
        view.0[0].is_alive = false;
        assert!(owners(&view, 24 * HOUR).iter().all(|owner| *owner == 1));
        view.0[1].is_alive = false;
        assert_eq!(view.network_owner(network(1), 0), None);
    }
}
