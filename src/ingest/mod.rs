//! Stage 1: the HTTP endpoints for hits. Reads the request within its limits, makes
//! [`crate::consent::RawHit`]s, submits what the gate admits, and responds once the counts are on
//! disk.
//!
//! Counted, dropped and repeated hits get the same response, byte for byte, so that it reveals
//! nothing to the page. Hits that cannot be parsed are skipped, and the response lists them.

mod compat;
mod error;
mod forward;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz_target;
mod headers;
pub mod mail;
mod native;
mod preview;
mod sender;
mod service;
mod site_match;
mod visit_cookies;
mod wire;

pub use compat::register_compat_routes;
pub use native::post_hit;
pub use preview::{PreviewRow, ViewPreview};
pub use service::IngestService;
