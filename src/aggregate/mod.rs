//! Stage 5: turns events into counts per key.
//!
//! [`Table`] holds the state of the current days (visitors, what they touched, texts) and turns
//! each event into rows of a batch. [`Segment`] sums batches until it is closed into [`Sums`]; of
//! its attributes ([`AttributeSums`]) it releases only what is safe to write ([`Release`]). One
//! thread owns both, so nothing here locks. Every map has a limit; what exceeds it is counted as
//! `(other)` or without its visitor, and [`Overflow`] says how often.

mod attributes;
mod batch;
mod book;
mod held;
mod recent;
mod segment;
mod sums;
mod table;
mod texts;

pub use attributes::{AttributeCounts, AttributeKey, AttributeSums};
pub use batch::Delta;
pub use held::{Release, Wanted};
pub use segment::Segment;
pub use sums::{DailyKey, DropKey, FaultKey, HourlyKey, MailKey, MoneyKey, Sums, Sym, VitalKey};
pub use table::{Caps, Counted, Overflow, Table};
