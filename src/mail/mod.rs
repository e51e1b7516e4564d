//! Pixels and links in the platform's mails: what their tokens say, who loads them, what is remembered for some seconds.
//!
//! What must hold:
//! - a token says which mail it is of, never whose; all recipients of a batch get the same one;
//! - what is signed for one recipient alone is refused, as far as it can be told from what all of them share;
//! - whoever cannot sign cannot count, and cannot make a link of ours lead anywhere;
//! - an address and an agent are judged while the request lasts; only the verdict goes on.
//!
//! Rules only: `ingest` answers the requests, `web` mints and reports.

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
