//! Integration tests: each starts the real binary and asks it over HTTP what the collector
//! promises. docs/understand/TESTS.md maps features to files.

#![expect(
    clippy::unwrap_used,
    reason = "a test that meets the unexpected may stop at once"
)]

mod access;
mod ageing;
mod agents;
mod backup;
mod bi_port;
mod budget;
mod canary;
mod cases;
mod cluster;
mod cluster_chaos;
mod coding;
mod compatible;
mod config;
mod consent;
mod counts;
mod crash;
mod demo;
mod differencing;
mod disk;
mod edge;
mod engine;
mod erasure;
mod flood;
mod former;
mod hang;
mod health;
mod held;
mod layers;
mod ledger;
mod mail;
mod many_sites;
mod memory;
mod migrate;
mod money;
mod monitoring;
mod openapi;
mod packaging;
mod pages;
mod pipe;
mod power;
mod private;
mod promises;
mod reference;
mod registry;
mod replicas;
mod reports;
mod retention;
mod segments;
mod shards;
mod signals;
mod skew;
mod soak;
mod steady;
mod store_errors;
mod support;
mod tls;
mod traffic;
mod upgrade;
