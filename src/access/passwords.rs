//! Passwords, stored as argon2id hashes. One verification deliberately takes about 20 ms and 19
//! MiB; the caller decides on which thread it runs and how many run at once.

use std::ops::RangeInclusive;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};

use super::secret::constant_time_eq;
use crate::config::{self, Secret};

/// The argon2id hash of a password, with a random salt (m = 19 MiB, t = 2, p = 1), as a PHC string.
pub fn hash_password(password: &Secret) -> String {
    let hash = Argon2::default().hash_password(password.expose_secret().as_bytes());
    hash.expect("the parameters are the crate's own")
        .to_string()
}

/// Whether `password` matches a PHC string. A string that cannot be parsed matches nothing.
pub fn verify_password(hash: &str, password: &Secret) -> bool {
    let hash = PasswordHash::new(hash);
    hash.is_ok_and(|hash| {
        Argon2::default()
            .verify_password(password.expose_secret().as_bytes(), &hash)
            .is_ok()
    })
}

/// Whether the number of Unicode characters of a password is in this range, both ends included.
pub fn has_chars(password: &Secret, chars: RangeInclusive<usize>) -> bool {
    chars.contains(&password.expose_secret().chars().count())
}

/// The password login of the operator.
pub struct PasswordLogin {
    user: String,
    hash: String,
}

impl PasswordLogin {
    /// `None` if no password hash is configured, which disables password login.
    pub fn new(access: &config::AccessConfig) -> Option<PasswordLogin> {
        let hash = access.password_hash.expose_secret().to_owned();
        (!hash.is_empty()).then(|| PasswordLogin {
            user: access.user.clone(),
            hash,
        })
    }

    /// Whether name and password are correct. An unknown name takes as long as a wrong password.
    pub fn verify_login(&self, user: &str, password: &Secret) -> bool {
        verify_password(&self.hash, password) & constant_time_eq(&self.user, user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_fits_its_hash_and_no_other_does() {
        let secret = |text: &str| Secret::new(text.to_owned());
        let password = secret("correct horse battery");
        let (one, two) = (hash_password(&password), hash_password(&password));
        assert!(
            one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && one != two,
            "{one}"
        );
        assert!(verify_password(&one, &password) && verify_password(&two, &password));
        assert!(
            !verify_password(&one, &secret("correct horse batter"))
                && !verify_password("", &secret(""))
        );
        assert!(!verify_password("plain", &secret("plain")));
        assert!(has_chars(&secret("äöü"), 3..=3) && !has_chars(&secret("äöü"), 4..=6));
    }
}
