//! Checks where a link may lead, and whether a target looks like a recipient's own.

use std::borrow::Cow;

use url::Url;

use crate::enrich::{ID_PLACEHOLDER, clean_path, looks_secret};

const MAX_TARGET_BYTES: usize = 2048;

/// Why a target is rejected. Does not quote the target, which may identify a person.
#[derive(thiserror::Error, Clone, Copy, PartialEq, Eq, Debug)]
pub enum TargetError {
    /// The scheme is not accepted; `true` if `http` would be.
    #[error("a link leads to an https URL{}", if *.0 { " or an http one" } else { "" })]
    Scheme(bool),
    /// It is too long, or has bytes that must be encoded.
    #[error(
        "a target has at most {MAX_TARGET_BYTES} bytes, all of them printable ASCII, no backslash: \
         encode the rest"
    )]
    InvalidBytes,
    /// It has no host, or a user.
    #[error("a target names a host, and no user")]
    Host,
    /// It unsubscribes whoever follows it.
    #[error(
        "a link to unsubscribe is never wrapped: software that follows links would unsubscribe \
         people"
    )]
    Unsubscribe,
    /// This part of it may identify a recipient.
    #[error(
        "a target is the same for all recipients; the {0} of this one looks like one of them (an \
         address, a token, a UUID, nine digits or more, a key such as rcpt, user, email or token). \
         A link of one recipient stands in the mail as it is, unwrapped"
    )]
    LooksLikeRecipient(TargetPart),
}

/// The part of a target that looks like a recipient's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TargetPart {
    /// It has no host, or a user.
    Host,
    /// The path.
    Path,
    /// The query.
    Query,
    /// The fragment.
    Fragment,
}

impl std::fmt::Display for TargetPart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            TargetPart::Host => "host",
            TargetPart::Path => "path",
            TargetPart::Query => "query",
            TargetPart::Fragment => "fragment",
        })
    }
}

/// Whether browsers and this collector parse `target` alike: an absolute `https` URL (or `http`, if
/// allowed) of printable ASCII, with a host and without a user.
///
/// # Errors
///
/// The first rule that `target` breaks.
pub fn check_well_formed(target: &str, http: bool) -> Result<(), TargetError> {
    if target.len() > MAX_TARGET_BYTES
        || !target.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
    {
        return Err(TargetError::InvalidBytes);
    }
    let rest = target
        .strip_prefix("https://")
        .or_else(|| target.strip_prefix("http://").filter(|_| http));
    let rest = rest.ok_or(TargetError::Scheme(http))?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    let url = Url::parse(target).map_err(|_| TargetError::Host)?;
    let plain = !authority.is_empty() && !authority.contains('@') && url.has_host();
    if plain && url.username().is_empty() && url.password().is_none() {
        Ok(())
    } else {
        Err(TargetError::Host)
    }
}

/// Words in links that unsubscribe, without hyphens.
const UNSUBSCRIBE_WORDS: [&str; 7] = [
    "unsubscribe",
    "abmelden",
    "abbestellen",
    "desabonner",
    "desinscription",
    "desuscribir",
    "cancelarsuscripcion",
];
/// Matched with their hyphens only, because they are short: `shop-to-utah` contains one of them
/// without its hyphens.
const OPT_OUT_WORDS: [&str; 3] = ["optout", "opt-out", "opt_out"];

/// Whether `target` looks like a link to unsubscribe. Percent-encoded text is decoded first, as its
/// server does.
pub fn is_unsubscribe(target: &str) -> bool {
    url::form_urlencoded::parse(target.as_bytes())
        .flat_map(|(key, value)| [key, value])
        .any(|part| {
            let part = part.to_lowercase();
            let joined = part.replace(['-', '_'], "");
            UNSUBSCRIBE_WORDS.iter().any(|word| joined.contains(word))
                || OPT_OUT_WORDS.iter().any(|word| part.contains(word))
        })
}

/// Query keys whose value is always a recipient's; lower case, letters and digits only.
const RECIPIENT_KEYS: [&str; 24] = [
    "account",
    "accountid",
    "contact",
    "contactid",
    "customer",
    "customerid",
    "email",
    "emailaddress",
    "hsenc",
    "jwt",
    "mceid",
    "member",
    "memberid",
    "mkttok",
    "rcpt",
    "recipient",
    "recipientid",
    "subscriber",
    "subscriberid",
    "token",
    "uid",
    "user",
    "userid",
    "veroid",
];

/// The first part of a well-formed target that looks like a recipient's own; `None` if none does.
pub fn recipient_part(target: &str) -> Option<TargetPart> {
    let url = Url::parse(target).ok()?;
    let pairs_tell = |text: &str| {
        url::form_urlencoded::parse(text.as_bytes()).any(|(key, value)| {
            let word: String = key
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .collect::<String>()
                .to_lowercase();
            looks_secret(&key)
                || looks_secret(&value)
                || (!value.is_empty() && RECIPIENT_KEYS.contains(&&*word))
        })
    };
    let parts = [
        (
            TargetPart::Host,
            url.host_str()
                .is_some_and(|host| host.split('.').any(looks_secret)),
        ),
        (
            TargetPart::Path,
            clean_path(url.path())
                .split('/')
                .any(|segment| segment == ID_PLACEHOLDER),
        ),
        (TargetPart::Query, url.query().is_some_and(pairs_tell)),
        (TargetPart::Fragment, url.fragment().is_some_and(pairs_tell)),
    ];
    parts
        .into_iter()
        .find(|(_, tells)| *tells)
        .map(|(part, _)| part)
}

