//! Passwords, as argon2id hashes. One check takes some 20 ms and 19 MiB by intention; the caller sees to where and how many at once.

use std::ops::RangeInclusive;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};

use super::secret::same_text;
use crate::config::{self, Secret};

/// With a salt of its own: m = 19 MiB, t = 2, p = 1.
pub fn hash(password: &Secret) -> String {
    let hash = Argon2::default().hash_password(password.expose().as_bytes());
    hash.expect("the parameters are the crate's own").to_string()
}

pub fn verify(hash: &str, password: &Secret) -> bool {
    let hash = PasswordHash::new(hash);
    hash.is_ok_and(|hash| Argon2::default().verify_password(password.expose().as_bytes(), &hash).is_ok())
}

pub fn has_chars(password: &Secret, chars: RangeInclusive<usize>) -> bool {
    chars.contains(&password.expose().chars().count())
}

/// The operator's password login.
pub struct Login {
    user: String,
    hash: String,
}

impl Login {
    /// `None`: nobody signs in with a password.
    pub fn new(access: &config::Access) -> Option<Login> {
        let hash = access.password_hash.expose().to_owned();
        (!hash.is_empty()).then(|| Login { user: access.user.clone(), hash })
    }

    /// The same work for a name that is nobody's.
    pub fn fits(&self, user: &str, password: &Secret) -> bool {
        verify(&self.hash, password) & same_text(&self.user, user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_fits_its_hash_and_no_other_does() {
        let secret = |text: &str| Secret::new(text.to_owned());
        let password = secret("correct horse battery");
        let (one, two) = (hash(&password), hash(&password));
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && one != two, "{one}");
        assert!(verify(&one, &password) && verify(&two, &password));
        assert!(!verify(&one, &secret("correct horse batter")) && !verify("", &secret("")));
        assert!(!verify("plain", &secret("plain")));
        assert!(has_chars(&secret("äöü"), 3..=3) && !has_chars(&secret("äöü"), 4..=6));
    }
}
