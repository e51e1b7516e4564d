//! Splits a URL into scheme, host, path and query, and discards the rest.
//!
//! Browsers nearly always send plain ASCII, and `url::Url` costs half a microsecond and an
//! allocation. Therefore plain URLs are parsed by own code and borrowed; everything that this
//! parser does not handle goes through the `url` crate. A property test checks that both agree.

use std::borrow::Cow;

use url::{Host, Url};

use super::text::percent_decode;

/// Why a URL cannot be counted. Contains nothing of the URL, which may identify a person.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UrlError {
    /// It is not a URL.
    #[error("the URL cannot be read")]
    Unreadable,
    /// The scheme is neither `http` nor `https`.
    #[error("the URL is not http or https")]
    NotHttp,
    /// It contains a user name or a password.
    #[error("the URL holds a user or a password")]
    UserInfo,
    /// It has no host, or one that is not a valid host name.
    #[error("the URL's host is not a host name")]
    Host,
}

/// The parts of a URL that are used.
#[derive(PartialEq, Debug)]
pub struct UrlParts<'a> {
    /// Whether the scheme is `https`; otherwise it is `http`.
    pub https: bool,
    /// In lower case, without port and trailing dot.
    pub host: Cow<'a, str>,
    /// As sent, or as encoded by the `url` crate: only an input for [`super::path::clean_path`].
    pub path: Cow<'a, str>,
    /// The text between `?` and `#`, still encoded; `None` if there is no `?`.
    pub query: Option<Cow<'a, str>>,
}

/// Parses an absolute `http` or `https` URL.
///
/// # Errors
///
/// The URL cannot be counted; the reason does not quote it.
pub fn split_url(url: &str) -> Result<UrlParts<'_>, UrlError> {
    match split_plain_url(url) {
        Some(parts) => Ok(parts),
        None => split_with_crate(url),
    }
}

fn split_plain_url(url: &str) -> Option<UrlParts<'_>> {
    let (https, rest) = match url.strip_prefix("https://") {
        Some(rest) => (true, rest),
        None => (false, url.strip_prefix("http://")?),
    };
    // `fold` instead of `all`: without an early exit this compiles to a few vector instructions.
    if !rest
        .bytes()
        .fold(true, |plain, b| plain & b.is_ascii_graphic() & (b != b'\\'))
    {
        return None;
    }
    let end = rest
        .bytes()
        .position(|b| matches!(b, b'/' | b'?' | b'#'))
        .unwrap_or(rest.len());
    let host = parse_plain_host(&rest[..end])?;
    let rest = rest[end..]
        .split_once('#')
        .map_or(&rest[end..], |(before, _)| before);
    let (path, query) = rest
        .split_once('?')
        .map_or((rest, None), |(path, query)| (path, Some(query)));
    Some(UrlParts {
        https,
        host,
        path: Cow::Borrowed(path),
        query: query.map(Cow::Borrowed),
    })
}

/// A host that both parsers read in the same way: no label of digits at the end (it may be an IPv4
/// address), no punycode, no user information, a valid port.
fn parse_plain_host(authority: &str) -> Option<Cow<'_, str>> {
    let host = match authority.bytes().position(|b| b == b':') {
        None => authority,
        Some(at) if is_port(&authority[at + 1..]) => &authority[..at],
        Some(_) => return None,
    };
    let label = &host[host.bytes().rposition(|b| b == b'.').map_or(0, |at| at + 1)..];
    if !is_host_name(host)
        || label.starts_with(|c: char| c.is_ascii_digit())
        || may_be_punycode(host)
    {
        return None;
    }
    let lower = !host
        .bytes()
        .fold(false, |upper, b| upper | b.is_ascii_uppercase());
    Some(if lower {
        Cow::Borrowed(host)
    } else {
        Cow::Owned(host.to_ascii_lowercase())
    })
}

fn is_port(port: &str) -> bool {
    matches!(port.len(), 1..=5)
        && port.bytes().all(|b| b.is_ascii_digit())
        && port.parse::<u16>().is_ok()
}

