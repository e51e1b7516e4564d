//! Handover tokens that were used; each is valid once. Kept in memory until the token would have
//! expired anyway.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::secret::random;

/// The result of using a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spending {
    /// The first use: the token is valid.
    First,
    /// The token was used before and has not expired yet.
    Again,
    /// Too many unexpired tokens are remembered to record another; this one must not be accepted.
    Full,
}

/// The used handover tokens of this process.
pub struct Spent {
    key: [u8; 32],
    most: usize,
    /// From the keyed hash of the token's id to the second it expires at, since the Unix epoch.
    until: Mutex<HashMap<[u8; 32], i64>>,
}

impl Spent {
    /// Remembers at most `most` unexpired tokens.
    pub fn new(most: usize) -> Spent {
        Spent { key: random(), most, until: Mutex::default() }
    }

    /// Marks a token as used. `expires` and `now` are seconds since the Unix epoch.
    pub fn spend(&self, id: &str, expires: i64, now: i64) -> Spending {
        let key = *blake3::keyed_hash(&self.key, id.as_bytes()).as_bytes();
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);

        if until.len() >= self.most {
            until.retain(|_, until| *until > now);
        }

        if until.get(&key).is_some_and(|until| *until > now) {
            return Spending::Again;
        }
        if until.len() >= self.most {
            return Spending::Full;
        }

        until.insert(key, expires);
        Spending::First
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_spent_once_and_forgotten_when_it_expired() {
        let spent = Spent::new(2);
        assert_eq!(spent.spend("a", 100, 0), Spending::First);
        assert_eq!(spent.spend("a", 100, 99), Spending::Again);
        assert_eq!(spent.spend("b", 200, 0), Spending::First);
        assert_eq!(spent.spend("c", 200, 99), Spending::Full);
        assert_eq!(spent.spend("b", 200, 99), Spending::Again);
        assert_eq!(spent.spend("c", 200, 100), Spending::First);
    }
}
