//! The path of a page, in the one spelling it is counted under.
//!
//! Two spellings of one address must not become two rows, and a row must not hold a person or a secret. A clean path is
//! borrowed as it came; only others are written anew. Cleaning a clean path changes nothing.

use std::borrow::Cow;
use std::fmt::Write;

use super::text::{ID, is_hidden, looks_secret, percent_decode};
use crate::event::OTHER;

const MOST_BYTES: usize = 512;

/// `raw` is what stands between host and query, as it came or as the `url` crate encoded it.
pub fn clean(raw: &str) -> Cow<'_, str> {
    if raw.is_empty() {
        return Cow::Borrowed("/");
    }
    if is_clean(raw) { Cow::Borrowed(raw) } else { rewrite(raw).map_or(Cow::Borrowed(OTHER), Cow::Owned) }
}

/// [`clean`], keeping the owned text of the slow way.
pub fn clean_cow(raw: Cow<'_, str>) -> Cow<'_, str> {
    match raw {
        Cow::Borrowed(raw) => clean(raw),
        Cow::Owned(raw) => Cow::Owned(clean(&raw).into_owned()),
    }
}

fn is_clean(raw: &str) -> bool {
    // No early end: these are vector instructions and table look-ups, and nearly every path passes.
    let plain = raw.bytes().fold(true, |plain, b| plain & PLAIN[usize::from(b)]);
    raw.len() <= MOST_BYTES && plain && (raw == "/" || segments_are_clean(&raw[1..]))
}

/// A handle (`/@mia`) is a profile's public name; an `@` anywhere else is a mailbox.
fn tells(segment: &str) -> bool {
    looks_secret(segment.strip_prefix('@').unwrap_or(segment))
}

fn segments_are_clean(rest: &str) -> bool {
    let telling = |segment: &str| segment.is_empty() || segment == "." || segment == ".." || tells(segment);
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

/// [`stands_plain`], and the slash between segments.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut b = 0;
    while b < 256 {
        plain[b] = b == b'/' as usize || stands_plain(b as u8);
        b += 1;
    }
    plain
};

/// What RFC 3986 lets a segment hold unencoded.
const fn stands_plain(b: u8) -> bool {
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

/// `None` if it is too long.
fn rewrite(raw: &str) -> Option<String> {
    let mut kept: Vec<&str> = Vec::new();
    for segment in raw.split('/').skip(1) {
        match dots(segment) {
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
        write_segment(segment, &mut out);
        if out.len() > MOST_BYTES {
            return None;
        }
    }
    if out.is_empty() {
        out.push('/');
    }
    Some(out)
}

/// How many dots the segment is, plain or encoded; 0 if it is anything else.
fn dots(segment: &str) -> u8 {
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

fn write_segment(segment: &str, out: &mut String) {
    let Ok(text) = String::from_utf8(percent_decode(segment, false)) else { return out.push_str(OTHER) };
    if text.contains(is_hidden) {
        return out.push_str(OTHER);
    }
    if tells(&text) {
        return out.push_str(ID);
    }
    for c in text.chars() {
        match c.is_ascii() && !stands_plain(c as u8) {
            true => write!(out, "%{:02X}", u32::from(c)).expect("a String takes everything"),
            false => out.push(c),
        }
    }
}

/// A segment may begin with an `@`: see [`tells`].
#[cfg(test)]
pub(super) fn holds_a_mailbox(path: &str) -> bool {
    path.split('/').any(|segment| segment.chars().skip(1).any(|c| c == '@'))
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
            ("/a%20b", "/a%20b"),
            ("/a b", "/a%20b"),
            ("/a%2fb", "/a%2Fb"),
            ("/100%", "/100%25"),
            ("/a%3Fb%23c", "/a%3Fb%23c"),
        ];
        for (raw, expected) in cases {
            assert_eq!(clean(raw), expected, "{raw}");
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
            ("/file/0b9e1c9a-3d5f-4c7e-9a1b-2f3e4d5c6b7a/view", "/file/(id)/view"),
            ("/a%0Ab", "/(other)"),
            ("/a%FFb/c", "/(other)/c"),
            ("/%E2%80%AEgpj", "/(other)"),
        ];
        for (raw, expected) in cases {
            assert_eq!(clean(raw), expected, "{raw}");
        }
    }

    #[test]
    fn a_path_is_kept_up_to_512_bytes() {
        let fits = format!("/{}", "a".repeat(511));
        assert_eq!(clean(&fits), fits);
        assert_eq!(clean(&format!("{fits}a")), "(other)");
        assert_eq!(clean(&format!("/{}", "%C3%A9".repeat(255))).len(), 511);
        assert_eq!(clean(&format!("/{}", "%C3%A9".repeat(256))), "(other)");
    }

    proptest! {
        #[test]
        fn a_clean_path_is_short_printable_nobody_and_stays_as_it_is(raw in "(/([ -~]{0,30}|.{0,10}|%[0-9a-fA-F]{2}|\\.\\.|%2e){0,3}){0,8}") {
            let path = clean(&raw).into_owned();
            prop_assert!(path.len() <= 512);
            prop_assert!(!path.contains(['?', '#']) && !path.contains(is_hidden) && !path.contains("//"));
            prop_assert!(!holds_a_mailbox(&path));
            prop_assert!(path == "(other)" || path.starts_with('/'));
            prop_assert_eq!(clean(&path).into_owned(), path.clone());
        }
    }
}
