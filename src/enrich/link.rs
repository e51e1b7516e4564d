//! What a click was on: the link's id, or where it leads.
//!
//! Ids are the site's own words and stay as they are. Of a target its scheme, host and cleaned path stay; of a mail address
//! or a phone number only that it was one.

use std::borrow::Cow;

use super::{address, path};
use crate::event::OTHER;

const MOST_BYTES: usize = 512;

/// Schemes whose rest is a person. They come before the ids: `tel:4917012345678` has an id's characters.
const PEOPLE: [&str; 7] = ["mailto:", "tel:", "sms:", "callto:", "facetime:", "skype:", "whatsapp:"];

pub fn link(name: &str) -> Cow<'_, str> {
    let starts_with = |scheme: &&str| name.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme));
    if let Some(scheme) = PEOPLE.into_iter().find(starts_with) {
        return Cow::Borrowed(scheme);
    }
    if is_id(name) { Cow::Borrowed(name) } else { target(name).map_or(Cow::Borrowed(OTHER), Cow::Owned) }
}

fn is_id(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'~' | b':' | b'-');
    matches!(name.len(), 1..=64) && name.bytes().all(plain)
}

fn target(url: &str) -> Option<String> {
    let parts = address::split(url).ok()?;
    let scheme = if parts.https { "https" } else { "http" };
    let path = path::clean(&parts.path);
    let target = format!("{scheme}://{}{path}", parts.host);
    (path.starts_with('/') && target.len() <= MOST_BYTES).then_some(target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_stay_targets_are_cleaned_and_people_go() {
        let cases = [
            ("instagram-button", "instagram-button"),
            ("a:b.c_d~e", "a:b.c_d~e"),
            ("https://shop.example/mug?sku=1#top", "https://shop.example/mug"),
            ("http://Music.Example:8080/album/", "http://music.example/album"),
            ("https://music.example", "https://music.example/"),
            ("https://tickets.example/order/987654321/pdf", "https://tickets.example/order/(id)/pdf"),
            ("mailto:ann@mail.example?subject=x", "mailto:"),
            ("MailTo:ann", "mailto:"),
            ("tel:4917012345678", "tel:"),
            ("tel:+49 170 1234", "tel:"),
            ("https://ann@shop.example/", "(other)"),
            ("javascript:alert(1)", "(other)"),
            ("/shop", "(other)"),
            ("a b", "(other)"),
            ("", "(other)"),
        ];
        for (name, expected) in cases {
            assert_eq!(link(name), expected, "{name}");
        }
        assert_eq!(link(&"a".repeat(64)), "a".repeat(64));
        assert_eq!(link(&"a".repeat(65)), "(other)");
        assert_eq!(link(&format!("https://a.example/{}", "b".repeat(500))), "(other)");
    }

    proptest! {
        #[test]
        fn no_link_holds_a_query_or_a_mailbox(name in ".{0,100}|(https?://|mailto:|tel:)[ -~]{0,100}") {
            let link = link(&name);
            prop_assert!(!link.is_empty() && link.len() <= 512 && !link.contains(['?', '#']));
            prop_assert!(!path::holds_a_mailbox(&link));
        }
    }
}
