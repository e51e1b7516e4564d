//! Signs the pixel and the links of a mail, for the API and for the command line.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::keys::MailKeys;
use super::target::{TargetError, check_well_formed, is_unsubscribe, recipient_part};
use super::token::MailFields;
use crate::calendar::Day;
use crate::config::{MailConfig, is_mail_name};
use crate::enrich::looks_secret;

const MAX_LINKS: usize = 200;
/// Maximum time from a batch day to the last day of its mails, in days.
const MAX_LIFE_DAYS: i32 = 1100;
/// Mails are signed for the day on which they are sent. They can be signed up to this many days
/// later, because a send queue may have been stopped.
pub(super) const MAX_BATCH_AGE_DAYS: i64 = 7;
/// Maximum number of digits in a link's name: a year fits, a recipient's number does not.
const MAX_DIGITS_IN_A_ROW: usize = 4;
const MAX_DIGITS: usize = 8;

/// Signs mails according to the `mail` configuration.
pub struct LinkSigner {
    /// Keys that sign and verify.
    pub keys: MailKeys,
    templates: Vec<String>,
    allows_http: bool,
    expiry_days: u32,
    /// Origin and path prefix of signed URLs.
    base_url: String,
}

/// A mail to be signed, the same for all its recipients. The body of a signing request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignRequest {
    /// Name of a configured template.
    pub template: String,
    /// Whether the mail may be counted. If not, it gets no pixel and its clicks are not counted.
    pub consent: bool,
    /// Batch day, the day the mail is sent; today if absent.
    #[serde(default)]
    pub batch: Option<Date>,
    /// Last day on which pixel and links work, inclusive.
    #[serde(default)]
    pub expires: Option<Date>,
    /// When the batch is sent, if all of it is sent at once; a whole minute.
    #[serde(default)]
    pub sent: Option<Timestamp>,
    /// Links to be wrapped, at most 200; names must differ.
    #[serde(default)]
    pub links: Vec<MailLink>,
}

/// A link of a mail.
#[derive(Deserialize, Serialize, Clone, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct MailLink {
    /// Name of the link: 1 to 64 of `a` to `z`, digits, `_` and `-`.
    pub link: String,
    /// Where it leads; in a signed mail, the signed URL that redirects there.
    pub url: String,
}

/// A signed mail, in the form of the API's response.
#[derive(Serialize, PartialEq, Debug)]
pub struct SignedMail {
    /// As requested.
    pub template: String,
    /// Batch day.
    pub batch: Date,
    /// Last day on which pixel and links work, inclusive, as `YYYY-MM-DD`.
    pub expires: String,
    /// URL of the tracking pixel; `None` without consent.
    pub pixel: Option<String>,
    /// The pixel as an `img` element.
    pub html: Option<String>,
    /// The requested links with signed URLs, in the same order.
    pub links: Vec<MailLink>,
}

/// Why a request is rejected: the key, then what it accepts.
#[derive(thiserror::Error, PartialEq, Debug)]
pub enum SignRequestError {
    /// `mail.templates` does not list the template.
    #[error(
        "template: mail.templates lists {listed}; another template is neither signed nor counted"
    )]
    UnknownTemplate {
        /// The templates that are listed.
        listed: String,
    },
    /// The name of the link with this index is malformed or not unique.
    #[error("links[{0}]: the name of a link is 1 to 64 of a to z, digits, _ and -, each once")]
    LinkName(usize),
    /// The mail has too many links.
    #[error("links: a mail has at most {MAX_LINKS} links")]
    TooManyLinks,
    /// The name of the link with this index may identify a recipient.
    #[error(
        "links[{0}].link: looks like a recipient, who has no link of his own: at most \
         {MAX_DIGITS_IN_A_ROW} digits in a row and {MAX_DIGITS} in all, no token, no UUID. A link \
         is named after what it is, the same in all mails"
    )]
    LooksLikeRecipient(usize),
    /// The day of the mail batch is later than today.
    #[error(
        "batch: {0} is still to come: a mail is signed for the day it is sent on, at most \
         {MAX_BATCH_AGE_DAYS} days later"
    )]
    FutureBatch(Date),
    /// The day of the mail batch is too early or outside the calendar.
    #[error(
        "batch: a day from 1970-01-01 to 2149-06-06, at most {MAX_BATCH_AGE_DAYS} days ago: a mail \
         is signed for the day it is sent on"
    )]
    Batch,
    /// The last day is before the batch's, or too late.
    #[error("expires: a day from the batch's on, at most {MAX_LIFE_DAYS} days later")]
    Expires,
    /// The last day is over.
    #[error("expires: {0} is over, so nothing of this mail would work")]
    Expired(Date),
    /// The instant of sending is not on the batch's day or a day beside it.
    #[error("sent: an instant of the batch's day or of the day before or after it")]
    Sent,
    /// The instant of sending is no whole minute.
    #[error(
        "sent: a whole minute, the same in all mails of the batch: an instant of each would be a \
         number of its recipient"
    )]
    NotWholeMinute,
    /// The target of the link with this index is rejected.
    #[error("links[{0}].url: {1}")]
    Target(usize, TargetError),
}

