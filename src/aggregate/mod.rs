//! Stage 5: turns events into counts per key.
//!
//! [`Aggregator`] holds the state of the current days (visitors, the items they touched, texts) and
//! turns each event into rows of a batch. [`SegmentBuilder`] sums batches until `finish_segment`
//! makes [`SegmentSums`]; it releases only attributes that are safe to write ([`ReleasePolicy`]).
//! One thread owns both, so there are no locks. Every map has a limit; what exceeds it is counted
//! as `(other)` or without its visitor, and [`OverflowCounts`] counts how often.

mod aggregator;
mod attributes;
mod batch;
mod day_state;
mod duplicates;
mod held_attributes;
mod interner;
mod limits;
mod row_writer;
mod segment;
mod sorting;
mod string_id;
mod sums;

pub use aggregator::{Aggregator, CountedEvent};
pub use attributes::{AttributeCounts, AttributeKey, AttributeSums};
pub use batch::SegmentDelta;
pub use held_attributes::{ReleasePolicy, ReleaseScope};
pub use limits::{AggregatorLimits, OverflowCounts};
pub use segment::SegmentBuilder;
pub use string_id::StringId;
pub use sums::{DailyKey, DropKey, FaultKey, HourlyKey, MailKey, MoneyKey, SegmentSums, VitalKey};
