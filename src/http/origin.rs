//! The origin of a request: the client's address, the requested host, and whether one of the
//! collector's pages sent it.

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::header::{COOKIE, HOST, HeaderName, ORIGIN};

use super::trusted_proxies::TrustedProxies;
use super::{any_list_item, first_host, header_text, host_name, strip_port};
use crate::event::{ClientAddress, RequestCookies, RequestSignals};

/// Determines the origin of requests, with the help of trusted proxies.
pub struct OriginResolver(TrustedProxies);

impl OriginResolver {
    /// `proxies` are the addresses whose forwarding headers are trusted.
    pub fn new(proxies: TrustedProxies) -> OriginResolver {
        OriginResolver(proxies)
    }

    /// Whether a page of the same origin sent the request; only such a page may decide for its
    /// visitor. A request without both `Sec-Fetch-Site` and `Origin` is rejected.
    pub fn is_same_origin(&self, request: &HttpRequest) -> bool {
        let fetched = request_header(request, "sec-fetch-site");
        let origin = request
            .headers()
            .get(ORIGIN)
            .map(|value| header_text(value).unwrap_or("null"));
        let of_page = origin.map(|origin| origin.split_once("://").map_or("", |(_, host)| host));
        let same_host = of_page
            .map(|host| !host.is_empty() && is_same_authority(host, self.requested_host(request)));
        match (fetched, same_host) {
            (None, None) | (_, Some(false)) => false,
            (Some(site), _) => site == "same-origin",
            (None, Some(true)) => true,
        }
    }

    /// The host that the browser requested, with its port; empty if it is missing.
    pub fn requested_host<'r>(&self, request: &'r HttpRequest) -> &'r str {
        let forwarded = request_header(request, "x-forwarded-host").and_then(first_host);
        forwarded
            .filter(|_| self.0.is_trusted(peer_address(request)))
            .or_else(|| request.headers().get(HOST).and_then(header_text))
            .unwrap_or("")
    }

    /// The client's address behind the trusted proxies.
    pub fn client_address(&self, request: &HttpRequest) -> ClientAddress {
        let lines: Vec<&str> = request
            .headers()
            .get_all("x-forwarded-for")
            .filter_map(header_text)
            .collect();
        ClientAddress::new(
            self.0
                .client_address(peer_address(request), lines.into_iter()),
        )
    }

    /// The opt-out signals of a request. `prefetch` is always `false`.
    pub fn opt_out_signals(request: &HttpRequest) -> RequestSignals {
        let any = |name: &'static str, is: fn(&[u8]) -> bool| {
            request
                .headers()
                .get_all(name)
                .any(|value| any_list_item(value.as_bytes(), is))
        };
        RequestSignals {
            gpc: any("sec-gpc", RequestSignals::is_gpc),
            dnt: any("dnt", RequestSignals::is_dnt),
            prefetch: false,
        }
    }

    /// The cookies of a request.
    pub fn parse_cookies(request: &HttpRequest) -> RequestCookies<'_> {
        let mut cookies = RequestCookies::default();
        request
            .headers()
            .get_all(COOKIE)
            .for_each(|line| cookies.push_line(line.as_bytes()));
        cookies
    }
}

/// Compares host and port of both; a trailing dot of the host is ignored.
fn is_same_authority(one: &str, other: &str) -> bool {
    fn port_suffix(authority: &str) -> &str {
        &authority[strip_port(authority).len()..]
    }
    host_name(one).eq_ignore_ascii_case(host_name(other)) && port_suffix(one) == port_suffix(other)
}

fn request_header<'r>(request: &'r HttpRequest, name: &'static str) -> Option<&'r str> {
    request
        .headers()
        .get(HeaderName::from_static(name))
        .and_then(header_text)
}

/// The address at the other end of the connection, usually a proxy.
pub fn peer_address(request: &HttpRequest) -> IpAddr {
    request
        .peer_addr()
        .map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.ip())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn only_a_page_of_the_same_origin_may_decide() {
        let origins = OriginResolver::new(TrustedProxies::new(&[]));
        for (fields, expected) in [
            (
                &[
                    ("sec-fetch-site", "same-origin"),
                    ("origin", "https://a.test"),
                ][..],
                true,
            ),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("origin", "http://a.test")], true),
            (
                &[
                    ("sec-fetch-site", "same-site"),
                    ("origin", "https://a.test"),
                ],
                false,
            ),
            (
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "https://b.test"),
                ],
                false,
            ),
            (&[("sec-fetch-site", "none")], false),
            (
                &[("sec-fetch-site", "same-origin"), ("origin", "null")],
                false,
            ),
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
            assert_eq!(
                origins.is_same_origin(&request.to_http_request()),
                expected,
                "{fields:?}"
            );
        }
    }
}
