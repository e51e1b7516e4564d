//! Stage 4: pseudonymisation. Tells visitors apart within a day without identifying them.
//!
//! Invariants:
//! - the day's key is random, lives in memory only and is wiped when the day is over; nothing on
//!   disk can restore it;
//! - a visitor's value is keyed BLAKE3 over site, address and agent: the same person on two sites,
//!   or on two days, has two unrelated values;
//! - so are the values of networks and grants, which are only ever compared for equality;
//! - all values are wiped when their memory is freed (src/memory.rs), when a table grows as well as
//!   when the day is over;
//! - a value leaves this module only inside [`Event`], which has no field for an address, an agent
//!   or a whole URL, and it is only used as a key in memory: it has no `Debug`, no `Serialize`, and
//!   its bytes are not accessible outside this module.

mod cap;
mod day;
mod firsts;
mod live;
mod mail;
mod salt;
mod seal;
mod visits;

pub use cap::{Cap, Portion};
pub use day::{DayKey, DayKeys, DaySpan};
pub use firsts::FirstOf;
pub use mail::{Done, MailEvent, Openers, Opening, seal_mail};
pub use salt::{KeySource, harden_process};
pub use seal::{Event, Visitor, VisitorKey, seal};
pub use visits::{ClosedVisit, Foreseen, Held, Seen, Touch, VisitCaps, VisitValues, Visits};
