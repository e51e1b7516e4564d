//! The keys that sign grants. The cookie of a grant carries a MAC over its version, tiers, id and
//! the platform's name.
//!
//! Without the MAC, any script could set a grant in addition to a visitor's refusal, and any
//! program could forge grants. The first key in the file signs, and all of them verify: a new key
//! is added at the top, and an old one is removed once its last cookie has expired. All collectors
//! of a platform share the file, so that each accepts the grants of the others.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::id::ConsentId;
use crate::config::Secret;
use crate::hex;
use crate::key_file::{self, KeyFileError};
use crate::random::fill_random;

/// Domain separation: MACs that the same key makes for another purpose are not valid here.
const MAC_CONTEXT: &[u8] = b"footfall consent/v1";
const KEY_BYTES: usize = 32;
const MAC_BYTES: usize = 16;

/// 256 random bits. Deliberately without `Debug`, `Display`, `Clone` and `Serialize`.
#[derive(Zeroize, ZeroizeOnDrop)]
struct GrantKey([u8; KEY_BYTES]);

/// Signs and verifies grants. Deliberately without `Debug`, `Display`, `Clone` and `Serialize`.
pub struct GrantKeys {
    keys: Vec<(Box<str>, GrantKey)>,
    /// Precedes every signed text: context and name of the platform, so that a grant given to one
    /// platform is invalid at another that shares its keys.
    mac_prefix: Box<[u8]>,
}

/// Why a key file is rejected. Names the line but never quotes it, because it holds a key.
#[derive(thiserror::Error, PartialEq, Debug)]
pub enum GrantKeysError {
    /// The line with this number, counted from 1, is malformed.
    #[error(
        "line {0} is not an id (1 to 16 letters, digits, _ and -), a space and a key as `footfall \
         consent new-key` prints it"
    )]
    MalformedLine(usize),
    /// The line with this number, counted from 1, repeats the id of an earlier one.
    #[error("line {0} has the id of a line before it")]
    DuplicateId(usize),
    /// The file has no keys.
    #[error("it holds no key")]
    NoKeys,
}

impl From<KeyFileError> for GrantKeysError {
    fn from(error: KeyFileError) -> GrantKeysError {
        match error {
            KeyFileError::MalformedLine(line) => GrantKeysError::MalformedLine(line),
            KeyFileError::DuplicateId(line) => GrantKeysError::DuplicateId(line),
            KeyFileError::NoKeys => GrantKeysError::NoKeys,
        }
    }
}

impl GrantKeys {
    /// Parses a key file; `site` is `consent.site`, the name of the platform. Empty lines and lines
    /// that start with `#` are ignored.
    ///
    /// # Errors
    ///
    /// A line is malformed, an id occurs twice, or there is no key.
    pub fn parse_file(file: &Secret, site: &str) -> Result<GrantKeys, GrantKeysError> {
        let keys = key_file::parse_keys(file.expose_secret(), |key| parse_key(key.trim()))?;
        // The site is preceded by its length, so that no two different inputs are the same bytes.
        let length = (site.len() as u64).to_le_bytes();

        Ok(GrantKeys {
            keys,
            mac_prefix: [MAC_CONTEXT, &length, site.as_bytes()].concat().into(),
        })
    }

    /// Generates a key and returns its line for the file, including the newline. `id` must satisfy
    /// [`is_key_id`](crate::key_file::is_key_id).
    pub fn generate_line(id: &str) -> Secret {
        let mut key = GrantKey([0; KEY_BYTES]);
        fill_random(&mut key.0);
        Secret::new(format!("{id} {}\n", URL_SAFE_NO_PAD.encode(key.0)))
    }

    /// The cookie value of a grant, signed by the first key.
    pub fn sign_grant(&self, version: u32, tiers: &[&str], id: &ConsentId) -> String {
        let (name, key) = &self.keys[0];
        let signed = format!("{version}.{}.{}.{name}", tiers.join("+"), id.to_hex());
        let mac = hex::encode_lower(&self.compute_mac(key, &signed));
        format!("{signed}.{mac}")
    }

    /// [`GrantKeys::sign_grant`] for the demo, which simulates many visitors and has their ids as
    /// text. `None` if `id` is not a consent id.
    pub fn sign_grant_with_hex_id(&self, version: u32, tiers: &[&str], id: &str) -> Option<String> {
        Some(self.sign_grant(version, tiers, &ConsentId::from_hex(id)?))
    }

    /// Whether the key with this id made `mac` for the text before it, which ends with the key's
    /// id. Compares in constant time.
    pub(super) fn verify_mac(&self, signed: &str, key_id: &str, mac: &str) -> bool {
        let Some((_, key)) = self.keys.iter().find(|(known, _)| **known == *key_id) else {
            return false;
        };
        let Some(told) = hex::decode_lower::<MAC_BYTES>(mac.as_bytes()) else {
            return false;
        };
        self.compute_mac(key, signed).ct_eq(&told).into()
    }

