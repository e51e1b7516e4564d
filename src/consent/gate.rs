//! The gate: the only place where hits are admitted or dropped.

use std::sync::Arc;

use super::drop_counters::DropCounters;
use super::id::ConsentId;
use super::policy::ConsentPolicy;
use crate::config::{Config, VisitorMode};
use crate::event::{DropReason, HitPayload, LegalBasis, RawHit, RequestCaller, RequestSignals};

/// A hit that may be counted. Only [`Gate::admit`] and [`Gate::admit_for_preview`] create one.
pub struct AdmittedHit<'a> {
    hit: RawHit<'a>,
    without_visit_cookie: bool,
    grant: Option<ConsentId>,
}

impl<'a> AdmittedHit<'a> {
    /// The client that sent the hit.
    pub fn caller(&self) -> &'a RequestCaller<'a> {
        self.hit.caller
    }

    /// The content of the hit.
    pub fn payload(&self) -> &HitPayload<'a> {
        &self.hit.payload
    }

    /// Whether the browser did not send the visit cookie. Always `true` where no visit cookie is
    /// used.
    pub fn without_visit_cookie(&self) -> bool {
        self.without_visit_cookie
    }

    /// The id of the verified grant the hit came with; `None` if it has another legal basis and
    /// came without a grant.
    pub fn grant(&self) -> Option<&ConsentId> {
        self.grant.as_ref()
    }
}

/// An opened or clicked mail that may be counted. Only [`Gate::admit_mail`] creates one.
pub struct AdmittedMail(());

/// What is checked about a mail before it is counted. The choice stored in the browser is not: the
/// mail's token states whether its recipient consented.
pub struct RawMail<'a> {
    /// Whether the token is valid: signed by us, and its template or message is listed.
    pub known: bool,
    /// The opt-out signals of the request.
    pub signals: &'a RequestSignals,
    /// Whether the token states that the recipient consented.
    pub consent: bool,
    /// Whether a rate limit was exceeded.
    pub over_rate: bool,
}

/// Decides about hits and mails, and counts what it drops.
pub struct Gate {
    policy: Arc<ConsentPolicy>,
    visit_cookie: Option<Box<str>>,
    drop_counters: Arc<DropCounters>,
}

impl Gate {
    /// `refusals` receives one count per dropped hit or mail.
    pub fn new(config: &Config, terms: Arc<ConsentPolicy>, refusals: Arc<DropCounters>) -> Gate {
        let visit_cookie = (config.visitor.mode == VisitorMode::FlagCookie)
            .then(|| config.visitor.cookie.name.as_str().into());
        Gate {
            policy: terms,
            visit_cookie,
            drop_counters: refusals,
        }
    }

    /// Admits a hit or counts its drop.
    ///
    /// # Errors
    ///
    /// The first reason that applies, in the order of [`DropReason::ALL`]. It has been counted.
    pub fn admit<'a>(&self, hit: RawHit<'a>) -> Result<AdmittedHit<'a>, DropReason> {
        self.admit_for_preview(hit)
            .inspect_err(|reason| self.drop_counters.record_drop(*reason))
    }

    /// Like [`Gate::admit`], but does not count a drop. Used to show visitors how their next visit
    /// would be counted.
    ///
    /// # Errors
    ///
    /// The first reason that applies, in the order of [`DropReason::ALL`].
    pub fn admit_for_preview<'a>(&self, hit: RawHit<'a>) -> Result<AdmittedHit<'a>, DropReason> {
        let grant = self.check_hit(&hit)?;
        Ok(AdmittedHit {
            without_visit_cookie: self.sent_visit_cookie(hit.caller).is_none(),
            grant,
            hit,
        })
    }

    /// Whether a hit is dropped whatever the rates are. Counts nothing.
    pub fn would_drop(&self, hit: &RawHit<'_>) -> bool {
        self.check_hit(hit).is_err()
    }

    /// Admits an opened or clicked mail, or counts its drop.
    ///
    /// # Errors
    ///
    /// The first reason that applies. It has been counted.
    pub fn admit_mail(&self, mail: &RawMail<'_>) -> Result<AdmittedMail, DropReason> {
        let refusal = (!mail.known)
            .then_some(DropReason::UnknownSite)
            .or_else(|| self.policy.signal_drop_reason(mail.signals))
            .or_else(|| (!mail.consent).then_some(DropReason::NoConsent))
            .or_else(|| mail.over_rate.then_some(DropReason::RateLimited));

        match refusal {
            Some(reason) => {
                self.drop_counters.record_drop(reason);
                Err(reason)
            }
            None => Ok(AdmittedMail(())),
        }
    }

    /// The name of the visit cookie, if the browser sent it although its visitor does not agree or
    /// sends an opt-out signal; the cookie should then be deleted.
    pub fn stale_visit_cookie(
        &self,
        caller: &RequestCaller<'_>,
        ground: LegalBasis,
    ) -> Option<&str> {
        let name = self.sent_visit_cookie(caller)?;
        let stored = || self.policy.stored_choice(caller.cookies);
        let no = self
            .policy
            .signal_drop_reason(&caller.signals)
            .or_else(|| self.policy.choice_drop_reason(stored().as_ref(), ground));
        no.map(|_| name)
    }

    fn sent_visit_cookie(&self, caller: &RequestCaller<'_>) -> Option<&str> {
        self.visit_cookie
            .as_deref()
            .filter(|name| caller.cookies.has_cookie(name))
    }

    /// The grant the hit comes with, if any. Checks the reasons in the order of
    /// [`DropReason::ALL`]; only the first that applies is counted.
    fn check_hit(&self, hit: &RawHit<'_>) -> Result<Option<ConsentId>, DropReason> {
        let caller = hit.caller;
        if hit.site.is_none() {
            return Err(DropReason::UnknownSite);
        }

        if caller.signals.prefetch || caller.known_bot || hit.payload.webdriver {
            return Err(DropReason::NotAView);
        }
        if let Some(signal) = self.policy.signal_drop_reason(&caller.signals) {
            return Err(signal);
        }

        let stored = self.policy.stored_choice(caller.cookies);
        if let Some(reason) = self
            .policy
            .choice_drop_reason(stored.as_ref(), hit.legal_basis)
        {
            return Err(reason);
        }

        if hit.over_rate {
            return Err(DropReason::RateLimited);
        }

        Ok(stored.and_then(|stored| stored.id))
    }
}