impl LinkSigner {
    /// `prefix` is the path prefix of the collector's routes.
    pub fn new(config: &MailConfig, prefix: &str, keys: MailKeys) -> LinkSigner {
        let base = format!("{}{prefix}", config.origin);
        let (templates, http, expiry_days) = (
            config.templates.clone(),
            config.http_targets,
            config.expiry_days,
        );
        LinkSigner {
            keys,
            templates,
            allows_http: http,
            expiry_days,
            base_url: base,
        }
    }

    /// Whether `template` is configured.
    pub fn has_template(&self, template: &str) -> bool {
        self.templates.iter().any(|known| known == template)
    }

    /// Like [`LinkSigner::has_template`], with an error that lists the configured templates.
    ///
    /// # Errors
    ///
    /// `template` is not configured.
    pub fn check_template(&self, template: &str) -> Result<(), SignRequestError> {
        if self.has_template(template) {
            return Ok(());
        }
        let listed = if self.templates.is_empty() {
            "none".to_owned()
        } else {
            self.templates.join(", ")
        };
        Err(SignRequestError::UnknownTemplate { listed })
    }

    /// Whether a signed link may lead to `target`, whichever key signed it.
    pub fn is_allowed_target(&self, target: &str) -> bool {
        self.check_redirect_target(target).is_ok()
    }

    fn check_redirect_target(&self, target: &str) -> Result<(), TargetError> {
        check_well_formed(target, self.allows_http)?;
        if is_unsubscribe(target) {
            Err(TargetError::Unsubscribe)
        } else {
            Ok(())
        }
    }

    /// Signing is stricter than redirecting: mails signed before a rule existed still work.
    fn check_signable_target(&self, target: &str) -> Result<(), TargetError> {
        self.check_redirect_target(target)?;
        recipient_part(target).map_or(Ok(()), |part| Err(TargetError::LooksLikeRecipient(part)))
    }

