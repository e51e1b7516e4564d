//! The path of a page, in the normal form under which it is counted.
//!
//! Two spellings of one URL must not become two rows, and a row must not contain personal data or a
//! secret. A clean path is borrowed; only others are rewritten. Cleaning is idempotent.

use std::borrow::Cow;
use std::fmt::Write;

use super::text::{ID_PLACEHOLDER, is_hidden_char, looks_secret, normalize_nfc, percent_decode};
use crate::event::OTHER_VALUE;

const MAX_PATH_BYTES: usize = 512;

/// The normalised path with personal data and secrets replaced, at most 512 bytes; a longer one
/// becomes `(other)`. `raw` is the part between host and query, as sent or as encoded by the `url`
/// crate.
pub fn clean_path(raw: &str) -> Cow<'_, str> {
    if raw.is_empty() {
        return Cow::Borrowed("/");
    }
    if raw.len() <= MAX_PATH_BYTES && is_plain_path(raw, is_sensitive_segment) {
        return Cow::Borrowed(raw);
    }
    let cleaned = rewrite_path(raw, true);
    if cleaned.len() <= MAX_PATH_BYTES {
        Cow::Owned(cleaned)
    } else {
        Cow::Borrowed(OTHER_VALUE)
    }
}

/// The normalised path, without the replacements of [`clean_path`] and without a bound on its
/// length. For look-ups only, never stored.
pub fn normalize_path(raw: Cow<'_, str>) -> Cow<'_, str> {
    match raw {
        raw if raw.is_empty() => Cow::Borrowed("/"),
        raw if is_plain_path(&raw, |_| false) => raw,
        raw => Cow::Owned(rewrite_path(&raw, false)),
    }
}

/// [`clean_path`] for a path from [`normalize_path`], except for the first `kept` bytes: they name
/// something public and stay unchanged. `kept` must be a character boundary.
pub fn clean_path_after(spelled: &str, kept: usize) -> Cow<'_, str> {
    if kept == 0 {
        return clean_path(spelled);
    }
    let (kept, rest) = spelled.split_at(kept);
    match clean_path(rest) {
        _ if rest.is_empty() => Cow::Borrowed(kept),
        rest if kept.len() + rest.len() > MAX_PATH_BYTES || rest == OTHER_VALUE => {
            Cow::Borrowed(OTHER_VALUE)
        }
        Cow::Borrowed(_) => Cow::Borrowed(spelled),
        Cow::Owned(rest) => Cow::Owned(format!("{kept}{rest}")),
    }
}

/// Whether the path is in normal form already and `is_marked` holds for none of its segments.
fn is_plain_path(raw: &str, is_marked: impl Fn(&str) -> bool) -> bool {
    // `fold` instead of `all`: without an early exit these are vector instructions and table
    // look-ups, and nearly every path passes.
    let plain = raw
        .bytes()
        .fold(true, |plain, b| plain & PLAIN_BYTES[usize::from(b)]);
    plain && raw.starts_with('/') && (raw == "/" || are_plain_segments(&raw[1..], is_marked))
}

/// Whether a segment looks like personal data or a secret. A handle (`/@mia`) is the public name of
/// a profile; an `@` anywhere else is a mail address.
fn is_sensitive_segment(segment: &str) -> bool {
    looks_secret(segment.strip_prefix('@').unwrap_or(segment))
}

fn are_plain_segments(rest: &str, is_marked: impl Fn(&str) -> bool) -> bool {
    let telling = |segment: &str| {
        segment.is_empty() || segment == "." || segment == ".." || is_marked(segment)
    };
    let mut start = 0;
    for (at, byte) in rest.bytes().enumerate() {
        if byte == b'/' {
            if telling(&rest[start..at]) {
                return false;
            }
            start = at + 1;
        }
    }
    !telling(&rest[start..])
}

/// The bytes of a plain path: those of [`is_unencoded_byte`], and the slash between segments.
const PLAIN_BYTES: [bool; 256] = {
    let mut plain = [false; 256];
    let mut b = 0;
    while b < 256 {
        plain[b] = b == b'/' as usize || is_unencoded_byte(b as u8);
        b += 1;
    }
    plain
};

