//! What is asked, and what an answer is worth today.

use std::sync::Arc;

use super::choice::{Stored, cookie};
use super::withdrawn::Withdrawn;
use crate::config::{Basis, Config, OnSignal, OnVersion, Ui};
use crate::event::{Ground, Refusal, Signals};

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
    withdrawn: Arc<Withdrawn>,
}

impl Terms {
    /// `asked` is the version at which a tier's purposes or providers last grew; see `versions`.
    pub fn new(config: &Config, asked: impl Fn(&str) -> u32, withdrawn: Arc<Withdrawn>) -> Terms {
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
            withdrawn,
        }
    }

    /// The choice a `Cookie` field holds. A grant that was withdrawn is a refusal, whoever kept a copy of its cookie.
    pub fn stored<'a>(&self, cookies: &'a str) -> Option<Stored<'a>> {
        let stored = Stored::read(cookie(cookies, &self.cookie)?)?;
        match &stored.id {
            Some(id) if self.withdrawn.contains(id) => Some(stored.withdrawn()),
            _ => Some(stored),
        }
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
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    const GRANT: &str = "ff_consent=2.analytics.00112233445566778899aabbccddeeff";
    const OF_ANOTHER_TIER: &str = "ff_consent=2.embeds.00112233445566778899aabbccddeeff";
    const OLD_GRANT: &str = "ff_consent=1.analytics.00112233445566778899aabbccddeeff";
    const OLD_NO: &str = "ff_consent=1.none";

    fn terms(basis: &str) -> Terms {
        let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let set = vec![
            set("consent.version", "2"),
            set("consent.basis", basis),
            set("consent.tiers", r#"["necessary", "analytics", "embeds"]"#),
        ];
        let config = load(Sources { set, ..Sources::default() }, |_| unreachable!()).unwrap();
        Terms::new(&config, |_| 1, Arc::default())
    }

    #[test]
    fn what_each_ground_needs_of_a_stored_choice() {
        use Ground::{Asked, ConsentCookie, Declared};
        const NO: Option<Refusal> = Some(Refusal::NoConsent);
        const OBJECTED: Option<Refusal> = Some(Refusal::Objected);
        let cookies = ["", GRANT, OLD_GRANT, OLD_NO, "ff_consent=2.none", OF_ANOTHER_TIER];
        for (basis, ground, expected) in [
            ("opt_in", Asked, [NO, None, NO, NO, NO, NO]),
            ("opt_in", ConsentCookie, [NO, None, NO, NO, NO, NO]),
            ("opt_in", Declared, [None, None, None, NO, NO, NO]),
            ("exempt_opt_out", Asked, [None, None, None, OBJECTED, OBJECTED, OBJECTED]),
            ("exempt_opt_out", ConsentCookie, [NO, None, NO, NO, NO, NO]),
            ("exempt_opt_out", Declared, [None, None, None, OBJECTED, OBJECTED, OBJECTED]),
        ] {
            let terms = terms(basis);
            let judged = cookies.map(|cookies| terms.refuses(terms.stored(cookies).as_ref(), ground));
            assert_eq!(judged, expected, "{basis} {ground:?}");
        }
    }

    #[test]
    fn a_grant_that_was_withdrawn_is_a_no_to_what_is_declared_too() {
        let terms = terms("opt_in");
        let id = terms.stored(GRANT).and_then(|stored| stored.id).unwrap();
        terms.withdrawn.insert(id);
        assert_eq!(terms.refuses(terms.stored(GRANT).as_ref(), Ground::Declared), Some(Refusal::NoConsent));
    }
}
