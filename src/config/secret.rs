//! Secrets in the configuration.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// A secret from the configuration. It prints as `***` and is wiped when dropped.
#[derive(Deserialize, Default, PartialEq)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text; an empty one means that no secret is set.
    pub fn new(text: String) -> Secret {
        Secret(text)
    }

    /// Whether no secret is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text, for use as a key or password only.
    pub fn expose_secret(&self) -> &str {
        &self.0
    }

    /// Compares in constant time, so that timing reveals nothing about a guess. An empty secret
    /// matches nothing.
    pub fn matches(&self, guess: &[u8]) -> bool {
        !self.is_empty() && bool::from(self.0.as_bytes().ct_eq(guess))
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "\"\"" } else { "***" })
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.is_empty() { "" } else { "***" })
    }
}
