//! Authenticates values that a browser stores, so that it can return but not change them. The key
//! belongs to this process: a restart invalidates them.

use super::secret::constant_time_eq;
use crate::random::random_bytes;

/// A random key for one process.
pub struct CookieSigner([u8; 32]);

impl Default for CookieSigner {
    fn default() -> CookieSigner {
        CookieSigner(random_bytes())
    }
}

impl CookieSigner {
    /// The MAC of a text, as 64 hex digits.
    pub fn sign(&self, text: &str) -> String {
        blake3::keyed_hash(&self.0, text.as_bytes())
            .to_hex()
            .to_string()
    }

    /// Whether `seal` is the MAC of `text`. Compares in constant time.
    pub fn is_signature_of(&self, text: &str, seal: &str) -> bool {
        constant_time_eq(&self.sign(text), seal)
    }
}
