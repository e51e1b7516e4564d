//! `[mail]`: pixels and links in the platform's mails.

use std::path::PathBuf;

use garde::Validate;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

string_enum! {
    /// What is counted of a mail.
    pub enum MailMode {
        /// How many mails of a batch were opened: all recipients get the same pixel.
        Aggregate = "aggregate",
        /// Also whether a single message was opened, under a token that the platform holds.
        PerMessage = "per_message",
    }
}

/// Pixels and links in the platform's mails.
#[derive(Deserialize, Serialize, Validate, Clone, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
pub struct MailConfig {
    /// Whether mails are signed and counted.
    #[garde(skip)]
    pub enabled: bool,
    /// What is counted.
    #[garde(skip)]
    pub mode: MailMode,
    /// Names of the templates that may be counted; others are neither signed nor counted.
    #[garde(length(max = 200), inner(custom(validate_mail_name)))]
    pub templates: Vec<String>,
    /// Time zone of the days by which opens and clicks are counted.
    #[garde(custom(validate_zone))]
    pub zone: String,
    /// File of the keys that sign pixels and links, lines of an id and a secret. Made at the first
    /// start if missing.
    #[garde(skip)]
    pub key_file: PathBuf,
    /// Origin by which mails reach the collector; if empty, signed URLs begin with the prefix.
    #[garde(custom(validate_origin))]
    pub origin: String,
    /// Whether links may lead to `http` as well as `https`.
    #[garde(skip)]
    pub http_targets: bool,
    /// Days that pixels and links work, unless the sign request sets another number.
    #[garde(range(min = 1, max = 1100))]
    pub expiry_days: u32,
    /// Maximum number of link names, and of targets, of all mails of one template and batch day.
    #[garde(range(min = 1, max = 200))]
    pub links_per_template: u32,
    /// Number of days that the state of a single message is kept.
    #[garde(range(min = 1, max = 400))]
    pub message_days: u32,
    /// File of mail agents in place of the built-in list, reloaded when it changes; empty for none.
    #[garde(skip)]
    pub agents_file: String,
    /// File of networks of mail software, likewise.
    #[garde(skip)]
    pub networks_file: String,
}

/// Whether `text` is a valid name of a template or a link, as in tokens and reports: 1 to 64 of `a`
/// to `z`, digits, `_` and `-`.
pub fn is_mail_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

fn validate_mail_name(value: &str, _: &()) -> garde::Result {
    if is_mail_name(value) {
        Ok(())
    } else {
        Err(garde::Error::new(
            "must be 1 to 64 of a to z, digits, _ and -",
        ))
    }
}

fn validate_zone(value: &str, _: &()) -> garde::Result {
    if TimeZone::get(value).is_ok() {
        Ok(())
    } else {
        Err(garde::Error::new(
            "must be a time zone such as Europe/Berlin",
        ))
    }
}

fn validate_origin(value: &str, _: &()) -> garde::Result {
    let is_origin = || {
        url::Url::parse(value).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == value
        })
    };
    if value.is_empty() || is_origin() {
        Ok(())
    } else {
        Err(garde::Error::new(
            "must be empty or an origin such as https://alllinks.cc",
        ))
    }
}
