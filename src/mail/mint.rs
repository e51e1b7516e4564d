//! Signs the pixel and the links of a mail, for the API and for the command line.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::keys::Keys;
use super::target::{BadTarget, is_unsubscribe, well_formed, whose};
use super::token::Mail;
use crate::config::{Mail as Config, is_mail_name};
use crate::enrich::looks_secret;
use crate::event::Day;

const MOST_LINKS: usize = 200;
/// Longest time from a batch day to the last day of its mails, in days.
const LONGEST_DAYS: i32 = 1100;
/// Mails are signed for the day they are sent on. This many days later they can still be signed,
/// because a send queue may have been stopped.
pub(super) const OLDEST_DAYS: i64 = 7;
/// Bounds of digits in a link's name: a year fits, a recipient's number does not.
const DIGITS_IN_A_ROW: usize = 4;
const DIGITS: usize = 8;

/// Signs mails according to the `mail` configuration.
pub struct Mint {
    /// Keys that sign and verify.
    pub keys: Keys,
    templates: Vec<String>,
    http: bool,
    life_days: u32,
    /// Origin and path prefix of signed URLs.
    base: String,
}

/// A mail to be signed, the same for all its recipients. The body of a signing request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
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
    /// When the batch is sent, where all of it goes out at once; a whole minute.
    #[serde(default)]
    pub sent: Option<Timestamp>,
    /// Links to be wrapped, at most 200; names must differ.
    #[serde(default)]
    pub links: Vec<Target>,
}

/// A link of a mail.
#[derive(Deserialize, Serialize, Clone, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Name of the link: 1 to 64 of `a` to `z`, digits, `_` and `-`.
    pub link: String,
    /// Where it leads; in a signed mail, the signed URL that redirects there.
    pub url: String,
}

/// A signed mail, in the shape of the API's answer.
#[derive(Serialize, PartialEq, Debug)]
pub struct Minted {
    /// As ordered.
    pub template: String,
    /// Batch day.
    pub batch: Date,
    /// Last day on which pixel and links work, inclusive, as `YYYY-MM-DD`.
    pub expires: String,
    /// URL of the tracking pixel; `None` without consent.
    pub pixel: Option<String>,
    /// The pixel as an `img` element.
    pub html: Option<String>,
    /// The ordered links with signed URLs, in the same order.
    pub links: Vec<Target>,
}

/// Why an order is refused: the key, then what it accepts.
#[derive(thiserror::Error, PartialEq, Debug)]
pub enum BadOrder {
    #[error("template: mail.templates lists {listed}; another template is neither signed nor counted")]
    NotListed { listed: String },
    #[error("links[{0}]: the name of a link is 1 to 64 of a to z, digits, _ and -, each once")]
    Link(usize),
    #[error("links: a mail has at most {MOST_LINKS} links")]
    TooMany,
    #[error(
        "links[{0}].link: looks like a recipient, who has no link of his own: at most {DIGITS_IN_A_ROW} digits in a row and {DIGITS} in \
         all, no token, no UUID. A link is named after what it is, the same in all mails"
    )]
    Whose(usize),
    #[error(
        "batch: {0} is still to come: a mail is signed for the day it is sent on, at most {OLDEST_DAYS} days later"
    )]
    ToCome(Date),
    #[error(
        "batch: a day from 1970-01-01 to 2149-06-06, at most {OLDEST_DAYS} days ago: a mail is signed for the day it is sent on"
    )]
    Batch,
    #[error("expires: a day from the batch's on, at most {LONGEST_DAYS} days later")]
    Expires,
    #[error("expires: {0} is over, so nothing of this mail would work")]
    Over(Date),
    #[error("sent: an instant of the batch's day or of the day before or after it")]
    Sent,
    #[error(
        "sent: a whole minute, the same in all mails of the batch: an instant of each would be a number of its recipient"
    )]
    Minute,
    #[error("links[{0}].url: {1}")]
    Target(usize, BadTarget),
}

