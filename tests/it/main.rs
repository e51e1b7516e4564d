//! What the collector promises, asked of the real program from outside.

mod counts;
mod reference;
mod support;
mod traffic;
