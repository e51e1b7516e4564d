//! Secrets that are generated here. They are random, so their digests cannot be reversed and need
//! no salt.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::hex;

/// The bytes of a secret. Deliberately without `Debug`, `Display`, `Clone` and `Serialize`; wiped
/// on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Raw<const N: usize>([u8; N]);

impl<const N: usize> Raw<N> {
    /// `N` bytes from the operating system's generator.
    pub fn random() -> Raw<N> {
        Raw(random())
    }

    /// The secret as text (URL-safe base64 without padding). To be sent to its owner only.
    pub fn reveal(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Parses the text of a secret; `None` unless it is the only valid encoding of exactly `N`
    /// bytes.
    pub fn read(text: &str) -> Option<Raw<N>> {
        let mut bytes = [0; N];
        let mut read = URL_SAFE_NO_PAD.decode(text).ok()?;
        let whole = read.len() == N;
        if whole {
            bytes.copy_from_slice(&read);
        }
        read.zeroize();
        whole.then_some(Raw(bytes))
    }

    /// The SHA-256 digest, which is what is stored.
    pub fn digest(&self) -> Digest {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, &self.0).as_ref());
        Digest(bytes)
    }

    /// A hash under a key of this process. It is useless to someone who reads the memory of this
    /// process later or of another one.
    pub(super) fn keyed(&self, key: &[u8; 32]) -> blake3::Hash {
        blake3::keyed_hash(key, &self.0)
    }
}

/// The SHA-256 digest of a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Digest([u8; 32]);

impl Digest {
    /// As 64 lower-case hex digits, the form that is stored.
    pub fn text(&self) -> String {
        hex::text(&self.0)
    }

    /// The digest with this stored form; `None` if the text is not one.
    pub fn of_text(text: &str) -> Option<Digest> {
        hex::read(text.as_bytes()).map(Digest)
    }
}

/// Compares in constant time, so that the response time reveals nothing about a guess.
pub(super) fn same_text(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// A random public id of something that has a secret, as 16 hex digits. It is not derived from the
/// secret.
pub fn new_id() -> String {
    format!("{:016x}", u64::from_le_bytes(random()))
}

pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system's random generator works");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_reads_back_from_its_one_text() {
        let raw = Raw::<32>::random();
        let text = raw.reveal();
        assert_eq!(text.len(), 43);
        assert_eq!(Raw::<32>::read(&text).unwrap().digest(), raw.digest());
        assert!(Raw::<16>::read(&text).is_none());
        for other in [format!("{text}="), format!("{text}A"), text[1..].to_owned(), String::new()] {
            assert!(Raw::<32>::read(&other).is_none(), "{other}");
        }
    }

    #[test]
    fn a_digest_reads_back() {
        let digest = Raw::<16>([7; 16]).digest();
        assert_eq!(Digest::of_text(&digest.text()), Some(digest));
        assert_eq!(Digest::of_text("é".repeat(32).as_str()), None);
        assert_eq!(Digest::of_text(""), None);
    }
}
