//! The header fields of a request that matter to a hit, collected in one pass instead of one
//! look-up per name. The consent signals are read here, exactly as their standards define them.

mod forwarded;

use actix_web::http::header::HeaderMap;

use crate::event::{ClientHints, RequestCookies, RequestSignals, UserAgent};
use crate::http::{any_list_item, first_host, header_text, host_name};

/// Borrowed from the request. Deliberately without `Debug`.
#[derive(Default)]
pub(super) struct RequestHeaders<'a> {
    pub(super) field_count: usize,
    pub(super) byte_count: usize,
    pub(super) has_encoded_body: bool,
    pub(super) host: &'a str,
    /// First value of `X-Forwarded-Host`: the host of the browser's request, if the proxies are
    /// trusted.
    pub(super) forwarded_host: Option<&'a str>,
    /// Values of `X-Forwarded-For`, in order.
    pub(super) forwarded_for: Vec<&'a str>,
    pub(super) language: Option<&'a str>,
    pub(super) cookies: RequestCookies<'a>,
    /// Bearer token by which a server proves that it belongs to a site.
    pub(super) bearer: Option<&'a str>,
    origin: Option<&'a str>,
    agent: &'a str,
    brands: Option<&'a str>,
    mobile: Option<&'a str>,
    platform: Option<&'a str>,
    gpc: bool,
    dnt: bool,
    prefetch: bool,
    cross_site: bool,
}

impl<'a> RequestHeaders<'a> {
    pub(super) fn from_header_map(headers: &'a HeaderMap) -> RequestHeaders<'a> {
        let mut fields = RequestHeaders::default();
        for (name, value) in headers {
            fields.field_count += 1;
            fields.byte_count += name.as_str().len() + value.len() + 4;
            let bytes = value.as_bytes();
            match name.as_str() {
                "host" => fields.host = header_text(value).unwrap_or(""),
                "user-agent" => fields.agent = header_text(value).unwrap_or(""),
                "cookie" => fields.cookies.push_line(bytes),
                "accept-language" => fields.language = header_text(value),
                "authorization" => {
                    fields.bearer = header_text(value).and_then(|text| text.strip_prefix("Bearer "))
                }
                // An origin that is not text matches no host.
                "origin" => fields.origin = Some(header_text(value).unwrap_or("null")),
                "x-forwarded-for" => fields.forwarded_for.extend(header_text(value)),
                "x-forwarded-host" => {
                    fields.forwarded_host = fields
                        .forwarded_host
                        .or(header_text(value).and_then(first_host))
                }
                "sec-ch-ua" => fields.brands = header_text(value),
                "sec-ch-ua-mobile" => fields.mobile = header_text(value),
                "sec-ch-ua-platform" => fields.platform = header_text(value),
                "sec-fetch-site" => fields.cross_site |= bytes == b"cross-site",
                // One exact 1 among several fields is enough; anything else is ignored.
                "sec-gpc" => fields.gpc |= any_list_item(bytes, RequestSignals::is_gpc),
                "dnt" => fields.dnt |= any_list_item(bytes, RequestSignals::is_dnt),
                "sec-purpose" | "purpose" | "x-purpose" | "x-moz" => {
                    fields.prefetch |= is_prefetch_value(bytes)
                }
                "content-encoding" => fields.has_encoded_body |= bytes != b"identity",
                _ => {}
            }
        }
        fields
    }

    pub(super) fn agent(&self) -> UserAgent<'a> {
        UserAgent::new(self.agent)
    }

    pub(super) fn hints(&self) -> ClientHints<'a> {
        ClientHints {
            brands: self.brands,
            mobile: self.mobile,
            platform: self.platform,
        }
    }

    pub(super) fn signals(&self) -> RequestSignals {
        RequestSignals {
            gpc: self.gpc,
            dnt: self.dnt,
            prefetch: self.prefetch,
        }
    }

    /// Whether a page of the host can have sent this request: not `Sec-Fetch-Site: cross-site`, and
    /// an `Origin`, if any, of that host.
    pub(super) fn can_be_sent_by(&self, page_host: &str) -> bool {
        let Some(origin) = self.origin else {
            return !self.cross_site;
        };
        let host = origin
            .strip_prefix("https://")
            .or_else(|| origin.strip_prefix("http://"))
            .map(host_name);
        !self.cross_site && host.is_some_and(|host| host.eq_ignore_ascii_case(page_host))
    }
}

