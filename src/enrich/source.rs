//! The source of a visit: a name of `sources.toml`, the host of the referrer, or the value of a
//! tag. Nothing else of the referrer is kept.

use super::address::{self, UrlError};
use super::page::PageUrl;
use super::sources::{ListedSource, source_list};
use super::text::{clean_query_value, looks_secret};
use crate::event::OTHER_VALUE;

/// The value of a visit without a source.
pub const DIRECT_VALUE: &str = "(direct)";

/// A longer host is not a website.
const MAX_HOST_BYTES: usize = 100;
const MAX_TAG_CHARS: usize = 64;

/// Where a visit came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum VisitSource {
    /// Neither a tag nor a referrer.
    Direct,
    /// A source that cannot be named, for example an IP address or an unknown app.
    Other,
    /// A source of `sources.toml`.
    Listed(ListedSource),
    /// A cleaned host or tag that is not listed.
    Text(Box<str>),
}

impl VisitSource {
    /// The value in the tables and reports.
    pub fn name(&self) -> &str {
        match self {
            VisitSource::Direct => DIRECT_VALUE,
            VisitSource::Other => OTHER_VALUE,
            VisitSource::Listed(listed) => listed.name(),
            VisitSource::Text(text) => text,
        }
    }

    /// The source of a visit that starts on `page`. `app` is the app whose in-app browser sent the
    /// hit. In order of precedence: the page's tag, a listed referrer, the app, the referrer's
    /// host, and the network of a click id. The click id comes last, because it stays in URLs that
    /// are passed on.
    pub fn from_visit(
        page: &PageUrl<'_>,
        referrer: &str,
        app: Option<ListedSource>,
    ) -> VisitSource {
        if let Some(source) = page.source_tag().and_then(source_from_tag) {
            return source;
        }
        match (source_from_referrer(page.host(), referrer), app) {
            (VisitSource::Listed(listed), _) | (_, Some(listed)) => VisitSource::Listed(listed),
            (VisitSource::Direct, None) => page
                .click_id_network()
                .map_or(VisitSource::Direct, VisitSource::Listed),
            (source, None) => source,
        }
    }
}

/// The value of `utm_source` and similar keys: a listed name or tag, a host, or any other word.
fn source_from_tag(encoded: &str) -> Option<VisitSource> {
    let value = clean_query_value(encoded, MAX_TAG_CHARS)?;
    let word = value
        .strip_prefix("https://")
        .or_else(|| value.strip_prefix("http://"))
        .unwrap_or(&value);
    let word = without_www(word.split('/').next().unwrap_or(""));
    let found = source_list().find_by_tag(word).or_else(|| {
        word.contains('.')
            .then(|| source_list().find_by_host(word))
            .flatten()
    });
    Some(match found {
        Some(listed) => VisitSource::Listed(listed),
        None if word.is_empty() || word == OTHER_VALUE => VisitSource::Other,
        None => VisitSource::Text(word.into()),
    })
}

fn source_from_referrer(own: &str, referrer: &str) -> VisitSource {
    if referrer.is_empty() {
        return VisitSource::Direct;
    }
    if let Some(app) = referrer.strip_prefix("android-app://") {
        let package = app.split(['/', '?', '#']).next().unwrap_or("");
        return source_list()
            .find_by_package(package)
            .map_or(VisitSource::Other, VisitSource::Listed);
    }
    match address::split_url(referrer) {
        Ok(parts) => source_from_host(own, &parts.host),
        Err(UrlError::UserInfo) => VisitSource::Other,
        Err(UrlError::Unreadable | UrlError::NotHttp | UrlError::Host) => VisitSource::Direct,
    }
}

/// Whether the referrer is a page of the same host: a visit that continues after a pause.
pub(super) fn is_own_referrer(page: &PageUrl<'_>, referrer: &str) -> bool {
    address::split_url(referrer)
        .is_ok_and(|parts| without_www(&parts.host) == without_www(page.host()))
}

fn source_from_host(own: &str, host: &str) -> VisitSource {
    let host = without_www(host);
    if host == without_www(own) {
        return VisitSource::Direct;
    }
    match source_list().find_by_host(host) {
        Some(listed) => VisitSource::Listed(listed),
        None => {
            nameable_host(host).map_or(VisitSource::Other, |host| VisitSource::Text(host.into()))
        }
    }
}

/// The host, or the rest of it after a label that looks like a secret. Numeric addresses are not
/// named, because they belong to a machine.
fn nameable_host(host: &str) -> Option<&str> {
    let numeric = host.starts_with('[')
        || host
            .rsplit('.')
            .next()
            .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    let secret_end = host
        .match_indices('.')
        .map(|(at, _)| at)
        .chain([host.len()])
        .fold((0, 0), |(start, cut), end| {
            let label = &host[start..end];
            let secret = !label.starts_with("xn--") && looks_secret(label);
            (end + 1, if secret { end + 1 } else { cut })
        });
    let rest = host.get(secret_end.1..)?;
    let whole_enough = secret_end.1 == 0 || rest.contains('.');
    (!numeric && whole_enough && rest.len() <= MAX_HOST_BYTES).then_some(rest)
}

