//! The origin of a request: the client's address, the host it asked for, and whether one of our
//! pages sent it.

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::header::{COOKIE, HOST, HeaderName, ORIGIN};

use super::{any_of, first_host, host_name, text, without_port};
use crate::config::Proxies;
use crate::event::{Address, Cookies, Signals};

/// Determines the origin of requests, with the help of trusted proxies.
pub struct Origins(Proxies);

impl Origins {
    /// `proxies` are the addresses whose forwarding headers are believed.
    pub fn new(proxies: Proxies) -> Origins {
        Origins(proxies)
    }

    /// Whether a page of the same origin sent the request; only such a page may decide for its
    /// visitor. A request without both `Sec-Fetch-Site` and `Origin` is rejected.
    pub fn same(&self, request: &HttpRequest) -> bool {
        let fetched = field(request, "sec-fetch-site");
        let origin = request.headers().get(ORIGIN).map(|value| text(value).unwrap_or("null"));
        let of_page = origin.map(|origin| origin.split_once("://").map_or("", |(_, host)| host));
        let same_host = of_page.map(|host| !host.is_empty() && is_same(host, self.host(request)));
        match (fetched, same_host) {
            (None, None) | (_, Some(false)) => false,
            (Some(site), _) => site == "same-origin",
            (None, Some(true)) => true,
        }
    }

    /// The host that the browser asked for, with its port; empty if it is missing.
    pub fn host<'r>(&self, request: &'r HttpRequest) -> &'r str {
        let forwarded = field(request, "x-forwarded-host").and_then(first_host);
        forwarded
            .filter(|_| self.0.trusts(peer(request)))
            .or_else(|| request.headers().get(HOST).and_then(text))
            .unwrap_or("")
    }

    /// The client's address behind the trusted proxies.
    pub fn address(&self, request: &HttpRequest) -> Address {
        let lines: Vec<&str> = request.headers().get_all("x-forwarded-for").filter_map(text).collect();
        Address::new(self.0.client(peer(request), lines.into_iter()))
    }

    /// The opt-out signals of a request. `prefetch` is always `false`.
    pub fn signals(request: &HttpRequest) -> Signals {
        let any = |name: &'static str, is: fn(&[u8]) -> bool| {
            request.headers().get_all(name).any(|value| any_of(value.as_bytes(), is))
        };
        Signals { gpc: any("sec-gpc", Signals::is_gpc), dnt: any("dnt", Signals::is_dnt), prefetch: false }
    }

    /// The cookies of a request.
    pub fn cookies(request: &HttpRequest) -> Cookies<'_> {
        let mut cookies = Cookies::default();
        request.headers().get_all(COOKIE).for_each(|line| cookies.add(line.as_bytes()));
        cookies
    }
}

/// Compares host and port of both; a trailing dot of the host is ignored.
fn is_same(one: &str, other: &str) -> bool {
    fn port(authority: &str) -> &str {
        &authority[without_port(authority).len()..]
    }
    host_name(one).eq_ignore_ascii_case(host_name(other)) && port(one) == port(other)
}

fn field<'r>(request: &'r HttpRequest, name: &'static str) -> Option<&'r str> {
    request.headers().get(HeaderName::from_static(name)).and_then(text)
}

/// The address at the other end of the connection, usually a proxy.
pub fn peer(request: &HttpRequest) -> IpAddr {
    request.peer_addr().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn only_a_page_of_the_same_origin_may_decide() {
        let origins = Origins::new(Proxies::new(&[]));
        for (fields, expected) in [
            (&[("sec-fetch-site", "same-origin"), ("origin", "https://a.test")][..], true),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("origin", "http://a.test")], true),
            (&[("sec-fetch-site", "same-site"), ("origin", "https://a.test")], false),
            (&[("sec-fetch-site", "cross-site"), ("origin", "https://b.test")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "same-origin"), ("origin", "null")], false),
            (&[("origin", "https://a.test.b.test")], false),
            (&[("origin", "https://a.test.")], true),
            (&[("origin", "https://A.test.:8443")], false),
            (&[("origin", "https://a.test:8443")], false),
            (&[("origin", "a.test")], false),
            (&[], false),
        ] {
            let mut request = TestRequest::default().insert_header(("host", "a.test"));
            for field in fields {
                request = request.append_header(*field);
            }
            assert_eq!(origins.same(&request.to_http_request()), expected, "{fields:?}");
        }
    }
}
