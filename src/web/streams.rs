//! Limits of open event streams: in total, per session or API token, and per network. Otherwise one
//! session could take all of them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::Config;
use crate::event::Problem;

/// The holder of a stream. Operators without a session are limited by network only.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Holder {
    /// Key of the session in memory.
    Session([u8; 32]),
    /// Id of the API token.
    Token(String),
}

/// Open streams and their limits.
pub struct Streams {
    most: usize,
    of_holder: usize,
    of_network: usize,
    open: Mutex<Open>,
    refused: AtomicU64,
}

#[derive(Default)]
struct Open {
    all: usize,
    holders: HashMap<Holder, usize>,
    /// By the network's key in the rate limits.
    networks: HashMap<u64, usize>,
}

/// A place for one stream; dropping it frees the place.
pub struct Room {
    streams: Arc<Streams>,
    holder: Option<Holder>,
    network: u64,
}

impl Streams {
    /// Reads the limits from the configuration.
    pub fn new(config: &Config) -> Streams {
        Streams {
            most: config.server.max_streams,
            of_holder: config.limits.session_streams,
            of_network: config.limits.network_streams,
            open: Mutex::default(),
            refused: AtomicU64::new(0),
        }
    }

    /// Takes a place for a stream.
    ///
    /// # Errors
    ///
    /// 429 if this holder or network has as many as it may, 503 if all places are taken.
    pub(super) fn enter(self: &Arc<Streams>, holder: Option<Holder>, network: u64) -> Result<Room, Problem> {
        let mut open = self.open();
        let has = |places: &HashMap<Holder, usize>| holder.as_ref().map_or(0, |holder| of(places, holder));
        let full = if open.all >= self.most {
            Some(Problem::new(503, "crowded", "Too many dashboards are open"))
        } else if has(&open.holders) >= self.of_holder || of(&open.networks, &network) >= self.of_network {
            Some(Problem::new(429, "too_many_streams", "Too many of your dashboards are open"))
        } else {
            None
        };
        if let Some(problem) = full {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(problem.detail("numbers are read again by hand"));
        }
        open.all += 1;
        *open.networks.entry(network).or_default() += 1;
        if let Some(holder) = &holder {
            *open.holders.entry(holder.clone()).or_default() += 1;
        }
        Ok(Room { streams: Arc::clone(self), holder, network })
    }

    /// (open streams, streams refused since the start).
    pub(super) fn totals(&self) -> (u64, u64) {
        (self.open().all as u64, self.refused.load(Ordering::Relaxed))
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut open = self.streams.open();
        open.all -= 1;
        leave(&mut open.networks, &self.network);
        if let Some(holder) = &self.holder {
            leave(&mut open.holders, holder);
        }
    }
}

fn of<K: Hash + Eq>(places: &HashMap<K, usize>, key: &K) -> usize {
    places.get(key).copied().unwrap_or(0)
}

fn leave<K: Hash + Eq>(places: &mut HashMap<K, usize>, key: &K) {
    if let Some(held) = places.get_mut(key) {
        *held -= 1;
        if *held == 0 {
            places.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams(most: usize, of_holder: usize, of_network: usize) -> Arc<Streams> {
        let mut config = crate::config::load(Default::default(), |_| unreachable!()).unwrap();
        config.server.max_streams = most;
        (config.limits.session_streams, config.limits.network_streams) = (of_holder, of_network);
        Arc::new(Streams::new(&config))
    }

    fn session(n: u8) -> Option<Holder> {
        Some(Holder::Session([n; 32]))
    }

    fn codes(rooms: Vec<Result<Room, Problem>>) -> Vec<u16> {
        rooms.iter().map(|room| room.as_ref().map_or_else(|problem| problem.status, |_| 200)).collect()
    }

    #[test]
    fn one_session_has_its_number_and_leaves_the_rest_to_others() {
        let streams = streams(10, 2, 100);
        let mut mine: Vec<Room> = (0..2).map(|_| streams.enter(session(1), 1).ok().unwrap()).collect();
        assert_eq!(codes(vec![streams.enter(session(1), 2), streams.enter(session(2), 1)]), [429, 200]);
        mine.pop();
        assert!(streams.enter(session(1), 1).is_ok(), "a closed stream makes room");
        drop(mine);
        assert_eq!(streams.totals(), (0, 1));
        assert!(streams.open().holders.is_empty() && streams.open().networks.is_empty(), "nobody is remembered");
    }

    #[test]
    fn one_network_has_its_number_however_many_sessions_it_makes() {
        let streams = streams(10, 2, 3);
        assert_eq!(codes((0..5).map(|n| streams.enter(session(n), 7)).collect()), [200, 200, 200, 429, 429]);
        let all: Vec<u16> = codes((0..12).map(|n| streams.enter(None, n)).collect());
        assert_eq!((&all[..10], &all[10..]), (&[200; 10][..], &[503; 2][..]));
    }
}
