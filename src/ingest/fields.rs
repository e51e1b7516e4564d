//! The header fields of a request that matter to a hit, collected in one pass instead of one
//! look-up per name. The consent signals are read here, by the letter of their standards.

use actix_web::http::header::HeaderMap;

use crate::event::{Agent, Cookies, Hints, Signals};
use crate::http::{any_of, first_host, host_name, text};

/// Borrowed from the request. Deliberately without `Debug`.
#[derive(Default)]
pub(super) struct Fields<'a> {
    pub(super) count: usize,
    pub(super) bytes: usize,
    pub(super) encoded: bool,
    pub(super) host: &'a str,
    /// First value of `X-Forwarded-Host`: the host the browser asked for, if the proxies are
    /// trusted.
    pub(super) forwarded_host: Option<&'a str>,
    /// Values of `X-Forwarded-For`, in order.
    pub(super) forwarded: Vec<&'a str>,
    pub(super) language: Option<&'a str>,
    pub(super) cookies: Cookies<'a>,
    /// Bearer token by which a server proves that it speaks for a site.
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

impl<'a> Fields<'a> {
    pub(super) fn read(headers: &'a HeaderMap) -> Fields<'a> {
        let mut fields = Fields::default();
        for (name, value) in headers {
            fields.count += 1;
            fields.bytes += name.as_str().len() + value.len() + 4;
            let bytes = value.as_bytes();
            match name.as_str() {
                "host" => fields.host = text(value).unwrap_or(""),
                "user-agent" => fields.agent = text(value).unwrap_or(""),
                "cookie" => fields.cookies.add(bytes),
                "accept-language" => fields.language = text(value),
                "authorization" => fields.bearer = text(value).and_then(|text| text.strip_prefix("Bearer ")),
                // An origin that is not text matches no host.
                "origin" => fields.origin = Some(text(value).unwrap_or("null")),
                "x-forwarded-for" => fields.forwarded.extend(text(value)),
                "x-forwarded-host" => {
                    fields.forwarded_host = fields.forwarded_host.or(text(value).and_then(first_host))
                }
                "sec-ch-ua" => fields.brands = text(value),
                "sec-ch-ua-mobile" => fields.mobile = text(value),
                "sec-ch-ua-platform" => fields.platform = text(value),
                "sec-fetch-site" => fields.cross_site |= bytes == b"cross-site",
                // One exact 1 among several fields is enough; anything else is ignored.
                "sec-gpc" => fields.gpc |= any_of(bytes, Signals::is_gpc),
                "dnt" => fields.dnt |= any_of(bytes, Signals::is_dnt),
                "sec-purpose" | "purpose" | "x-purpose" | "x-moz" => fields.prefetch |= says_prefetch(bytes),
                "content-encoding" => fields.encoded |= bytes != b"identity",
                _ => {}
            }
        }
        fields
    }

    pub(super) fn agent(&self) -> Agent<'a> {
        Agent::new(self.agent)
    }

    pub(super) fn hints(&self) -> Hints<'a> {
        Hints { brands: self.brands, mobile: self.mobile, platform: self.platform }
    }

    pub(super) fn signals(&self) -> Signals {
        Signals { gpc: self.gpc, dnt: self.dnt, prefetch: self.prefetch }
    }

    /// Whether a page of the host can have sent this request: not `Sec-Fetch-Site: cross-site`, and
    /// an `Origin`, if any, of that host.
    pub(super) fn sent_by(&self, page_host: &str) -> bool {
        let Some(origin) = self.origin else { return !self.cross_site };
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://")).map(host_name);
        !self.cross_site && host.is_some_and(|host| host.eq_ignore_ascii_case(page_host))
    }
}

/// Whether a header value declares a prefetch: `prefetch`, `prefetch;prerender`, `preview`.
fn says_prefetch(value: &[u8]) -> bool {
    let words: [&[u8]; 3] = [b"prefetch", b"prerender", b"preview"];
    words.iter().any(|word| value.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word)))
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

    fn signals(fields: &[(&str, &str)]) -> Signals {
        Fields::read(&headers(fields)).signals()
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
        for (value, expected) in
            [("1", true), ("1xyz", true), ("0, 1", true), ("0", false), ("0;1", false), ("", false), ("null", false)]
        {
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
        let from = |origin: &str, host: &str| Fields::read(&headers(&[("origin", origin)])).sent_by(host);
        assert!(Fields::read(&headers(&[])).sent_by("a.test"));
        assert!(from("https://a.test", "a.test"));
        assert!(from("http://a.test:8080", "a.test"));
        assert!(from("https://a.test.", "a.test"));
        assert!(from("https://A.test.:443", "a.test"));
        assert!(from("http://[::1]:8080", "[::1]"));
        assert!(!from("https://b.test", "a.test"));
        assert!(!from("https://a.test.b.test", "a.test"));
        assert!(!from("null", "a.test"));
        assert!(!Fields::read(&headers(&[("sec-fetch-site", "cross-site")])).sent_by("a.test"));
    }

    #[test]
    fn the_first_forwarded_host_is_the_one_the_browser_asked() {
        let host = |fields: &[(&str, &str)]| Fields::read(&headers(fields)).forwarded_host.map(str::to_owned);
        let two = [("x-forwarded-host", "a.test"), ("x-forwarded-host", "proxy.internal")];
        for (fields, expected) in [
            (&[("x-forwarded-host", "a.test, proxy.internal")][..], Some("a.test")),
            (&two, Some("a.test")),
            (&[("x-forwarded-host", " , a.test:8443")], Some("a.test:8443")),
            (&[("x-forwarded-host", "")], None),
            (&[], None),
        ] {
            assert_eq!(host(fields).as_deref(), expected, "{fields:?}");
        }
    }

    #[test]
    fn lines_of_one_field_stay_in_order_and_the_size_counts_them_all() {
        let headers = headers(&[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2"), ("user-agent", "x")]);
        let fields = Fields::read(&headers);
        assert_eq!(fields.forwarded, ["1.1.1.1", "2.2.2.2"]);
        assert_eq!((fields.count, fields.bytes), (3, 2 * (15 + 7 + 4) + 10 + 1 + 4));
    }
}
