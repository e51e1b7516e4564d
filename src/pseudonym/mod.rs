//! Stage 4: pseudonymisation. Distinguishes visitors within a day without identifying them.
//!
//! Invariants:
//! - the day's key is random, lives in memory only and is wiped when the day is over; nothing on
//!   disk can restore it;
//! - a visitor's value is keyed BLAKE3 over site, address and agent: the same person on two sites,
//!   or on two days, has two unrelated values;
//! - so are the values of networks and grants, which are only compared for equality;
//! - all values are wiped when their memory is freed (src/memory.rs), when a table grows as well as
//!   when the day is over;
//! - a value leaves this module only inside [`Event`] and [`MailEvent`], which have no field for an
//!   address, an agent or a whole URL, and it is only used as a key in memory: it has no `Debug`, no
//!   `Serialize`, and only `visits` may use its hash for tables (tests/it/layers.rs). A
//!   [`Pseudonymizer`] keeps the last one to itself, and cannot outlive the caller it is of.

mod day_keys;
mod locked_key;
mod mail;
mod pseudonymize;

pub use day_keys::{DayKey, DayKeys};
pub use locked_key::{KeySource, harden_process};
pub use mail::{MailEvent, MailEventInput, pseudonymize_mail};
pub(crate) use pseudonymize::MembershipHash;
pub use pseudonymize::{Event, Pseudonymizer, StoredVisitorKey, Visitor, VisitorKey};

// Values that distinguish visitors, events that contain them, and the keys they are made with.
crate::unprintable!(
    Event,
    MailEvent,
    Pseudonymizer<'static>,
    StoredVisitorKey,
    Visitor,
    VisitorKey,
    DayKey,
    DayKeys,
);