    /// The MAC of any text by the first key.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn sign_text(&self, text: &str) -> String {
        hex::encode_lower(&self.compute_mac(&self.keys[0].1, text))
    }

    /// Uses the one-shot keyed BLAKE3: this runs for every request with hits, and a stored hasher
    /// would have to be wiped each time.
    fn compute_mac(&self, key: &GrantKey, signed: &str) -> [u8; MAC_BYTES] {
        let mac = blake3::keyed_hash(&key.0, &[&self.mac_prefix, signed.as_bytes()].concat());
        std::array::from_fn(|place| mac.as_bytes()[place])
    }
}

crate::unprintable!(GrantKey, GrantKeys);

fn parse_key(text: &str) -> Option<GrantKey> {
    let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let mut key = GrantKey([0; KEY_BYTES]);
    let whole = bytes.len() == KEY_BYTES;
    if whole {
        key.0.copy_from_slice(&bytes);
    }
    bytes.zeroize();
    whole.then_some(key)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub const ONE: &str = "one AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE\n";
    const TWO: &str = "two AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI\n";
    const ID: &str = "0123456789abcdef0123456789abcdef";

    pub fn keys(file: &str, site: &str) -> Result<GrantKeys, GrantKeysError> {
        GrantKeys::parse_file(&Secret::new(file.to_owned()), site)
    }

    fn verifies(keys: &GrantKeys, value: &str) -> bool {
        let (signed, mac) = value.rsplit_once('.').unwrap();
        keys.verify_mac(signed, signed.rsplit('.').next().unwrap(), mac)
    }

    #[test]
    fn the_first_key_signs_and_the_others_are_believed() {
        let old = keys(ONE, "ally")
            .unwrap()
            .sign_grant_with_hex_id(1, &["analytics"], ID)
            .unwrap();
        let rotated = keys(&format!("# new\n{TWO}\n{ONE}"), "ally").unwrap();
        assert!(old.starts_with(&format!("1.analytics.{ID}.one.")) && verifies(&rotated, &old));
        let new = rotated
            .sign_grant_with_hex_id(1, &["analytics"], ID)
            .unwrap();
        assert!(new.starts_with(&format!("1.analytics.{ID}.two.")) && verifies(&rotated, &new));
        assert!(
            !verifies(&keys(ONE, "ally").unwrap(), &new),
            "a key that is not in the file"
        );
        assert!(
            !verifies(&keys(ONE, "alllinks").unwrap(), &old),
            "another platform with the same key"
        );
    }

    #[test]
    fn a_grant_changed_at_any_byte_does_not_verify() {
        let keys = keys(&format!("{ONE}{TWO}"), "ally").unwrap();
        let grant = keys
            .sign_grant_with_hex_id(3, &["preferences", "analytics"], ID)
            .unwrap();
        assert!(verifies(&keys, &grant));
        for at in (0..grant.len()).filter(|at| grant.as_bytes()[*at] != b'.') {
            for other in b"0a1f+"
                .iter()
                .filter(|other| **other != grant.as_bytes()[at])
            {
                let mut bytes = grant.clone().into_bytes();
                bytes[at] = *other;
                assert!(
                    !verifies(&keys, std::str::from_utf8(&bytes).unwrap()),
                    "byte {at}"
                );
            }
        }
        assert!(
            !verifies(&keys, &grant.to_uppercase()) && !verifies(&keys, &grant[..grant.len() - 1])
        );
    }

    /// The construction documented in docs/understand/PRIVACY.md, implemented a second time.
    #[test]
    fn the_mac_is_the_first_half_of_keyed_blake3_over_context_name_and_text() {
        let signed = format!("3.analytics.{ID}.one");
        let message = [
            b"footfall consent/v1".as_slice(),
            &4_u64.to_le_bytes(),
            b"ally",
            signed.as_bytes(),
        ]
        .concat();
        let mac = blake3::keyed_hash(&[1; 32], &message).to_hex();
        let grant = keys(ONE, "ally")
            .unwrap()
            .sign_grant_with_hex_id(3, &["analytics"], ID)
            .unwrap();
        assert_eq!(grant, format!("{signed}.{}", &mac[..32]));
    }

    #[test]
    fn a_bad_line_is_named_and_not_shown() {
        let short = ONE.replace("AQE\n", "\n");
        for (text, expected) in [
            ("", GrantKeysError::NoKeys),
            ("# only a remark", GrantKeysError::NoKeys),
            ("one", GrantKeysError::MalformedLine(1)),
            (&short, GrantKeysError::MalformedLine(1)),
            (
                &format!("\n{}", ONE.replace("one", "a.b")),
                GrantKeysError::MalformedLine(2),
            ),
            (
                &format!("{ONE}{}", TWO.replace("two", "one")),
                GrantKeysError::DuplicateId(2),
            ),
        ] {
            assert_eq!(keys(text, "ally").err(), Some(expected), "{text}");
        }
        assert!(keys(GrantKeys::generate_line("k1").expose_secret(), "ally").is_ok());
    }
}