/// Whether a header value declares a prefetch: `prefetch`, `prefetch;prerender`, `preview`.
fn is_prefetch_value(value: &[u8]) -> bool {
    let words: [&[u8]; 3] = [b"prefetch", b"prerender", b"preview"];
    words.iter().any(|word| {
        value
            .windows(word.len())
            .any(|window| window.eq_ignore_ascii_case(word))
    })
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderName;

    use super::*;

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        headers
    }

    fn signals(fields: &[(&str, &str)]) -> RequestSignals {
        RequestHeaders::from_header_map(&headers(fields)).signals()
    }

    #[test]
    fn global_privacy_control_is_an_exact_one_among_the_fields() {
        for (fields, expected) in [
            (&[("sec-gpc", "1")][..], true),
            (&[("sec-gpc", "0"), ("sec-gpc", "1")], true),
            (&[("sec-gpc", "1, 1")], true),
            (&[("sec-gpc", "0,1")], true),
            (&[("sec-gpc", "0, 0")], false),
            (&[("sec-gpc", "1;1")], false),
            (&[("sec-gpc", "0")], false),
            (&[("sec-gpc", "true")], false),
            (&[("sec-gpc", "1.0")], false),
            (&[("sec-gpc", "11")], false),
            (&[("sec-gpc", "")], false),
            (&[], false),
        ] {
            assert_eq!(signals(fields).gpc, expected, "{fields:?}");
        }
    }

    #[test]
    fn do_not_track_is_decided_by_its_first_character() {
        for (value, expected) in [
            ("1", true),
            ("1xyz", true),
            ("0, 1", true),
            ("0", false),
            ("0;1", false),
            ("", false),
            ("null", false),
        ] {
            assert_eq!(signals(&[("dnt", value)]).dnt, expected, "{value}");
        }
    }

    #[test]
    fn prefetch_and_prerender_are_not_views() {
        for field in [
            ("sec-purpose", "prefetch"),
            ("sec-purpose", "prefetch;prerender"),
            ("purpose", "Prefetch"),
            ("x-moz", "prefetch"),
            ("x-purpose", "preview"),
            ("x-purpose", "Prefetch"),
        ] {
            assert!(signals(&[field]).prefetch, "{field:?}");
        }
        assert!(!signals(&[("purpose", "navigate")]).prefetch);
    }

    #[test]
    fn an_origin_must_be_the_pages_own_host() {
        let from = |origin: &str, host: &str| {
            RequestHeaders::from_header_map(&headers(&[("origin", origin)])).can_be_sent_by(host)
        };
        assert!(RequestHeaders::from_header_map(&headers(&[])).can_be_sent_by("a.test"));
        assert!(from("https://a.test", "a.test"));
        assert!(from("http://a.test:8080", "a.test"));
        assert!(from("https://a.test.", "a.test"));
        assert!(from("https://A.test.:443", "a.test"));
        assert!(from("http://[::1]:8080", "[::1]"));
        assert!(!from("https://b.test", "a.test"));
        assert!(!from("https://a.test.b.test", "a.test"));
        assert!(!from("null", "a.test"));
        assert!(
            !RequestHeaders::from_header_map(&headers(&[("sec-fetch-site", "cross-site")]))
                .can_be_sent_by("a.test")
        );
    }

    #[test]
    fn the_first_forwarded_host_is_the_one_the_browser_asked() {
        let host = |fields: &[(&str, &str)]| {
            RequestHeaders::from_header_map(&headers(fields))
                .forwarded_host
                .map(str::to_owned)
        };
        let two = [
            ("x-forwarded-host", "a.test"),
            ("x-forwarded-host", "proxy.internal"),
        ];
        for (fields, expected) in [
            (
                &[("x-forwarded-host", "a.test, proxy.internal")][..],
                Some("a.test"),
            ),
            (&two, Some("a.test")),
            (
                &[("x-forwarded-host", " , a.test:8443")],
                Some("a.test:8443"),
            ),
            (&[("x-forwarded-host", "")], None),
            (&[], None),
        ] {
            assert_eq!(host(fields).as_deref(), expected, "{fields:?}");
        }
    }

    #[test]
    fn lines_of_one_field_stay_in_order_and_the_size_counts_them_all() {
        let headers = headers(&[
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "2.2.2.2"),
            ("user-agent", "x"),
        ]);
        let fields = RequestHeaders::from_header_map(&headers);
        assert_eq!(fields.forwarded_for, ["1.1.1.1", "2.2.2.2"]);
        assert_eq!(
            (fields.field_count, fields.byte_count),
            (3, 2 * (15 + 7 + 4) + 10 + 1 + 4)
        );
    }
}
