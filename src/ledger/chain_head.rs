//! A position in the chain of records.

use super::Sha256Digest;
use crate::hex;

/// A position in the chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChainHead {
    /// The number of the last record, which is the number of records ever written.
    pub size: u64,
    /// The hash of the last record.
    pub hash: Sha256Digest,
}

impl ChainHead {
    /// The position before the first record.
    pub const EMPTY: ChainHead = ChainHead {
        size: 0,
        hash: [0; 32],
    };

    /// The hash as 64 lower-case hex digits.
    pub fn hash_hex(&self) -> String {
        hex::encode_lower(&self.hash)
    }
}
