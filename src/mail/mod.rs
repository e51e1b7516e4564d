//! Pixels and links in the platform's mails: the content of their tokens, the classification of who
//! loads them, and what is kept in memory about a sender for some seconds.
//!
//! Invariants:
//! - a token identifies the mail, never the recipient; all recipients of a batch get the same one;
//! - values signed for a single recipient are refused, as far as they can be detected;
//! - without the signing key, nothing can be counted and no link of ours can be made to lead
//!   elsewhere;
//! - an address and an agent are used only during the request; only the reader's class goes on.
//!
//! Rules only, no HTTP: `ingest` answers the requests, `web` signs and reports.

mod desk;
mod judge;
mod keys;
mod lists;
mod mint;
mod opened;
mod signed;
mod target;
mod token;
mod watch;

pub use desk::{Desk, Messages};
pub use judge::{Judge, Load};
pub use keys::{BadKeys, Keys, is_key_id};
pub use lists::ListsError;
pub use mint::{BadOrder, Mint, Minted, Order, Target};
pub use opened::Opened;
pub use signed::{NotSigned, Signed};
pub use target::tagged;
pub use token::{Click, Mail};
pub use watch::{Sender, Watch};
