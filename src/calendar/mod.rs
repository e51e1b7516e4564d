//! Time zones, calendar days in them, and instants. No I/O, and no clock: `clock` has the current
//! time.

mod day;
mod day_range;
mod day_span;
mod time_span;
mod zone_table;

pub use day::{Day, Millis};
pub use day_range::{DateRange, DayRange, HourRange};
pub use day_span::{DaySpan, GRACE_PERIOD};
pub use time_span::TimeSpan;
pub use zone_table::{ZoneId, ZoneTable};
