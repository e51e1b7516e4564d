use std::path::PathBuf;

use garde::Validate;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

words! {
    /// What may be known of a mail.
    pub enum MailMode {
        /// How many of a batch were opened: all recipients get the same pixel.
        Aggregate = "aggregate",
        /// Also whether one message was opened, under a token the platform holds.
        PerMessage = "per_message",
    }
}

/// Pixels and links in the platform's mails.
#[derive(Deserialize, Serialize, Validate, Clone, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    #[garde(skip)]
    pub enabled: bool,
    #[garde(skip)]
    pub mode: MailMode,
    /// The mails that may be counted; what is not listed is neither signed nor counted.
    #[garde(length(max = 200), inner(custom(name)))]
    pub templates: Vec<String>,
    /// Whose days openings and clicks are counted by.
    #[garde(custom(valid_zone))]
    pub zone: String,
    /// Signs pixels and links: lines of an id and a secret. Made at the first start where it is not there.
    #[garde(skip)]
    pub key_file: PathBuf,
    /// Where mails reach the collector; empty: minted URLs begin with the prefix.
    #[garde(custom(valid_origin))]
    pub origin: String,
    /// Whether links may lead to http as well.
    #[garde(skip)]
    pub http_targets: bool,
    /// How long pixels and links work, where the platform does not say.
    #[garde(range(min = 1, max = 1100))]
    pub life_days: u32,
    /// Names and targets of links that all mails of one template and batch day have together.
    #[garde(range(min = 1, max = 200))]
    pub links_per_template: u32,
    /// How long it is kept whether a message was opened.
    #[garde(range(min = 1, max = 400))]
    pub message_days: u32,
    /// Lists of your own in place of the built-in ones; read again when they change.
    #[garde(skip)]
    pub agents_file: String,
    #[garde(skip)]
    pub networks_file: String,
}

/// Of a template or a link: what stands in tokens and reports.
pub fn is_mail_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

fn name(value: &str, _: &()) -> garde::Result {
    if is_mail_name(value) { Ok(()) } else { Err(garde::Error::new("must be 1 to 64 of a to z, digits, _ and -")) }
}

fn valid_zone(value: &str, _: &()) -> garde::Result {
    if TimeZone::get(value).is_ok() {
        Ok(())
    } else {
        Err(garde::Error::new("must be a time zone such as Europe/Berlin"))
    }
}

fn valid_origin(value: &str, _: &()) -> garde::Result {
    let is_origin = || {
        url::Url::parse(value)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == value)
    };
    if value.is_empty() || is_origin() {
        Ok(())
    } else {
        Err(garde::Error::new("must be empty or an origin such as https://alllinks.cc"))
    }
}
