//! What the collector promises, asked of the real program from outside.

mod canary;
mod config;
mod counts;
mod crash;
mod disk;
mod edge;
mod layers;
mod reference;
mod support;
mod traffic;
