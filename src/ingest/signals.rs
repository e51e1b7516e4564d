//! What the request's header says about being counted, by the letter of the standards.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::event::Signals;
use crate::http::without_port;

const SEC_GPC: HeaderName = HeaderName::from_static("sec-gpc");
const SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");
const PURPOSE: HeaderName = HeaderName::from_static("purpose");
const X_MOZ: HeaderName = HeaderName::from_static("x-moz");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// All but `foreign`'s part about the page: see [`foreign_origin`].
pub fn read(headers: &HeaderMap) -> Signals {
    Signals {
        // One exact 1 among several fields is enough; anything else is ignored.
        gpc: headers.get_all(SEC_GPC).any(|value| value.as_bytes().trim_ascii() == b"1"),
        // The first character decides: `1xyz` is a 1 with an extension.
        dnt: headers.get_all("dnt").any(|value| value.as_bytes().trim_ascii_start().first() == Some(&b'1')),
        prefetch: says(headers, SEC_PURPOSE) || says(headers, PURPOSE) || says(headers, X_MOZ),
        foreign: headers.get(SEC_FETCH_SITE).is_some_and(|value| value.as_bytes() == b"cross-site"),
    }
}

/// `prefetch`, `prefetch;prerender`, `preview`: fetched before anybody asked to see it.
fn says(headers: &HeaderMap, name: HeaderName) -> bool {
    headers.get_all(name).any(|value| {
        let value = value.as_bytes();
        [&b"prefetch"[..], b"prerender", b"preview"].iter().any(|word| {
            value.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
        })
    })
}

/// An `Origin` whose host is not the page's. `null` is nobody's; no `Origin` says nothing.
pub fn foreign_origin(origin: Option<&HeaderValue>, page_host: &str) -> bool {
    let Some(origin) = origin else { return false };
    let host = origin.to_str().ok().and_then(|origin| {
        let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"))?;
        Some(without_port(rest))
    });
    !host.is_some_and(|host| host.eq_ignore_ascii_case(page_host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signals(fields: &[(&str, &str)]) -> Signals {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name.parse().unwrap(), value.parse().unwrap());
        }
        read(&headers)
    }

    #[test]
    fn global_privacy_control_is_an_exact_one_among_the_fields() {
        for (fields, expected) in [
            (&[("sec-gpc", "1")][..], true),
            (&[("sec-gpc", "0"), ("sec-gpc", "1")], true),
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
        for (value, expected) in [("1", true), ("1xyz", true), ("0", false), ("0;1", false), ("", false), ("null", false)] {
            assert_eq!(signals(&[("dnt", value)]).dnt, expected, "{value}");
        }
    }

    #[test]
    fn prefetch_and_prerender_are_not_views() {
        for field in [("sec-purpose", "prefetch"), ("sec-purpose", "prefetch;prerender"), ("purpose", "Prefetch"), ("x-moz", "prefetch")]
        {
            assert!(signals(&[field]).prefetch, "{field:?}");
        }
        assert!(!signals(&[("purpose", "navigate")]).prefetch);
    }

    #[test]
    fn an_origin_must_be_the_pages_own_host() {
        let origin = |text: &str| Some(HeaderValue::from_str(text).unwrap());
        assert!(!foreign_origin(None, "a.test"));
        assert!(!foreign_origin(origin("https://a.test").as_ref(), "a.test"));
        assert!(!foreign_origin(origin("http://a.test:8080").as_ref(), "a.test"));
        assert!(!foreign_origin(origin("http://[::1]:8080").as_ref(), "[::1]"));
        assert!(foreign_origin(origin("https://b.test").as_ref(), "a.test"));
        assert!(foreign_origin(origin("https://a.test.b.test").as_ref(), "a.test"));
        assert!(foreign_origin(origin("null").as_ref(), "a.test"));
    }
}
