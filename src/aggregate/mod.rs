//! Stage 5: events become counts per key.

mod sums;

pub use sums::{DailyKey, DropKey, HourlyKey, MoneyKey, Sums, Sym};
