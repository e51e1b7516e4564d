//! API tokens and share links: their attributes, and the look-up of the one that a secret opens.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::civil::Date;

use super::secret::{SecretBytes, SecretDigest};
use crate::config::Secret;

/// Prefix of every token, by which scanners for leaked secrets recognise one.
const TOKEN_PREFIX: &str = "ff_";
/// Maximum number of share links per site, counting those that are valid or were created in the
/// last [`SHARE_LIMIT_DAYS`]. Each costs memory in every collector.
const MAX_SHARE_LINKS: usize = 200;
const SHARE_LIMIT_DAYS: i32 = 30;

string_enum! {
    /// What a token may be used for, in the order the scopes are listed to users.
    pub enum TokenScope {
        /// Read reports.
        Read = "read",
        /// Change sites and share links.
        Manage = "manage",
        /// Sign mails and read their results.
        Mail = "mail",
        /// Read the views of the BI port.
        Bi = "bi",
    }
}

/// An API token, without its secret.
pub struct ApiToken {
    /// A public id, not derived from the secret.
    pub id: String,
    /// The label the operator gave it; shown in lists and in the audit log.
    pub name: String,
    /// What it may be used for.
    pub scopes: Vec<TokenScope>,
    /// The stable name of the only site it is valid for; `None` for the whole platform.
    pub site: Option<String>,
    /// The last day it is valid, inclusive, in UTC; `None` if it does not expire.
    pub expires: Option<Date>,
    /// The UTC day it was created.
    pub created: Date,
    /// Whether it was revoked. It stays in the list so that revocation is known to every collector.
    pub revoked: bool,
}

impl ApiToken {
    /// Generates a secret: its digest, which is stored, and its text, which is shown once.
    pub fn generate_secret() -> (SecretDigest, String) {
        let raw = SecretBytes::<32>::random();
        (
            raw.to_digest(),
            format!("{TOKEN_PREFIX}{}", raw.reveal_text()),
        )
    }
}

/// A link to the report of one site for a fixed range of days, open to anyone who has the link.
pub struct ShareLink {
    /// A public id, not derived from the secret.
    pub id: String,
    /// Label given by its creator; empty if none.
    pub name: String,
    /// The name of the site.
    pub site: String,
    /// The first day of the report, inclusive.
    pub from: Date,
    /// The last day of the report, inclusive.
    pub to: Date,
    /// The last day it is valid, inclusive, in the site's time zone; `None` if it does not expire.
    pub expires: Option<Date>,
    /// The argon2id hash of its password; `None` if none is required.
    pub password: Option<String>,
    /// The day it was created.
    pub created: Date,
    /// Whether it was revoked.
    pub revoked: bool,
}

impl ShareLink {
    /// Generates a secret: its digest, which is stored, and its text, which becomes part of the
    /// link.
    pub fn generate_secret() -> (SecretDigest, String) {
        let raw = SecretBytes::<16>::random();
        (raw.to_digest(), raw.reveal_text())
    }

    /// Whether the link is valid on `today`, a day in the site's time zone.
    pub fn is_alive(&self, today: Date) -> bool {
        !self.revoked && self.expires.is_none_or(|last| today <= last)
    }

    fn is_remembered(&self, today: Date) -> bool {
        self.is_alive(today) || (today - self.created).get_days() < SHARE_LIMIT_DAYS
    }
}

/// Generates the secret of one mail whose opening is to be confirmed: its digest, which is stored,
/// and its text.
pub fn generate_message_secret() -> (SecretDigest, String) {
    let raw = SecretBytes::<16>::random();
    (raw.to_digest(), raw.reveal_text())
}

/// The digest of a message secret; `None` if the text does not have the form of one.
pub fn message_digest(text: &str) -> Option<SecretDigest> {
    Some(SecretBytes::<16>::from_text(text)?.to_digest())
}

/// All tokens and share links by the digest of their secrets, including expired and revoked ones.
#[derive(Default)]
pub struct CredentialIndex {
    tokens: HashMap<SecretDigest, Arc<ApiToken>>,
    share_links: HashMap<SecretDigest, Arc<ShareLink>>,
}

impl CredentialIndex {
    /// Builds the look-up tables from the stored rows.
    pub fn new(
        tokens: Vec<(SecretDigest, ApiToken)>,
        shares: Vec<(SecretDigest, ShareLink)>,
    ) -> CredentialIndex {
        let tokens = tokens
            .into_iter()
            .map(|(digest, token)| (digest, Arc::new(token)));
        let shares = shares
            .into_iter()
            .map(|(digest, share)| (digest, Arc::new(share)));
        CredentialIndex {
            tokens: tokens.collect(),
            share_links: shares.collect(),
        }
    }

