//! The Ed25519 key that signs checkpoints, and its public half.
//!
//! The private key is PKCS#8 in PEM, as `openssl genpkey -algorithm ed25519` writes it. The public one is a verifier key as C2SP's
//! signed notes have it: `<name>+<8 hex digits>+<base64 of 0x01 and 32 bytes>`.

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
/// What Ed25519 is called in a signed note.
const ALGORITHM: u8 = 1;

pub struct SigningKey(Ed25519KeyPair);

#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl SigningKey {
    /// The operator's key, or the ledger's own, which is made where there is none.
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

    pub fn read(folder: &Folder, key_file: &str) -> Result<SigningKey, LedgerError> {
        let path = if key_file.is_empty() { folder.key() } else { PathBuf::from(key_file) };
        let text = std::fs::read_to_string(&path).map(Zeroizing::new).map_err(LedgerError::io(&path))?;
        let key = parse(&text).ok_or(LedgerError::Key(path))?;
        Ok(SigningKey(key))
    }

    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.public_key().as_ref().try_into().expect("an Ed25519 key has 32 bytes"))
    }

    pub(super) fn sign(&self, text: &str) -> Vec<u8> {
        self.0.sign(text.as_bytes()).as_ref().to_vec()
    }
}

/// Whether the key that signs can be read: the operator's, which must be there, or the ledger's own in `dir`, where there is one.
///
/// # Errors
/// It is not there, or is no Ed25519 key.
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

/// A full disk left it so where a former version was started for the first time.
fn is_empty(own: &Path) -> bool {
    std::fs::metadata(own).is_ok_and(|file| file.len() == 0)
}

/// Where the key has signed, another one is no cure.
fn has_signed_nothing(folder: &Folder, own: &Path) -> Result<(), LedgerError> {
    match super::checkpoints::sizes(folder)?.is_empty() {
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
    /// As a verifier key; the name it signs by is part of what its hash is made of.
    pub fn text(&self, name: &str) -> String {
        let hash = hex::text(&self.hash(name));
        format!("{name}+{hash}+{}", BASE64.encode(self.tagged()))
    }

    /// `None` for what is no verifier key of Ed25519, or one whose parts do not fit each other.
    pub fn from_text(text: &str) -> Option<PublicKey> {
        // Base64 has a plus of its own: the parts are counted from the left.
        let (name, rest) = text.trim().split_once('+')?;
        let (_, key) = rest.split_once('+')?;
        let tagged = BASE64.decode(key).ok()?;
        let key = PublicKey(tagged.strip_prefix(&[ALGORITHM])?.try_into().ok()?);
        (key.text(name) == text.trim()).then_some(key)
    }

    /// The four bytes that tell keys of one name apart.
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
