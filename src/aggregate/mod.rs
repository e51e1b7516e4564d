//! Stage 5: events become counts per key.
//!
//! [`Table`] holds the memory of the living days (who was here, what was touched, which texts exist) and turns each event into rows
//! of a batch. [`Segment`] adds batches up until the segment is sealed into [`Sums`]; of its attributes ([`AttributeSums`]) it gives away
//! only what is safe to be written ([`Release`]). One thread owns both, so nothing here locks.
//! Every map has a cap; what is beyond it is counted as `(other)` or without its visitor, and [`Overflow`] says how often.

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