    /// Signs `order` if it is well formed. Whether its batch has capacity for its values is checked
    /// by [`super::SignedValues`].
    ///
    /// # Errors
    ///
    /// The first key of the request that is not accepted. Nothing is recorded here.
    pub fn sign_mail(
        &self,
        order: &SignRequest,
        today: Date,
    ) -> Result<SignedMail, SignRequestError> {
        self.check_template(&order.template)?;
        let batch = order.batch.unwrap_or(today);
        if batch > today {
            return Err(SignRequestError::FutureBatch(batch));
        }

        let oldest = today
            .checked_sub(jiff::Span::new().days(MAX_BATCH_AGE_DAYS))
            .unwrap_or(Date::MIN);
        let first = Day::from_date(batch)
            .filter(|_| batch >= oldest)
            .ok_or(SignRequestError::Batch)?;
        let later = |days: i32| {
            batch
                .checked_add(jiff::Span::new().days(days))
                .map_err(|_| SignRequestError::Batch)
        };

        let expires = match order.expires {
            Some(day) if (batch..=later(MAX_LIFE_DAYS)?).contains(&day) => day,
            Some(_) => return Err(SignRequestError::Expires),
            None => later(self.expiry_days as i32)?,
        };
        if expires < today {
            return Err(SignRequestError::Expired(expires));
        }
        // `sent` must be on the batch day in some time zone. With another day, all loads would be
        // classified as too soon, or none.
        let (before, after) = (later(-1)?, later(1)?);
        let day_of = |sent: Timestamp| sent.to_zoned(TimeZone::UTC).date();
        if order
            .sent
            .is_some_and(|sent| !(before..=after).contains(&day_of(sent)))
        {
            return Err(SignRequestError::Sent);
        }
        if order
            .sent
            .is_some_and(|sent| sent.as_nanosecond() % 60_000_000_000 != 0)
        {
            return Err(SignRequestError::NotWholeMinute);
        }

        let mail = MailFields {
            template: &order.template,
            batch: first,
            consent: order.consent,
            expires: Day::from_date(expires).ok_or(SignRequestError::Batch)?,
            sent: order.sent.map(|sent| sent.as_millisecond()),
        };
        let pixel = order
            .consent
            .then(|| self.pixel_url(&self.keys.pixel_token(&mail)));
        Ok(SignedMail {
            template: order.template.clone(),
            batch,
            expires: expires.to_string(),
            html: pixel
                .as_ref()
                .map(|url| format!(r#"<img src="{url}" width="1" height="1" alt="">"#)),
            pixel,
            links: self.sign_links(&mail, &order.links)?,
        })
    }

    /// URL of the pixel of a token, or of one message.
    pub fn pixel_url(&self, token: &str) -> String {
        format!("{}/o/{token}.gif", self.base_url)
    }

    fn sign_links(
        &self,
        mail: &MailFields<'_>,
        targets: &[MailLink],
    ) -> Result<Vec<MailLink>, SignRequestError> {
        if targets.len() > MAX_LINKS {
            return Err(SignRequestError::TooManyLinks);
        }

        let mut links: Vec<MailLink> = Vec::with_capacity(targets.len());
        for (place, MailLink { link, url }) in targets.iter().enumerate() {
            if !is_mail_name(link) || links.iter().any(|known| known.link == *link) {
                return Err(SignRequestError::LinkName(place));
            }
            if looks_like_recipient(link) {
                return Err(SignRequestError::LooksLikeRecipient(place));
            }

            self.check_signable_target(url)
                .map_err(|why| SignRequestError::Target(place, why))?;
            let url = format!(
                "{}/c/{}",
                self.base_url,
                self.keys.link_token(mail, link, url)
            );
            links.push(MailLink {
                link: link.clone(),
                url,
            });
        }
        Ok(links)
    }
}

/// Whether a link's name looks like a recipient's. Names that are not detected are limited by the
/// number of names that a batch may have.
fn looks_like_recipient(link: &str) -> bool {
    let digits = link.bytes().filter(u8::is_ascii_digit).count();
    let in_a_row = link
        .split(|c: char| !c.is_ascii_digit())
        .map(str::len)
        .max()
        .unwrap_or(0);
    in_a_row > MAX_DIGITS_IN_A_ROW || digits > MAX_DIGITS || looks_secret(link)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn mint() -> LinkSigner {
        let mut config = crate::config::load_config(Default::default(), |_| unreachable!())
            .unwrap()
            .mail;
        (config.templates, config.origin) = (vec!["welcome".into()], "https://alllinks.cc".into());
        LinkSigner::new(
            &config,
            "/ff",
            MailKeys::parse(&Secret::new("k1 test-secret-of-32-bytes-or-more!".into())).unwrap(),
        )
    }

    fn order(links: &[(&str, &str)]) -> SignRequest {
        let links = links
            .iter()
            .map(|(link, url)| MailLink {
                link: (*link).into(),
                url: (*url).into(),
            })
            .collect();
        let (batch, expires, sent) = (Some(jiff::civil::date(2026, 3, 10)), None, None);
        SignRequest {
            template: "welcome".into(),
            consent: true,
            batch,
            expires,
            sent,
            links,
        }
    }

    const TODAY: Date = jiff::civil::date(2026, 3, 10);

    #[test]
    fn the_same_mail_is_the_same_to_the_byte_for_whoever_gets_it() {
        let order = || order(&[("start", "https://pages.example/u/mia")]);
        let (one, other) = (
            mint().sign_mail(&order(), TODAY).unwrap(),
            mint().sign_mail(&order(), TODAY).unwrap(),
        );
        assert_eq!(one, other);
        assert_eq!(one.expires, "2026-06-08");
        assert!(
            one.pixel.unwrap().starts_with(
                "https://alllinks.cc/ff/o/1.o.k1.welcome.2026-03-10.yes.2026-06-08.0."
            )
        );
    }

    #[test]
    fn without_consent_there_is_no_pixel() {
        let minted = mint()
            .sign_mail(
                &SignRequest {
                    consent: false,
                    ..order(&[("a", "https://a.example/")])
                },
                TODAY,
            )
            .unwrap();
        assert_eq!(
            (minted.pixel, minted.html, minted.links.len()),
            (None, None, 1)
        );
    }

    #[test]
    fn what_must_not_be_signed_is_refused_with_the_reason() {
        let refused = |order: SignRequest| mint().sign_mail(&order, TODAY).unwrap_err();
        assert_eq!(
            refused(SignRequest {
                template: "newsletter".into(),
                ..order(&[])
            }),
            SignRequestError::UnknownTemplate {
                listed: "welcome".into()
            }
        );
        for (url, why) in [
            ("http://a.example/", TargetError::Scheme(false)),
            ("mailto:ann@mail.example", TargetError::Scheme(false)),
            (
                "https://a.example/unsubscribe?id=1",
                TargetError::Unsubscribe,
            ),
            ("https://ann@a.example/", TargetError::Host),
        ] {
            assert_eq!(
                refused(order(&[("a", url)])),
                SignRequestError::Target(0, why),
                "{url}"
            );
        }
        assert_eq!(
            refused(order(&[("A", "https://a.example/")])),
            SignRequestError::LinkName(0)
        );
        assert_eq!(
            refused(order(&[
                ("a", "https://a.example/"),
                ("a", "https://b.example/")
            ])),
            SignRequestError::LinkName(1)
        );
        let many: Vec<(String, String)> = (0..201)
            .map(|n| (format!("l{n}"), "https://a.example/".to_owned()))
            .collect();
        let many: Vec<(&str, &str)> = many
            .iter()
            .map(|(link, url)| (link.as_str(), url.as_str()))
            .collect();
        assert_eq!(refused(order(&many)), SignRequestError::TooManyLinks);
        for expires in [jiff::civil::date(2026, 3, 9), jiff::civil::date(2030, 1, 1)] {
            assert_eq!(
                refused(SignRequest {
                    expires: Some(expires),
                    ..order(&[])
                }),
                SignRequestError::Expires
            );
        }
        assert_eq!(
            refused(SignRequest {
                batch: Some(jiff::civil::date(1969, 12, 31)),
                ..order(&[])
            }),
            SignRequestError::Batch
        );
        let batch = |day| SignRequest {
            batch: Some(day),
            ..order(&[])
        };
        assert_eq!(
            refused(batch(jiff::civil::date(2026, 3, 2))),
            SignRequestError::Batch
        );
        assert_eq!(
            refused(batch(jiff::civil::date(2026, 3, 11))),
            SignRequestError::FutureBatch(jiff::civil::date(2026, 3, 11))
        );
        assert!(
            mint()
                .sign_mail(&batch(jiff::civil::date(2026, 3, 3)), TODAY)
                .is_ok()
        );
        let (late, yesterday) = (jiff::civil::date(2026, 3, 5), jiff::civil::date(2026, 3, 9));
        let over = SignRequest {
            expires: Some(yesterday),
            ..batch(late)
        };
        assert_eq!(refused(over), SignRequestError::Expired(yesterday));
        let sent = |text: &str| SignRequest {
            sent: Some(text.parse().unwrap()),
            ..order(&[])
        };
        for wrong in [
            "1960-01-01T00:00:00Z",
            "2026-03-08T23:59:59Z",
            "2026-03-12T00:00:00Z",
            "2027-03-10T12:00:00Z",
        ] {
            assert_eq!(refused(sent(wrong)), SignRequestError::Sent, "{wrong}");
        }
        for wrong in ["2026-03-10T12:00:01Z", "2026-03-10T12:00:00.001Z"] {
            assert_eq!(
                refused(sent(wrong)),
                SignRequestError::NotWholeMinute,
                "{wrong}"
            );
        }
        for right in ["2026-03-09T00:00:00Z", "2026-03-11T23:59:00Z"] {
            assert!(mint().sign_mail(&sent(right), TODAY).is_ok(), "{right}");
        }
    }

    #[test]
    fn what_names_a_recipient_is_refused_in_a_links_name_and_in_its_target() {
        use crate::mail::target::TargetPart::{Fragment, Host, Path, Query};
        let refused = |link: &str, url: &str| mint().sign_mail(&order(&[(link, url)]), TODAY).err();
        for link in [
            "u-1234567-ann",
            "12345",
            "a-123-456-789",
            "0b9e1c9a-3d5f-4c7e-9a1b-2f3e4d5c6b7a",
            "a1b2c3d4e5f6a7b8c9d0",
        ] {
            assert_eq!(
                refused(link, "https://a.example/"),
                Some(SignRequestError::LooksLikeRecipient(0)),
                "{link}"
            );
        }
        for (url, part) in [
            ("https://a.example/?rcpt=1234567", Query),
            ("https://a.example/?tab=1&User-ID=7", Query),
            ("https://a.example/?x=ann%40mail.example", Query),
            ("https://a.example/?x=123456789", Query),
            ("https://a.example/order/987654321", Path),
            ("https://a.example/ann@mail.example/", Path),
            ("https://a.example/#uid=7", Fragment),
            (
                "https://a.example/#0b9e1c9a-3d5f-4c7e-9a1b-2f3e4d5c6b7a",
                Fragment,
            ),
            ("https://r123456789.a.example/", Host),
        ] {
            assert_eq!(
                refused("a", url),
                Some(SignRequestError::Target(
                    0,
                    TargetError::LooksLikeRecipient(part)
                )),
                "{url}"
            );
        }
        for (link, url) in [
            (
                "offer-2026",
                "https://a.example/offers/2026-11-28?tab=shop&page=12#top",
            ),
            ("button_2", "https://a.example/@mia?utm_campaign=spring"),
            ("a", "https://a.example/?user=#account"),
        ] {
            assert_eq!(refused(link, url), None, "{link} {url}");
        }
    }
}
