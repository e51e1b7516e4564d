//! Who may see what: principals and their rights, sessions, tokens, share links, passwords, and the record of who changed what.
//!
//! Rules only. `web` asks them of each request, `store` keeps what lasts. A secret that is made here leaves once, in a cookie or an
//! answer; what stays is a digest of it.

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
