//! Secrets that are generated here. They are random, so their digests cannot be reversed and need
//! no salt.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::hex;
use crate::random::random_bytes;
use crate::state_codec::{StateError, StateReader, StateWriter};

/// The bytes of a secret. Deliberately without `Debug`, `Display`, `Clone` and `Serialize`; wiped
/// on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SecretBytes<const N: usize>([u8; N]);

impl<const N: usize> SecretBytes<N> {
    /// `N` bytes from the operating system's generator.
    pub fn random() -> SecretBytes<N> {
        SecretBytes(random_bytes())
    }

    /// The secret as text (URL-safe base64 without padding). To be sent to its owner only.
    pub fn reveal_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Parses the text of a secret; `None` unless it is the only valid encoding of exactly `N`
    /// bytes.
    pub fn from_text(text: &str) -> Option<SecretBytes<N>> {
        let mut bytes = [0; N];
        let mut read = URL_SAFE_NO_PAD.decode(text).ok()?;
        let whole = read.len() == N;
        if whole {
            bytes.copy_from_slice(&read);
        }
        read.zeroize();
        whole.then_some(SecretBytes(bytes))
    }

    /// The SHA-256 digest, which is what is stored.
    pub fn to_digest(&self) -> SecretDigest {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, &self.0).as_ref());
        SecretDigest(bytes)
    }

    /// The bytes, to make a key of them.
    pub(super) fn as_bytes(&self) -> &[u8; N] {
        &self.0
    }
}

/// The SHA-256 digest of a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SecretDigest([u8; 32]);

impl SecretDigest {
    /// As 64 lower-case hex digits, the form that is stored.
    pub fn to_hex(&self) -> String {
        hex::encode_lower(&self.0)
    }

    /// The digest with this stored form; `None` if the text is not one.
    pub fn from_hex(text: &str) -> Option<SecretDigest> {
        hex::decode_lower(text.as_bytes()).map(SecretDigest)
    }

    /// Writes the digest for the process that takes over.
    pub fn write_state(&self, out: &mut StateWriter<'_>) {
        out.put_bytes(&self.0);
    }

    /// Reads a digest of the process before.
    ///
    /// # Errors
    ///
    /// The state ends too early.
    pub fn read_state(input: &mut StateReader<'_>) -> Result<SecretDigest, StateError> {
        input.read_array().map(SecretDigest)
    }
}

/// Compares in constant time, so that the response time reveals nothing about a guess.
pub(super) fn constant_time_eq(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// A random public id of something that has a secret, as 16 hex digits. It is not derived from the
/// secret.
pub fn random_id() -> String {
    format!("{:016x}", u64::from_le_bytes(random_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_reads_back_from_its_one_text() {
        let raw = SecretBytes::<32>::random();
        let text = raw.reveal_text();
        assert_eq!(text.len(), 43);
        assert_eq!(
            SecretBytes::<32>::from_text(&text).unwrap().to_digest(),
            raw.to_digest()
        );
        assert!(SecretBytes::<16>::from_text(&text).is_none());
        for other in [
            format!("{text}="),
            format!("{text}A"),
            text[1..].to_owned(),
            String::new(),
        ] {
            assert!(SecretBytes::<32>::from_text(&other).is_none(), "{other}");
        }
    }

    #[test]
    fn a_digest_reads_back() {
        let digest = SecretBytes::<16>([7; 16]).to_digest();
        assert_eq!(SecretDigest::from_hex(&digest.to_hex()), Some(digest));
        assert_eq!(SecretDigest::from_hex("é".repeat(32).as_str()), None);
        assert_eq!(SecretDigest::from_hex(""), None);
    }
}
