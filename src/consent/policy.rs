//! The consent policy: what the consent prompt is about, and which stored choices are valid today.

use std::cmp::Reverse;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::choice::{CookieClaim, StoredChoice, refusal_value};
use super::id::ConsentId;
use super::keys::GrantKeys;
use super::withdrawn::WithdrawnGrants;
use crate::config::{Config, ConsentBasis, PromptStyle, RepromptScope, SignalEffect};
use crate::event::{DropReason, LegalBasis, RequestCookies, RequestSignals};

/// The look-up in the ledger that the gate needs for cookies from before signing was introduced.
/// Reads memory only.
pub trait GrantLookup: Send + Sync {
    /// Whether the grant with this id, version and tiers is recorded here and was not withdrawn.
    fn is_live(&self, id: &ConsentId, version: u32, tiers: &mut dyn Iterator<Item = &str>) -> bool;
}

/// What grants are verified against.
pub struct GrantEvidence {
    /// The keys that sign and verify grants.
    pub keys: GrantKeys,
    /// The grants that were withdrawn, here or at another collector.
    pub withdrawn: Arc<WithdrawnGrants>,
    /// The ledger, for unsigned grants.
    pub grant_lookup: Box<dyn GrantLookup>,
}

/// A tier that can be refused.
pub struct ConsentTier {
    /// Its name in the configuration and in the cookie.
    pub name: Box<str>,
    /// Whether granting it has no effect yet.
    pub inert: bool,
    /// The first version whose grants of this tier are still valid.
    pub since: u32,
}

/// The consent policy of the running configuration.
pub struct ConsentPolicy {
    /// The current version of the consent prompt.
    pub version: u32,
    /// Whether counting needs consent or can be objected to.
    pub basis: ConsentBasis,
    /// The tiers that can be refused, in the order of the configuration.
    pub optional: Vec<ConsentTier>,
    /// The tier that cannot be refused.
    pub necessary: Box<str>,
    /// Whether the optional tiers are granted together or not at all.
    pub bundled: bool,
    /// The index in `optional` of the tier that counting needs.
    analytics_index: usize,
    cookie: Box<str>,
    max_age_secs: u64,
    deny_gpc: bool,
    deny_dnt: bool,
    keys: ArcSwap<GrantKeys>,
    withdrawn: Arc<WithdrawnGrants>,
    grant_lookup: Box<dyn GrantLookup>,
}

impl ConsentPolicy {
    /// `last_grown_version` (versions.rs) returns the version at which a tier's purposes or
    /// providers last grew.
    pub fn new(
        config: &Config,
        asked: impl Fn(&str) -> u32,
        proofs: GrantEvidence,
    ) -> ConsentPolicy {
        let consent = &config.consent;
        let since = |tier: &str| match consent.reprompt {
            RepromptScope::AllVisitors => consent.version,
            RepromptScope::PurposesAdded => asked(tier),
        };

        let tier = |name: &String| ConsentTier {
            name: name.as_str().into(),
            inert: consent.inert.contains(name),
            since: since(name),
        };

        ConsentPolicy {
            version: consent.version,
            basis: consent.basis,
            optional: consent.tiers[1..].iter().map(tier).collect(),
            necessary: consent.tiers[0].as_str().into(),
            bundled: consent.ui == PromptStyle::AcceptDecline,
            analytics_index: consent.tiers[1..]
                .iter()
                .position(|tier| *tier == consent.analytics_tier)
                .expect("validated to be one of the optional tiers"),
            cookie: consent.cookie.name.as_str().into(),
            max_age_secs: consent.cookie.max_age_secs,
            deny_gpc: config.signals.gpc == SignalEffect::Deny,
            deny_dnt: config.signals.dnt == SignalEffect::Deny,
            keys: ArcSwap::from_pointee(proofs.keys),
            withdrawn: proofs.withdrawn,
            grant_lookup: proofs.grant_lookup,
        }
    }