/// The characters that RFC 3986 allows in a segment without encoding.
const fn is_unencoded_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric()
        || matches!(
            b,
            b'-' | b'@'
                | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b':'
        )
}

fn rewrite_path(raw: &str, marks: bool) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in raw.split('/').skip(1) {
        match count_dots(segment) {
            0 => kept.push(segment),
            1 => {}
            _ => {
                kept.pop();
            }
        }
    }

    let mut out = String::with_capacity(raw.len());
    for segment in kept.into_iter().filter(|segment| !segment.is_empty()) {
        out.push('/');
        write_segment(segment, marks, &mut out);
    }

    if out.is_empty() {
        out.push('/');
    }
    out
}

/// The number of dots a segment consists of, plain or encoded; 0 if it contains anything else.
fn count_dots(segment: &str) -> u8 {
    let rest = |text: &str| -> Option<usize> {
        let bytes = text.as_bytes();
        match bytes {
            [b'.', ..] => Some(1),
            [b'%', b'2', b'e' | b'E', ..] => Some(3),
            _ => None,
        }
    };
    let (mut at, mut count) = (0, 0);
    while at < segment.len() {
        match rest(&segment[at..]) {
            Some(length) if count < 2 => (at, count) = (at + length, count + 1),
            _ => return 0,
        }
    }
    count
}

fn write_segment(segment: &str, marks: bool, out: &mut String) {
    let Ok(text) = String::from_utf8(percent_decode(segment, false)) else {
        return out.push_str(OTHER_VALUE);
    };

    let text = normalize_nfc(text.into());
    if text.contains(is_hidden_char) {
        return out.push_str(OTHER_VALUE);
    }
    if marks && is_sensitive_segment(&text) {
        return out.push_str(ID_PLACEHOLDER);
    }

    for c in text.chars() {
        match c.is_ascii() && !is_unencoded_byte(c as u8) {
            true => write!(out, "%{:02X}", u32::from(c)).expect("a String takes everything"),
            false => out.push(c),
        }
    }
}

