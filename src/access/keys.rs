//! API tokens and share links: what is known of them, and which one a secret opens.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::civil::Date;

use super::secret::{Digest, Raw};
use crate::config::Secret;

/// Scanners for leaked secrets know a token by it.
const PREFIX: &str = "ff_";
/// Links of one site: alive, or made in the last [`REMEMBERED_DAYS`]. Each costs memory in every collector.
const MOST_SHARES: usize = 200;
const REMEMBERED_DAYS: i32 = 30;

/// What a token may be used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    Read,
    Manage,
    Mail,
}

impl Scope {
    pub const ALL: [Scope; 3] = [Scope::Read, Scope::Manage, Scope::Mail];

    pub const fn name(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Manage => "manage",
            Scope::Mail => "mail",
        }
    }

    pub fn from_name(name: &str) -> Option<Scope> {
        Scope::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

pub struct ApiToken {
    pub id: String,
    pub name: String,
    pub scopes: Vec<Scope>,
    /// `None`: the whole platform.
    pub site: Option<String>,
    /// The last day it is good for, in UTC.
    pub expires: Option<Date>,
    pub created: Date,
    pub revoked: bool,
}

impl ApiToken {
    /// A new token's secret, and its text.
    pub fn secret() -> (Digest, String) {
        let raw = Raw::<32>::random();
        (raw.digest(), format!("{PREFIX}{}", raw.reveal()))
    }
}

/// One report of one site for whoever has the link: these days, no others.
pub struct Share {
    pub id: String,
    pub site: String,
    pub from: Date,
    pub to: Date,
    /// The last day it is good for, in the site's zone.
    pub expires: Option<Date>,
    /// An argon2id hash.
    pub password: Option<String>,
    pub created: Date,
    pub revoked: bool,
}

impl Share {
    pub fn secret() -> (Digest, String) {
        let raw = Raw::<16>::random();
        (raw.digest(), raw.reveal())
    }

    pub fn is_alive(&self, today: Date) -> bool {
        !self.revoked && self.expires.is_none_or(|last| today <= last)
    }

    fn is_remembered(&self, today: Date) -> bool {
        self.is_alive(today) || (today - self.created).get_days() < REMEMBERED_DAYS
    }
}

/// The secret of one message whose opening the platform wants confirmed: what is kept of it, and its text.
pub fn new_message() -> (Digest, String) {
    let raw = Raw::<16>::random();
    (raw.digest(), raw.reveal())
}

/// What is kept of a message's text; `None` where no message has such a text.
pub fn message(text: &str) -> Option<Digest> {
    Some(Raw::<16>::read(text)?.digest())
}

/// All tokens and share links, those that are over too.
#[derive(Default)]
pub struct Keys {
    tokens: HashMap<Digest, Arc<ApiToken>>,
    shares: HashMap<Digest, Arc<Share>>,
}

impl Keys {
    pub fn new(tokens: Vec<(Digest, ApiToken)>, shares: Vec<(Digest, Share)>) -> Keys {
        let tokens = tokens.into_iter().map(|(digest, token)| (digest, Arc::new(token)));
        let shares = shares.into_iter().map(|(digest, share)| (digest, Arc::new(share)));
        Keys { tokens: tokens.collect(), shares: shares.collect() }
    }

    /// Whether a text may be a token at all: no other is worth asking for.
    pub fn looks_like_token(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// The token a caller holds, if it still is one. The map is asked for a digest: how long that takes says nothing about a secret.
    pub fn token(&self, text: &str, today: Date) -> Option<&Arc<ApiToken>> {
        let raw = Raw::<32>::read(text.strip_prefix(PREFIX)?)?;
        let token = self.tokens.get(&raw.digest())?;
        (!token.revoked && token.expires.is_none_or(|last| today <= last)).then_some(token)
    }

    /// The share link of a secret, alive or not: only its site knows what day it is there.
    pub fn share(&self, link: &Secret) -> Option<&Arc<Share>> {
        self.shares.get(&Raw::<16>::read(link.expose())?.digest())
    }

    /// In the order they were made in, by day.
    pub fn tokens(&self) -> Vec<&Arc<ApiToken>> {
        let mut tokens: Vec<_> = self.tokens.values().collect();
        tokens.sort_unstable_by(|a, b| (a.created, &a.name, &a.id).cmp(&(b.created, &b.name, &b.id)));
        tokens
    }

    pub fn shares_of(&self, is_site: impl Fn(&str) -> bool) -> Vec<&Arc<Share>> {
        let mut shares: Vec<_> = self.shares.values().filter(|share| is_site(&share.site)).collect();
        shares.sort_unstable_by(|a, b| (b.created, b.to, &b.id).cmp(&(a.created, a.to, &a.id)));
        shares
    }

    pub fn has_room_for_a_share(&self, is_site: impl Fn(&str) -> bool, today: Date) -> bool {
        self.shares_of(is_site).iter().filter(|share| share.is_remembered(today)).count() < MOST_SHARES
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
            scopes: vec![Scope::Read],
            site: None,
            expires,
            created: date(2026, 1, 1),
            revoked,
        };
        let opens = |token: ApiToken, today| {
            let (digest, text) = ApiToken::secret();
            assert!(text.starts_with("ff_") && text.len() == 46, "{text}");
            Keys::new(vec![(digest, token)], vec![]).token(&text, today).is_some()
        };
        let last = date(2026, 3, 10);
        assert!(opens(of(None, false), date(2099, 1, 1)));
        assert!(opens(of(Some(last), false), last));
        assert!(!opens(of(Some(last), false), date(2026, 3, 11)));
        assert!(!opens(of(None, true), last));
    }

    #[test]
    fn a_site_has_room_again_once_its_links_are_over_for_a_month() {
        let share = |revoked| Share {
            id: "1".into(),
            site: "mia".into(),
            from: date(2026, 3, 1),
            to: date(2026, 3, 2),
            expires: None,
            password: None,
            created: date(2026, 3, 3),
            revoked,
        };
        let many = |revoked| (0..MOST_SHARES).map(|_| (Share::secret().0, share(revoked))).collect();
        let room = |keys: &Keys, site, today| keys.has_room_for_a_share(|name| name == site, today);
        let (alive, revoked) = (Keys::new(vec![], many(false)), Keys::new(vec![], many(true)));
        assert!(room(&alive, "tom", date(2026, 3, 4)));
        assert!(!room(&alive, "mia", date(2027, 3, 4)));
        assert!(!room(&revoked, "mia", date(2026, 4, 1)));
        assert!(room(&revoked, "mia", date(2026, 4, 2)));
    }
}
