//! Public content on known hosts: songs, videos, apps, listings. Its ids look like secrets but
//! identify no person, because the link is on a public page. Of a link, the parts that
//! `public.toml` lists are kept; the rest is cleaned as usual.

use std::borrow::Cow;
use std::sync::LazyLock;

use hashbrown::HashMap;
use serde::Deserialize;

use super::address::find_query_value;
use super::path::{clean_path, normalize_path};

/// A longer segment or value is not accepted as an id.
const MAX_ID_CHARS: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PublicContentFile {
    place: Vec<PublicContentEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PublicContentEntry {
    /// Without `www.`; `scheme://host` for the URLs of an app's own scheme, such as `tg://resolve`.
    hosts: Vec<String>,
    /// Patterns of paths; the first that matches is used. `*` matches any segment, `{id}` one that
    /// is kept. The keys after `?` are the query values that are kept.
    things: Vec<String>,
}

struct ContentPattern {
    segments: Vec<Box<str>>,
    keys: Vec<Box<str>>,
}

/// The cleaned path of a link to `host` with the ids of public content in it, and the query that
/// identifies the content. `None` if no pattern matches.
pub fn content_path(host: &str, path: &str, query: Option<&str>) -> Option<String> {
    let patterns = content_patterns().get(host.strip_prefix("www.").unwrap_or(host))?;
    let path = normalize_path(Cow::Borrowed(path));
    let segments: Vec<&str> = path
        .split('/')
        .skip(1)
        .filter(|segment| !segment.is_empty())
        .collect();
    let pattern = patterns
        .iter()
        .find(|pattern| pattern.matches_segments(&segments))?;

    let mut kept = String::new();
    for (place, segment) in segments.iter().enumerate() {
        kept.push('/');
        match pattern
            .segments
            .get(place)
            .is_some_and(|of_pattern| &**of_pattern == ID_SEGMENT)
        {
            true => kept.push_str(segment),
            false => kept.push_str(clean_path(&format!("/{segment}")).trim_start_matches('/')),
        }
    }

    let mut mark = '?';
    for key in &pattern.keys {
        let value = find_query_value(query.unwrap_or(""), &[key]);
        if let Some(value) = value.filter(|value| is_content_id(value)) {
            kept.push(mark);
            kept.push_str(key);
            kept.push('=');
            kept.push_str(value);
            mark = '&';
        }
    }
    Some(kept)
}

const ID_SEGMENT: &str = "{id}";

impl ContentPattern {
    fn new(text: &str) -> ContentPattern {
        let (path, keys) = text.split_once('?').unwrap_or((text, ""));
        let parts = |text: &str, by: char| {
            text.split(by)
                .filter(|part| !part.is_empty())
                .map(Into::into)
                .collect()
        };
        ContentPattern {
            segments: parts(path, '/'),
            keys: parts(keys, '&'),
        }
    }

    fn matches_segments(&self, segments: &[&str]) -> bool {
        let fits = |(pattern, segment): (&str, &str)| match pattern {
            "*" => true,
            ID_SEGMENT => is_content_id(segment),
            literal => literal.eq_ignore_ascii_case(segment),
        };
        segments.len() >= self.segments.len()
            && self
                .segments
                .iter()
                .map(AsRef::as_ref)
                .zip(segments.iter().copied())
                .all(fits)
    }
}

/// Whether a text is an acceptable id: letters of any script, digits and joining characters. Mail
/// addresses, URLs and encoded text are not.
fn is_content_id(text: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '~' | '!' | ':');
    text.chars().all(plain) && (1..=MAX_ID_CHARS).contains(&text.chars().count())
}

fn content_patterns() -> &'static HashMap<Box<str>, std::sync::Arc<[ContentPattern]>> {
    static LIST: LazyLock<HashMap<Box<str>, std::sync::Arc<[ContentPattern]>>> =
        LazyLock::new(|| {
            let read = toml::from_str(include_str!("public.toml"));
            let file: PublicContentFile =
                read.expect("public.toml is part of the binary and a test reads it");
            let mut list = HashMap::new();

            for place in file.place {
                let patterns: std::sync::Arc<[ContentPattern]> = place
                    .things
                    .iter()
                    .map(|text| ContentPattern::new(text))
                    .collect();
                for host in place.hosts {
                    list.insert(host.into(), std::sync::Arc::clone(&patterns));
                }
            }
            list
        });
    &LIST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_stands_once_and_every_pattern_names_something() {
        let file: PublicContentFile = toml::from_str(include_str!("public.toml")).unwrap();
        let hosts: usize = file.place.iter().map(|place| place.hosts.len()).sum();
        assert_eq!(hosts, content_patterns().len(), "a host stands twice");
        for text in file.place.iter().flat_map(|place| &place.things) {
            let pattern = ContentPattern::new(text);
            let names = pattern
                .segments
                .iter()
                .any(|segment| &**segment == ID_SEGMENT)
                || !pattern.keys.is_empty();
            assert!(text.starts_with('/') && names, "{text}");
        }
    }

    #[test]
    fn a_public_things_id_is_kept_and_the_rest_is_cleaned() {
        for (host, path, query, expected) in [
            (
                "open.spotify.com",
                "/track/4uLU6hMCjMI75M1A2tKUQC",
                Some("si=a1b2c3d4"),
                "/track/4uLU6hMCjMI75M1A2tKUQC",
            ),
            (
                "open.spotify.com",
                "/intl-de/album/4uLU6hMCjMI75M1A2tKUQC",
                None,
                "/intl-de/album/4uLU6hMCjMI75M1A2tKUQC",
            ),
            (
                "www.youtube.com",
                "/watch",
                Some("t=3&v=aaaaaaaaaaa"),
                "/watch?v=aaaaaaaaaaa",
            ),
            (
                "m.youtube.com",
                "/shorts/a1-_b",
                Some("feature=share"),
                "/shorts/a1-_b",
            ),
            (
                "apps.apple.com",
                "/de/app/some-name/id1234567890",
                Some("pt=1"),
                "/de/app/some-name/id1234567890",
            ),
            (
                "www.etsy.com",
                "/de/listing/1234567890/mug",
                None,
                "/de/listing/1234567890/mug",
            ),
            (
                "www.youtube.com",
                "/watch",
                Some("v=ann%40mail.example"),
                "/watch",
            ),
            (
                "www.tiktok.com",
                "/@mia/video/7212345678901234567/987654321",
                None,
                "/@mia/video/7212345678901234567/(id)",
            ),
        ] {
            assert_eq!(
                content_path(host, path, query).as_deref(),
                Some(expected),
                "{host}{path}"
            );
        }
        for (host, path) in [
            ("shop.example", "/track/4uLU6hMCjMI75M1A2tKUQC"),
            ("open.spotify.com", "/account/4uLU6hMCjMI75M1A2tKUQC"),
            (
                "open.spotify.com.evil.example",
                "/track/4uLU6hMCjMI75M1A2tKUQC",
            ),
        ] {
            assert_eq!(content_path(host, path, None), None, "{host}{path}");
        }
    }
}
