//! The Ed25519 key that signs checkpoints, and its public half.
//!
//! The private key is PKCS#8 in PEM, as `openssl genpkey -algorithm ed25519` writes it. The public
//! key is a verifier key of C2SP's signed notes: `<name>+<8 hex digits>+<base64 of 0x01 and 32
//! bytes>`.

use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

use super::error::LedgerError;
use super::folder::Folder;
use super::line::sha256;
use crate::disk;
use crate::hex;

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";
/// The identifier of Ed25519 in signed notes.
const ALGORITHM: u8 = 1;

/// The private key.
pub struct SigningKey(Ed25519KeyPair);

/// The public key; its 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl SigningKey {
    /// Reads the operator's key, or the ledger's own, which is created if it is missing.
    ///
    /// # Errors
    ///
    /// The key cannot be read, created or parsed; or the ledger's own key file is empty although
    /// checkpoints were signed with its former content.
    pub fn open(folder: &Folder, key_file: &str) -> Result<SigningKey, LedgerError> {
        let own = folder.key();
        if key_file.is_empty() {
            if is_empty(&own) {
                has_signed_nothing(folder, &own)?;
                set_aside(&own)?;
            }
            if !own.try_exists().map_err(LedgerError::io(&own))? {
                create(&own)?;
            }
        }
        SigningKey::read(folder, key_file)
    }

    /// Reads the operator's key, or the ledger's own if `key_file` is empty. Creates nothing.
    ///
    /// # Errors
    ///
    /// The file cannot be read or does not contain an Ed25519 key.
    pub fn read(folder: &Folder, key_file: &str) -> Result<SigningKey, LedgerError> {
        let path = if key_file.is_empty() { folder.key() } else { PathBuf::from(key_file) };
        let text = std::fs::read_to_string(&path).map(Zeroizing::new).map_err(LedgerError::io(&path))?;
        let key = parse(&text).ok_or(LedgerError::Key(path))?;
        Ok(SigningKey(key))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.public_key().as_ref().try_into().expect("an Ed25519 key has 32 bytes"))
    }

    pub(super) fn sign(&self, text: &str) -> Vec<u8> {
        self.0.sign(text.as_bytes()).as_ref().to_vec()
    }
}

/// Checks that the signing key can be used: the operator's, which must exist, or the ledger's own
/// in `dir`, which may be missing.
///
/// # Errors
///
/// The file cannot be read or does not contain an Ed25519 key; or the ledger's own key file is
/// empty although checkpoints were signed with its former content.
pub fn check(dir: &Path, key_file: &str) -> Result<(), LedgerError> {
    let (folder, own) = (Folder::new(dir), Folder::new(dir).key());
    match key_file.is_empty() {
        true if !own.exists() => Ok(()),
        true if is_empty(&own) => has_signed_nothing(&folder, &own),
        _ => SigningKey::read(&folder, key_file).map(drop),
    }
}

fn parse(pem: &str) -> Option<Ed25519KeyPair> {
    let inner = pem.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
    let digits: Zeroizing<String> = Zeroizing::new(inner.split_ascii_whitespace().collect());
    let document = Zeroizing::new(BASE64.decode(digits.as_bytes()).ok()?);
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(&document).ok()
}

fn create(path: &Path) -> Result<(), LedgerError> {
    let document =
        Ed25519KeyPair::generate().and_then(|key| key.to_pkcs8v1()).expect("the system's random generator works");
    let pem = Zeroizing::new(format!("{BEGIN}\n{}\n{END}\n", BASE64.encode(document.as_ref())));
    disk::make_once(path, pem.as_bytes()).map_err(LedgerError::io(path))
}

/// Former versions left an empty file when the disk was full at their first start.
fn is_empty(own: &Path) -> bool {
    std::fs::metadata(own).is_ok_and(|file| file.len() == 0)
}

/// A new key is no remedy if checkpoints were signed with the lost one.
fn has_signed_nothing(folder: &Folder, own: &Path) -> Result<(), LedgerError> {
    match folder.checkpoint_sizes()?.is_empty() {
        true => Ok(()),
        false => Err(LedgerError::EmptyKey(own.to_owned())),
    }
}

fn set_aside(own: &Path) -> Result<(), LedgerError> {
    let aside = own.with_extension("pem.empty");
    std::fs::rename(own, &aside).map_err(LedgerError::io(own))?;
    tracing::warn!(file = %own.display(), aside = %aside.display(), "the ledger's key file is empty and has signed nothing; it is made again");
    Ok(())
}

impl PublicKey {
    /// The verifier key for signatures under this name; its hash depends on the name.
    pub fn text(&self, name: &str) -> String {
        let hash = hex::text(&self.hash(name));
        format!("{name}+{hash}+{}", BASE64.encode(self.tagged()))
    }

    /// Parses a verifier key; `None` if it is malformed, not Ed25519, or its hash does not match.
    pub fn from_text(text: &str) -> Option<PublicKey> {
        // Base64 contains plus signs as well, so the parts are split from the left.
        let (name, rest) = text.trim().split_once('+')?;
        let (_, key) = rest.split_once('+')?;
        let tagged = BASE64.decode(key).ok()?;
        let key = PublicKey(tagged.strip_prefix(&[ALGORITHM])?.try_into().ok()?);
        (key.text(name) == text.trim()).then_some(key)
    }

    /// The four bytes that distinguish keys with the same name.
    pub(super) fn hash(&self, name: &str) -> [u8; 4] {
        let bytes = [name.as_bytes(), b"\n", &self.tagged()].concat();
        let [a, b, c, d, ..] = sha256(&bytes);
        [a, b, c, d]
    }

    pub(super) fn verifies(&self, text: &str, signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(text.as_bytes(), signature).is_ok()
    }

    fn tagged(&self) -> Vec<u8> {
        [&[ALGORITHM][..], &self.0].concat()
    }
}
