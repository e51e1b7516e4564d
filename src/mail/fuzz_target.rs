//! The check of mail tokens that `make fuzz` runs.

use std::sync::OnceLock;

use super::keys::MailKeys;
use super::target::check_well_formed;
use super::token::MailFields;
use crate::calendar::Day;
use crate::config::{Secret, is_mail_name};

fn mail_keys() -> &'static MailKeys {
    static KEYS: OnceLock<MailKeys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let file = Secret::new("k1 test-secret-of-32-bytes-or-more!".into());
        MailKeys::parse(&file).expect("an id and a secret of at least 32 bytes")
    })
}

/// Verifies a token of a pixel or link. With `s` as its first byte, `input` is signed first, as no
/// input can guess a signature. A mail has exactly one token: what is accepted is made again byte
/// for byte from its fields. Returns whether it was accepted.
pub(crate) fn check_mail_token(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else {
        return false;
    };
    let token = match text.strip_prefix('s') {
        Some(message) => format!("{message}.{}", mail_keys().sign(message)),
        None => text.to_owned(),
    };

    let today = Day::from_number(0);
    let pixel = mail_keys().verify_pixel_token(&token, today);
    let link = mail_keys().verify_link_token(&token, today);
    assert!(pixel.is_none() || link.is_none(), "a pixel and a link");

    if let Some(mail) = &pixel {
        check_fields(mail);
        assert!(mail_keys().pixel_token(mail) == token, "another spelling");
        let later = mail_keys().verify_pixel_token(&token, day_after(mail.expires));
        assert!(later.is_none() || mail.expires == LAST_DAY, "expired");
    }

    if let Some(link) = &link {
        check_fields(&link.mail);
        assert!(is_mail_name(link.link), "the link's name");
        let again = mail_keys().link_token(&link.mail, link.link, &link.target);
        assert!(again == token, "another spelling");
        let later = mail_keys().verify_link_token(&token, day_after(link.mail.expires));
        assert!(later.is_none() || link.mail.expires == LAST_DAY, "expired");
        check_target(&link.target);
    }
    pixel.is_some() || link.is_some()
}

const LAST_DAY: Day = Day::from_number(u16::MAX);

fn day_after(day: Day) -> Day {
    Day::from_number(day.as_number().saturating_add(1))
}

fn check_fields(mail: &MailFields<'_>) {
    assert!(is_mail_name(mail.template), "the template");
    assert!(mail.sent.is_none_or(|sent| sent > 0), "the instant");
}

/// A target that is redirected to fits into a header, and its error does not quote it.
fn check_target(target: &str) {
    match check_well_formed(target, true) {
        Ok(()) => assert!(
            target.starts_with("http") && target.bytes().all(|b| b.is_ascii_graphic()),
            "a target that is no header value"
        ),
        Err(error) => assert!(
            target.len() < 16 || !error.to_string().contains(target),
            "an error that quotes its target"
        ),
    }
}
