//! Limits of open event streams: in total, per session or API token, and per network. Otherwise one
//! session could use all of them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::Config;
use crate::event::{Problem, ProblemCode};

/// The holder of a stream. Operators without a session are limited by network only.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum StreamHolder {
    /// The digest of the session.
    Session([u8; 32]),
    /// The id of the API token.
    Token(String),
}

/// Open streams and their limits.
pub struct StreamLimiter {
    max_total: usize,
    max_per_holder: usize,
    max_per_network: usize,
    open: Mutex<OpenStreams>,
    rejected: AtomicU64,
}

#[derive(Default)]
struct OpenStreams {
    total: usize,
    holders: HashMap<StreamHolder, usize>,
    /// Open streams by the network's key in the rate limits.
    networks: HashMap<u64, usize>,
}

/// A permit for one stream; dropping it frees the place.
pub struct StreamPermit {
    limiter: Arc<StreamLimiter>,
    holder: Option<StreamHolder>,
    network: u64,
}

impl StreamLimiter {
    /// Reads the limits from the configuration.
    pub fn new(config: &Config) -> StreamLimiter {
        StreamLimiter {
            max_total: config.server.max_streams,
            max_per_holder: config.limits.streams_per_session,
            max_per_network: config.limits.streams_per_network,
            open: Mutex::default(),
            rejected: AtomicU64::new(0),
        }
    }

    /// Acquires a permit for a stream.
    ///
    /// # Errors
    ///
    /// 429 if this holder or network has the maximum already, 503 if there are no places left.
    pub(super) fn try_acquire(
        self: &Arc<StreamLimiter>,
        holder: Option<StreamHolder>,
        network: u64,
    ) -> Result<StreamPermit, Problem> {
        let mut open = self.lock_open();
        let has = |places: &HashMap<StreamHolder, usize>| {
            holder
                .as_ref()
                .map_or(0, |holder| count_for(places, holder))
        };
        let full = if open.total >= self.max_total {
            Some(Problem::new(ProblemCode::StreamsExhausted))
        } else if has(&open.holders) >= self.max_per_holder
            || count_for(&open.networks, &network) >= self.max_per_network
        {
            Some(Problem::new(ProblemCode::TooManyStreams))
        } else {
            None
        };
        if let Some(problem) = full {
            self.rejected.fetch_add(1, Ordering::Relaxed);
            return Err(problem.with_detail("reload the page to update the numbers"));
        }
        open.total += 1;
        *open.networks.entry(network).or_default() += 1;
        if let Some(holder) = &holder {
            *open.holders.entry(holder.clone()).or_default() += 1;
        }
        Ok(StreamPermit {
            limiter: Arc::clone(self),
            holder,
            network,
        })
    }

    /// Open streams.
    pub fn open_streams(&self) -> usize {
        self.lock_open().total
    }

    /// (open streams, streams rejected since the start).
    pub(super) fn stream_totals(&self) -> (u64, u64) {
        (
            self.lock_open().total as u64,
            self.rejected.load(Ordering::Relaxed),
        )
    }

    fn lock_open(&self) -> MutexGuard<'_, OpenStreams> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let mut open = self.limiter.lock_open();
        open.total -= 1;
        decrement_count(&mut open.networks, &self.network);
        if let Some(holder) = &self.holder {
            decrement_count(&mut open.holders, holder);
        }
    }
}

fn count_for<K: Hash + Eq>(places: &HashMap<K, usize>, key: &K) -> usize {
    places.get(key).copied().unwrap_or(0)
}

fn decrement_count<K: Hash + Eq>(places: &mut HashMap<K, usize>, key: &K) {
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

    fn streams(most: usize, of_holder: usize, of_network: usize) -> Arc<StreamLimiter> {
        let mut config =
            crate::config::load_config(Default::default(), |_| unreachable!()).unwrap();
        config.server.max_streams = most;
        (
            config.limits.streams_per_session,
            config.limits.streams_per_network,
        ) = (of_holder, of_network);
        Arc::new(StreamLimiter::new(&config))
    }

    fn session(n: u8) -> Option<StreamHolder> {
        Some(StreamHolder::Session([n; 32]))
    }

    fn codes(rooms: Vec<Result<StreamPermit, Problem>>) -> Vec<u16> {
        rooms
            .iter()
            .map(|room| {
                room.as_ref()
                    .map_or_else(|problem| problem.code.status(), |_| 200)
            })
            .collect()
    }

    #[test]
    fn one_session_has_its_number_and_leaves_the_rest_to_others() {
        let streams = streams(10, 2, 100);
        let mut mine: Vec<StreamPermit> = (0..2)
            .map(|_| streams.try_acquire(session(1), 1).ok().unwrap())
            .collect();
        assert_eq!(
            codes(vec![
                streams.try_acquire(session(1), 2),
                streams.try_acquire(session(2), 1)
            ]),
            [429, 200]
        );
        mine.pop();
        assert!(
            streams.try_acquire(session(1), 1).is_ok(),
            "a closed stream frees its place"
        );
        drop(mine);
        assert_eq!(streams.stream_totals(), (0, 1));
        assert!(
            streams.lock_open().holders.is_empty() && streams.lock_open().networks.is_empty(),
            "no holder remains"
        );
    }

    #[test]
    fn one_network_has_its_number_however_many_sessions_it_makes() {
        let streams = streams(10, 2, 3);
        assert_eq!(
            codes((0..5).map(|n| streams.try_acquire(session(n), 7)).collect()),
            [200, 200, 200, 429, 429]
        );
        let all: Vec<u16> = codes((0..12).map(|n| streams.try_acquire(None, n)).collect());
        assert_eq!((&all[..10], &all[10..]), (&[200; 10][..], &[503; 2][..]));
    }
}
