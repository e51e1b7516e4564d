//! What is asked, and what an answer is worth today.

use std::cmp::Reverse;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::choice::{Claim, Stored, refusal};
use super::id::ConsentId;
use super::keys::GrantKeys;
use super::withdrawn::Withdrawn;
use crate::config::{Basis, Config, OnSignal, OnVersion, Ui};
use crate::event::{Cookies, Ground, Refusal, Signals};

/// The ledger, asked about cookies of before they were signed. Answers from memory.
pub trait OnRecord: Send + Sync {
    /// Whether the id's grant of this version and these tiers is on record here and was not withdrawn.
    fn is_live(&self, id: &ConsentId, version: u32, tiers: &mut dyn Iterator<Item = &str>) -> bool;
}

/// What a grant is held against.
pub struct Proofs {
    pub keys: GrantKeys,
    pub withdrawn: Arc<Withdrawn>,
    pub on_record: Box<dyn OnRecord>,
}

/// A tier that can be refused.
pub struct Tier {
    pub name: Box<str>,
    pub inert: bool,
    /// The version from which on a grant of it counts.
    pub since: u32,
}

pub struct Terms {
    pub version: u32,
    pub basis: Basis,
    pub optional: Vec<Tier>,
    /// The tier nobody can refuse.
    pub necessary: Box<str>,
    /// The optional tiers are granted together or not at all.
    pub bundled: bool,
    /// The place in `optional` of the tier counting needs.
    analytics: usize,
    cookie: Box<str>,
    max_age_secs: u64,
    deny_gpc: bool,
    deny_dnt: bool,
    keys: ArcSwap<GrantKeys>,
    withdrawn: Arc<Withdrawn>,
    on_record: Box<dyn OnRecord>,
}

impl Terms {
    /// `asked` is the version at which a tier's purposes or providers last grew; see `versions`.
    pub fn new(config: &Config, asked: impl Fn(&str) -> u32, proofs: Proofs) -> Terms {
        let consent = &config.consent;
        let since = |tier: &str| match consent.on_version {
            OnVersion::Everybody => consent.version,
            OnVersion::WhereGrown => asked(tier),
        };
        let tier = |name: &String| Tier {
            name: name.as_str().into(),
            inert: consent.inert.contains(name),
            since: since(name),
        };
        Terms {
            version: consent.version,
            basis: consent.basis,
            optional: consent.tiers[1..].iter().map(tier).collect(),
            necessary: consent.tiers[0].as_str().into(),
            bundled: consent.ui == Ui::AcceptDecline,
            analytics: consent.tiers[1..]
                .iter()
                .position(|tier| *tier == consent.analytics_tier)
                .expect("validated to be one of the optional tiers"),
            cookie: consent.cookie.name.as_str().into(),
            max_age_secs: consent.cookie.max_age_secs,
            deny_gpc: config.signals.gpc == OnSignal::Deny,
            deny_dnt: config.signals.dnt == OnSignal::Deny,
            keys: ArcSwap::from_pointee(proofs.keys),
            withdrawn: proofs.withdrawn,
            on_record: proofs.on_record,
        }
    }

