//! Time zones, calendar days in them, and instants. No I/O, and no clock: `clock` has the current
//! time.

mod day;
mod day_span;
mod zone_table;

pub use day::{Day, Millis};
pub use day_span::{DaySpan, GRACE_MILLIS};
pub use zone_table::{ZoneId, ZoneTable};
