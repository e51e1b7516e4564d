//! Rules for text from outside that is stored.
//!
//! Every path, link, campaign and name passes through here. Three things are never in the result:
//! invisible characters (they forge log lines and reorder what a reader sees), anything that looks
//! like personal data or a secret (it would be stored for years), and text of unbounded length. The
//! common case is plain text that needs no change: it is returned unchanged, without allocation.

use std::borrow::Cow;

use icu_normalizer::ComposingNormalizerBorrowed;

use crate::event::OTHER_VALUE;

/// Replaces a part that looks like personal data or a secret.
pub const ID_PLACEHOLDER: &str = "(id)";

/// A run of this many letters and digits, with at least one digit, is treated as a key or a token.
const MIN_TOKEN_CHARS: usize = 20;
/// A run of this many digits is treated as a phone number or an account.
const MIN_NUMBER_DIGITS: usize = 9;

/// Whether a text contains an `@`, a UUID, a token or a long number. `text` must be decoded.
pub fn looks_secret(text: &str) -> bool {
    let bytes = text.as_bytes();
    // `fold` instead of `any`: without an early exit this compiles to a few vector instructions,
    // and nearly every call ends here.
    let odd = bytes.iter().fold(false, |odd, &b| {
        odd | (b == b'@') | (b == b'%') | (b >= 0x80)
    });
    let digit = bytes
        .iter()
        .fold(false, |digit, b| digit | b.is_ascii_digit());
    (odd && contains_mailbox(text))
        || (digit
            && bytes.len() >= MIN_NUMBER_DIGITS
            && (has_long_run(bytes) || is_mixed_token(bytes)))
        || contains_uuid(bytes)
}

/// Whether a text contains an `@` in any form: plain, full-width, small, or encoded once more.
fn contains_mailbox(text: &str) -> bool {
    text.contains(['@', '\u{ff20}', '\u{fe6b}']) || text.contains("%40")
}

fn has_long_run(bytes: &[u8]) -> bool {
    let (mut run, mut digits, mut has_digit) = (0, 0, false);
    for byte in bytes {
        if byte.is_ascii_digit() {
            (run, digits, has_digit) = (run + 1, digits + 1, true);
        } else if byte.is_ascii_alphabetic() {
            (run, digits) = (run + 1, 0);
        } else {
            (run, digits, has_digit) = (0, 0, false);
        }

        if digits >= MIN_NUMBER_DIGITS || (run >= MIN_TOKEN_CHARS && has_digit) {
            return true;
        }
    }
    false
}

/// base64url uses `-` and `_` inside tokens, but words of titles are joined by them too. Unlike a
/// token, the words of a title do not mix capitals, small letters and digits.
fn is_mixed_token(bytes: &[u8]) -> bool {
    let joined = |b: &u8| matches!(b, b'-' | b'_');
    bytes.len() >= MIN_TOKEN_CHARS
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || joined(b))
        && bytes.split(joined).any(|part| {
            part.iter().any(u8::is_ascii_digit)
                && part.iter().skip(1).any(u8::is_ascii_uppercase)
                && part.iter().any(u8::is_ascii_lowercase)
        })
}

fn contains_uuid(bytes: &[u8]) -> bool {
    const HYPHENS: [usize; 4] = [8, 13, 18, 23];
    bytes.windows(36).any(|window| {
        window
            .iter()
            .enumerate()
            .all(|(at, byte)| match HYPHENS.contains(&at) {
                true => *byte == b'-',
                false => byte.is_ascii_hexdigit(),
            })
    })
}

/// Whether a character is invisible, or changes the order of those beside it. The two joiners
/// (U+200C, U+200D) are part of Persian words and of emoji, and are allowed.
pub fn is_hidden_char(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{fffd}'..='\u{ffff}'
            | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..)
        || (!c.is_ascii() && c.is_whitespace())
}

/// Normalises letters that can be written in two ways (NFC): `e` with a combining accent becomes
/// `é`.
pub fn normalize_nfc(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.is_ascii() {
        return text;
    }
    match text {
        Cow::Borrowed(text) => ComposingNormalizerBorrowed::new_nfc().normalize(text),
        Cow::Owned(text) => Cow::Owned(
            ComposingNormalizerBorrowed::new_nfc()
                .normalize(&text)
                .into_owned(),
        ),
    }
}

/// Decodes `%XX`; a `%` without two hex digits stays. Returns bytes, because the result may not be
/// UTF-8.
pub fn percent_decode(text: &str, plus_is_space: bool) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = |offset: usize| {
            bytes
                .get(at + offset)
                .and_then(|b| char::from(*b).to_digit(16))
        };
        match (bytes[at], hex(1), hex(2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
                continue;
            }
            (b'+', _, _) if plus_is_space => out.push(b' '),
            (byte, _, _) => out.push(byte),
        }
        at += 1;
    }
    out
}

