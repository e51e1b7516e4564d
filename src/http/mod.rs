//! Shared by both HTTP edges (`ingest` and `web`): bounded bodies and connections, rate limits,
//! problem responses, and the authentication of operators and platform tokens.

mod body;
mod connection;
mod connection_limit;
mod open_connections;
mod operator_auth;
mod origin;
mod platform_token;
mod problem;
mod rate_limit;
mod request_end;
mod request_eraser;
mod token_attempts;
mod trusted_proxies;

pub use body::{BodyError, read_body};
pub use connection::{BoundedStream, WriteTimeouts};
pub use connection_limit::{ConnectionLimiter, ConnectionPermit, ConnectionStats};
pub use open_connections::{FreezableWork, OpenConnections, TrackedConnection};
pub use operator_auth::{OperatorAuth, bearer_token};
pub use origin::{OriginResolver, peer_address};
pub use platform_token::{HandoverClaims, PlatformTokenVerifier};
pub use problem::configure_extractors;
pub use rate_limit::{MailBudget, RateLimiters};
pub use request_end::TrackRequests;
pub use request_eraser::RequestEraser;
pub use token_attempts::TokenAttemptLimiter;
pub use trusted_proxies::TrustedProxies;

/// Library modules whose log messages, including errors, quote the request.
pub const INPUT_QUOTING_TARGETS: [&str; 1] = ["actix_http"];

/// The number of bytes drained beyond a limit before the connection is closed instead.
pub const MAX_DRAIN_BYTES: usize = 64 * 1024;

/// Removes the port: `host:8080` becomes `host`, `[::1]:8080` becomes `[::1]`.
pub fn strip_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !host.is_empty() => host,
        _ => authority,
    }
}

/// Removes the port and a trailing dot: `host.:8080` becomes `host`.
pub fn host_name(authority: &str) -> &str {
    let host = strip_port(authority);
    host.strip_suffix('.')
        .filter(|host| !host.is_empty())
        .unwrap_or(host)
}

/// The first host of an `X-Forwarded-Host` list, the one that the browser requested: each proxy
/// appends to the end.
pub fn first_host(list: &str) -> Option<&str> {
    list.split(',').map(str::trim).find(|host| !host.is_empty())
}

/// Whether `is` holds for any element of a comma-separated field. Proxies join lines with the same
/// name by commas.
pub fn any_list_item(field: &[u8], is: impl Fn(&[u8]) -> bool) -> bool {
    field.split(|b| *b == b',').any(is)
}

/// A field's value as text; `None` if it is not UTF-8.
pub fn header_text(value: &actix_web::http::header::HeaderValue) -> Option<&str> {
    std::str::from_utf8(value.as_bytes()).ok()
}
