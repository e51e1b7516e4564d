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
use super::folder::LedgerFolder;
use super::line::sha256_digest;
use crate::disk;
use crate::hex;

const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";
/// The identifier of Ed25519 in signed notes.
const ED25519_ALGORITHM: u8 = 1;

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
    pub fn open(folder: &LedgerFolder, key_file: &str) -> Result<SigningKey, LedgerError> {
        let own = folder.key_path();
        if key_file.is_empty() {
            if is_empty_file(&own) {
                check_no_checkpoints(folder, &own)?;
                rename_empty_key(&own)?;
            }
            if !own.try_exists().map_err(LedgerError::from_io(&own))? {
                create_key_file(&own)?;
            }
        }
        SigningKey::read_key_file(folder, key_file)
    }

    /// Reads the operator's key, or the ledger's own if `key_file` is empty. Creates nothing.
    ///
    /// # Errors
    ///
    /// The file cannot be read or does not contain an Ed25519 key.
    pub fn read_key_file(folder: &LedgerFolder, key_file: &str) -> Result<SigningKey, LedgerError> {
        let path = if key_file.is_empty() {
            folder.key_path()
        } else {
            PathBuf::from(key_file)
        };
        let text = std::fs::read_to_string(&path)
            .map(Zeroizing::new)
            .map_err(LedgerError::from_io(&path))?;
        let key = parse_pem(&text).ok_or(LedgerError::InvalidKey(path))?;
        Ok(SigningKey(key))
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(
            self.0
                .public_key()
                .as_ref()
                .try_into()
                .expect("an Ed25519 key has 32 bytes"),
        )
    }

    pub(super) fn sign_text(&self, text: &str) -> Vec<u8> {
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
pub fn check_signing_key(dir: &Path, key_file: &str) -> Result<(), LedgerError> {
    let (folder, own) = (LedgerFolder::new(dir), LedgerFolder::new(dir).key_path());
    match key_file.is_empty() {
        true if !own.exists() => Ok(()),
        true if is_empty_file(&own) => check_no_checkpoints(&folder, &own),
        _ => SigningKey::read_key_file(&folder, key_file).map(drop),
    }
}

fn parse_pem(pem: &str) -> Option<Ed25519KeyPair> {
    let inner = pem.trim().strip_prefix(PEM_BEGIN)?.strip_suffix(PEM_END)?;
    let digits: Zeroizing<String> = Zeroizing::new(inner.split_ascii_whitespace().collect());
    let document = Zeroizing::new(BASE64.decode(digits.as_bytes()).ok()?);
    Ed25519KeyPair::from_pkcs8_maybe_unchecked(&document).ok()
}

fn create_key_file(path: &Path) -> Result<(), LedgerError> {
    let document = Ed25519KeyPair::generate()
        .and_then(|key| key.to_pkcs8v1())
        .expect("the system's random generator works");
    let pem = Zeroizing::new(format!(
        "{PEM_BEGIN}\n{}\n{PEM_END}\n",
        BASE64.encode(document.as_ref())
    ));
    disk::create_secret_once(path, pem.as_bytes()).map_err(LedgerError::from_io(path))
}

/// Former versions left an empty file if the disk was full at their first start.
fn is_empty_file(own: &Path) -> bool {
    std::fs::metadata(own).is_ok_and(|file| file.len() == 0)
}

/// A new key does not help if checkpoints were signed with the lost one.
fn check_no_checkpoints(folder: &LedgerFolder, own: &Path) -> Result<(), LedgerError> {
    match folder.checkpoint_sizes()?.is_empty() {
        true => Ok(()),
        false => Err(LedgerError::EmptyKey(own.to_owned())),
    }
}

fn rename_empty_key(own: &Path) -> Result<(), LedgerError> {
    let aside = own.with_extension("pem.empty");
    std::fs::rename(own, &aside).map_err(LedgerError::from_io(own))?;
    tracing::warn!(file = %own.display(), aside = %aside.display(), "the ledger's key file is \
        empty and signed nothing; it is created again");
    Ok(())
}

impl PublicKey {
    /// The verifier key for signatures under this name; its hash depends on the name.
    pub fn to_verifier_key(&self, name: &str) -> String {
        let hash = hex::encode_lower(&self.key_id(name));
        format!("{name}+{hash}+{}", BASE64.encode(self.tagged_bytes()))
    }

    /// Parses a verifier key; `None` if it is malformed, not Ed25519, or its hash does not match.
    pub fn from_verifier_key(text: &str) -> Option<PublicKey> {
        // Base64 contains plus signs as well, so the parts are split from the left.
        let (name, rest) = text.trim().split_once('+')?;
        let (_, key) = rest.split_once('+')?;
        let tagged = BASE64.decode(key).ok()?;
        let key = PublicKey(tagged.strip_prefix(&[ED25519_ALGORITHM])?.try_into().ok()?);
        (key.to_verifier_key(name) == text.trim()).then_some(key)
    }

    /// The four bytes that distinguish keys with the same name.
    pub(super) fn key_id(&self, name: &str) -> [u8; 4] {
        let bytes = [name.as_bytes(), b"\n", &self.tagged_bytes()].concat();
        let [a, b, c, d, ..] = sha256_digest(&bytes);
        [a, b, c, d]
    }

    pub(super) fn has_signed(&self, text: &str, signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(text.as_bytes(), signature)
            .is_ok()
    }

    fn tagged_bytes(&self) -> Vec<u8> {
        [&[ED25519_ALGORITHM][..], &self.0].concat()
    }
}
