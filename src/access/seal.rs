//! Says something to a browser that it can show again and not change: under a key of this process, so a restart forgets it.

use super::secret::{random, same_text};

pub struct Seal([u8; 32]);

impl Default for Seal {
    fn default() -> Seal {
        Seal(random())
    }
}

impl Seal {
    pub fn of(&self, text: &str) -> String {
        blake3::keyed_hash(&self.0, text.as_bytes()).to_hex().to_string()
    }

    pub fn fits(&self, text: &str, seal: &str) -> bool {
        same_text(&self.of(text), seal)
    }
}
