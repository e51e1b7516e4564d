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
//! - a value leaves this module only inside [`Event`], which has no field for an address, an agent
//!   or a whole URL, and it is only used as a key in memory: it has no `Debug`, no `Serialize`, and
//!   its bytes are not accessible outside this module.

mod budget;
mod day_keys;
mod live;
mod locked_key;
mod mail;
mod networks;
mod pseudonymize;
mod visits;

pub use budget::{BudgetShare, SharedBudget};
pub use day_keys::{DayKey, DayKeys};
pub use locked_key::{KeySource, harden_process};
pub use mail::{MailEvent, MailEventInput, OpenerSet, OpenerStatus, pseudonymize_mail};
pub use networks::FirstOfNetwork;
pub use pseudonymize::{Event, Visitor, VisitorKey, pseudonymize};
pub use visits::{
    ClosedVisit, VisitEstimate, VisitHit, VisitLimits, VisitLookup, VisitTable, VisitUpdate,
    VisitValues,
};

// Values that distinguish visitors, the types that contain them, and the keys they are made with.
crate::unprintable!(
    Event,
    MailEvent,
    OpenerSet,
    VisitHit<'static>,
    VisitTable,
    Visitor,
    VisitorKey,
    DayKey,
    DayKeys,
);