fn may_be_punycode(host: &str) -> bool {
    host.as_bytes().windows(2).any(|pair| pair == b"--")
}

/// Whether a text has the form of a host name: labels of 1 to 63 letters, digits, `-` and `_`, at
/// most 253 bytes in total.
pub fn is_host_name(host: &str) -> bool {
    let (mut length, mut good) = (0, host.len() <= 253);
    for byte in host.bytes() {
        good &= match byte {
            b'.' => (1..=63).contains(&length),
            _ => byte.is_ascii_alphanumeric() | matches!(byte, b'-' | b'_'),
        };
        length = if byte == b'.' { 0 } else { length + 1 };
    }
    good && (1..=63).contains(&length)
}

fn split_with_crate(url: &str) -> Result<UrlParts<'_>, UrlError> {
    let url = Url::parse(url).map_err(|_| UrlError::Unreadable)?;
    let https = match url.scheme() {
        "https" => true,
        "http" => false,
        _ => return Err(UrlError::NotHttp),
    };

    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlError::UserInfo);
    }

    let host = match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            is_host_name(name).then(|| name.to_owned())
        }
        Some(address) => Some(address.to_string()),
        None => None,
    };

    Ok(UrlParts {
        https,
        host: Cow::Owned(host.ok_or(UrlError::Host)?),
        path: Cow::Owned(url.path().to_owned()),
        query: url.query().map(|query| Cow::Owned(query.to_owned())),
    })
}

/// The value of the first of `keys` that the query contains, still encoded. The order of `keys`
/// takes precedence over the order in the query.
pub fn find_query_value<'q>(query: &'q str, keys: &[&str]) -> Option<&'q str> {
    keys.iter().find_map(|key| {
        query_pairs(query).find_map(|(name, value)| matches_query_key(name, key).then_some(value))
    })
}

/// The pairs of a query with a value that is not empty, both still encoded. A `?` in the middle is
/// read as `&`: some tools append a second query with it.
pub fn query_pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split(['&', '?'])
        .filter_map(|pair| pair.split_once('='))
        .filter(|(_, value)| !value.is_empty())
}

/// Whether `name` is `key`: regardless of case, percent-encoded or not, and also where the link's
/// `&` was escaped as HTML one or more times.
pub fn matches_query_key(name: &str, key: &str) -> bool {
    if name.len() < key.len() {
        return false;
    }
    let decoded = match name.contains('%') {
        true => Cow::Owned(String::from_utf8_lossy(&percent_decode(name, false)).into_owned()),
        false => Cow::Borrowed(name),
    };
    let mut name = decoded.trim();
    while let Some(rest) = name
        .get(..4)
        .filter(|head| head.eq_ignore_ascii_case("amp;"))
        .and(name.get(4..))
    {
        name = rest;
    }
    name.eq_ignore_ascii_case(key)
}

#[cfg(test)]
mod tests {
    use super::super::path::clean_path;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_url_is_cut_into_host_path_and_query() {
        let cases = [
            (
                "https://alllinks.example/u/mia?a=1#x",
                "alllinks.example",
                "/u/mia",
                Some("a=1"),
            ),
            ("http://AllLinks.Example:8080", "alllinks.example", "", None),
            ("https://localhost:3000/?", "localhost", "/", Some("")),
            ("https://a.example#/x?y", "a.example", "", None),
            (
                "https://m\u{fc}nchen.example/a",
                "xn--mnchen-3ya.example",
                "/a",
                None,
            ),
            ("https://127.0.0.1:80/a", "127.0.0.1", "/a", None),
            ("http://[::1]:80/a", "[::1]", "/a", None),
            ("https://a.example./a", "a.example", "/a", None),
            ("HTTPS:\\\\a.example\\b", "a.example", "/b", None),
        ];
        for (url, host, path, query) in cases {
            let parts = split_url(url).unwrap();
            assert_eq!(
                (&*parts.host, &*parts.path, parts.query.as_deref()),
                (host, path, query),
                "{url}"
            );
        }
    }

