//! Limits the number of wrong tokens, per network and in total.
//!
//! A network above its limit is rejected until the minute is over, even with a valid token:
//! accepting only the valid one would allow guessing to continue. Above the total limit, only
//! networks that sent a wrong token in this minute are rejected, so holders of valid tokens are not
//! affected by others.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::calendar::Millis;
use crate::config::LimitsConfig;
use crate::event::{Problem, ProblemCode};

const WINDOW_MILLIS: Millis = 60_000;
/// The number of networks counted separately in a minute; further ones share 2^16 entries.
const MAX_NETWORKS: usize = 100_000;
const SHARED_KEYS: u64 = 1 << 16;

/// Counts the wrong tokens of the current minute.
pub struct TokenAttemptLimiter {
    max_per_network: u32,
    max_total: u32,
    window: Mutex<AttemptWindow>,
    failures: AtomicU64,
    rejected: AtomicU64,
}

#[derive(Default)]
struct AttemptWindow {
    minute: Millis,
    total: u32,
    /// Keyed by the network's key in the rate limits, not by its address.
    networks: HashMap<u64, u32>,
}

impl TokenAttemptLimiter {
    /// Reads the limits per network and in total.
    pub fn new(limits: &LimitsConfig) -> TokenAttemptLimiter {
        TokenAttemptLimiter {
            max_per_network: limits.network_invalid_tokens_per_min,
            max_total: limits.invalid_tokens_per_min,
            window: Mutex::default(),
            failures: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
        }
    }

    /// Whether the token of a request from this network may be checked. `network` is
    /// [`RateLimiters::network_key`](super::RateLimiters::network_key).
    ///
    /// # Errors
    ///
    /// The limit is exceeded: status 429, for the rest of the minute.
    pub fn check_attempt(&self, network: u64, now: Millis) -> Result<(), Problem> {
        let minute = self.lock_window(now);
        let own = minute
            .networks
            .get(&minute.counter_key(network))
            .copied()
            .unwrap_or(0);
        if own < self.max_per_network && (minute.total < self.max_total || own == 0) {
            return Ok(());
        }
        self.rejected.fetch_add(1, Ordering::Relaxed);
        Err(Problem::new(ProblemCode::TooManyTokens))
    }

    /// Counts a wrong token.
    pub fn record_failure(&self, network: u64, now: Millis) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let mut minute = self.lock_window(now);
        let place = minute.counter_key(network);
        minute.total = minute.total.saturating_add(1);
        let own = minute.networks.entry(place).or_default();
        *own = own.saturating_add(1);
    }

    /// Since the start: the number of wrong tokens, and of requests rejected without checking their
    /// token.
    pub fn failure_totals(&self) -> (u64, u64) {
        (
            self.failures.load(Ordering::Relaxed),
            self.rejected.load(Ordering::Relaxed),
        )
    }

    fn lock_window(&self, now: Millis) -> MutexGuard<'_, AttemptWindow> {
        let mut minute = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let number = now.div_euclid(WINDOW_MILLIS);
        if number != minute.minute {
            *minute = AttemptWindow {
                minute: number,
                ..AttemptWindow::default()
            };
        }
        minute
    }
}

impl AttemptWindow {
    fn counter_key(&self, network: u64) -> u64 {
        let known = self.networks.len() < MAX_NETWORKS || self.networks.contains_key(&network);
        if known {
            network
        } else {
            network % SHARED_KEYS
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guesses(of_network: u32, of_all: u32) -> TokenAttemptLimiter {
        let mut limits = crate::config::load_config(Default::default(), |_| unreachable!())
            .unwrap()
            .limits;
        (
            limits.network_invalid_tokens_per_min,
            limits.invalid_tokens_per_min,
        ) = (of_network, of_all);
        TokenAttemptLimiter::new(&limits)
    }

    /// The number of a hundred guesses from one network that are checked.
    fn looked_at(guesses: &TokenAttemptLimiter, network: u64, now: Millis) -> usize {
        let look = |_: &usize| {
            let may = guesses.check_attempt(network, now).is_ok();
            if may {
                guesses.record_failure(network, now);
            }
            may
        };
        (0..100).filter(look).count()
    }

    #[test]
    fn a_network_guesses_its_number_a_minute_and_others_are_not_asked_to_pay() {
        let guesses = guesses(10, 1000);
        assert_eq!(
            [looked_at(&guesses, 1, 0), looked_at(&guesses, 1, 59_999)],
            [10, 0]
        );
        assert!(guesses.check_attempt(2, 59_999).is_ok());
        assert_eq!(looked_at(&guesses, 1, 60_000), 10);
        assert_eq!(guesses.failure_totals(), (20, 280));
    }

    #[test]
    fn over_the_number_of_all_a_network_guesses_once_and_a_right_token_is_still_looked_at() {
        let guesses = guesses(10, 25);
        let looked: Vec<usize> = (1..=5)
            .map(|network| looked_at(&guesses, network, 0))
            .collect();
        assert_eq!(looked, [10, 10, 5, 1, 1]);
        assert!(
            guesses.check_attempt(6, 0).is_ok(),
            "who did not guess wrong is listened to"
        );
    }

    #[test]
    fn a_flood_of_networks_is_held() {
        let guesses = guesses(10, u32::MAX);
        (0..400_000).for_each(|network| guesses.record_failure(network << 20, 0));
        assert!(guesses.lock_window(0).networks.len() <= MAX_NETWORKS + SHARED_KEYS as usize);
    }
}