/// The value of a query key: decoded, trimmed, lower case, cleaned. `None` if it is empty.
pub fn clean_query_value(raw: &str, most_chars: usize) -> Option<Cow<'_, str>> {
    clean_value(raw, most_chars, looks_secret, |value| {
        value.contains(is_markup_char)
    })
}

/// [`clean_query_value`] for a campaign. Ad systems name campaigns by long numbers, which are equal
/// for all visitors, and people write `&` and `<` in names; both are kept. Values that look like a
/// mail address, a phone number or a random token are replaced nevertheless.
pub fn clean_campaign_value(raw: &str, most_chars: usize) -> Option<Cow<'_, str>> {
    let foreign = |c: char| is_markup_char(c) && !matches!(c, '&' | '<' | '>' | '"');
    clean_value(raw, most_chars, identifies_person, |value| {
        value.contains(foreign) || contains_markup(value)
    })
}

/// The value, or the placeholder for the reason why it is not kept: personal data, or not a name.
fn clean_value(
    raw: &str,
    most_chars: usize,
    is_personal: impl Fn(&str) -> bool,
    is_no_name: impl Fn(&str) -> bool,
) -> Option<Cow<'_, str>> {
    let value = decode_value(raw)?;
    Some(if is_personal(&value) {
        Cow::Borrowed(ID_PLACEHOLDER)
    } else if value.chars().count() > most_chars || is_no_name(&value) || is_placeholder(&value) {
        Cow::Borrowed(OTHER_VALUE)
    } else {
        value
    })
}

/// A run with this many changes between letters and digits is a random token: `fallsale2025letter`
/// has two.
const MIN_TOKEN_CHANGES: usize = 3;

fn identifies_person(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let is_phone = digits >= MIN_NUMBER_DIGITS
        && text
            .as_bytes()
            .windows(2)
            .any(|w| w[0] == b'+' && w[1].is_ascii_digit());
    let runs = text
        .as_bytes()
        .split(|b| !b.is_ascii_alphanumeric())
        .filter(|run| run.len() >= MIN_TOKEN_CHARS);
    let changes = |run: &[u8]| {
        run.windows(2)
            .filter(|w| w[0].is_ascii_digit() != w[1].is_ascii_digit())
            .count()
    };
    contains_mailbox(text)
        || is_phone
        || contains_uuid(text.as_bytes())
        || runs.map(changes).any(|n| n >= MIN_TOKEN_CHANGES)
}

/// Whether a text contains an HTML tag or the start of one; `under<30` does not.
fn contains_markup(text: &str) -> bool {
    text.as_bytes()
        .windows(2)
        .any(|w| w[0] == b'<' && (w[1].is_ascii_alphabetic() || matches!(w[1], b'/' | b'!' | b'?')))
}

fn decode_value(raw: &str) -> Option<Cow<'_, str>> {
    let plain =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
    let value: Cow<'_, str> = if raw.bytes().all(plain) {
        Cow::Borrowed(raw)
    } else {
        let Ok(text) = String::from_utf8(percent_decode(raw, true)) else {
            return Some(Cow::Borrowed(OTHER_VALUE));
        };
        normalize_nfc(Cow::Owned(text.trim().to_lowercase()))
    };
    (!value.is_empty()).then_some(value)
}

/// Whether a character belongs to markup or a query rather than to a name.
fn is_markup_char(c: char) -> bool {
    is_hidden_char(c)
        || matches!(
            c,
            '?' | '#' | '=' | '&' | '<' | '>' | '"' | '\\' | '`' | '{' | '}'
        )
}

/// Whether a value has the form of a placeholder, such as `(other)` and `(direct)`, which input
/// must not be able to forge.
fn is_placeholder(value: &str) -> bool {
    value.starts_with('(') && value.ends_with(')')
}

/// The replacement character, which browsers send for half a surrogate pair.
const REPLACEMENT_CHAR: char = '\u{fffd}';

