//! Authentication and authorisation: principals and their permissions, sessions, tokens, share
//! links, passwords, and the audit log.
//!
//! This module holds the rules only. `web` applies them to each request, and `store` keeps what
//! must persist. A secret that is generated here leaves once, in a cookie or a response; only its
//! digest is kept.

mod audit;
mod keys;
mod passwords;
mod rights;
mod seal;
mod secret;
mod sessions;
mod spent;

pub use audit::{Act, Entry};
pub use keys::{ApiToken, Keys, Scope, Share, message, new_message};
pub use passwords::{Login, has_chars, hash, verify};
pub use rights::{Denied, Right, Who};
pub use seal::Seal;
pub use secret::{Digest, new_id};
pub use sessions::{SessionId, Sessions};
pub use spent::{Spending, Spent};
