//! Footfall counts visits without keeping visitors. The modules stand in the order a hit passes them:
//!
//! ```text
//! ingest -> consent -> enrich -> pseudonym -> aggregate -> journal   then the answer goes out
//!                                                          journal -> flush -> store -> report -> web
//! ```
//!
//! `RawHit` holds an address and an agent and cannot be printed; `consent` alone makes an `AdmittedHit` of it; `pseudonym::seal`
//! takes that by value and makes an `Event`, which has no field for either. docs/understand/ARCHITECTURE.md tells the rest.

// What must not be left behind.
pub mod memory;
mod outage;
pub mod unprintable;

// The words.
pub mod clock;
pub mod config;
pub mod event;
mod hex;

// The rules: no I/O, no clock of their own.
pub mod access;
pub mod consent;
pub mod enrich;
pub mod pseudonym;
pub mod publication;

// Beside the way of a hit.
pub mod mail;

pub mod aggregate;

// What lasts.
mod disk;
pub mod journal;
pub mod ledger;
pub mod store;

// The edges.
pub mod flush;
mod http;
pub mod ingest;
pub mod publisher;
pub mod registry;
pub mod report;
pub mod telemetry;
pub mod web;

// The wiring.
pub mod cli;
pub mod demo;
pub mod server;