    /// Whether a text has the prefix of a token, so that a look-up is worthwhile.
    pub fn looks_like_token(text: &str) -> bool {
        text.starts_with(TOKEN_PREFIX)
    }

    /// The valid token with this text. Expired and revoked tokens are not found. The map is keyed
    /// by digest, so the time of a look-up reveals nothing about a secret.
    pub fn find_token(&self, text: &str, today: Date) -> Option<&Arc<ApiToken>> {
        let raw = SecretBytes::<32>::from_text(text.strip_prefix(TOKEN_PREFIX)?)?;
        let token = self.tokens.get(&raw.to_digest())?;
        (!token.revoked && token.expires.is_none_or(|last| today <= last)).then_some(token)
    }

    /// Whether the token with this id is there and valid.
    pub fn is_token_valid(&self, id: &str, today: Date) -> bool {
        self.tokens.values().any(|token| {
            token.id == id && !token.revoked && token.expires.is_none_or(|last| today <= last)
        })
    }

    /// The share link with this secret, valid or not: the caller must check [`ShareLink::is_alive`]
    /// with the day in the site's time zone.
    pub fn find_share_link(&self, link: &Secret) -> Option<&Arc<ShareLink>> {
        self.share_links
            .get(&SecretBytes::<16>::from_text(link.expose_secret())?.to_digest())
    }

    /// All tokens, oldest day first, then by name.
    pub fn list_tokens(&self) -> Vec<&Arc<ApiToken>> {
        let mut tokens: Vec<_> = self.tokens.values().collect();
        tokens
            .sort_unstable_by(|a, b| (a.created, &a.name, &a.id).cmp(&(b.created, &b.name, &b.id)));
        tokens
    }

    /// The share links of the sites for which `is_site` holds, newest day first.
    pub fn share_links_of(&self, is_site: impl Fn(&str) -> bool) -> Vec<&Arc<ShareLink>> {
        let mut shares: Vec<_> = self
            .share_links
            .values()
            .filter(|share| is_site(&share.site))
            .collect();
        shares.sort_unstable_by(|a, b| (b.created, b.to, &b.id).cmp(&(a.created, a.to, &a.id)));
        shares
    }

    /// Whether a site may get another share link. `today` is a day in the site's time zone.
    pub fn has_capacity_for_share_link(&self, is_site: impl Fn(&str) -> bool, today: Date) -> bool {
        self.share_links_of(is_site)
            .iter()
            .filter(|share| share.is_remembered(today))
            .count()
            < MAX_SHARE_LINKS
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn a_token_opens_until_its_last_day_and_not_once_revoked() {
        let of = |expires, revoked| ApiToken {
            id: "1".into(),
            name: "n".into(),
            scopes: vec![TokenScope::Read],
            site: None,
            expires,
            created: date(2026, 1, 1),
            revoked,
        };
        let opens = |token: ApiToken, today| {
            let (digest, text) = ApiToken::generate_secret();
            assert!(text.starts_with("ff_") && text.len() == 46, "{text}");
            CredentialIndex::new(vec![(digest, token)], vec![])
                .find_token(&text, today)
                .is_some()
        };
        let last = date(2026, 3, 10);
        assert!(opens(of(None, false), date(2099, 1, 1)));
        assert!(opens(of(Some(last), false), last));
        assert!(!opens(of(Some(last), false), date(2026, 3, 11)));
        assert!(!opens(of(None, true), last));
    }

    #[test]
    fn a_site_has_room_again_once_its_links_are_over_for_a_month() {
        let share = |revoked| ShareLink {
            name: String::new(),
            id: "1".into(),
            site: "mia".into(),
            from: date(2026, 3, 1),
            to: date(2026, 3, 2),
            expires: None,
            password: None,
            created: date(2026, 3, 3),
            revoked,
        };
        let many = |revoked| {
            (0..MAX_SHARE_LINKS)
                .map(|_| (ShareLink::generate_secret().0, share(revoked)))
                .collect()
        };
        let room = |keys: &CredentialIndex, site, today| {
            keys.has_capacity_for_share_link(|name| name == site, today)
        };
        let (alive, revoked) = (
            CredentialIndex::new(vec![], many(false)),
            CredentialIndex::new(vec![], many(true)),
        );
        assert!(room(&alive, "tom", date(2026, 3, 4)));
        assert!(!room(&alive, "mia", date(2027, 3, 4)));
        assert!(!room(&revoked, "mia", date(2026, 4, 1)));
        assert!(room(&revoked, "mia", date(2026, 4, 2)));
    }
}
