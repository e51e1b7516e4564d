//! Footfall counts visits without keeping visitors.

pub mod clock;
pub mod config;
pub mod event;

pub mod enrich;

pub mod aggregate;
