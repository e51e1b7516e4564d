//! Authenticates values that a browser stores, so that it can return but not change them. The key
//! belongs to this process: a restart invalidates them.

use super::secret::{random, same_text};

/// A random key for one process.
pub struct Seal([u8; 32]);

impl Default for Seal {
    fn default() -> Seal {
        Seal(random())
    }
}

impl Seal {
    /// The MAC of a text, as 64 hex digits.
    pub fn of(&self, text: &str) -> String {
        blake3::keyed_hash(&self.0, text.as_bytes()).to_hex().to_string()
    }

    /// Whether `seal` is the MAC of `text`. Compares in constant time.
    pub fn fits(&self, text: &str, seal: &str) -> bool {
        same_text(&self.of(text), seal)
    }
}