    #[test]
    fn other_schemes_users_and_broken_hosts_are_refused() {
        let cases = [
            ("", UrlError::Unreadable),
            ("/u/mia", UrlError::Unreadable),
            ("https://", UrlError::Unreadable),
            ("https://a.example:99999/", UrlError::Unreadable),
            ("ftp://a.example/", UrlError::NotHttp),
            ("javascript:alert(1)", UrlError::NotHttp),
            ("data:text/html,x", UrlError::NotHttp),
            ("https://ann@a.example/", UrlError::UserInfo),
            ("https://ann:secret@a.example/", UrlError::UserInfo),
            ("https://a..example/", UrlError::Host),
            ("https://a'b.example/", UrlError::Host),
        ];
        for (url, error) in cases {
            assert_eq!(split_url(url), Err(error), "{url}");
        }
    }

    #[test]
    fn the_first_key_of_the_list_wins() {
        let query = "ref=b&utm_source=a&xutm_source=c&source=&source=d";
        assert_eq!(
            find_query_value(query, &["utm_source", "ref", "source"]),
            Some("a")
        );
        assert_eq!(find_query_value(query, &["ref", "source"]), Some("b"));
        assert_eq!(
            find_query_value("utm_source=&ref=b", &["utm_source", "ref"]),
            Some("b")
        );
        assert_eq!(find_query_value("utm_sourcex=1", &["utm_source"]), None);
        for query in [
            "UTM_Source=b",
            "a=1&amp;utm_source=b",
            "a=1&amp;amp;utm_source=b",
            "a=1&AMP;Utm_source=b",
            "utm%5Fsource=b",
            "a=1?utm_source=b",
            "utm_source=&utm_source=b",
            "utm_source=b?utm_campaign=c",
        ] {
            assert_eq!(
                find_query_value(query, &["utm_source"]),
                Some("b"),
                "{query}"
            );
        }
    }

    proptest! {
        #[test]
        fn hand_and_crate_agree(
            scheme in "https?",
            host in "[a-zA-Z0-9_-]{1,8}(\\.[a-zA-Z0-9-]{1,8}){0,3}\\.?",
            port in "(:[0-9]{0,6})?",
            path in "(/([a-zA-Z0-9._~:;,!$&'()*+=@|^`\\[\\]{}<>\"%-]{0,12}|%[0-9a-fA-F]{2}|%2e%2e|\\.\\.|%40)){0,5}/?",
            tail in "(\\?[!-~]{0,20})?(#[!-~]{0,10})?",
        ) {
            // The crate reads `/a:/..` as a Windows drive and does not leave it; the standard does
            // that for files only.
            let is_drive = |segment: &str| matches!(segment.as_bytes(), [b'a'..=b'z' | b'A'..=b'Z', b':' | b'|']);
            prop_assume!(!path.split('/').any(is_drive));
            let url = format!("{scheme}://{host}{port}{path}{tail}");
            if let Some(hand) = split_plain_url(&url) {
                let other = split_with_crate(&url).unwrap();
                prop_assert_eq!(&hand.host, &other.host);
                prop_assert_eq!(hand.https, other.https);
                prop_assert_eq!(clean_path(&hand.path), clean_path(&other.path));
                let keys = ["utm_source", "ref", "a"];
                prop_assert_eq!(
                    hand.query.as_deref().and_then(|q| find_query_value(q, &keys)).map(|v| super::super::text::clean_query_value(v, 100)),
                    other.query.as_deref().and_then(|q| find_query_value(q, &keys)).map(|v| super::super::text::clean_query_value(v, 100))
                );
            }
        }

        #[test]
        fn no_text_brings_it_down(url in ".{0,80}|https?:[/\\\\]{0,3}.{0,60}") {
            if let Ok(parts) = split_url(&url) {
                prop_assert!(!parts.host.is_empty() && parts.host.len() <= 253 && !parts.host.contains('@'));
            }
        }
    }
}
