//! Types that all stages share: what a hit is, what is counted, and why a hit is dropped.
//!
//! Nothing here does I/O or reads a clock. Lists (subjects, dimensions, counters, drop reasons) are
//! declared once, in tables; SQL, JSON and documentation derive from them.

mod cookies;
mod counts;
mod currency;
mod day;
mod fault;
mod mail;
mod problem;
mod raw;
mod refusal;
mod site;
mod subject;
mod vital;

pub use cookies::Cookies;
pub use counts::{Counter, Counts};
pub use currency::{minor_digits, most_minor, over};
pub use day::{Day, Millis};
pub use fault::FaultKind;
pub use mail::{MailAction, Reader};
pub use problem::Problem;
pub use raw::{Address, Agent, Caller, Detail, Ground, Hints, Kind, Payload, RawHit, Signals};
pub use refusal::Refusal;
pub use site::{REST, SiteId};
pub use subject::{Dimension, NONE, OTHER, Subject, UNKNOWN};
pub use vital::{Bucket, Metric, Rating};