/// A segment that may begin with `@`: see [`is_sensitive_segment`].
#[cfg(test)]
pub(super) fn contains_mailbox(path: &str) -> bool {
    path.split('/')
        .any(|segment| segment.chars().skip(1).any(|c| c == '@'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_address_has_one_spelling() {
        let cases = [
            ("", "/"),
            ("/", "/"),
            ("//", "/"),
            ("/shop/", "/shop"),
            ("//shop//mugs/", "/shop/mugs"),
            ("/About", "/About"),
            ("/a/./b/../c", "/a/c"),
            ("/a//../b", "/a/b"),
            ("/a/%2E%2e/b/%2e", "/b"),
            ("/..", "/"),
            ("/...", "/..."),
            ("/%7Emia", "/~mia"),
            ("/caf%C3%A9", "/caf\u{e9}"),
            ("/caf\u{e9}", "/caf\u{e9}"),
            ("/cafe\u{301}", "/caf\u{e9}"),
            ("/cafe%CC%81", "/caf\u{e9}"),
            ("/a%20b", "/a%20b"),
            ("/a b", "/a%20b"),
            ("/a%2fb", "/a%2Fb"),
            ("/100%", "/100%25"),
            ("/a%3Fb%23c", "/a%3Fb%23c"),
        ];
        for (raw, expected) in cases {
            assert_eq!(clean_path(raw), expected, "{raw}");
        }
    }

    #[test]
    fn a_segment_that_is_somebody_or_unprintable_is_marked() {
        let cases = [
            ("/to/ann@mail.example", "/to/(id)"),
            ("/to/ann%40mail.example/x", "/to/(id)/x"),
            ("/to/ann%2540mail.example", "/to/(id)"),
            ("/@mia/shop", "/@mia/shop"),
            ("/%40mia", "/@mia"),
            ("/@ann@mail.example", "/(id)"),
            ("/@123456789", "/(id)"),
            ("/post/123456789", "/post/(id)"),
            ("/post/12345678", "/post/12345678"),
            ("/reset/a1b2c3d4e5f6a7b8c9d0", "/reset/(id)"),
            (
                "/file/0b9e1c9a-3d5f-4c7e-9a1b-2f3e4d5c6b7a/view",
                "/file/(id)/view",
            ),
            ("/a%0Ab", "/(other)"),
            ("/a%FFb/c", "/(other)/c"),
            ("/%E2%80%AEgpj", "/(other)"),
        ];
        for (raw, expected) in cases {
            assert_eq!(clean_path(raw), expected, "{raw}");
        }
    }

    #[test]
    fn a_path_is_kept_up_to_512_bytes() {
        let fits = format!("/{}", "a".repeat(511));
        assert_eq!(clean_path(&fits), fits);
        assert_eq!(clean_path(&format!("{fits}a")), "(other)");
        assert_eq!(clean_path(&format!("/{}", "%C3%A9".repeat(255))).len(), 511);
        assert_eq!(clean_path(&format!("/{}", "%C3%A9".repeat(256))), "(other)");
    }

    #[test]
    fn a_lookup_path_is_spelled_alike_and_nothing_in_it_is_marked() {
        for (raw, expected) in [
            ("", "/"),
            ("/u/%6Dia123456789/", "/u/mia123456789"),
            (
                "/u//x/../a1b2c3d4e5f6a7b8c9d0/b",
                "/u/a1b2c3d4e5f6a7b8c9d0/b",
            ),
            (
                "/u/lauraandthomaswedding2026",
                "/u/lauraandthomaswedding2026",
            ),
        ] {
            assert_eq!(normalize_path(raw.into()), expected, "{raw}");
        }
        let long = format!("/{}", "a".repeat(2000));
        assert_eq!(normalize_path(long.as_str().into()), long);
    }

    #[test]
    fn what_names_a_site_is_kept_and_what_lies_below_it_is_cleaned() {
        let kept = "/u/mia123456789".len();
        for (spelled, expected) in [
            ("/u/mia123456789", "/u/mia123456789"),
            ("/u/mia123456789/shop", "/u/mia123456789/shop"),
            (
                "/u/mia123456789/order/987654321",
                "/u/mia123456789/order/(id)",
            ),
            (
                "/u/mia123456789/ann@mail.example/x",
                "/u/mia123456789/(id)/x",
            ),
        ] {
            assert_eq!(clean_path_after(spelled, kept), expected);
        }
        assert_eq!(
            clean_path_after(&format!("/u/mia123456789/{}", "a".repeat(500)), kept),
            "(other)"
        );
        assert_eq!(clean_path_after("/a/123456789", 0), "/a/(id)");
    }

    proptest! {
        #[test]
        fn cleaning_the_spelled_path_is_cleaning_the_path(raw in "(/([ -~]{0,30}|.{0,10}|%[0-9a-fA-F]{2}|\\.\\.|%2e){0,3}){0,8}") {
            let spelled = normalize_path(raw.as_str().into()).into_owned();
            prop_assert_eq!(clean_path(&spelled).into_owned(), clean_path(&raw).into_owned());
            prop_assert_eq!(normalize_path(spelled.as_str().into()).into_owned(), spelled.clone());
        }

        #[test]
        fn a_clean_path_is_short_printable_nobody_and_stays_as_it_is(raw in "(/([ -~]{0,30}|.{0,10}|%[0-9a-fA-F]{2}|\\.\\.|%2e){0,3}){0,8}") {
            let path = clean_path(&raw).into_owned();
            prop_assert!(path.len() <= 512);
            prop_assert!(!path.contains(['?', '#']) && !path.contains(is_hidden_char) && !path.contains("//"));
            prop_assert!(!contains_mailbox(&path));
            prop_assert!(path == "(other)" || path.starts_with('/'));
            prop_assert_eq!(clean_path(&path).into_owned(), path.clone());
        }
    }
}
