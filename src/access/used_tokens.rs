//! Used handover tokens; each is valid once, in a cluster as well (`web/used_tokens.rs`). They are
//! kept in memory until they would have expired anyway.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::state_codec::{StateError, StateReader, StateWriter};

/// The context of the key derivation that makes the digest of a token's id.
const DIGEST_CONTEXT: &str = "footfall used handover token v1";

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

/// A used token: the digest of its id, and the second it expires at, since the Unix epoch.
pub type UsedToken = ([u8; 32], i64);

/// The token with this id, as it is remembered.
pub fn used_token(id: &str, expires: i64) -> UsedToken {
    (blake3::derive_key(DIGEST_CONTEXT, id.as_bytes()), expires)
}

/// The used handover tokens of this process.
pub struct UsedTokens {
    max_tokens: usize,
    /// In the order of their digests, so that they can be read in parts.
    expiries: Mutex<BTreeMap<[u8; 32], i64>>,
}

impl UsedTokens {
    /// Remembers at most `most` unexpired tokens.
    pub fn new(most: usize) -> UsedTokens {
        UsedTokens {
            max_tokens: most,
            expiries: Mutex::default(),
        }
    }

    /// Writes the tokens for the process that takes over.
    pub fn write_state(&self, out: &mut StateWriter<'_>) {
        let expiries = self.lock();
        out.put_count(expiries.len());
        for (digest, expires) in expiries.iter() {
            out.put_bytes(digest);
            out.put_i64(*expires);
        }
    }

    /// Reads the tokens of the process before; remembers at most `most` from now on.
    ///
    /// # Errors
    ///
    /// The state ends too early.
    pub fn read_state(input: &mut StateReader<'_>, most: usize) -> Result<UsedTokens, StateError> {
        let mut expiries = BTreeMap::new();
        for _ in 0..input.read_count(40)? {
            expiries.insert(input.read_array()?, input.read_i64()?);
        }
        Ok(UsedTokens {
            max_tokens: most,
            expiries: Mutex::new(expiries),
        })
    }

    /// Marks a token as used. `now` is in seconds since the Unix epoch.
    pub fn mark_used(&self, (digest, expires): UsedToken, now: i64) -> TokenUse {
        let mut expiries = self.lock();
        if expiries.len() >= self.max_tokens {
            expiries.retain(|_, until| *until > now);
        }

        if expiries.get(&digest).is_some_and(|until| *until > now) {
            return TokenUse::AlreadyUsed;
        }
        if expiries.len() >= self.max_tokens {
            return TokenUse::TableFull;
        }

        expiries.insert(digest, expires);
        TokenUse::First
    }

    /// The unexpired tokens that follow a digest, `most` of them, and the digest after which to
    /// continue; `None` at the end. Without a digest, the first ones.
    pub fn tokens_after(
        &self,
        digest: Option<[u8; 32]>,
        most: usize,
        now: i64,
    ) -> (Vec<UsedToken>, Option<[u8; 32]>) {
        let expiries = self.lock();
        let start = digest.map_or(Bound::Unbounded, Bound::Excluded);
        let part = expiries.range((start, Bound::Unbounded)).take(most);
        let part: Vec<UsedToken> = part.map(|(digest, until)| (*digest, *until)).collect();
        let last = part.last().map(|(digest, _)| *digest);
        let unexpired = part.into_iter().filter(|(_, until)| *until > now);
        (unexpired.collect(), last)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<[u8; 32], i64>> {
        self.expiries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_spent_once_and_forgotten_when_it_expired() {
        let spent = UsedTokens::new(2);
        assert_eq!(spent.mark_used(used_token("a", 100), 0), TokenUse::First);
        assert_eq!(
            spent.mark_used(used_token("a", 100), 99),
            TokenUse::AlreadyUsed
        );
        assert_eq!(spent.mark_used(used_token("b", 200), 0), TokenUse::First);
        assert_eq!(
            spent.mark_used(used_token("c", 200), 99),
            TokenUse::TableFull
        );
        assert_eq!(
            spent.mark_used(used_token("b", 200), 99),
            TokenUse::AlreadyUsed
        );
        assert_eq!(spent.mark_used(used_token("c", 200), 100), TokenUse::First);
    }

    #[test]
    fn an_id_is_spent_in_the_next_process_too() {
        let spent = UsedTokens::new(2);
        spent.mark_used(used_token("a", 100), 0);
        let mut bytes = Vec::new();
        let mut out = StateWriter::new(&mut bytes);
        spent.write_state(&mut out);
        out.finish().unwrap();
        let (mut source, length) = (bytes.as_slice(), bytes.len() as u64);
        let read = UsedTokens::read_state(&mut StateReader::new(&mut source, length), 2);
        let spent = read.unwrap();
        assert_eq!(
            spent.mark_used(used_token("a", 100), 99),
            TokenUse::AlreadyUsed
        );
        assert_eq!(spent.mark_used(used_token("b", 100), 99), TokenUse::First);
    }

    #[test]
    fn tokens_are_read_in_parts_and_known_by_their_digests() {
        let (here, there) = (UsedTokens::new(100), UsedTokens::new(100));
        for number in 0..25 {
            here.mark_used(used_token(&format!("{number}"), 100 + number % 2), 0);
        }
        let (mut after, mut parts) = (None, Vec::new());
        loop {
            let (tokens, last) = here.tokens_after(after, 10, 100);
            if last.is_none() {
                break;
            }
            after = last;
            parts.push(tokens.len());
            for token in tokens {
                assert_eq!(there.mark_used(token, 100), TokenUse::First);
            }
        }
        // Every second one has not expired.
        assert_eq!((parts.len(), parts.iter().sum::<usize>()), (3, 12));
        assert_eq!(
            there.mark_used(used_token("7", 101), 100),
            TokenUse::AlreadyUsed
        );
        assert_eq!(there.mark_used(used_token("8", 101), 100), TokenUse::First);
    }
}
