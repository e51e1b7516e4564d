//! Stage 7: counts in ClickHouse.
pub mod engine;
