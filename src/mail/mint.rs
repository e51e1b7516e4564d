//! Signing the pixel and the links of a mail: for the API and for the command line.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::keys::Keys;
use super::target::{BadTarget, is_unsubscribe, well_formed};
use super::token::Mail;
use crate::config::{Mail as Config, is_mail_name};
use crate::event::Day;

const MOST_LINKS: usize = 200;
/// What nobody should still be asked to count.
const LONGEST_DAYS: i32 = 1100;

pub struct Mint {
    pub keys: Keys,
    templates: Vec<String>,
    http: bool,
    life_days: u32,
    /// Origin and prefix.
    base: String,
}

/// A mail as all its recipients will get it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    pub template: String,
    /// Whether it may be counted. Without a yes there is no pixel, and clicks are not counted.
    pub consent: bool,
    /// The day it is sent; today if it is not said.
    #[serde(default)]
    pub batch: Option<Date>,
    /// The last day its pixel and links work.
    #[serde(default)]
    pub expires: Option<Date>,
    /// When it is sent, where all of the batch goes out at once.
    #[serde(default)]
    pub sent: Option<Timestamp>,
    #[serde(default)]
    pub links: Vec<Target>,
}

#[derive(Deserialize, Serialize, Clone, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Target {
    pub link: String,
    pub url: String,
}

#[derive(Serialize, PartialEq, Debug)]
pub struct Minted {
    pub template: String,
    pub batch: String,
    pub expires: String,
    pub pixel: Option<String>,
    /// The pixel as it belongs into the mail.
    pub html: Option<String>,
    pub links: Vec<Target>,
}

/// Says of which key, and after it what is accepted.
#[derive(thiserror::Error, PartialEq, Debug)]
pub enum BadOrder {
    #[error("template: mail.templates lists {listed}; another template is neither signed nor counted")]
    NotListed { listed: String },
    #[error("links[{0}]: the name of a link is 1 to 64 of a to z, digits, _ and -, each once")]
    Link(usize),
    #[error("links: a mail has at most {MOST_LINKS} links")]
    TooMany,
    #[error("batch: a day from 1970-01-01 to 2149-06-06")]
    Batch,
    #[error("expires: a day from the batch's on, at most {LONGEST_DAYS} days later")]
    Expires,
    #[error("expires: {0} is over, so nothing of this mail would work")]
    Over(Date),
    #[error("sent: an instant of the batch's day or of the day before or after it")]
    Sent,
    #[error("links[{0}].url: {1}")]
    Target(usize, BadTarget),
}

impl Mint {
    pub fn new(config: &Config, prefix: &str, keys: Keys) -> Mint {
        let base = format!("{}{prefix}", config.origin);
        let (templates, http, life_days) = (config.templates.clone(), config.http_targets, config.life_days);
        Mint { keys, templates, http, life_days, base }
    }

    pub fn lists(&self, template: &str) -> bool {
        self.templates.iter().any(|known| known == template)
    }

    pub fn listed(&self, template: &str) -> Result<(), BadOrder> {
        if self.lists(template) {
            return Ok(());
        }
        let listed = if self.templates.is_empty() { "none".to_owned() } else { self.templates.join(", ") };
        Err(BadOrder::NotListed { listed })
    }

    /// Whoever signed it.
    pub fn leads(&self, target: &str) -> bool {
        self.may_lead(target).is_ok()
    }

    fn may_lead(&self, target: &str) -> Result<(), BadTarget> {
        well_formed(target, self.http)?;
        if is_unsubscribe(target) { Err(BadTarget::Unsubscribe) } else { Ok(()) }
    }

    pub fn mint(&self, order: &Order, today: Date) -> Result<Minted, BadOrder> {
        self.listed(&order.template)?;
        let batch = order.batch.unwrap_or(today);
        let first = Day::from_date(batch).ok_or(BadOrder::Batch)?;
        let later = |days: i32| batch.checked_add(jiff::Span::new().days(days)).map_err(|_| BadOrder::Batch);
        let expires = match order.expires {
            Some(day) if (batch..=later(LONGEST_DAYS)?).contains(&day) => day,
            Some(_) => return Err(BadOrder::Expires),
            None => later(self.life_days as i32)?,
        };
        if expires < today {
            return Err(BadOrder::Over(expires));
        }
        // In some zone the batch's day: another one is a slip, and would have all who open it taken for software, or none.
        let (before, after) = (later(-1)?, later(1)?);
        let day_of = |sent: Timestamp| sent.to_zoned(TimeZone::UTC).date();
        if order.sent.is_some_and(|sent| !(before..=after).contains(&day_of(sent))) {
            return Err(BadOrder::Sent);
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
            batch: batch.to_string(),
            expires: expires.to_string(),
            html: pixel.as_ref().map(|url| format!(r#"<img src="{url}" width="1" height="1" alt="">"#)),
            pixel,
            links: self.links(&mail, &order.links)?,
        })
    }

    /// The pixel of a token, or of one message.
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
            self.may_lead(url).map_err(|why| BadOrder::Target(place, why))?;
            let url = format!("{}/c/{}", self.base, self.keys.click(mail, link, url));
            links.push(Target { link: link.clone(), url });
        }
        Ok(links)
    }
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
        let late = jiff::civil::date(2020, 3, 10);
        let over = BadOrder::Over(jiff::civil::date(2020, 6, 8));
        assert_eq!(refused(Order { batch: Some(late), ..order(&[]) }), over);
        let sent = |text: &str| Order { sent: Some(text.parse().unwrap()), ..order(&[]) };
        for wrong in ["1960-01-01T00:00:00Z", "2026-03-08T23:59:59Z", "2026-03-12T00:00:00Z", "2027-03-10T12:00:00Z"] {
            assert_eq!(refused(sent(wrong)), BadOrder::Sent, "{wrong}");
        }
        for right in ["2026-03-09T00:00:00Z", "2026-03-11T23:59:59Z"] {
            assert!(mint().mint(&sent(right), TODAY).is_ok(), "{right}");
        }
    }
}
