//! Limits the number of wrong tokens, per network and in total.
//!
//! A network above its limit is rejected until the minute is over, even with a valid token:
//! answering only the valid one would allow guessing to continue. Above the total limit, only
//! networks that sent a wrong token in this minute are rejected, so holders of valid tokens do not
//! pay for others.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::config::Limits;
use crate::event::{Millis, Problem};

const MINUTE: Millis = 60_000;
/// The number of networks counted separately in a minute; further ones share 2^16 entries.
const MOST_NETWORKS: usize = 100_000;
const SHARED: u64 = 1 << 16;

/// Counts the wrong tokens of the current minute.
pub struct Guesses {
    of_network: u32,
    of_all: u32,
    minute: Mutex<Minute>,
    wrong: AtomicU64,
    refused: AtomicU64,
}

#[derive(Default)]
struct Minute {
    number: Millis,
    all: u32,
    /// Keyed by the network's key in the rate limits, not by its address.
    networks: HashMap<u64, u32>,
}

impl Guesses {
    /// Reads the limits per network and in total.
    pub fn new(limits: &Limits) -> Guesses {
        Guesses {
            of_network: limits.network_wrong_tokens_per_min,
            of_all: limits.wrong_tokens_per_min,
            minute: Mutex::default(),
            wrong: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Whether the token of a request from this network may be checked. `network` is
    /// [`Rates::network`](super::Rates::network).
    ///
    /// # Errors
    ///
    /// The limit is exceeded: status 429, for the rest of the minute.
    pub fn may_try(&self, network: u64, now: Millis) -> Result<(), Problem> {
        let minute = self.at(now);
        let own = minute.networks.get(&minute.place(network)).copied().unwrap_or(0);
        if own < self.of_network && (minute.all < self.of_all || own == 0) {
            return Ok(());
        }
        self.refused.fetch_add(1, Ordering::Relaxed);
        Err(Problem::new(429, "too_many_tries", "Too many wrong tokens came from this network; wait a minute"))
    }

    /// Counts a wrong token.
    pub fn was_wrong(&self, network: u64, now: Millis) {
        self.wrong.fetch_add(1, Ordering::Relaxed);
        let mut minute = self.at(now);
        let place = minute.place(network);
        minute.all = minute.all.saturating_add(1);
        let own = minute.networks.entry(place).or_default();
        *own = own.saturating_add(1);
    }

    /// Since the start: the number of wrong tokens, and of requests rejected without checking their
    /// token.
    pub fn totals(&self) -> (u64, u64) {
        (self.wrong.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }

    fn at(&self, now: Millis) -> MutexGuard<'_, Minute> {
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        let number = now.div_euclid(MINUTE);
        if number != minute.number {
            *minute = Minute { number, ..Minute::default() };
        }
        minute
    }
}

impl Minute {
    fn place(&self, network: u64) -> u64 {
        let known = self.networks.len() < MOST_NETWORKS || self.networks.contains_key(&network);
        if known { network } else { network % SHARED }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guesses(of_network: u32, of_all: u32) -> Guesses {
        let mut limits = crate::config::load(Default::default(), |_| unreachable!()).unwrap().limits;
        (limits.network_wrong_tokens_per_min, limits.wrong_tokens_per_min) = (of_network, of_all);
        Guesses::new(&limits)
    }

    /// The number of a hundred guesses from one network that are checked.
    fn looked_at(guesses: &Guesses, network: u64, now: Millis) -> usize {
        let look = |_: &usize| {
            let may = guesses.may_try(network, now).is_ok();
            if may {
                guesses.was_wrong(network, now);
            }
            may
        };
        (0..100).filter(look).count()
    }

    #[test]
    fn a_network_guesses_its_number_a_minute_and_others_are_not_asked_to_pay() {
        let guesses = guesses(10, 1000);
        assert_eq!([looked_at(&guesses, 1, 0), looked_at(&guesses, 1, 59_999)], [10, 0]);
        assert!(guesses.may_try(2, 59_999).is_ok());
        assert_eq!(looked_at(&guesses, 1, 60_000), 10);
        assert_eq!(guesses.totals(), (20, 280));
    }

    #[test]
    fn over_the_number_of_all_a_network_guesses_once_and_a_right_token_is_still_looked_at() {
        let guesses = guesses(10, 25);
        let looked: Vec<usize> = (1..=5).map(|network| looked_at(&guesses, network, 0)).collect();
        assert_eq!(looked, [10, 10, 5, 1, 1]);
        assert!(guesses.may_try(6, 0).is_ok(), "who did not guess wrong is listened to");
    }

    #[test]
    fn a_flood_of_networks_is_held() {
        let guesses = guesses(10, u32::MAX);
        (0..400_000).for_each(|network| guesses.was_wrong(network << 20, 0));
        assert!(guesses.at(0).networks.len() <= MOST_NETWORKS + SHARED as usize);
    }
}
