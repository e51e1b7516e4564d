//! Passwords, as argon2id hashes. One check takes some 20 ms and 19 MiB by intention; the caller sees to where and how many at once.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};

/// With a salt of its own: m = 19 MiB, t = 2, p = 1.
pub fn hash(password: &str) -> String {
    let hash = Argon2::default().hash_password(password.as_bytes()).expect("the parameters are the crate's own");
    hash.to_string()
}

pub fn verify(hash: &str, password: &str) -> bool {
    let hash = PasswordHash::new(hash);
    hash.is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_fits_its_hash_and_no_other_does() {
        let (one, two) = (hash("correct horse battery"), hash("correct horse battery"));
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && one != two, "{one}");
        assert!(verify(&one, "correct horse battery") && verify(&two, "correct horse battery"));
        assert!(!verify(&one, "correct horse batter") && !verify("", "") && !verify("plain", "plain"));
    }
}
