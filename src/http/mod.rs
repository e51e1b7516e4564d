//! What both HTTP edges (`ingest` and `web`) need: bodies within limits, problems as answers, who may see an operator's pages.

mod body;
mod connection;
mod crowd;
mod forget;
mod guard;
mod guesses;
mod limit;
mod origin;
mod problem;
mod token;

pub use body::{BodyError, read};
pub use connection::{Connection, Patience};
pub use crowd::{Connected, Crowd, Place};
pub use forget::Forget;
pub use guard::{Guard, bearer};
pub use guesses::Guesses;
pub use limit::{Budget, Rates};
pub use origin::{Origins, peer};
pub use problem::refuse;
pub use token::{Handover, Tokens};

/// Modules of libraries whose log quotes what was sent, errors included.
pub const QUOTING: [&str; 1] = ["actix_http"];

/// What is read past a limit before the connection is closed instead.
pub const DRAIN_BYTES: usize = 64 * 1024;

/// `host:8080` -> `host`, `[::1]:8080` -> `[::1]`.
pub fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !host.is_empty() => host,
        _ => authority,
    }
}

/// `host:8080` -> `host`, and without the dot of the root that a host may end in.
pub fn host_name(authority: &str) -> &str {
    let host = without_port(authority);
    host.strip_suffix('.').filter(|host| !host.is_empty()).unwrap_or(host)
}

/// The host the browser asked, in an `X-Forwarded-Host`: each proxy adds the one it was asked for at the end.
pub fn first_host(list: &str) -> Option<&str> {
    list.split(',').map(str::trim).find(|host| !host.is_empty())
}

/// Whether a field that may be a list of several says so in any of them: proxies join lines of one name by commas.
pub fn any_of(field: &[u8], is: impl Fn(&[u8]) -> bool) -> bool {
    field.split(|b| *b == b',').any(is)
}

/// A field's text; `None` where it is not UTF-8.
pub fn text(value: &actix_web::http::header::HeaderValue) -> Option<&str> {
    std::str::from_utf8(value.as_bytes()).ok()
}