    /// The choice a browser sent, whoever asks. Other hands can put cookies of our name beside ours (an earlier banner, a script of the page),
    /// and the browser decides about their order. So what cannot be read or was not given here is not there, and what is of another version
    /// hides nothing; then any no wins over every yes.
    pub fn stored<'a>(&self, cookies: &Cookies<'a>) -> Option<Stored<'a>> {
        let believed = cookies.named(&self.cookie).filter_map(|value| self.believed(value));
        let heard = believed.reduce(|one, other| if self.weight(&other) > self.weight(&one) { other } else { one });
        heard.map(|(stored, gone)| if gone { stored.withdrawn() } else { stored })
    }

    /// What a cookie's value says, if it can be believed, and whether it was withdrawn since: then it is a refusal, whoever kept a copy.
    fn believed<'a>(&self, value: &'a str) -> Option<(Stored<'a>, bool)> {
        let (stored, claim) = Stored::read(value)?;
        let proven = match claim {
            Claim::Refusal => true,
            Claim::Signed { text, key_id, mac } => self.keys.load().verifies(text, key_id, mac),
            Claim::Unsigned => {
                let id = stored.id.as_ref()?;
                self.on_record.is_live(id, stored.version, &mut stored.tiers())
            }
        };
        let gone = || stored.id.as_ref().is_some_and(|id| self.withdrawn.contains(id));
        proven.then(|| (stored, gone()))
    }

    /// Today's version first, then the older ones; in a version, whatever lets less be counted.
    fn weight(&self, (stored, gone): &(Stored<'_>, bool)) -> (bool, Reverse<bool>, u32, u8) {
        let says = match stored.id {
            None => 3,
            Some(_) if *gone => 0,
            Some(_) if !stored.grants(&self.analytics().name) => 2,
            Some(_) => 1,
        };
        (stored.version == self.version, Reverse(stored.version > self.version), stored.version, says)
    }

    /// The choice this value will be once a browser sends it.
    pub fn chosen<'a>(&self, value: &'a str) -> Option<Stored<'a>> {
        Some(self.believed(value)?.0)
    }

    /// The value that says which tiers are granted; `None` is a refusal.
    pub fn value(&self, granted: Option<(&[&str], ConsentId)>) -> String {
        match granted {
            Some((tiers, id)) => self.keys.load().grant(self.version, tiers, id),
            None => refusal(self.version),
        }
    }

    /// The keys of the file as it is now.
    pub fn take(&self, keys: GrantKeys) {
        self.keys.store(Arc::new(keys));
    }

    /// The opt-out signal that is obeyed, whatever was chosen.
    pub fn signal(&self, signals: &Signals) -> Option<Refusal> {
        match signals {
            Signals { gpc: true, .. } if self.deny_gpc => Some(Refusal::Gpc),
            Signals { dnt: true, .. } if self.deny_dnt => Some(Refusal::Dnt),
            _ => None,
        }
    }

    /// Whether a tier is granted, signals aside.
    pub fn holds(&self, stored: Option<&Stored<'_>>, tier: &Tier) -> bool {
        self.holds_by(self.basis, stored, tier)
    }

    fn holds_by(&self, basis: Basis, stored: Option<&Stored<'_>>, tier: &Tier) -> bool {
        match basis {
            // An objection stays one whatever the version: a new version does not unsay it.
            Basis::ExemptOptOut if tier.name == self.analytics().name => {
                stored.is_none_or(|stored| stored.grants(&tier.name))
            }
            _ => stored.is_some_and(|stored| {
                (tier.since..=self.version).contains(&stored.version) && stored.grants(&tier.name)
            }),
        }
    }

    /// Why the choice does not let a hit count that rests on this ground.
    pub(super) fn refuses(&self, stored: Option<&Stored<'_>>, ground: Ground) -> Option<Refusal> {
        let basis = match ground {
            Ground::Asked => self.basis,
            Ground::ConsentCookie => Basis::OptIn,
            // Whoever declares a ground of their own need not show us a grant; but a no that was said to us stands.
            Ground::Declared => Basis::ExemptOptOut,
        };
        let reason = match (ground, self.basis) {
            (Ground::ConsentCookie, _) | (_, Basis::OptIn) => Refusal::NoConsent,
            (_, Basis::ExemptOptOut) => Refusal::Objected,
        };
        (!self.holds_by(basis, stored, self.analytics())).then_some(reason)
    }

    /// Whether something was added to the question since it was answered.
    pub fn outdated(&self, stored: &Stored<'_>) -> bool {
        stored.version > self.version || self.optional.iter().any(|tier| stored.version < tier.since)
    }

    /// The `Set-Cookie` that keeps a choice. Page scripts cannot read it: an id that any embedded script could read would be one to
    /// follow people by.
    pub fn keep(&self, value: &str) -> String {
        let (name, life) = (&self.cookie, self.max_age_secs);
        format!("{name}={value}; Max-Age={life}; Path=/; Secure; HttpOnly; SameSite=Lax")
    }

    pub fn obeys_gpc(&self) -> bool {
        self.deny_gpc
    }

    pub fn cookie_name(&self) -> &str {
        &self.cookie
    }

    pub fn cookie_days(&self) -> u64 {
        self.max_age_secs / 86_400
    }

    fn analytics(&self) -> &Tier {
        &self.optional[self.analytics]
    }
}

#[cfg(test)]
mod tests;
