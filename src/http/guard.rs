use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::header::{AUTHORIZATION, HOST};

use super::{text, without_port};
use crate::config::{Config, Proxies, Secret};

/// Who may read reports and metrics: whoever holds the token, or, where none is set, whoever sits on this machine.
pub struct Guard {
    token: Secret,
    proxies: Proxies,
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
            proxies: Proxies::new(&config.proxy.trusted),
        }
    }

    pub fn admits(&self, request: &HttpRequest) -> bool {
        if self.token.is_empty() {
            return self.client(request).is_some_and(|client| client.is_loopback()) && named_locally(request);
        }
        let field = request.headers().get(AUTHORIZATION).and_then(text);
        field
            .and_then(|field| field.strip_prefix("Bearer "))
            .is_some_and(|guess| self.token.matches(guess.trim().as_bytes()))
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
