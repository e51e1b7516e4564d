//! Which handover tokens were used: each works once. In memory until the token would have expired anyway.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::secret::random;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spending {
    First,
    Again,
    /// Too many are remembered to remember one more.
    Full,
}

pub struct Spent {
    key: [u8; 32],
    most: usize,
    /// A hash of the token's id, and the second it expires at.
    until: Mutex<HashMap<[u8; 32], i64>>,
}

impl Spent {
    pub fn new(most: usize) -> Spent {
        Spent { key: random(), most, until: Mutex::default() }
    }

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
