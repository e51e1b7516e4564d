//! Used handover tokens; each is valid once, in a cluster as well (`web/used_tokens.rs`). They are
//! kept in memory until they would have expired anyway.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::random::random_bytes;
use crate::state_codec::{StateError, StateReader, StateWriter};

/// The number of handover tokens of the last five minutes that are remembered as used.
pub const MAX_USED_TOKENS: usize = 1_000_000;

/// The result of using a token. The numbers are codes between collectors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenUse {
    /// The first use: the token is valid.
    First = 0,
    /// The token was used before and has not expired yet.
    AlreadyUsed = 1,
    /// Too many unexpired tokens are remembered to record another; this one must not be accepted.
    TableFull = 2,
}

impl TokenUse {
    /// The result with this code.
    pub fn from_code(code: u8) -> Option<TokenUse> {
        let all = [TokenUse::First, TokenUse::AlreadyUsed, TokenUse::TableFull];
        all.into_iter().find(|result| *result as u8 == code)
    }
}

/// The used handover tokens of this process.
pub struct UsedTokens {
    key: [u8; 32],
    max_tokens: usize,
    /// From the keyed hash of the token's id to the second it expires at, since the Unix epoch.
    expiries: Mutex<HashMap<[u8; 32], i64>>,
}

impl UsedTokens {
    /// Remembers at most `most` unexpired tokens.
    pub fn new(most: usize) -> UsedTokens {
        UsedTokens {
            key: random_bytes(),
            max_tokens: most,
            expiries: Mutex::default(),
        }
    }

    /// Writes the tokens for the process that takes over, with the key of their hashes.
    pub fn write_state(&self, out: &mut StateWriter<'_>) {
        let expiries = self.expiries.lock().unwrap_or_else(PoisonError::into_inner);
        out.put_bytes(&self.key);
        out.put_count(expiries.len());
        for (token, expires) in expiries.iter() {
            out.put_bytes(token);
            out.put_i64(*expires);
        }
    }

    /// Reads the tokens of the process before; remembers at most `most` from now on.
    ///
    /// # Errors
    ///
    /// The state ends too early.
    pub fn read_state(input: &mut StateReader<'_>, most: usize) -> Result<UsedTokens, StateError> {
        let key = input.read_array()?;
        let mut expiries = HashMap::new();
        for _ in 0..input.read_count(40)? {
            expiries.insert(input.read_array()?, input.read_i64()?);
        }
        Ok(UsedTokens {
            key,
            max_tokens: most,
            expiries: Mutex::new(expiries),
        })
    }

    /// Marks a token as used. `expires` and `now` are seconds since the Unix epoch.
    pub fn mark_used(&self, id: &str, expires: i64, now: i64) -> TokenUse {
        let key = *blake3::keyed_hash(&self.key, id.as_bytes()).as_bytes();
        let mut until = self.expiries.lock().unwrap_or_else(PoisonError::into_inner);

        if until.len() >= self.max_tokens {
            until.retain(|_, until| *until > now);
        }

        if until.get(&key).is_some_and(|until| *until > now) {
            return TokenUse::AlreadyUsed;
        }
        if until.len() >= self.max_tokens {
            return TokenUse::TableFull;
        }

        until.insert(key, expires);
        TokenUse::First
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_spent_once_and_forgotten_when_it_expired() {
        let spent = UsedTokens::new(2);
        assert_eq!(spent.mark_used("a", 100, 0), TokenUse::First);
        assert_eq!(spent.mark_used("a", 100, 99), TokenUse::AlreadyUsed);
        assert_eq!(spent.mark_used("b", 200, 0), TokenUse::First);
        assert_eq!(spent.mark_used("c", 200, 99), TokenUse::TableFull);
        assert_eq!(spent.mark_used("b", 200, 99), TokenUse::AlreadyUsed);
        assert_eq!(spent.mark_used("c", 200, 100), TokenUse::First);
    }

    #[test]
    fn an_id_is_spent_in_the_next_process_too() {
        let spent = UsedTokens::new(2);
        spent.mark_used("a", 100, 0);
        let mut bytes = Vec::new();
        let mut out = StateWriter::new(&mut bytes);
        spent.write_state(&mut out);
        out.finish().unwrap();
        let (mut source, length) = (bytes.as_slice(), bytes.len() as u64);
        let read = UsedTokens::read_state(&mut StateReader::new(&mut source, length), 2);
        let spent = read.unwrap();
        assert_eq!(spent.mark_used("a", 100, 99), TokenUse::AlreadyUsed);
        assert_eq!(spent.mark_used("b", 100, 99), TokenUse::First);
    }
}