/// The cleaned name of an event: trimmed, visible characters only, at most 64 of them, without
/// personal data and tokens. Replacement characters are removed. A name that is longer, empty or
/// not acceptable becomes `(other)`.
pub fn clean_event_name(name: &str) -> Cow<'_, str> {
    let name = match name.contains(REPLACEMENT_CHAR) {
        true => Cow::Owned(name.replace(REPLACEMENT_CHAR, "").trim().to_owned()),
        false => Cow::Borrowed(name.trim()),
    };
    let name = normalize_nfc(name);
    let kept = !name.is_empty()
        && name.chars().count() <= 64
        && !name.contains(is_hidden_char)
        && !looks_secret(&name);
    if kept {
        name
    } else {
        Cow::Borrowed(OTHER_VALUE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn people_and_secrets_are_recognised_and_titles_are_not() {
        let secret = [
            "ann@mail.example",
            "ann%40mail.example",
            "ann＠mail",
            "0b9e1c9a-3d5f-4c7e-9a1b-2f3e4d5c6b7a",
            "x-abcdefab-abcd-abcd-abcd-abcdefabcdef",
            "a1b2c3d4e5f6a7b8c9d0",
            "123456789",
            "tel-0170123456789",
            "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
            "dQw4-w9WgXcQ_kJ8a-Zz90",
        ];
        let fine = [
            "12345678",
            "10-things-i-learned-in-2024-about-coffee",
            "photographyandlandscapes",
            "My-Trip-To-Rome-In-2024",
            "a1b2c3d4e5f6a7b8c9d",
            "caf\u{e9}-m\u{fc}nchen",
            "2024-03-01",
            "",
        ];
        for text in secret {
            assert!(looks_secret(text), "{text}");
        }
        for text in fine {
            assert!(!looks_secret(text), "{text}");
        }
    }

    #[test]
    fn a_query_value_is_decoded_lowered_and_marked() {
        let cases = [
            ("Spring_Sale", Some("spring_sale")),
            ("Tour%202026", Some("tour 2026")),
            ("tour+2026+", Some("tour 2026")),
            ("%E5%A4%8F", Some("夏")),
            ("100%", Some("100%")),
            ("", None),
            ("+%20", None),
            ("ann%40mail.example", Some("(id)")),
            ("%FF", Some("(other)")),
            ("a%0Ab", Some("(other)")),
            ("a%3Fb%3Dc", Some("(other)")),
            ("(direct)", Some("(other)")),
            ("%E2%80%AEevil", Some("(other)")),
        ];
        for (raw, expected) in cases {
            assert_eq!(clean_query_value(raw, 100).as_deref(), expected, "{raw}");
        }
        assert_eq!(
            clean_query_value(&"long-".repeat(21), 100).as_deref(),
            Some("(other)")
        );
    }

    #[test]
    fn a_campaign_may_be_a_number_and_nobody() {
        let long = "a".repeat(101);
        for (raw, expected) in [
            ("1852178840426754", "1852178840426754"),
            ("%E5%A4%8F%E5%AD%A320251222115017", "夏季20251222115017"),
            ("Q%26A%20week", "q&a week"),
            ("under%3C30", "under<30"),
            ("fallsale2025newsletter", "fallsale2025newsletter"),
            ("cafe%CC%81", "caf\u{e9}"),
            ("ann%40mail.example", "(id)"),
            ("%2B4917012345678", "(id)"),
            ("a1b2c3d4e5f6a7b8c9d0", "(id)"),
            ("0b9e1c9a-3d5f-4c7e-9a1b-2f3e4d5c6b7a", "(id)"),
            ("5f4dcc3b5aa765d61d8327deb882cf99", "(id)"),
            ("%3Cscript%3E", "(other)"),
            ("a%3Fb%3Dc", "(other)"),
            ("{{campaign.name}}", "(other)"),
            (&long, "(other)"),
        ] {
            assert_eq!(
                clean_campaign_value(raw, 100).as_deref(),
                Some(expected),
                "{raw}"
            );
        }
    }

    #[test]
    fn an_event_name_is_trimmed_printable_and_nobody() {
        assert_eq!(clean_event_name("  Sign up  "), "Sign up");
        assert_eq!(clean_event_name(&"ab ".repeat(21)), "ab ".repeat(21).trim());
        assert_eq!(clean_event_name("share \u{fffd}"), "share");
        assert_eq!(clean_event_name("Cafe\u{301}"), "Caf\u{e9}");
        for bad in [
            "",
            "  ",
            "a\nb",
            "ann@mail.example",
            "order 123456789",
            &"ab ".repeat(22),
            "\u{202e}x",
        ] {
            assert_eq!(clean_event_name(bad), "(other)", "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_value_is_long_hidden_or_somebody(raw in ".{0,200}|[ -~]{0,200}") {
            for value in [clean_query_value(&raw, 100), clean_campaign_value(&raw, 100), Some(clean_event_name(&raw))].into_iter().flatten() {
                prop_assert!(value.chars().count() <= 100 && !value.is_empty());
                prop_assert!(!value.contains('@') && !value.contains(is_hidden_char));
            }
        }
    }
}