fn without_www(host: &str) -> &str {
    host.strip_prefix("www.").unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn source(query: &str, referrer: &str, app: Option<&str>) -> String {
        let url = format!("https://alllinks.example/u/mia?{query}");
        let app = app.and_then(|token| source_list().find_by_agent(token));
        VisitSource::from_visit(&PageUrl::parse(&url).unwrap(), referrer, app)
            .name()
            .to_owned()
    }

    #[test]
    fn the_referrers_host_is_looked_up_by_its_parents() {
        let cases = [
            ("", "(direct)"),
            ("https://alllinks.example/u/tom?x", "(direct)"),
            ("https://www.alllinks.example/", "(direct)"),
            ("http://ALLLINKS.example:80/", "(direct)"),
            ("https://www.google.com/", "Google"),
            ("https://www.google.de/search?q=mia", "Google"),
            ("https://google.co.uk", "Google"),
            ("https://news.google.com/x", "Google News"),
            ("https://mail.google.com/mail/u/0", "Gmail"),
            ("https://l.instagram.com/?u=https%3A%2F%2Fa", "Instagram"),
            ("https://t.co/abc", "X"),
            ("https://old.reddit.com/r/x", "Reddit"),
            ("https://chatgpt.com/", "ChatGPT"),
            ("android-app://com.google.android.gm/", "Gmail"),
            ("android-app://com.instagram.android", "Instagram"),
            ("android-app://org.example.private/", "(other)"),
            (
                "https://google.com.evil.example/",
                "google.com.evil.example",
            ),
            ("https://notgoogle.com/", "notgoogle.com"),
            (
                "https://www.fern-blog.example/2026/03/first?utm_source=nobody",
                "fern-blog.example",
            ),
            ("https://m\u{fc}nchen.example/", "xn--mnchen-3ya.example"),
            ("https://ann:x@fern-blog.example/", "(other)"),
            ("https://192.168.1.17/admin", "(other)"),
            ("https://[2001:db8::7]/", "(other)"),
            (
                "https://a1b2c3d4e5f6a7b8c9d0.tunnel.example/",
                "tunnel.example",
            ),
            ("https://a1b2c3d4e5f6a7b8c9d0.example/", "(other)"),
            ("about:blank", "(direct)"),
            ("not a url", "(direct)"),
        ];
        for (referrer, expected) in cases {
            assert_eq!(source("", referrer, None), expected, "{referrer}");
        }
    }

    #[test]
    fn a_clicked_ad_is_the_source_of_a_visit_nobody_else_sent() {
        for (query, referrer, expected) in [
            ("gclid=abc", "", "Google"),
            ("x=1&GBRAID=abc", "", "Google"),
            ("fbclid=abc", "", "Facebook"),
            ("ttclid=abc", "", "TikTok"),
            ("msclkid=abc", "", "Bing"),
            ("a=1&amp;twclid=abc", "", "X"),
            ("gclid=", "", "(direct)"),
            ("gclidx=1", "", "(direct)"),
            ("fbclid=abc", "https://www.instagram.com/", "Instagram"),
            (
                "fbclid=abc",
                "https://fern-blog.example/",
                "fern-blog.example",
            ),
            ("gclid=abc&utm_source=fern", "", "fern"),
        ] {
            assert_eq!(
                source(query, referrer, None),
                expected,
                "{query} {referrer}"
            );
        }
    }

    #[test]
    fn a_tag_wins_over_the_referrer() {
        let cases = [
            ("utm_source=ig", "Instagram"),
            ("utm_source=Facebook", "Facebook"),
            ("utm_source=harbor-letter", "harbor-letter"),
            ("ref=fern-card", "fern-card"),
            ("source=fern&utm_source=chatgpt.com", "ChatGPT"),
            (
                "ref=https%3A%2F%2Fwww.fern-blog.example%2Fposts%2Fann",
                "fern-blog.example",
            ),
            ("ref=fern-blog.example/posts/ann", "fern-blog.example"),
            ("utm_source=ann%40mail.example", "(id)"),
            ("utm_source=(direct)", "(other)"),
            ("utm_source=", "X"),
            ("utm_medium=mail", "X"),
        ];
        for (query, expected) in cases {
            assert_eq!(source(query, "https://t.co/x", None), expected, "{query}");
        }
    }

    #[test]
    fn an_apps_own_browser_is_the_source_of_a_visit_that_says_nothing_better() {
        let app = Some("Mobile/15E148 Instagram 370.0.0.26.84");
        assert_eq!(source("", "", app), "Instagram");
        assert_eq!(
            source("", "https://alllinks.example/u/mia", app),
            "Instagram"
        );
        assert_eq!(source("", "https://www.facebook.com/", app), "Facebook");
        assert_eq!(source("ref=fern", "", app), "fern");
    }

    proptest! {
        #[test]
        fn no_source_holds_more_than_a_host(query in ".{0,60}|ref=[ -~]{0,60}", referrer in ".{0,60}|(https?|android-app)://[ -~]{0,100}") {
            let source = source(&query, &referrer, None);
            prop_assert!(!source.is_empty() && source.len() <= 256, "{}", source);
            prop_assert!(!source.contains(['@', '?', '#', '/']), "{}", source);
        }
    }
}
