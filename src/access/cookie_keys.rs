//! The keys that encrypt what a browser keeps for the collectors: sessions, and unlocked share
//! links. A browser can return such a value, but neither read nor change it.
//!
//! ```text
//! cookie  base64url of nonce:12 ciphertext tag:16
//! ```
//!
//! The cipher is AES-256-GCM-SIV with a random nonce. Its associated data is the purpose of the
//! cookie, so that none can be used as another one. The first key in the file encrypts, and all of
//! them decrypt. Collectors that share the file accept each other's cookies.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::secret::SecretBytes;
use crate::config::Secret;
use crate::key_file::{self, KeyFileError};
use crate::random::random_bytes;

const TAG_BYTES: usize = 16;
/// Browsers drop cookies whose name and value have more than 4096 bytes together.
const MAX_COOKIE_BYTES: usize = 3800;
/// The largest content of a cookie.
pub(super) const MAX_CONTENT_BYTES: usize = MAX_COOKIE_BYTES / 4 * 3 - NONCE_LEN - TAG_BYTES;

/// Encrypts and decrypts cookies. Deliberately without `Debug`, `Display`, `Clone` and `Serialize`.
pub struct CookieKeys(Vec<LessSafeKey>);

impl CookieKeys {
    /// Parses a key file. Empty lines and lines that start with `#` are ignored.
    ///
    /// # Errors
    ///
    /// A line is malformed, an id occurs twice, or there is no key.
    pub fn parse_file(file: &Secret) -> Result<CookieKeys, KeyFileError> {
        let keys = key_file::parse_keys(file.expose_secret(), |key| {
            SecretBytes::<32>::from_text(key.trim()).map(|key| make_key(&key))
        })?;
        Ok(CookieKeys(keys.into_iter().map(|(_, key)| key).collect()))
    }

    /// Generates a key and returns its line for the file, including the newline. `id` must satisfy
    /// [`is_key_id`](crate::key_file::is_key_id).
    pub fn generate_line(id: &str) -> Secret {
        let key = SecretBytes::<32>::random();
        Secret::new(format!("{id} {}\n", key.reveal_text()))
    }

    /// The value of a cookie for this purpose, encrypted by the first key.
    pub(super) fn encrypt(&self, purpose: &[u8], content: &[u8]) -> String {
        let nonce: [u8; NONCE_LEN] = random_bytes();
        let mut bytes = [&nonce, content].concat();
        let tag = self.0[0]
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(purpose),
                &mut bytes[NONCE_LEN..],
            )
            .expect("a cookie is shorter than the cipher's limit");
        bytes.extend_from_slice(tag.as_ref());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The content of a cookie that one of the keys encrypted for this purpose; `None` for any
    /// other text.
    pub(super) fn decrypt(&self, purpose: &[u8], cookie: &str) -> Option<Vec<u8>> {
        if cookie.len() > MAX_COOKIE_BYTES {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(cookie).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LEN>()?;
        self.0.iter().find_map(|key| {
            let mut content = sealed.to_vec();
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let opened = key.open_in_place(nonce, Aad::from(purpose), &mut content);
            let length = opened.ok()?.len();
            content.truncate(length);
            Some(content)
        })
    }
}

fn make_key(key: &SecretBytes<32>) -> LessSafeKey {
    let key = UnboundKey::new(&AES_256_GCM_SIV, key.as_bytes()).expect("the key has 32 bytes");
    LessSafeKey::new(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(lines: &[&Secret]) -> CookieKeys {
        let text: String = lines.iter().map(|line| line.expose_secret()).collect();
        CookieKeys::parse_file(&Secret::new(text)).unwrap()
    }

    #[test]
    fn a_cookie_is_read_by_its_key_for_its_purpose_and_not_after_any_change() {
        let (first, second) = (
            CookieKeys::generate_line("k1"),
            CookieKeys::generate_line("k2"),
        );
        let alone = keys(&[&first]);
        let content = b"what a browser keeps";
        let cookie = alone.encrypt(b"session", content);
        assert_eq!(alone.decrypt(b"session", &cookie).unwrap(), content);
        assert_ne!(cookie, alone.encrypt(b"session", content), "another nonce");
        assert!(alone.decrypt(b"share", &cookie).is_none());

        let bytes = URL_SAFE_NO_PAD.decode(&cookie).unwrap();
        for bit in 0..8 * bytes.len() {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let changed = URL_SAFE_NO_PAD.encode(changed);
            assert!(alone.decrypt(b"session", &changed).is_none(), "bit {bit}");
        }
        for length in 0..cookie.len() {
            assert!(alone.decrypt(b"session", &cookie[..length]).is_none());
        }
        assert!(alone.decrypt(b"session", &format!("{cookie}=")).is_none());
        assert!(alone.decrypt(b"session", &"A".repeat(1 << 20)).is_none());

        // Rotation: the new key encrypts, the former one decrypts as long as it is in the file.
        let rotated = keys(&[&second, &first]);
        assert!(rotated.decrypt(b"session", &cookie).is_some());
        let by_new = rotated.encrypt(b"session", content);
        assert!(alone.decrypt(b"session", &by_new).is_none());
        assert!(keys(&[&second]).decrypt(b"session", &cookie).is_none());
        assert!(keys(&[&second]).decrypt(b"session", &by_new).is_some());
    }

    #[test]
    fn the_largest_content_fits_a_cookie() {
        let keys = keys(&[&CookieKeys::generate_line("k1")]);
        let cookie = keys.encrypt(b"session", &[b'x'; MAX_CONTENT_BYTES]);
        assert!(cookie.len() <= MAX_COOKIE_BYTES, "{}", cookie.len());
        let content = keys.decrypt(b"session", &cookie).unwrap();
        assert_eq!(content.len(), MAX_CONTENT_BYTES);
    }

    #[test]
    fn a_file_needs_whole_keys() {
        let parse = |text: &str| CookieKeys::parse_file(&Secret::new(text.to_owned())).err();
        assert_eq!(parse("# none\n"), Some(KeyFileError::NoKeys));
        assert_eq!(parse("k1 short"), Some(KeyFileError::MalformedLine(1)));
        let line = CookieKeys::generate_line("k1");
        let twice = [line.expose_secret(), line.expose_secret()].concat();
        assert_eq!(parse(&twice), Some(KeyFileError::DuplicateId(2)));
    }
}
