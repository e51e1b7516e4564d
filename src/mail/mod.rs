//! Pixels and links in the platform's mails: the content of their tokens, the classification of the
//! clients that load them, and what is kept in memory about a sender for some seconds.
//!
//! Invariants:
//! - a token identifies the mail, never the recipient; all recipients of a batch get the same one;
//! - values signed for a single recipient are rejected, as far as they can be detected;
//! - without the signing key, nothing can be counted and no signed link can be made to lead
//!   elsewhere;
//! - an address and an agent are used only during the request; only the reader's class is kept.
//!
//! Rules only, no HTTP: `ingest` handles the requests, `web` signs and reports.

mod classifier;
mod click_buffer;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz_target;
mod keys;
mod link_signer;
mod opened_queue;
mod reader_lists;
mod service;
mod signed_values;
mod target;
mod token;

pub use classifier::{ReaderClassifier, ReaderSignals};
pub use click_buffer::{ClickBuffer, SenderHash};
pub use keys::{MailKeys, MailKeysError};
pub use link_signer::{LinkSigner, MailLink, SignRequest, SignRequestError, SignedMail};
pub use opened_queue::OpenedQueue;
pub use reader_lists::ReaderListsError;
pub use service::{MailService, MessageConfirmation};
pub use signed_values::{SignedValues, SignedValuesError};
pub use target::add_utm_tags;
pub use token::{LinkFields, MailFields};
