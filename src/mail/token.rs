//! Tokens: the content of a pixel's or link's URL, readable by anyone, and a signature over it.
//!
//! ```text
//! open     1.o.{key}.{template}.{batch}.{yes|no}.{expires}.{sent}.{signature}
//! click    1.c.{key}.{template}.{batch}.{yes|no}.{expires}.{sent}.{link}.{target}.{signature}
//! signature    base64url(HMAC-SHA256(secret, everything before its dot)), without padding
//! ```
//!
//! `key` is the id of the signing key, `yes|no` the consent. `batch` and `expires` are days as
//! `YYYY-MM-DD`; `expires` is the last one on which the token works, in UTC. `sent` is the Unix
//! time in seconds at which the batch was sent, or 0. `target` is base64url without padding. A mail
//! has exactly one encoding: other spellings of a field are rejected. docs/use/MAIL.md has test
//! vectors.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::keys::MailKeys;
use crate::calendar::{Day, Millis};
use crate::config::is_mail_name;

/// Name of the link that people cannot see; a sender who follows it is software.
pub const TRAP_LINK: &str = "trap";

const MAX_TOKEN_BYTES: usize = 4096;

/// The signed fields of a mail, the same for all its recipients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MailFields<'a> {
    /// Name of the template.
    pub template: &'a str,
    /// Batch day, the day it was signed for.
    pub batch: Day,
    /// Whether the mail may be counted at all.
    pub consent: bool,
    /// Last day on which it is valid, inclusive, in UTC.
    pub expires: Day,
    /// When the batch was sent, to the second; `None` if it was not sent at one moment.
    pub sent: Option<Millis>,
}

/// The signed fields of a link.
#[derive(PartialEq, Eq, Debug)]
pub struct LinkFields<'a> {
    /// The mail that contains the link.
    pub mail: MailFields<'a>,
    /// Name of the link.
    pub link: &'a str,
    /// Where it leads; as signed, so it must be checked before use by
    /// [`LinkSigner::is_allowed_target`](super::LinkSigner::is_allowed_target).
    pub target: String,
}

impl MailKeys {
    /// The token of a mail's pixel.
    pub fn pixel_token(&self, mail: &MailFields<'_>) -> String {
        self.append_signature(format!("1.o.{}", self.encode_fields(mail)))
    }

    /// The token of a link that leads to `target`.
    pub fn link_token(&self, mail: &MailFields<'_>, link: &str, target: &str) -> String {
        self.append_signature(format!(
            "1.c.{}.{link}.{}",
            self.encode_fields(mail),
            URL_SAFE_NO_PAD.encode(target)
        ))
    }

    /// Verifies a pixel's token. `None` if it was not signed by one of the keys, or expired before
    /// `today`.
    pub fn verify_pixel_token<'a>(&self, token: &'a str, today: Day) -> Option<MailFields<'a>> {
        let fields = self.verify_fields::<8>(token)?;
        (fields[1] == "o").then(|| parse_mail_fields(&fields, today))?
    }

    /// Verifies a link's token, as [`MailKeys::verify_pixel_token`] does.
    pub fn verify_link_token<'a>(&self, token: &'a str, today: Day) -> Option<LinkFields<'a>> {
        let fields = self.verify_fields::<10>(token)?;
        let link = (fields[1] == "c" && is_mail_name(fields[8])).then_some(fields[8])?;
        let target = String::from_utf8(URL_SAFE_NO_PAD.decode(fields[9]).ok()?).ok()?;
        Some(LinkFields {
            mail: parse_mail_fields(&fields, today)?,
            link,
            target,
        })
    }

    fn encode_fields(&self, mail: &MailFields<'_>) -> String {
        let MailFields {
            template,
            batch,
            consent,
            expires,
            sent,
        } = mail;
        let (consent, sent) = (
            if *consent { "yes" } else { "no" },
            sent.map_or(0, |sent| sent.div_euclid(1000)),
        );
        format!(
            "{}.{template}.{batch}.{consent}.{expires}.{sent}",
            self.signing_id()
        )
    }

    fn append_signature(&self, message: String) -> String {
        let signature = self.sign(&message);
        message + "." + &signature
    }

    /// The fields of a token whose signature is valid; `None` otherwise.
    fn verify_fields<'a, const N: usize>(&self, token: &'a str) -> Option<[&'a str; N]> {
        let (message, signature) = token
            .rsplit_once('.')
            .filter(|_| token.len() <= MAX_TOKEN_BYTES)?;
        let mut parts = message.split('.');
        let mut fields = [""; N];
        for field in &mut fields {
            *field = parts.next()?;
        }
        let whole = parts.next().is_none() && fields[0] == "1";
        (whole && self.is_signed(fields[2], message, signature)).then_some(fields)
    }
}

