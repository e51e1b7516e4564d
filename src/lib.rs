//! Footfall counts visits without keeping visitors. A hit passes the modules in this order:
//!
//! ```text
//! ingest -> consent -> enrich -> pseudonym -> aggregate -> journal   then the hit is answered
//! journal -> flush -> store -> report -> web
//! ```
//!
//! `RawHit` holds an address and a user agent and cannot be printed. Only `consent` makes an
//! `AdmittedHit` of it; `pseudonym::Pseudonymizer` takes that by value and makes an `Event`, which
//! has no field for either. Modules are declared below by layer, the lowest first, and use only
//! those declared before them. docs/understand/ARCHITECTURE.md describes the rest.

#![warn(missing_docs)]

// Foundations: closed lists, memory, files, encodings, random bytes, what must not be printed,
// time.
#[macro_use]
mod string_enum;

pub mod budget;
mod disk;
pub mod hex;
mod key_file;
pub mod memory;
mod outage;
mod random;
mod state_codec;
pub mod unprintable;
mod varint;

pub mod calendar;
pub mod clock;

// The vocabulary: types of hits, settings, sites.
pub mod event;

pub mod config;

pub mod sites;

// Rules: no I/O, and time only as an argument.
pub mod access;
pub mod consent;
pub mod enrich;
pub mod pseudonym;
pub mod publication;

// Mails: a second source of counts.
pub mod mail;

pub mod visits;

pub mod aggregate;

// Durable state.
pub mod journal;
pub mod ledger;
pub mod store;

// Other collectors, and the next process of this one.
pub mod cluster;
mod upgrade;

// Background tasks and reports.
pub mod flush;

pub mod backup;
pub mod transfer;

pub mod publisher;
pub mod registry;

mod bi_port;
pub mod report;

pub mod health;
mod http;
pub mod telemetry;

// Edges: HTTP.
pub mod ingest;
pub mod web;

// Checks of parsers, for the fuzz targets in fuzz/ and for the tests that replay what they found.
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;

// Wiring and commands.
pub mod server;

pub mod demo;

pub mod cli;
