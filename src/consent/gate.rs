use std::sync::Arc;

use super::id::ConsentId;
use super::refusals::Refusals;
use super::terms::Terms;
use crate::config::{Config, VisitorMode};
use crate::event::{Caller, Ground, Payload, RawHit, Refusal, Signals};

/// A hit that may be counted. Nobody but [`Gate::admit`] makes one.
pub struct AdmittedHit<'a> {
    hit: RawHit<'a>,
    without_visit_cookie: bool,
    grant: Option<ConsentId>,
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

    /// The id of the grant the hit came with, which was verified; `None` where it rests on a declared ground and came without one.
    pub fn grant(&self) -> Option<ConsentId> {
        self.grant
    }
}

/// Something done with a mail that may be counted. Nobody but [`Gate::admit_mail`] makes one.
pub struct AdmittedMail(());

/// What is asked of a mail before it is counted. The browser's choice is not: the token says whether its recipient agreed.
pub struct RawMail<'a> {
    /// One of ours, signed and listed.
    pub known: bool,
    pub signals: &'a Signals,
    pub consent: bool,
    pub over_rate: bool,
}

pub struct Gate {
    terms: Arc<Terms>,
    visit_cookie: Option<Box<str>>,
    refusals: Arc<Refusals>,
}

impl Gate {
    pub fn new(config: &Config, terms: Arc<Terms>, refusals: Arc<Refusals>) -> Gate {
        let visit_cookie =
            (config.visitor.mode == VisitorMode::FlagCookie).then(|| config.visitor.cookie.name.as_str().into());
        Gate { terms, visit_cookie, refusals }
    }

    pub fn admit<'a>(&self, hit: RawHit<'a>) -> Result<AdmittedHit<'a>, Refusal> {
        self.judge(hit).inspect_err(|reason| self.refusals.raise(*reason))
    }

    /// [`Gate::admit`] without counting the refusal: for showing somebody what their next visit would be.
    pub fn judge<'a>(&self, hit: RawHit<'a>) -> Result<AdmittedHit<'a>, Refusal> {
        let grant = self.weigh(&hit)?;
        Ok(AdmittedHit { without_visit_cookie: self.held_visit_cookie(hit.caller).is_none(), grant, hit })
    }

    pub fn admit_mail(&self, mail: &RawMail<'_>) -> Result<AdmittedMail, Refusal> {
        let refusal = (!mail.known)
            .then_some(Refusal::UnknownSite)
            .or_else(|| self.terms.signal(mail.signals))
            .or_else(|| (!mail.consent).then_some(Refusal::NoConsent))
            .or_else(|| mail.over_rate.then_some(Refusal::Limited));
        match refusal {
            Some(reason) => {
                self.refusals.raise(reason);
                Err(reason)
            }
            None => Ok(AdmittedMail(())),
        }
    }

    /// The name of the visit cookie, where the browser holds it although its person does not agree or sends a signal.
    pub fn stale_cookie(&self, caller: &Caller<'_>, ground: Ground) -> Option<&str> {
        let name = self.held_visit_cookie(caller)?;
        let stored = || self.terms.stored(caller.cookies);
        let no = self.terms.signal(&caller.signals).or_else(|| self.terms.refuses(stored().as_ref(), ground));
        no.map(|_| name)
    }

    fn held_visit_cookie(&self, caller: &Caller<'_>) -> Option<&str> {
        self.visit_cookie.as_deref().filter(|name| caller.cookies.hold(name))
    }

    /// The grant the hit rests on, if any. `Refusal::ALL` in its order: the first reason that holds is the one that is counted.
    fn weigh(&self, hit: &RawHit<'_>) -> Result<Option<ConsentId>, Refusal> {
        let caller = hit.caller;
        if hit.site.is_none() {
            return Err(Refusal::UnknownSite);
        }
        if caller.signals.prefetch || caller.known_bot || hit.payload.webdriver {
            return Err(Refusal::NotAView);
        }
        if let Some(signal) = self.terms.signal(&caller.signals) {
            return Err(signal);
        }
        let stored = self.terms.stored(caller.cookies);
        if let Some(reason) = self.terms.refuses(stored.as_ref(), hit.ground) {
            return Err(reason);
        }
        if hit.over_rate {
            return Err(Refusal::Limited);
        }
        Ok(stored.and_then(|stored| stored.id))
    }
}
