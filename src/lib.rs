//! Footfall counts visits without keeping visitors. A hit passes the modules in this order:
//!
//! ```text
//! ingest -> consent -> enrich -> pseudonym -> aggregate -> journal   then the hit is answered
//! journal -> flush -> store -> report -> web
//! ```
//!
//! `RawHit` holds an address and a user agent and cannot be printed. Only `consent` makes an
//! `AdmittedHit` of it; `pseudonym::pseudonymize` takes that by value and makes an `Event`, which
//! has no field for either. Modules are declared below by layer, the lowest first.
//! docs/understand/ARCHITECTURE.md describes the rest.

// Wiping of memory, logging of outages, and proofs that secrets cannot be printed.
pub mod memory;
mod outage;
pub mod unprintable;

// The vocabulary: settings, time and types of hits.
pub mod clock;
pub mod config;
pub mod event;
mod hex;

// Rules: no I/O, and time only as an argument.
pub mod access;
pub mod consent;
pub mod enrich;
pub mod pseudonym;
pub mod publication;

// Mails: a second source of counts.
pub mod mail;

pub mod aggregate;

// Durable state.
mod disk;
pub mod journal;
pub mod ledger;
pub mod store;

// Edges: HTTP, background tasks, reports.
pub mod flush;
pub mod health;
mod http;
pub mod ingest;
pub mod publisher;
pub mod registry;
pub mod report;
pub mod telemetry;
pub mod web;

// Wiring and commands.
pub mod cli;
pub mod demo;
pub mod server;
