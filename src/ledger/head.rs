//! A position in the chain of records.

use super::Hash;
use crate::hex;

/// A position in the chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// The number of the last record, which is the number of records ever written.
    pub size: u64,
    /// The hash of the last record.
    pub hash: Hash,
}

impl Head {
    /// The position before the first record.
    pub const EMPTY: Head = Head { size: 0, hash: [0; 32] };

    /// The hash as 64 lower-case hex digits.
    pub fn hash_text(&self) -> String {
        hex::text(&self.hash)
    }
}