fn parse_mail_fields<'a>(fields: &[&'a str], today: Day) -> Option<MailFields<'a>> {
    let template = Some(fields[3]).filter(|name| is_mail_name(name))?;
    let consent = match fields[5] {
        "yes" => true,
        "no" => false,
        _ => return None,
    };

    let sent: i64 = fields[7]
        .parse()
        .ok()
        .filter(|secs| (0..=32_503_680_000).contains(secs))?;
    if sent.to_string() != fields[7] {
        return None;
    }

    let sent = (sent > 0).then_some(sent * 1000);
    let mail = MailFields {
        template,
        batch: parse_day(fields[4])?,
        consent,
        expires: parse_day(fields[6])?,
        sent,
    };
    (today <= mail.expires).then_some(mail)
}

fn parse_day(text: &str) -> Option<Day> {
    Day::from_date(text.parse().ok()?).filter(|day| day.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn keys() -> MailKeys {
        MailKeys::parse(&Secret::new("k1 test-secret-of-32-bytes-or-more!".into())).unwrap()
    }

    fn of(text: &str) -> Day {
        parse_day(text).unwrap()
    }

    fn welcome() -> MailFields<'static> {
        let (batch, expires) = (of("2026-03-10"), of("2026-06-08"));
        MailFields {
            template: "welcome",
            batch,
            consent: true,
            expires,
            sent: None,
        }
    }

    const TARGET: &str = "https://pages.example/u/mia?a=1#top";

    /// The vectors of docs/use/MAIL.md, which were computed there by three lines of another
    /// language.
    #[test]
    fn tokens_are_those_of_the_documented_vectors() {
        let sent = MailFields {
            consent: false,
            sent: Some(1_773_144_000_000),
            ..welcome()
        };
        let documented = include_str!("../../docs/use/MAIL.md");
        for token in [
            keys().pixel_token(&welcome()),
            keys().link_token(&sent, "start", TARGET),
        ] {
            assert!(documented.contains(&token), "{token}");
        }
    }

    #[test]
    fn a_token_says_what_was_signed_until_its_last_day() {
        let (keys, last) = (keys(), of("2026-06-08"));
        let token = keys.pixel_token(&welcome());
        assert_eq!(keys.verify_pixel_token(&token, last), Some(welcome()));
        assert_eq!(keys.verify_pixel_token(&token, of("2026-06-09")), None);
        let click = keys.link_token(&welcome(), "start", TARGET);
        let expected = LinkFields {
            mail: welcome(),
            link: "start",
            target: TARGET.into(),
        };
        assert_eq!(keys.verify_link_token(&click, last), Some(expected));
        assert_eq!(
            (
                keys.verify_link_token(&token, last),
                keys.verify_pixel_token(&click, last)
            ),
            (None, None)
        );
    }

    #[test]
    fn a_token_with_any_byte_changed_added_or_taken_away_is_none() {
        let (keys, today) = (keys(), of("2026-03-10"));
        for (token, click) in [
            (keys.pixel_token(&welcome()), false),
            (keys.link_token(&welcome(), "start", TARGET), true),
        ] {
            let reads = |token: &[u8]| {
                let text = std::str::from_utf8(token).unwrap_or("");
                if click {
                    keys.verify_link_token(text, today).is_some()
                } else {
                    keys.verify_pixel_token(text, today).is_some()
                }
            };
            assert!(reads(token.as_bytes()));
            for place in 0..token.len() {
                for byte in 0..=255_u8 {
                    let mut other = token.clone().into_bytes();
                    other[place] = byte;
                    assert_eq!(
                        reads(&other),
                        other == token.as_bytes(),
                        "byte {place} as {byte}"
                    );
                }
                let mut other = token.clone().into_bytes();
                other.remove(place);
                assert!(!reads(&other), "without byte {place}");
            }
            for more in ["=", "A", ".", "%00"] {
                assert!(!reads(format!("{token}{more}").as_bytes()), "{more}");
            }
        }
    }

    #[test]
    fn what_was_signed_in_another_spelling_is_none() {
        let (keys, today) = (keys(), of("2026-03-10"));
        for message in [
            "1.o.k1.welcome.20260310.yes.2026-06-08.0",
            "1.o.k1.welcome.2026-03-10.YES.2026-06-08.0",
            "1.o.k1.Welcome.2026-03-10.yes.2026-06-08.0",
            "1.o.k1.welcome.2026-03-10.yes.2026-06-08.-1",
            "1.o.k1.welcome.2026-03-10.yes.2026-06-08.+1773144000",
            "1.o.k1.welcome.2026-03-10.yes.2026-06-08.00",
            "1.o.k1.welcome.2026-03-10.yes.2026-06-08",
            "1.o.k1.welcome.2026-03-10.yes.2026-06-08.0.0",
            "2.o.k1.welcome.2026-03-10.yes.2026-06-08.0",
        ] {
            assert_eq!(
                keys.verify_pixel_token(&keys.append_signature(message.into()), today),
                None,
                "{message}"
            );
        }
        // A missing field is not an empty one.
        let short = "1.c.k1.welcome.2026-03-10.yes.2026-06-08.0.start";
        let links = ["", ".aHR0cHM6Ly9hLmV4YW1wbGUv.x"].map(|more| format!("{short}{more}"));
        for message in links {
            assert_eq!(
                keys.verify_link_token(&keys.append_signature(message.clone()), today),
                None,
                "{message}"
            );
        }
    }
}
