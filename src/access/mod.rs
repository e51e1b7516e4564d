//! Authentication and authorisation: principals and their permissions, sessions, tokens, share
//! links, passwords, and the audit log.
//!
//! This module contains the rules only. `web` applies them to each request, and `store` keeps what
//! must persist. A secret that is generated here leaves once, in a cookie or a response; only its
//! digest is kept.

mod audit;
mod cookie_keys;
mod credentials;
mod passwords;
mod permissions;
mod secret;
mod sessions;
mod signed_out;
mod used_tokens;

pub use audit::{AuditAction, AuditEntry};
pub use cookie_keys::CookieKeys;
pub use credentials::{
    ApiToken, CredentialIndex, ShareLink, TokenScope, generate_message_secret, message_digest,
};
pub use passwords::{PasswordLogin, has_chars, hash_password, verify_password};
pub use permissions::{DenialReason, Permission, Principal};
pub use secret::{SecretDigest, random_id};
pub use sessions::{CookieSessions, Session, SessionDigest, SignInMethod, TooManySites};
pub use signed_out::{SignedOutSessions, format_sign_out, parse_sign_out};
pub use used_tokens::{MAX_USED_TOKENS, TokenUse, UsedToken, UsedTokens, used_token};

// Keys, and secrets that are generated here.
crate::unprintable!(Session, PasswordLogin, CookieKeys);
