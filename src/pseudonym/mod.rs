//! Stage 4: who is told from whom, without anybody being known.
//!
//! What must hold:
//! - the day's key is random, lives in memory only and is wiped when the day is over; nothing on disk can bring it back;
//! - a visitor's value is keyed BLAKE3 over site, address and agent: the same person on two sites, or on two days, is two
//!   unrelated values;
//! - so are the values of networks and grants, of which the day's memory needs to know only whether one came before;
//! - all of them are wiped when their memory is freed (src/memory.rs): when a table grows, and when the day is over;
//! - the value leaves this folder only inside [`Event`], which has no field for an address, an agent or a whole URL, and is only
//!   ever used as a key in memory: it has no `Debug`, no `Serialize`, and no way to its bytes outside this folder.

mod day;
mod firsts;
mod live;
mod mail;
mod salt;
mod seal;
mod visits;

pub use day::{DayKey, DayKeys, DaySpan};
pub use firsts::FirstOf;
pub use mail::{Done, MailEvent, Openers, Opening, seal_mail};
pub use salt::{KeySource, harden_process};
pub use seal::{Event, Visitor, VisitorKey, seal};
pub use visits::{ClosedVisit, Held, Seen, Touch, VisitCaps, VisitValues, Visits};
