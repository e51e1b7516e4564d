//! Keys in a backup, encrypted with a passphrase.
//!
//! ```text
//! file  "FFBKEYS1" salt:16 nonce:12 ciphertext tag:16
//! ```
//!
//! The key is Argon2id of the passphrase (64 MiB, 3 passes, one lane); the cipher is
//! ChaCha20-Poly1305, with the first 24 bytes as associated data. The plaintext is JSON: a role and
//! the file's text for each key.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::config::{Config, Secret};
use crate::disk;
use crate::random::random_bytes;

const MAGIC: [u8; 8] = *b"FFBKEYS1";
const SALT_BYTES: usize = 16;
const HEADER_BYTES: usize = MAGIC.len() + SALT_BYTES;
const MEMORY_KIB: u32 = 64 << 10;
const PASSES: u32 = 3;

/// The file of the keys in the folder of a backup.
pub const KEYS_FILE: &str = "keys.encrypted";

/// The text of each key file, by role.
pub type KeyTexts = BTreeMap<String, Zeroizing<String>>;

/// Where the keys of a configuration are, by role. Some need not exist.
pub fn key_paths(config: &Config) -> BTreeMap<&'static str, PathBuf> {
    let ledger_key = match &*config.ledger.key_file {
        "" => config.ledger.dir.join("key.pem"),
        named => PathBuf::from(named),
    };
    BTreeMap::from([
        ("access.key_file", config.cookie_key_path()),
        ("consent.key_file", config.grant_key_path()),
        ("ledger.key_file", ledger_key),
        ("mail.key_file", config.mail.key_file.clone()),
    ])
}

/// Reads the keys that exist.
///
/// # Errors
///
/// A file exists and cannot be read.
pub fn read_keys(config: &Config) -> anyhow::Result<KeyTexts> {
    let mut texts = KeyTexts::new();
    for (role, path) in key_paths(config) {
        match std::fs::read_to_string(&path) {
            Ok(text) => _ = texts.insert(role.to_owned(), Zeroizing::new(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).context(path.display().to_string()),
        }
    }
    Ok(texts)
}

/// What became of a key at a restore.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyOutcome {
    /// There was none; it was written.
    Written,
    /// The same key was there.
    Same,
    /// Another key was there, which was not touched.
    OtherKept,
}

/// Writes the keys that the configuration's places do not have.
///
/// # Errors
///
/// A file cannot be read or written.
pub fn write_keys(config: &Config, texts: &KeyTexts) -> anyhow::Result<Vec<(PathBuf, KeyOutcome)>> {
    let mut outcomes = Vec::new();
    for (role, path) in key_paths(config) {
        let Some(text) = texts.get(role) else {
            continue;
        };
        let shown = || path.display().to_string();
        disk::create_private_folder(disk::parent_folder(&path)).with_context(shown)?;
        let existed = path.exists();
        disk::create_secret_once(&path, text.as_bytes()).with_context(shown)?;

        let present = Zeroizing::new(std::fs::read_to_string(&path).with_context(shown)?);
        let outcome = match (existed, present == *text) {
            (false, _) => KeyOutcome::Written,
            (true, true) => KeyOutcome::Same,
            (true, false) => KeyOutcome::OtherKept,
        };
        outcomes.push((path, outcome));
    }
    Ok(outcomes)
}

/// Encrypts keys with a passphrase. Takes some 0.2 s and 64 MiB.
///
/// # Errors
///
/// The passphrase cannot be used.
pub fn encrypt_keys(texts: &KeyTexts, passphrase: &Secret) -> anyhow::Result<Vec<u8>> {
    let plain: BTreeMap<&str, &str> = texts
        .iter()
        .map(|(role, text)| (role.as_str(), text.as_str()))
        .collect();
    let mut sealed = Zeroizing::new(serde_json::to_vec(&plain)?);
    let salt: [u8; SALT_BYTES] = random_bytes();
    let nonce: [u8; NONCE_LEN] = random_bytes();

    let mut file = [&MAGIC[..], &salt].concat();
    let key = derive_key(passphrase, &salt)?;
    let tag = key
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(&file[..]),
            &mut sealed,
        )
        .map_err(|_| anyhow::anyhow!("the keys could not be encrypted"))?;
    file.extend_from_slice(&nonce);
    file.extend_from_slice(&sealed);
    file.extend_from_slice(tag.as_ref());
    Ok(file)
}

/// Decrypts what [`encrypt_keys`] made.
///
/// # Errors
///
/// The passphrase is wrong, or the file is damaged; which of the two is not known.
pub fn decrypt_keys(file: &[u8], passphrase: &Secret) -> anyhow::Result<KeyTexts> {
    let (header, rest) = file
        .split_at_checked(HEADER_BYTES)
        .filter(|(header, _)| header.starts_with(&MAGIC))
        .context("this is no file of keys")?;
    let (nonce, rest) = rest
        .split_first_chunk::<NONCE_LEN>()
        .context("the file of keys is too short")?;

    let key = derive_key(passphrase, &header[MAGIC.len()..])?;
    let mut bytes = Zeroizing::new(rest.to_vec());
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let plain = key
        .open_in_place(nonce, Aad::from(header), &mut bytes)
        .map_err(|_| anyhow::anyhow!("the passphrase is wrong, or the file of keys is damaged"))?;
    let texts: BTreeMap<String, String> = serde_json::from_slice(plain)?;
    Ok(texts
        .into_iter()
        .map(|(role, text)| (role, Zeroizing::new(text)))
        .collect())
}

fn derive_key(passphrase: &Secret, salt: &[u8]) -> anyhow::Result<LessSafeKey> {
    let unusable = |_| anyhow::anyhow!("no key can be made of this passphrase");
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).map_err(unusable)?;
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.expose_secret().as_bytes(), salt, &mut *key)
        .map_err(unusable)?;
    let key = UnboundKey::new(&CHACHA20_POLY1305, &*key).expect("the key has 32 bytes");
    Ok(LessSafeKey::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_with_their_passphrase_and_with_no_other_nor_after_a_change() {
        let texts = KeyTexts::from([("mail.key_file".to_owned(), "k1 SECRET".to_owned().into())]);
        let passphrase = Secret::new("correct horse battery".into());
        let file = encrypt_keys(&texts, &passphrase).unwrap();
        assert!(!file.windows(6).any(|part| part == b"SECRET"));
        assert!(decrypt_keys(&file, &passphrase).unwrap() == texts);
        assert_ne!(file, encrypt_keys(&texts, &passphrase).unwrap());

        let other = Secret::new("correct horse batter".into());
        assert!(decrypt_keys(&file, &other).is_err());
        for at in [0, 8, 24, 36, file.len() - 1] {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert!(decrypt_keys(&changed, &passphrase).is_err(), "{at}");
        }
        assert!(decrypt_keys(&file[..20], &passphrase).is_err());
    }
}
