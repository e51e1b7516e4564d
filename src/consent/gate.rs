//! The gate: the only place where hits are admitted or dropped.

use std::sync::Arc;

use super::choice::StoredChoice;
use super::drop_counters::DropCounters;
use super::id::ConsentId;
use super::policy::ConsentPolicy;
use crate::config::{Config, VisitorMode};
use crate::event::{
    DropReason, HitPayload, LegalBasis, RequestCaller, RequestSignals, ResolvedSite,
};

/// The client that hits are attributed to, with its stored choice, verified once for all of them.
/// Only [`Gate::read_choice`] joins the two, so a choice cannot be used for another client.
pub struct HitCaller<'a> {
    request: RequestCaller<'a>,
    /// The signal that drops every hit.
    signal: Option<DropReason>,
    /// `None` without a valid one. Not read if a signal drops every hit.
    choice: Option<StoredChoice<'a>>,
}

impl<'a> HitCaller<'a> {
    /// The request.
    pub fn request(&self) -> &RequestCaller<'a> {
        &self.request
    }
}

/// One hit as received: a payload and the caller that sent it.
pub struct RawHit<'a> {
    /// The client that sent the hit.
    pub caller: &'a HitCaller<'a>,
    /// The content of the hit.
    pub payload: HitPayload<'a>,
    /// The site of the page. `None` if no site matches it, or if the request was not sent by that
    /// site.
    pub site: Option<ResolvedSite<'a>>,
    /// The legal basis the hit is counted on.
    pub legal_basis: LegalBasis,
    /// Whether the rate limit of its network or its site was exceeded.
    pub over_rate: bool,
}

/// A hit that may be counted. Only [`Gate::admit`] and [`Gate::admit_for_preview`] create one.
pub struct AdmittedHit<'a> {
    hit: RawHit<'a>,
    without_visit_cookie: bool,
}

impl<'a> AdmittedHit<'a> {
    /// The client that sent the hit.
    pub fn caller(&self) -> &'a HitCaller<'a> {
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
        self.hit.caller.choice.as_ref()?.id.as_ref()
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

    /// Reads and verifies the choice that a request comes with.
    pub fn read_choice<'a>(&self, request: RequestCaller<'a>) -> HitCaller<'a> {
        let signal = self.policy.signal_drop_reason(&request.signals);
        let choice = match signal {
            None => self.policy.stored_choice(request.cookies),
            Some(_) => None,
        };
        HitCaller {
            request,
            signal,
            choice,
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
        self.check_hit(&hit)?;
        Ok(AdmittedHit {
            without_visit_cookie: self.sent_visit_cookie(hit.caller).is_none(),
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
    pub fn stale_visit_cookie(&self, caller: &HitCaller<'_>, ground: LegalBasis) -> Option<&str> {
        let name = self.sent_visit_cookie(caller)?;
        let choice = || {
            self.policy
                .choice_drop_reason(caller.choice.as_ref(), ground)
        };
        caller.signal.or_else(choice).map(|_| name)
    }

    fn sent_visit_cookie(&self, caller: &HitCaller<'_>) -> Option<&str> {
        self.visit_cookie
            .as_deref()
            .filter(|name| caller.request.cookies.has_cookie(name))
    }

    /// Checks the reasons in the order of [`DropReason::ALL`]; only the first that applies is
    /// counted.
    fn check_hit(&self, hit: &RawHit<'_>) -> Result<(), DropReason> {
        let HitCaller {
            request,
            signal,
            choice,
        } = hit.caller;
        if hit.site.is_none() {
            return Err(DropReason::UnknownSite);
        }

        if request.signals.prefetch || request.known_bot || hit.payload.webdriver {
            return Err(DropReason::NotAView);
        }
        if let Some(signal) = signal {
            return Err(*signal);
        }

        if let Some(reason) = self
            .policy
            .choice_drop_reason(choice.as_ref(), hit.legal_basis)
        {
            return Err(reason);
        }

        if hit.over_rate {
            return Err(DropReason::RateLimited);
        }

        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::calendar::ZoneId;
    use crate::config::{ConfigSources, load_config};
    use crate::consent::keys::tests::{ONE, keys};
    use crate::consent::{GrantEvidence, GrantLookup};
    use crate::event::{
        ClientAddress, ClientHints, HitKind, RequestCookies, ResolvedSite, SiteId, UserAgent,
    };

    const UNSIGNED: &str = "ff_consent=1.analytics.00112233445566778899aabbccddeeff";

    /// Knows every grant, and counts how often it is asked.
    #[derive(Default)]
    struct AskedLedger(Arc<AtomicUsize>);

    impl GrantLookup for AskedLedger {
        fn is_live(&self, _: &ConsentId, _: u32, _: &mut dyn Iterator<Item = &str>) -> bool {
            self.0.fetch_add(1, Ordering::Relaxed);
            true
        }
    }

    fn request<'a>(cookies: &'a RequestCookies<'a>, gpc: bool) -> RequestCaller<'a> {
        RequestCaller {
            received_at: 0,
            address: ClientAddress::new([198, 51, 100, 7].into()),
            agent: UserAgent::new("Firefox"),
            hints: ClientHints::default(),
            language: None,
            cookies,
            signals: RequestSignals {
                gpc,
                ..RequestSignals::default()
            },
            known_bot: false,
        }
    }

    #[test]
    fn a_choice_is_verified_once_for_all_hits_of_a_request_and_not_if_a_signal_drops_them() {
        let config = load_config(ConfigSources::default(), |_| unreachable!()).unwrap();
        let ledger = AskedLedger::default();
        let asked = Arc::clone(&ledger.0);
        let proofs = GrantEvidence {
            keys: keys(ONE, &config.consent.site).unwrap(),
            withdrawn: Arc::default(),
            grant_lookup: Box::new(ledger),
        };
        let policy = Arc::new(ConsentPolicy::new(&config, |_| 1, proofs));
        let gate = Gate::new(&config, policy, Arc::default());
        let mut cookies = RequestCookies::default();
        cookies.push_line(UNSIGNED.as_bytes());

        for (gpc, admitted, times) in [(false, true, 1), (true, false, 0)] {
            let caller = gate.read_choice(request(&cookies, gpc));
            for _ in 0..3 {
                let hit = RawHit {
                    caller: &caller,
                    payload: HitPayload::new(HitKind::View, ""),
                    site: Some(ResolvedSite {
                        id: SiteId::from_key("mia"),
                        zone: ZoneId(0),
                        path: "/",
                    }),
                    legal_basis: LegalBasis::ConsentCookie,
                    over_rate: false,
                };
                assert_eq!(gate.would_drop(&hit), !admitted);
                let grant = gate.admit(hit).ok().and_then(|hit| {
                    let id = hit.grant()?;
                    Some(id.to_hex())
                });
                assert_eq!(grant.is_some(), admitted);
            }
            assert_eq!(asked.swap(0, Ordering::Relaxed), times);
        }
    }
}