/// Adds the template as `utm_source` and `utm_campaign` to a target on one of our own pages, so
/// that its visit has a source. A target with such keys is returned unchanged.
pub fn add_utm_tags<'a>(target: &'a str, template: &str) -> Cow<'a, str> {
    let (before, fragment) = match target.find('#') {
        Some(at) => target.split_at(at),
        None => (target, ""),
    };
    let query = before.split_once('?').map(|(_, query)| query);
    let keys = || {
        query
            .unwrap_or("")
            .split('&')
            .map(|pair| pair.split('=').next().unwrap_or(""))
    };
    if keys().any(|key| ["utm_source", "utm_campaign"].contains(&key)) {
        return Cow::Borrowed(target);
    }
    let joint = match query {
        None => "?",
        Some(query) if query.is_empty() || query.ends_with('&') => "",
        Some(_) => "&",
    };
    Cow::Owned(format!(
        "{before}{joint}utm_source=mail&utm_campaign={template}{fragment}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_an_https_url_that_every_browser_reads_the_same() {
        use TargetError::{Host, InvalidBytes, Scheme};
        for (target, expected) in [
            ("https://pages.example", Ok(())),
            (
                "https://pages.example/u/mia?a=%C3%A9&b=https://other.example/#top",
                Ok(()),
            ),
            ("https://pages.example:8443/a@b", Ok(())),
            ("https://xn--mnchen-3ya.example/", Ok(())),
            ("http://pages.example/", Err(Scheme(false))),
            ("HTTPS://pages.example/", Err(Scheme(false))),
            ("javascript:alert(1)", Err(Scheme(false))),
            ("data:text/html,x", Err(Scheme(false))),
            ("mailto:ann@mail.example", Err(Scheme(false))),
            ("//pages.example/", Err(Scheme(false))),
            ("/u/mia", Err(Scheme(false))),
            ("", Err(Scheme(false))),
            ("https:/pages.example/", Err(Scheme(false))),
            ("https:///pages.example/", Err(Host)),
            ("https://", Err(Host)),
            ("https://?a", Err(Host)),
            ("https://ann@pages.example/", Err(Host)),
            ("https://ann:x@pages.example/", Err(Host)),
            ("https://pages.example%40evil.example@x/", Err(Host)),
            ("https://pages.example:port/", Err(Host)),
            (
                "https://pages.example/\r\nSet-Cookie: a=b",
                Err(InvalidBytes),
            ),
            ("https://pages.example/a b", Err(InvalidBytes)),
            ("https://pages.example\\@evil.example/", Err(InvalidBytes)),
            ("https://pages.example/\u{e9}", Err(InvalidBytes)),
            ("https://pages.example/\0", Err(InvalidBytes)),
        ] {
            assert_eq!(check_well_formed(target, false), expected, "{target:?}");
        }
        assert_eq!(check_well_formed("http://pages.example/", true), Ok(()));
        assert_eq!(
            check_well_formed(&format!("https://pages.example/{}", "a".repeat(2048)), true),
            Err(InvalidBytes)
        );
    }

    #[test]
    fn a_way_out_is_known_by_its_name() {
        for (target, expected) in [
            ("https://pages.example/unsubscribe?u=1", true),
            ("https://pages.example/mail/Opt-Out", true),
            ("https://pages.example/%75nsubscribe", true),
            ("https://pages.example/un-subscribe", true),
            ("https://pages.example/?do=Un_Subscribe&u=1", true),
            ("https://unsubscribe.pages.example/", true),
            ("https://pages.example/newsletter/abmelden", true),
            ("https://pages.example/se-desabonner", true),
            ("https://pages.example/shop-to-utah", false),
            ("https://pages.example/subscribe", false),
            ("https://pages.example/settings", false),
        ] {
            assert_eq!(is_unsubscribe(target), expected, "{target}");
        }
    }

    #[test]
    fn a_page_is_told_the_campaign_once_and_nothing_else_changes() {
        for (target, expected) in [
            (
                "https://p.example",
                "https://p.example?utm_source=mail&utm_campaign=welcome",
            ),
            (
                "https://p.example/u/mia",
                "https://p.example/u/mia?utm_source=mail&utm_campaign=welcome",
            ),
            (
                "https://p.example/?a=1#top",
                "https://p.example/?a=1&utm_source=mail&utm_campaign=welcome#top",
            ),
            (
                "https://p.example/?",
                "https://p.example/?utm_source=mail&utm_campaign=welcome",
            ),
            (
                "https://p.example/?a&",
                "https://p.example/?a&utm_source=mail&utm_campaign=welcome",
            ),
            (
                "https://p.example/#a?b",
                "https://p.example/?utm_source=mail&utm_campaign=welcome#a?b",
            ),
            (
                "https://p.example/?utm_campaign=spring",
                "https://p.example/?utm_campaign=spring",
            ),
            (
                "https://p.example/?x=1&utm_source",
                "https://p.example/?x=1&utm_source",
            ),
        ] {
            assert_eq!(add_utm_tags(target, "welcome"), expected);
        }
    }
}
