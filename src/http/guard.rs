use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::header::{AUTHORIZATION, HOST};

use super::{text, without_port};
use crate::config::{Config, Proxies, Secret};

/// Who is the operator without a session: whoever holds `report.token`; or, where neither that nor a password login is configured,
/// whoever sits on this machine.
pub struct Guard {
    token: Secret,
    login: bool,
    proxies: Proxies,
}

/// What the request shows beside a cookie.
pub fn bearer(request: &HttpRequest) -> Option<&str> {
    request.headers().get(AUTHORIZATION).and_then(text)?.strip_prefix("Bearer ").map(str::trim)
}

/// A page elsewhere can have its own name point at this machine; then the visitor's browser, which sits here, would be asking.
fn named_locally(request: &HttpRequest) -> bool {
    let host = request.headers().get(HOST).and_then(text).map_or("", without_port);
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

impl Guard {
    pub fn new(config: &Config) -> Guard {
        Guard {
            token: Secret::new(config.report.token.expose().to_owned()),
            login: !config.access.password_hash.is_empty(),
            proxies: Proxies::new(&config.proxy.trusted),
        }
    }

    pub fn is_token(&self, guess: &str) -> bool {
        self.token.matches(guess.as_bytes())
    }

    pub fn is_local_operator(&self, request: &HttpRequest) -> bool {
        let open = self.token.is_empty() && !self.login;
        open && self.client(request).is_some_and(|client| client.is_loopback()) && named_locally(request)
    }

    /// A request that came through a proxy on this machine came from elsewhere, trusted proxy or not.
    fn client(&self, request: &HttpRequest) -> Option<IpAddr> {
        let peer = request.peer_addr()?.ip();
        let mut forwarded = request.headers().get_all("x-forwarded-for").filter_map(text).peekable();
        if forwarded.peek().is_some() && !self.proxies.trusts(peer) {
            return None;
        }
        let lines: Vec<&str> = forwarded.collect();
        Some(self.proxies.client(peer, lines.into_iter()))
    }
}