impl Mint {
    /// `prefix` is the path prefix of the collector's routes.
    pub fn new(config: &Config, prefix: &str, keys: Keys) -> Mint {
        let base = format!("{}{prefix}", config.origin);
        let (templates, http, life_days) = (config.templates.clone(), config.http_targets, config.life_days);
        Mint { keys, templates, http, life_days, base }
    }

    /// Whether `template` is configured.
    pub fn lists(&self, template: &str) -> bool {
        self.templates.iter().any(|known| known == template)
    }

    /// Like [`Mint::lists`], with an error that lists the configured templates.
    ///
    /// # Errors
    ///
    /// `template` is not configured.
    pub fn listed(&self, template: &str) -> Result<(), BadOrder> {
        if self.lists(template) {
            return Ok(());
        }
        let listed = if self.templates.is_empty() { "none".to_owned() } else { self.templates.join(", ") };
        Err(BadOrder::NotListed { listed })
    }

    /// Whether a signed link may lead to `target`, whichever key signed it.
    pub fn leads(&self, target: &str) -> bool {
        self.may_lead(target).is_ok()
    }

    fn may_lead(&self, target: &str) -> Result<(), BadTarget> {
        well_formed(target, self.http)?;
        if is_unsubscribe(target) { Err(BadTarget::Unsubscribe) } else { Ok(()) }
    }

    /// Signing is stricter than redirecting: mails signed before a rule existed keep working.
    fn may_sign(&self, target: &str) -> Result<(), BadTarget> {
        self.may_lead(target)?;
        whose(target).map_or(Ok(()), |part| Err(BadTarget::Whose(part)))
    }

