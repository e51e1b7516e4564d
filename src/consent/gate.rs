use std::sync::Arc;

use super::choice::{Choice, cookie};
use super::refusals::Refusals;
use crate::config::{Basis, Config, OnSignal, VisitorMode};
use crate::event::{Caller, Payload, RawHit, Refusal};

/// A hit that may be counted. Nobody but [`Gate::admit`] makes one.
pub struct AdmittedHit<'a> {
    hit: RawHit<'a>,
    without_visit_cookie: bool,
}

impl<'a> AdmittedHit<'a> {
    pub fn caller(&self) -> &'a Caller<'a> {
        self.hit.caller
    }

    pub fn payload(&self) -> &Payload<'a> {
        &self.hit.payload
    }

    pub fn without_visit_cookie(&self) -> bool {
        self.without_visit_cookie
    }
}

/// What the operator decided, in the form the gate asks for it.
pub struct Gate {
    deny_gpc: bool,
    deny_dnt: bool,
    basis: Basis,
    version: u32,
    tier: Box<str>,
    consent_cookie: Box<str>,
    visit_cookie: Option<Box<str>>,
    refusals: Arc<Refusals>,
}

impl Gate {
    pub fn new(config: &Config, refusals: Arc<Refusals>) -> Gate {
        let visit_cookie =
            (config.visitor.mode == VisitorMode::FlagCookie).then(|| config.visitor.cookie.name.as_str().into());
        Gate {
            deny_gpc: config.signals.gpc == OnSignal::Deny,
            deny_dnt: config.signals.dnt == OnSignal::Deny,
            basis: config.consent.basis,
            version: config.consent.version,
            tier: config.consent.analytics_tier.as_str().into(),
            consent_cookie: config.consent.cookie.name.as_str().into(),
            visit_cookie,
            refusals,
        }
    }

    pub fn admit<'a>(&self, hit: RawHit<'a>) -> Result<AdmittedHit<'a>, Refusal> {
        if let Some(reason) = self.refuses(&hit) {
            self.refusals.raise(reason);
            return Err(reason);
        }
        let without_visit_cookie =
            self.visit_cookie.as_ref().is_some_and(|name| cookie(hit.caller.cookies, name).is_none());
        Ok(AdmittedHit { hit, without_visit_cookie })
    }

    /// The table of design.md 3.1, in its order: the first reason that holds is the one that is counted.
    fn refuses(&self, hit: &RawHit<'_>) -> Option<Refusal> {
        let caller = hit.caller;
        let signals = &caller.signals;
        let checks: [(Refusal, bool); 4] = [
            (Refusal::UnknownSite, hit.site.is_none()),
            (Refusal::NotAView, signals.prefetch || caller.known_bot || hit.payload.webdriver),
            (Refusal::Gpc, signals.gpc && self.deny_gpc),
            (Refusal::Dnt, signals.dnt && self.deny_dnt),
        ];
        if let Some((reason, _)) = checks.into_iter().find(|(_, holds)| *holds) {
            return Some(reason);
        }
        let choice = cookie(caller.cookies, &self.consent_cookie).and_then(|value| Choice::read(value, &self.tier));
        match self.basis {
            Basis::OptIn if !choice.is_some_and(|c| c.granted && c.version == self.version) => Some(Refusal::NoConsent),
            // An objection stays one whatever the version: a new version does not unsay it.
            Basis::ExemptOptOut if choice.is_some_and(|c| !c.granted) => Some(Refusal::Objected),
            _ => hit.over_rate.then_some(Refusal::Limited),
        }
    }
}
