//! Pseudonymises opens and clicks of mails. Nothing of the reader is kept, except for an open by a
//! person's own program: a value that is wiped with the day.

use std::sync::Arc;

use zeroize::Zeroize;

use super::day_keys::DayKey;
use super::pseudonymize::{VisitorKey, finish_visitor_key, write_address};
use crate::calendar::{Day, DaySpan};
use crate::config::VisitorMode;
use crate::consent::AdmittedMail;
use crate::event::{ClientAddress, MailAction, ReaderKind, UserAgent};

/// An open or a click that may be counted. No field for an address, an agent, a token or a
/// recipient.
pub struct MailEvent {
    /// The day it counts on; without its key.
    pub span: Arc<DaySpan>,
    /// Name of the template.
    pub template: Box<str>,
    /// Batch day, the day the mail was sent.
    pub batch: Day,
    /// Open or click.
    pub action: MailAction,
    /// Name of the link; empty for an open.
    pub link: Box<str>,
    /// Class of the reader.
    pub reader: ReaderKind,
    /// Only of opens by a person's own program: behind a proxy, people cannot be distinguished.
    pub opener: Option<VisitorKey>,
}

/// An open or a click before pseudonymisation.
pub struct MailEventInput<'a> {
    /// Name of the template.
    pub template: &'a str,
    /// Batch day.
    pub batch: Day,
    /// Open or click.
    pub action: MailAction,
    /// Name of the link; empty for an open.
    pub link: &'a str,
    /// Class of the reader.
    pub reader: ReaderKind,
    /// Client address.
    pub address: &'a ClientAddress,
    /// User agent.
    pub agent: &'a UserAgent<'a>,
}

/// The only constructor of [`MailEvent`]. Requires the gate's admission, so nothing is hashed
/// without it.
pub fn pseudonymize_mail(
    _admitted: AdmittedMail,
    done: &MailEventInput<'_>,
    key: &DayKey,
    mode: VisitorMode,
) -> MailEvent {
    let by_a_person = done.action == MailAction::Open && done.reader == ReaderKind::Direct;
    let told_apart = by_a_person && mode != VisitorMode::None;
    MailEvent {
        span: Arc::clone(&key.span),
        template: done.template.into(),
        batch: done.batch,
        action: done.action,
        link: done.link.into(),
        reader: done.reader,
        opener: told_apart
            .then(|| derive_opener_key(key, done.template, done.batch, done.address, done.agent)),
    }
}

/// An opener's value covers template and batch day, so the same person has another value in the
/// next mail.
fn derive_opener_key(
    key: &DayKey,
    template: &str,
    batch: Day,
    address: &ClientAddress,
    agent: &UserAgent<'_>,
) -> VisitorKey {
    let mut head = [0_u8; 30];
    head[..7].copy_from_slice(b"mail/v1");
    head[7..9].copy_from_slice(&batch.as_number().to_le_bytes());
    let length = u8::try_from(template.len()).unwrap_or(u8::MAX);
    head[9] = length;
    write_address(&mut head[10..27], address.expose());
    let mut hasher = blake3::Hasher::new_keyed(key.secret.as_bytes());
    hasher
        .update(&head)
        .update(template.as_bytes())
        .update(agent.expose().as_bytes());
    let value = finish_visitor_key(&hasher);
    hasher.zeroize();
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::ZoneId;
    use crate::pseudonym::locked_key::LockedKey;

    fn value(key: u8, template: &str, batch: u16, address: &str, agent: &str) -> VisitorKey {
        let source = [
            |key: &mut [u8; 32]| key.fill(1),
            |key: &mut [u8; 32]| key.fill(2),
        ][usize::from(key)];
        let span = Arc::new(DaySpan::from_instant(
            ZoneId(0),
            &jiff::tz::TimeZone::UTC,
            0,
        ));
        let key = DayKey {
            span,
            secret: LockedKey::new(source),
        };
        let address = ClientAddress::new(address.parse().unwrap());
        derive_opener_key(
            &key,
            template,
            Day::from_number(batch),
            &address,
            &UserAgent::new(agent),
        )
    }

    #[test]
    fn the_same_person_is_another_value_in_another_mail_on_another_day_and_by_another_program() {
        let one = value(0, "welcome", 7, "198.51.100.7", "Thunderbird");
        assert!(one == value(0, "welcome", 7, "198.51.100.7", "Thunderbird"));
        for other in [
            value(1, "welcome", 7, "198.51.100.7", "Thunderbird"),
            value(0, "welcom", 7, "198.51.100.7", "eThunderbird"),
            value(0, "welcome", 8, "198.51.100.7", "Thunderbird"),
            value(0, "welcome", 7, "198.51.100.8", "Thunderbird"),
            value(0, "welcome", 7, "2001:db8::7", "Thunderbird"),
            value(0, "welcome", 7, "198.51.100.7", "Thunderbir"),
        ] {
            assert!(one != other);
        }
    }
}