    /// Signs `order` if it is well formed. Whether its batch has room for its values is up to
    /// [`super::Signed`].
    ///
    /// # Errors
    ///
    /// The first key of the order that is not accepted. Nothing is recorded here.
    pub fn mint(&self, order: &Order, today: Date) -> Result<Minted, BadOrder> {
        self.listed(&order.template)?;
        let batch = order.batch.unwrap_or(today);
        if batch > today {
            return Err(BadOrder::ToCome(batch));
        }

        let oldest = today.checked_sub(jiff::Span::new().days(OLDEST_DAYS)).unwrap_or(Date::MIN);
        let first = Day::from_date(batch).filter(|_| batch >= oldest).ok_or(BadOrder::Batch)?;
        let later = |days: i32| batch.checked_add(jiff::Span::new().days(days)).map_err(|_| BadOrder::Batch);

        let expires = match order.expires {
            Some(day) if (batch..=later(LONGEST_DAYS)?).contains(&day) => day,
            Some(_) => return Err(BadOrder::Expires),
            None => later(self.life_days as i32)?,
        };
        if expires < today {
            return Err(BadOrder::Over(expires));
        }
        // `sent` must be on the batch day in some time zone. With another day, all loads would be
        // classified as too soon, or none.
        let (before, after) = (later(-1)?, later(1)?);
        let day_of = |sent: Timestamp| sent.to_zoned(TimeZone::UTC).date();
        if order.sent.is_some_and(|sent| !(before..=after).contains(&day_of(sent))) {
            return Err(BadOrder::Sent);
        }
        if order.sent.is_some_and(|sent| sent.as_nanosecond() % 60_000_000_000 != 0) {
            return Err(BadOrder::Minute);
        }

        let mail = Mail {
            template: &order.template,
            batch: first,
            consent: order.consent,
            expires: Day::from_date(expires).ok_or(BadOrder::Batch)?,
            sent: order.sent.map(|sent| sent.as_millisecond()),
        };
        let pixel = order.consent.then(|| self.pixel(&self.keys.open(&mail)));
        Ok(Minted {
            template: order.template.clone(),
            batch,
            expires: expires.to_string(),
            html: pixel.as_ref().map(|url| format!(r#"<img src="{url}" width="1" height="1" alt="">"#)),
            pixel,
            links: self.links(&mail, &order.links)?,
        })
    }

    /// URL of the pixel of a token, or of one message.
    pub fn pixel(&self, token: &str) -> String {
        format!("{}/o/{token}.gif", self.base)
    }

    fn links(&self, mail: &Mail<'_>, targets: &[Target]) -> Result<Vec<Target>, BadOrder> {
        if targets.len() > MOST_LINKS {
            return Err(BadOrder::TooMany);
        }

        let mut links: Vec<Target> = Vec::with_capacity(targets.len());
        for (place, Target { link, url }) in targets.iter().enumerate() {
            if !is_mail_name(link) || links.iter().any(|known| known.link == *link) {
                return Err(BadOrder::Link(place));
            }
            if names_somebody(link) {
                return Err(BadOrder::Whose(place));
            }

            self.may_sign(url).map_err(|why| BadOrder::Target(place, why))?;
            let url = format!("{}/c/{}", self.base, self.keys.click(mail, link, url));
            links.push(Target { link: link.clone(), url });
        }
        Ok(links)
    }
}

/// Whether a link's name looks like a recipient's. What slips through is bounded by the number of
/// names that a batch may have.
fn names_somebody(link: &str) -> bool {
    let digits = link.bytes().filter(u8::is_ascii_digit).count();
    let in_a_row = link.split(|c: char| !c.is_ascii_digit()).map(str::len).max().unwrap_or(0);
    in_a_row > DIGITS_IN_A_ROW || digits > DIGITS || looks_secret(link)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn mint() -> Mint {
        let mut config = crate::config::load(Default::default(), |_| unreachable!()).unwrap().mail;
        (config.templates, config.origin) = (vec!["welcome".into()], "https://alllinks.cc".into());
        Mint::new(&config, "/ff", Keys::read(&Secret::new("k1 test-secret-of-32-bytes-or-more!".into())).unwrap())
    }

    fn order(links: &[(&str, &str)]) -> Order {
        let links = links.iter().map(|(link, url)| Target { link: (*link).into(), url: (*url).into() }).collect();
        let (batch, expires, sent) = (Some(jiff::civil::date(2026, 3, 10)), None, None);
        Order { template: "welcome".into(), consent: true, batch, expires, sent, links }
    }

    const TODAY: Date = jiff::civil::date(2026, 3, 10);

    #[test]
    fn the_same_mail_is_the_same_to_the_byte_for_whoever_gets_it() {
        let order = || order(&[("start", "https://pages.example/u/mia")]);
        let (one, other) = (mint().mint(&order(), TODAY).unwrap(), mint().mint(&order(), TODAY).unwrap());
        assert_eq!(one, other);
        assert_eq!(one.expires, "2026-06-08");
        assert!(one.pixel.unwrap().starts_with("https://alllinks.cc/ff/o/1.o.k1.welcome.2026-03-10.yes.2026-06-08.0."));
    }

    #[test]
    fn without_consent_there_is_no_pixel() {
        let minted = mint().mint(&Order { consent: false, ..order(&[("a", "https://a.example/")]) }, TODAY).unwrap();
        assert_eq!((minted.pixel, minted.html, minted.links.len()), (None, None, 1));
    }

    #[test]
    fn what_must_not_be_signed_is_refused_with_the_reason() {
        let refused = |order: Order| mint().mint(&order, TODAY).unwrap_err();
        assert_eq!(
            refused(Order { template: "newsletter".into(), ..order(&[]) }),
            BadOrder::NotListed { listed: "welcome".into() }
        );
        for (url, why) in [
            ("http://a.example/", BadTarget::Scheme(false)),
            ("mailto:ann@mail.example", BadTarget::Scheme(false)),
            ("https://a.example/unsubscribe?id=1", BadTarget::Unsubscribe),
            ("https://ann@a.example/", BadTarget::Host),
        ] {
            assert_eq!(refused(order(&[("a", url)])), BadOrder::Target(0, why), "{url}");
        }
        assert_eq!(refused(order(&[("A", "https://a.example/")])), BadOrder::Link(0));
        assert_eq!(refused(order(&[("a", "https://a.example/"), ("a", "https://b.example/")])), BadOrder::Link(1));
        let many: Vec<(String, String)> =
            (0..201).map(|n| (format!("l{n}"), "https://a.example/".to_owned())).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|(link, url)| (link.as_str(), url.as_str())).collect();
        assert_eq!(refused(order(&many)), BadOrder::TooMany);
        for expires in [jiff::civil::date(2026, 3, 9), jiff::civil::date(2030, 1, 1)] {
            assert_eq!(refused(Order { expires: Some(expires), ..order(&[]) }), BadOrder::Expires);
        }
        assert_eq!(refused(Order { batch: Some(jiff::civil::date(1969, 12, 31)), ..order(&[]) }), BadOrder::Batch);
        let batch = |day| Order { batch: Some(day), ..order(&[]) };
        assert_eq!(refused(batch(jiff::civil::date(2026, 3, 2))), BadOrder::Batch);
        assert_eq!(refused(batch(jiff::civil::date(2026, 3, 11))), BadOrder::ToCome(jiff::civil::date(2026, 3, 11)));
        assert!(mint().mint(&batch(jiff::civil::date(2026, 3, 3)), TODAY).is_ok());
        let (late, yesterday) = (jiff::civil::date(2026, 3, 5), jiff::civil::date(2026, 3, 9));
        let over = Order { expires: Some(yesterday), ..batch(late) };
        assert_eq!(refused(over), BadOrder::Over(yesterday));
        let sent = |text: &str| Order { sent: Some(text.parse().unwrap()), ..order(&[]) };
        for wrong in ["1960-01-01T00:00:00Z", "2026-03-08T23:59:59Z", "2026-03-12T00:00:00Z", "2027-03-10T12:00:00Z"] {
            assert_eq!(refused(sent(wrong)), BadOrder::Sent, "{wrong}");
        }
        for wrong in ["2026-03-10T12:00:01Z", "2026-03-10T12:00:00.001Z"] {
            assert_eq!(refused(sent(wrong)), BadOrder::Minute, "{wrong}");
        }
        for right in ["2026-03-09T00:00:00Z", "2026-03-11T23:59:00Z"] {
            assert!(mint().mint(&sent(right), TODAY).is_ok(), "{right}");
        }
    }

    #[test]
    fn what_names_a_recipient_is_refused_in_a_links_name_and_in_its_target() {
        use crate::mail::target::Part::{Fragment, Host, Path, Query};
        let refused = |link: &str, url: &str| mint().mint(&order(&[(link, url)]), TODAY).err();
        for link in
            ["u-1234567-ann", "12345", "a-123-456-789", "0b9e1c9a-3d5f-4c7e-9a1b-2f3e4d5c6b7a", "a1b2c3d4e5f6a7b8c9d0"]
        {
            assert_eq!(refused(link, "https://a.example/"), Some(BadOrder::Whose(0)), "{link}");
        }
        for (url, part) in [
            ("https://a.example/?rcpt=1234567", Query),
            ("https://a.example/?tab=1&User-ID=7", Query),
            ("https://a.example/?x=ann%40mail.example", Query),
            ("https://a.example/?x=123456789", Query),
            ("https://a.example/order/987654321", Path),
            ("https://a.example/ann@mail.example/", Path),
            ("https://a.example/#uid=7", Fragment),
            ("https://a.example/#0b9e1c9a-3d5f-4c7e-9a1b-2f3e4d5c6b7a", Fragment),
            ("https://r123456789.a.example/", Host),
        ] {
            assert_eq!(refused("a", url), Some(BadOrder::Target(0, BadTarget::Whose(part))), "{url}");
        }
        for (link, url) in [
            ("offer-2026", "https://a.example/offers/2026-11-28?tab=shop&page=12#top"),
            ("button_2", "https://a.example/@mia?utm_campaign=spring"),
            ("a", "https://a.example/?user=#account"),
        ] {
            assert_eq!(refused(link, url), None, "{link} {url}");
        }
    }
}
