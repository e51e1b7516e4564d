//! The identity of a clicked link: its id, or its target.
//!
//! Ids are chosen by the site and kept as they are, in any script. Of a target, the scheme, the
//! host, the cleaned path, and the id of public content on known hosts are kept. Of a mail address
//! or a phone number, only the scheme is kept.

use std::borrow::Cow;

use url::Url;

use super::text::{ID_PLACEHOLDER, clean_event_name, looks_secret};
use super::{address, path, public_content};
use crate::event::OTHER_VALUE;

const MAX_TARGET_BYTES: usize = 512;

/// Schemes that are followed by personal data. They are tested before ids, because
/// `tel:4917012345678` has the form of an id.
const PERSONAL_SCHEMES: [&str; 21] = [
    "mailto:",
    "tel:",
    "sms:",
    "smsto:",
    "mms:",
    "mmsto:",
    "callto:",
    "facetime:",
    "facetime-audio:",
    "skype:",
    "whatsapp:",
    "viber:",
    "sgnl:",
    "imessage:",
    "sip:",
    "sips:",
    "xmpp:",
    "threema:",
    "weixin:",
    "zoommtg:",
    "msteams:",
];

/// Schemes without a target elsewhere, or whose URL contains the content itself.
const UNCOUNTED_SCHEMES: [&str; 10] = [
    "javascript",
    "data",
    "blob",
    "file",
    "about",
    "vbscript",
    "view-source",
    "filesystem",
    "chrome",
    "resource",
];

/// Cleans the name of a click: a link id or a target. `profile` returns how many bytes at the start
/// of a path, on this host, name a site; these are public and kept unchanged.
pub fn clean_link(name: &str, profile: impl Fn(&str, &str) -> usize) -> Cow<'_, str> {
    let name = name.trim();
    let starts_with = |scheme: &&str| {
        name.get(..scheme.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(scheme))
    };
    if let Some(scheme) = PERSONAL_SCHEMES.into_iter().find(starts_with) {
        return Cow::Borrowed(scheme);
    }
    if is_link_id(name) {
        return Cow::Borrowed(name);
    }
    let target = match parse_scheme(name) {
        Some("http" | "https") => clean_target(name, profile),
        Some(_) => clean_app_link(name),
        None if is_path_or_query(name) => None,
        None => return clean_event_name(name),
    };
    target
        .filter(|target| target.len() <= MAX_TARGET_BYTES)
        .map_or(Cow::Borrowed(OTHER_VALUE), Cow::Owned)
}

fn is_link_id(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'~' | b':' | b'-');
    matches!(name.len(), 1..=64) && name.bytes().all(plain)
}

/// The scheme of a URL, in lower case if it is `http` or `https`. `None` for a plain name such as
/// `Tickets: Berlin`.
fn parse_scheme(name: &str) -> Option<&str> {
    let (scheme, rest) = name.split_once(':')?;
    let is_scheme = scheme.len() > 1
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'.' | b'-'));
    let leads = rest.starts_with('/')
        || (rest.contains(['/', '?', '(', '@', ',']) && !rest.contains(char::is_whitespace));
    let web = ["http", "https"]
        .into_iter()
        .find(|web| scheme.eq_ignore_ascii_case(web));
    (is_scheme && (leads || web.is_some())).then(|| web.unwrap_or(scheme))
}

/// Whether a text is a path or a query with values, rather than a name.
fn is_path_or_query(name: &str) -> bool {
    name.starts_with('/')
        || name
            .split_once(['?', '#'])
            .is_some_and(|(_, rest)| rest.contains('='))
}

fn clean_target(url: &str, profile: impl Fn(&str, &str) -> usize) -> Option<String> {
    let parts = address::split_url(url).ok()?;
    let scheme = if parts.https { "https" } else { "http" };
    if let Some(thing) =
        public_content::content_path(&parts.host, &parts.path, parts.query.as_deref())
    {
        return Some(format!("{scheme}://{}{thing}", parts.host));
    }
    let spelled = path::normalize_path(parts.path);
    let path = path::clean_path_after(&spelled, profile(&parts.host, &spelled));
    path.starts_with('/')
        .then(|| format!("{scheme}://{}{path}", parts.host))
}

