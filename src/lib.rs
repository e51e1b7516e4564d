//! Footfall counts visits without keeping visitors.

pub mod clock;
pub mod config;
pub mod event;

pub mod consent;
pub mod enrich;
pub mod pseudonym;
pub mod aggregate;
pub mod journal;
