//! The low-entropy client hints. They are used if they are sent; others are never requested,
//! because that would be fingerprinting.

use super::browser::Browser;
use crate::event::ClientHints;

/// What the hints add to the user agent.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct ParsedHints<'a> {
    /// The first known brand; another one takes precedence over Chrome.
    pub browser: Option<Browser>,
    /// Whether a headless browser is among the brands.
    pub headless: bool,
    /// `Sec-CH-UA-Mobile`; `None` if it is missing or malformed.
    pub mobile: Option<bool>,
    /// `Sec-CH-UA-Platform` without its quotes.
    pub platform: Option<&'a str>,
}

/// Parses the hints. Malformed ones are ignored.
pub fn parse_hints<'a>(hints: &ClientHints<'a>) -> ParsedHints<'a> {
    let mut told = ParsedHints {
        mobile: match hints.mobile.map(str::trim) {
            Some("?1") => Some(true),
            Some("?0") => Some(false),
            _ => None,
        },
        platform: hints
            .platform
            .map(|platform| platform.trim().trim_matches('"')),
        ..ParsedHints::default()
    };

    for brand in BrandNames(hints.brands.unwrap_or("")) {
        told.headless |= brand == "HeadlessChrome";
        let known = Browser::from_brand(brand);
        // Browsers other than Chrome may name Chrome as well, for sites that check for Chrome only.
        if told
            .browser
            .is_none_or(|browser| browser == Browser::Chrome)
            && known.is_some()
        {
            told.browser = known;
        }
    }
    told
}

/// The names of a brand list (RFC 8941 strings with parameters). GREASE brands contain commas and
/// semicolons inside quotes.
struct BrandNames<'a>(&'a str);

impl<'a> Iterator for BrandNames<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let (brand, mut rest) = split_quoted(self.0.trim_start_matches([' ', '\t', ',']))?;
        while let Some(at) = rest.find([',', '"']) {
            if rest.as_bytes()[at] == b',' {
                break;
            }
            rest = split_quoted(&rest[at..])?.1;
        }
        self.0 = rest.find(',').map_or("", |at| &rest[at..]);
        Some(brand)
    }
}

/// The content of the string at the start of `text`, and the text after it. An escaped quote does
/// not end the string.
fn split_quoted(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('"')?;
    let mut escaped = false;
    let end = inside.bytes().position(|b| {
        let ends = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        ends
    })?;
    Some((&inside[..end], &inside[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn brand(brands: &str) -> Option<Browser> {
        parse_hints(&ClientHints {
            brands: Some(brands),
            ..ClientHints::default()
        })
        .browser
    }

    #[test]
    fn the_specific_brand_is_read_and_made_up_ones_are_dropped() {
        let cases = [
            (
                r#""Chromium";v="134", "Not:A-Brand";v="24", "Google Chrome";v="134""#,
                Some(Browser::Chrome),
            ),
            (
                r#""Not(A:Brand";v="99", "Microsoft Edge";v="133", "Chromium";v="133""#,
                Some(Browser::Edge),
            ),
            (
                r#"" Not;A,Brand";v="8", "Brave";v="1""#,
                Some(Browser::Brave),
            ),
            (
                r#""\"Not\\A;Brand";v="1,2", "Opera";v="117""#,
                Some(Browser::Opera),
            ),
            (
                r#""Google Chrome";v="134", "Whale";v="4""#,
                Some(Browser::Whale),
            ),
            (r#""Chromium";v="134", "Not A;Brand";v="24""#, None),
            (r#""Unclosed"#, None),
            ("", None),
        ];
        for (brands, expected) in cases {
            assert_eq!(brand(brands), expected, "{brands}");
        }
    }

    #[test]
    fn mobile_platform_and_headless_are_read() {
        let hints = ClientHints {
            brands: Some(r#""HeadlessChrome";v="134""#),
            mobile: Some("?1"),
            platform: Some(r#""Android""#),
        };
        let told = parse_hints(&hints);
        assert_eq!(
            told,
            ParsedHints {
                browser: None,
                headless: true,
                mobile: Some(true),
                platform: Some("Android")
            }
        );
        assert_eq!(
            parse_hints(&ClientHints {
                mobile: Some("yes"),
                ..ClientHints::default()
            })
            .mobile,
            None
        );
    }

    proptest! {
        #[test]
        fn no_brand_list_brings_it_down(brands in "[\", \\\\;=a-z]{0,60}|.{0,60}") {
            brand(&brands);
        }
    }
}