    /// The visitor's choice, from the cookies of a request.
    ///
    /// Other parties can set cookies with the same name (an earlier banner, a script of the page),
    /// and the browser decides about their order. Therefore a cookie that is malformed or was not
    /// issued here is ignored, a cookie of another version does not hide one of the current
    /// version, and among the rest any refusal takes precedence over every grant.
    pub fn stored_choice<'a>(&self, cookies: &RequestCookies<'a>) -> Option<StoredChoice<'a>> {
        let believed = cookies
            .get_all(&self.cookie)
            .filter_map(|value| self.verify_choice(value));
        let heard = believed.reduce(|one, other| {
            if self.choice_precedence(&other) > self.choice_precedence(&one) {
                other
            } else {
                one
            }
        });
        heard.map(|(stored, gone)| {
            if gone {
                stored.into_withdrawn()
            } else {
                stored
            }
        })
    }

    /// The choice in a cookie's value, if it is authentic, and whether it was withdrawn since. A
    /// withdrawn grant is a refusal, even in a copied cookie.
    fn verify_choice<'a>(&self, value: &'a str) -> Option<(StoredChoice<'a>, bool)> {
        let (stored, claim) = StoredChoice::parse(value)?;
        let proven = match claim {
            CookieClaim::Refusal => true,
            CookieClaim::Signed { text, key_id, mac } => {
                self.keys.load().verify_mac(text, key_id, mac)
            }
            CookieClaim::Unsigned => {
                let id = stored.id.as_ref()?;
                self.grant_lookup
                    .is_live(id, stored.version, &mut stored.tiers())
            }
        };
        let gone = proven
            && stored
                .id
                .as_ref()
                .is_some_and(|id| self.withdrawn.contains(id));
        proven.then_some((stored, gone))
    }

    /// Precedence among several choices: the current version first, then older ones, then newer
    /// ones; within a version, the choice that allows the least, and withdrawn grants last.
    fn choice_precedence(
        &self,
        (stored, gone): &(StoredChoice<'_>, bool),
    ) -> (bool, Reverse<bool>, u32, u8) {
        let says = match &stored.id {
            None => 3,
            Some(_) if *gone => 0,
            Some(_) if !stored.grants_tier(&self.analytics_tier().name) => 2,
            Some(_) => 1,
        };
        (
            stored.version == self.version,
            Reverse(stored.version > self.version),
            stored.version,
            says,
        )
    }

    /// The choice that a cookie value will represent once a browser sends it.
    pub fn choice_from_value<'a>(&self, value: &'a str) -> Option<StoredChoice<'a>> {
        Some(self.verify_choice(value)?.0)
    }

    /// The cookie value for these granted tiers; for a refusal if `granted` is `None`.
    pub fn cookie_value(&self, granted: Option<(&[&str], &ConsentId)>) -> String {
        match granted {
            Some((tiers, id)) => self.keys.load().sign_grant(self.version, tiers, id),
            None => refusal_value(self.version),
        }
    }

    /// Replaces the keys after the key file was read again.
    pub fn replace_keys(&self, keys: GrantKeys) {
        self.keys.store(Arc::new(keys));
    }

    /// The drop reason for an opt-out signal that the configuration obeys. It takes precedence over
    /// every choice.
    pub fn signal_drop_reason(&self, signals: &RequestSignals) -> Option<DropReason> {
        match signals {
            RequestSignals { gpc: true, .. } if self.deny_gpc => Some(DropReason::Gpc),
            RequestSignals { dnt: true, .. } if self.deny_dnt => Some(DropReason::Dnt),
            _ => None,
        }
    }

    /// Whether a tier is granted, regardless of signals.
    pub fn is_granted(&self, stored: Option<&StoredChoice<'_>>, tier: &ConsentTier) -> bool {
        self.is_granted_on_basis(self.basis, stored, tier)
    }

    fn is_granted_on_basis(
        &self,
        basis: ConsentBasis,
        stored: Option<&StoredChoice<'_>>,
        tier: &ConsentTier,
    ) -> bool {
        match basis {
            // An objection is valid for all versions: a new version does not revoke it.
            ConsentBasis::ExemptOptOut if tier.name == self.analytics_tier().name => {
                stored.is_none_or(|stored| stored.grants_tier(&tier.name))
            }
            _ => stored.is_some_and(|stored| {
                (tier.since..=self.version).contains(&stored.version)
                    && stored.grants_tier(&tier.name)
            }),
        }
    }

    /// Why this choice does not allow a hit on this legal basis to be counted; `None` if it does.
    pub(super) fn choice_drop_reason(
        &self,
        stored: Option<&StoredChoice<'_>>,
        ground: LegalBasis,
    ) -> Option<DropReason> {
        let basis = match ground {
            LegalBasis::VisitorChoice => self.basis,
            LegalBasis::ConsentCookie => ConsentBasis::OptIn,
            // Under a legal basis that the operator declares, a hit needs no stored grant, but a
            // stored refusal remains valid.
            LegalBasis::Declared => ConsentBasis::ExemptOptOut,
        };

        let reason = match (ground, self.basis) {
            (LegalBasis::ConsentCookie, _) | (_, ConsentBasis::OptIn) => DropReason::NoConsent,
            (_, ConsentBasis::ExemptOptOut) => DropReason::Objected,
        };

        (!self.is_granted_on_basis(basis, stored, self.analytics_tier())).then_some(reason)
    }

    /// Whether the consent prompt has grown since this choice was made, so that the prompt must be
    /// shown to the visitor again.
    pub fn is_outdated(&self, stored: &StoredChoice<'_>) -> bool {
        stored.version > self.version
            || self.optional.iter().any(|tier| stored.version < tier.since)
    }

    /// The `Set-Cookie` value that stores a choice. It is `HttpOnly`: an id that every embedded
    /// script could read could be used for tracking.
    pub fn set_cookie_value(&self, value: &str) -> String {
        let (name, life) = (&self.cookie, self.max_age_secs);
        format!("{name}={value}; Max-Age={life}; Path=/; Secure; HttpOnly; SameSite=Lax")
    }

    /// Whether `Sec-GPC` is obeyed.
    pub fn obeys_gpc(&self) -> bool {
        self.deny_gpc
    }

    /// The name of the consent cookie.
    pub fn cookie_name(&self) -> &str {
        &self.cookie
    }

    /// The lifetime of the consent cookie in whole days, rounded down.
    pub fn cookie_days(&self) -> u64 {
        self.max_age_secs / 86_400
    }

    fn analytics_tier(&self) -> &ConsentTier {
        &self.optional[self.analytics_index]
    }
}

#[cfg(test)]
mod tests;