/// A link that opens an app: its scheme, and the rest cleaned like any target.
fn clean_app_link(link: &str) -> Option<String> {
    let url = Url::parse(link).ok()?;
    let scheme = url.scheme();
    if UNCOUNTED_SCHEMES.contains(&scheme) || !url.username().is_empty() || url.password().is_some()
    {
        return None;
    }
    if url.cannot_be_a_base() {
        let rest =
            if looks_secret(url.path()) || url.path().contains(|c: char| !c.is_ascii_graphic()) {
                ID_PLACEHOLDER
            } else {
                url.path()
            };
        return Some(format!("{scheme}:{rest}"));
    }
    let host = url.host_str().unwrap_or("").to_ascii_lowercase();
    let place = format!("{scheme}://{host}");
    let thing = public_content::content_path(&place, url.path(), url.query())
        .or_else(|| public_content::content_path(&host, url.path(), url.query()));
    let host = if looks_secret(&host) {
        ID_PLACEHOLDER
    } else {
        &host
    };
    let path = thing.map_or_else(|| path::clean_path(url.path()), Cow::Owned);
    match &*path {
        "" | "/" => Some(format!("{scheme}://{host}")),
        path => Some(format!("{scheme}://{host}{path}")).filter(|_| path.starts_with(['/', '?'])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn link(name: &str) -> Cow<'_, str> {
        let of_mia = |host: &str, path: &str| {
            if host == "links.example" && path.starts_with("/u/mia123456789") {
                15
            } else {
                0
            }
        };
        super::clean_link(name, of_mia)
    }

    #[test]
    fn ids_stay_targets_are_cleaned_and_people_go() {
        let cases = [
            ("instagram-button", "instagram-button"),
            ("a:b.c_d~e", "a:b.c_d~e"),
            (
                "https://shop.example/mug?sku=1#top",
                "https://shop.example/mug",
            ),
            (
                "http://Music.Example:8080/album/",
                "http://music.example/album",
            ),
            ("HTTPS://music.example", "https://music.example/"),
            (
                "https://tickets.example/order/987654321/pdf",
                "https://tickets.example/order/(id)/pdf",
            ),
            (
                "https://links.example/u/mia123456789/order/987654321",
                "https://links.example/u/mia123456789/order/(id)",
            ),
            (
                "https://links.example/u/tom123456789",
                "https://links.example/u/(id)",
            ),
            ("mailto:ann@mail.example?subject=x", "mailto:"),
            ("MailTo:ann", "mailto:"),
            ("tel:4917012345678", "tel:"),
            ("tel:+49 170 1234", "tel:"),
            ("https://ann@shop.example/", "(other)"),
            ("javascript:alert(1)", "(other)"),
            ("/shop", "(other)"),
            ("shop?token=a", "(other)"),
            ("", "(other)"),
        ];
        for (name, expected) in cases {
            assert_eq!(link(name), expected, "{name}");
        }
        assert_eq!(link(&"a".repeat(64)), "a".repeat(64));
        assert_eq!(link(&"a".repeat(65)), "(other)");
        assert_eq!(
            link(&format!("https://a.example/{}", "b".repeat(500))),
            "(other)"
        );
    }

    #[test]
    fn a_name_somebody_chose_stays_in_any_script() {
        for (name, expected) in [
            ("a b", "a b"),
            ("  Mein Café ", "Mein Café"),
            ("Mein Cafe\u{301}", "Mein Caf\u{e9}"),
            ("kaffee für mich", "kaffee für mich"),
            ("🎉 Tickets: Berlin", "🎉 Tickets: Berlin"),
            ("購入する", "購入する"),
            ("half \u{fffd}", "half"),
            ("ann@mail.example", "(other)"),
            ("call 0049123456789", "(other)"),
        ] {
            assert_eq!(link(name), expected, "{name}");
        }
    }

    #[test]
    fn a_link_into_an_app_is_what_it_is_and_no_person() {
        for (name, expected) in [
            ("spotify:track:1", "spotify:track:1"),
            ("whatsapp://send?text=x", "whatsapp:"),
            ("sms:+491", "sms:"),
            ("viber://chat?number=%2B491", "viber:"),
            ("tg://resolve?domain=mia", "tg://resolve?domain=mia"),
            ("tg://resolve?phone=491701234567", "tg://resolve"),
            (
                "market://details?id=org.example.app&referrer=x",
                "market://details?id=org.example.app",
            ),
            (
                "itms-apps://apps.apple.com/app/id1234567890",
                "itms-apps://apps.apple.com/app/id1234567890",
            ),
            ("fb://profile/100001234567890", "fb://profile/(id)"),
            ("geo:52.5,13.4", "geo:52.5,13.4"),
            ("data:text/html,x", "(other)"),
            ("blob:https://a.example/x", "(other)"),
            ("app://ann:secret@host/x", "(other)"),
        ] {
            assert_eq!(link(name), expected, "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_link_holds_a_query_or_a_mailbox(name in ".{0,100}|(https?://|mailto:|tel:|app://|x:)[ -~]{0,100}") {
            let link = link(&name);
            prop_assert!(!link.is_empty() && link.len() <= 512);
            prop_assert!(!link.contains("://") || !link.contains(['?', '#']), "{}", link);
            prop_assert!(!path::contains_mailbox(&link));
        }
    }
}
