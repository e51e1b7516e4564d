//! The keys that sign pixels and links. The first of the file signs, all of them are believed: a new key goes on top, an old one goes
//! once its last mail has expired.

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign, verify};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::config::Secret;

/// A shorter secret can be guessed from one mail.
const FEWEST_BYTES: usize = 32;

pub struct Keys(Vec<(Box<str>, Key)>);

/// Says where, never what: the line holds a secret.
#[derive(thiserror::Error, PartialEq, Debug)]
pub enum BadKeys {
    #[error(
        "line {0} is no id (1 to 16 letters, digits, _ and -), a space and a secret of at least {FEWEST_BYTES} bytes"
    )]
    Line(usize),
    #[error("line {0} has the id of a line before it")]
    Twice(usize),
    #[error("it holds no key")]
    None,
}

impl Keys {
    pub fn read(file: &Secret) -> Result<Keys, BadKeys> {
        let mut keys: Vec<(Box<str>, Key)> = Vec::new();
        for (place, line) in file.expose().lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (id, secret) = line.split_once(' ').ok_or(BadKeys::Line(place + 1))?;
            if !is_key_id(id) || secret.len() < FEWEST_BYTES {
                return Err(BadKeys::Line(place + 1));
            }
            if keys.iter().any(|(known, _)| **known == *id) {
                return Err(BadKeys::Twice(place + 1));
            }
            keys.push((id.into(), Key::new(HMAC_SHA256, secret.as_bytes())));
        }
        if keys.is_empty() { Err(BadKeys::None) } else { Ok(Keys(keys)) }
    }

    /// A line for the file, with a new secret.
    pub fn new_line(id: &str) -> Secret {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).expect("the system's random generator works");
        Secret::new(format!("{id} {}\n", URL_SAFE_NO_PAD.encode(secret)))
    }

    /// The id of the key that signs.
    pub(super) fn id(&self) -> &str {
        &self.0[0].0
    }

    pub(super) fn sign(&self, message: &str) -> String {
        URL_SAFE_NO_PAD.encode(sign(&self.0[0].1, message.as_bytes()))
    }

    /// In constant time. A signature has one text: no padding, no stray bits.
    pub(super) fn is_signed(&self, id: &str, message: &str, signature: &str) -> bool {
        let Some((_, key)) = self.0.iter().find(|(known, _)| **known == *id) else { return false };
        URL_SAFE_NO_PAD.decode(signature).is_ok_and(|tag| verify(key, message.as_bytes(), &tag).is_ok())
    }
}

pub fn is_key_id(id: &str) -> bool {
    (1..=16).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Keys, BadKeys> {
        Keys::read(&Secret::new(text.to_owned()))
    }

    #[test]
    fn the_first_key_signs_and_the_others_are_believed() {
        let (one, two) = ("one aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", "two bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\n");
        let old = read(one).unwrap();
        let signature = old.sign("message");
        let rotated = read(&format!("# new\n{two}\n{one}")).unwrap();
        assert_eq!((old.id(), rotated.id()), ("one", "two"));
        assert!(rotated.is_signed("one", "message", &signature));
        assert!(!rotated.is_signed("two", "message", &signature));
        assert!(!read(two).unwrap().is_signed("one", "message", &signature));
    }

    #[test]
    fn a_bad_line_is_named_and_not_shown() {
        for (text, expected) in [
            ("", BadKeys::None),
            ("# only a remark", BadKeys::None),
            ("one short", BadKeys::Line(1)),
            ("\na/b aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", BadKeys::Line(2)),
            ("a aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\na bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", BadKeys::Twice(2)),
        ] {
            assert_eq!(read(text).err(), Some(expected), "{text}");
        }
        assert!(read(Keys::new_line("k1").expose()).is_ok());
    }
}
