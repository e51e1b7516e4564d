//! Recognises the operator without a session.

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::header::{AUTHORIZATION, HOST};

use super::trusted_proxies::TrustedProxies;
use super::{header_text, strip_port};
use crate::config::{Config, Secret};

/// Authenticates the operator by `report.token`; or, if neither the token nor a password login is
/// configured, by a connection from this machine.
pub struct OperatorAuth {
    token: Secret,
    has_login: bool,
    proxies: TrustedProxies,
}

/// The bearer token of a request; `None` if there is none.
pub fn bearer_token(request: &HttpRequest) -> Option<&str> {
    request
        .headers()
        .get(AUTHORIZATION)
        .and_then(header_text)?
        .strip_prefix("Bearer ")
        .map(str::trim)
}

/// Whether the `Host` header names this machine. A page elsewhere can point its own name to this
/// machine, and then a browser here would send the request (DNS rebinding).
fn has_local_host(request: &HttpRequest) -> bool {
    let host = request
        .headers()
        .get(HOST)
        .and_then(header_text)
        .map_or("", strip_port);
    let address = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

impl OperatorAuth {
    /// Reads the token, the login and the trusted proxies of the configuration.
    pub fn new(config: &Config) -> OperatorAuth {
        OperatorAuth {
            token: Secret::new(config.report.token.expose_secret().to_owned()),
            has_login: !config.access.password_hash.is_empty(),
            proxies: TrustedProxies::new(&config.proxy.trusted),
        }
    }

    /// Whether `guess` is `report.token`. Compares in constant time; an empty token matches
    /// nothing.
    pub fn is_operator_token(&self, guess: &str) -> bool {
        self.token.matches(guess.as_bytes())
    }

    /// Whether the request comes from this machine and no other authentication is configured.
    pub fn is_local_operator(&self, request: &HttpRequest) -> bool {
        let open = self.token.is_empty() && !self.has_login;
        open && self
            .client_address(request)
            .is_some_and(|client| client.is_loopback())
            && has_local_host(request)
    }

    /// A request that came through a proxy on this machine came from elsewhere, whether or not the
    /// proxy is trusted.
    fn client_address(&self, request: &HttpRequest) -> Option<IpAddr> {
        let peer = request.peer_addr()?.ip();
        let mut forwarded = request
            .headers()
            .get_all("x-forwarded-for")
            .filter_map(header_text)
            .peekable();
        if forwarded.peek().is_some() && !self.proxies.is_trusted(peer) {
            return None;
        }
        let lines: Vec<&str> = forwarded.collect();
        Some(self.proxies.client_address(peer, lines.into_iter()))
    }
}
