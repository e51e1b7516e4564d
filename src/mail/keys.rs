//! Keys for the signatures of pixels and links. The first key of the file signs; all of them
//! verify. To rotate, add the new key at the top and remove an old one once its last mail has
//! expired.

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign, verify};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::config::Secret;
use crate::key_file::{self, KeyFileError};
use crate::random::random_bytes;

/// Minimum length of a secret: a shorter one could be found by trial from one signed mail.
const MIN_SECRET_BYTES: usize = 32;

/// Key ids and HMAC-SHA256 keys, in the order of the file; at least one.
pub struct MailKeys(Vec<(Box<str>, Key)>);

/// Why a key file is rejected. Names the line only, because its content is secret.
#[derive(thiserror::Error, PartialEq, Debug)]
pub enum MailKeysError {
    /// The line with this number, counted from 1, is malformed.
    #[error(
        "line {0} is not an id (1 to 16 letters, digits, _ and -), a space and a secret of at \
         least {MIN_SECRET_BYTES} bytes"
    )]
    Malformed(usize),
    /// The line with this number, counted from 1, repeats the id of an earlier one.
    #[error("line {0} has the id of a line before it")]
    DuplicateId(usize),
    /// The file has no keys.
    #[error("it holds no key")]
    Empty,
}

impl From<KeyFileError> for MailKeysError {
    fn from(error: KeyFileError) -> MailKeysError {
        match error {
            KeyFileError::MalformedLine(line) => MailKeysError::Malformed(line),
            KeyFileError::DuplicateId(line) => MailKeysError::DuplicateId(line),
            KeyFileError::NoKeys => MailKeysError::Empty,
        }
    }
}

impl MailKeys {
    /// Parses a key file: one key per line, `<id> <secret>`. Empty lines and lines that start with
    /// `#` are skipped.
    ///
    /// # Errors
    ///
    /// A line is malformed or repeats an id (with its number, from 1), or the file has no key.
    pub fn parse(file: &Secret) -> Result<MailKeys, MailKeysError> {
        let keys = key_file::parse_keys(file.expose_secret(), |secret| {
            (secret.len() >= MIN_SECRET_BYTES).then(|| Key::new(HMAC_SHA256, secret.as_bytes()))
        })?;
        Ok(MailKeys(keys))
    }

    /// A line for the file, with a new random secret of 32 bytes.
    pub fn generate_line(id: &str) -> Secret {
        let secret = random_bytes::<32>();
        Secret::new(format!("{id} {}\n", URL_SAFE_NO_PAD.encode(secret)))
    }

    /// Id of the signing key.
    pub(super) fn signing_id(&self) -> &str {
        &self.0[0].0
    }

    pub(super) fn sign(&self, message: &str) -> String {
        URL_SAFE_NO_PAD.encode(sign(&self.0[0].1, message.as_bytes()))
    }

    /// Verifies in constant time. A signature has exactly one encoding: no padding, no stray bits.
    pub(super) fn is_signed(&self, id: &str, message: &str, signature: &str) -> bool {
        let Some((_, key)) = self.0.iter().find(|(known, _)| **known == *id) else {
            return false;
        };
        URL_SAFE_NO_PAD
            .decode(signature)
            .is_ok_and(|tag| verify(key, message.as_bytes(), &tag).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<MailKeys, MailKeysError> {
        MailKeys::parse(&Secret::new(text.to_owned()))
    }

    #[test]
    fn the_first_key_signs_and_the_others_are_believed() {
        let (one, two) = (
            "one aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
            "two bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\n",
        );
        let old = read(one).unwrap();
        let signature = old.sign("message");
        let rotated = read(&format!("# new\n{two}\n{one}")).unwrap();
        assert_eq!((old.signing_id(), rotated.signing_id()), ("one", "two"));
        assert!(rotated.is_signed("one", "message", &signature));
        assert!(!rotated.is_signed("two", "message", &signature));
        assert!(!read(two).unwrap().is_signed("one", "message", &signature));
    }

    #[test]
    fn a_bad_line_is_named_and_not_shown() {
        for (text, expected) in [
            ("", MailKeysError::Empty),
            ("# only a remark", MailKeysError::Empty),
            ("one short", MailKeysError::Malformed(1)),
            (
                "\na/b aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                MailKeysError::Malformed(2),
            ),
            (
                "a aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\na bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
                MailKeysError::DuplicateId(2),
            ),
        ] {
            assert_eq!(read(text).err(), Some(expected), "{text}");
        }
        assert!(read(MailKeys::generate_line("k1").expose_secret()).is_ok());
    }
}
