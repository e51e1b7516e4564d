//! Stage 5: turns events into counts per key.
//!
//! [`Table`] holds the state of the current days (visitors, what they touched, texts) and turns
//! each event into rows of a batch. [`Segment`] sums batches until it is closed into [`Sums`]; of
//! its attributes ([`AttributeSums`]) it releases only what is safe to write ([`Release`]). One
//! thread owns both, so nothing here locks. Every map has a limit; what exceeds it is counted as
//! `(other)` or without its visitor, and [`Overflow`] says how often.

mod aggregator;
mod attributes;
mod batch;
mod day_state;
mod duplicates;
mod held_attributes;
mod interner;
mod segment;
mod sums;

pub use aggregator::{Aggregator, AggregatorLimits, CountedEvent, OverflowCounts};
pub use attributes::{AttributeCounts, AttributeKey, AttributeSums};
pub use batch::SegmentDelta;
pub use held_attributes::{ReleasePolicy, ReleaseScope};
pub use segment::SegmentBuilder;
pub use sums::{
    DailyKey, DropKey, FaultKey, HourlyKey, MailKey, MoneyKey, SegmentSums, StringId, VitalKey,
};
