//! `POST {prefix}/consent`: a person grants, refuses or withdraws.
//!
//! In this order: the act is judged, put on record and synced, known to the gate, and only then answered with its cookie. What fails on
//! the way leaves everything as it was.

use std::collections::BTreeMap;

use actix_web::http::header::{CONTENT_TYPE, SET_COOKIE};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Asking;
use super::state::State;
use crate::consent::{ConsentId, Stored, grant, refusal};
use crate::event::Problem;
use crate::http::{BodyError, Origins, read, refuse, text};
use crate::ledger::{Act, Layer, LedgerError, NewAct, Record};

const BODY_BYTES: usize = 4096;

#[derive(Deserialize, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Said {
    Grant,
    Refuse,
    Withdraw,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Choice {
    version: u32,
    act: Said,
    #[serde(default)]
    tiers: Option<BTreeMap<String, bool>>,
    lang: String,
    layer: Layer,
    /// Of the page the choice is made on. Only used to expire that profile's visit cookie.
    path: String,
}

#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    state: State<'a>,
    receipt_record: &'a RawValue,
}

pub(super) async fn post(request: HttpRequest, mut payload: web::Payload, asking: web::Data<Asking>) -> HttpResponse {
    if let Err(problem) = asking.may_choose(&request) {
        return refuse(&problem, Some((&mut payload, asking.deadline))).await;
    }
    let body = match read(&mut payload, BODY_BYTES, asking.deadline).await {
        Ok(body) => body,
        Err(error) => return refuse(&not_read(error), Some((&mut payload, asking.deadline))).await,
    };
    match asking.choose(&request, &body).await {
        Ok(answer) => answer,
        Err(problem) => refuse(&problem, None).await,
    }
}

/// What a person decided, in the ledger's terms.
pub(super) struct Decision {
    act: Act,
    id: Option<ConsentId>,
    /// The optional tiers that are granted from now on.
    granted: Vec<String>,
}

impl Decision {
    /// The end of everything that was granted.
    pub(super) fn no(asking: &Asking, stored: Option<&Stored<'_>>) -> Decision {
        let live = stored.and_then(|stored| stored.id).filter(|id| asking.is_live(id));
        Decision { act: if live.is_some() { Act::Withdraw } else { Act::Refuse }, id: live, granted: Vec::new() }
    }

    /// The cookie's value.
    fn cookie(&self, version: u32) -> String {
        let granted: Vec<&str> = self.granted.iter().map(String::as_str).collect();
        match self.id {
            Some(id) if !granted.is_empty() => grant(version, &granted, id),
            _ => refusal(version),
        }
    }
}

impl Asking {
    /// Judged by the header alone, before the body is read.
    pub(super) fn may_choose(&self, request: &HttpRequest) -> Result<(), Problem> {
        if !self.origins.same(request) {
            return Err(Problem::new(403, "foreign_page", "A choice is made on the page itself")
                .detail("the request must come from a page of this very origin"));
        }
        if self.rates.chooses_too_often(self.rates.network(&self.origins.address(request))) {
            return Err(Problem::new(
                429,
                "too_many",
                "Too many answers came from this network; try again in a minute",
            ));
        }
        Ok(())
    }

    async fn choose(&self, request: &HttpRequest, body: &[u8]) -> Result<HttpResponse, Problem> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(text).unwrap_or("");
        if !kind.to_ascii_lowercase().starts_with("application/json") {
            return Err(Problem::new(415, "not_json", "The choice cannot be read").detail("send application/json"));
        }
        let choice: Choice = serde_json::from_slice(body).map_err(|error| bad(400, "bad_choice", error.to_string()))?;
        let language =
            self.texts.of(&choice.lang).ok_or_else(|| bad(422, "bad_lang", "lang must be one that was offered"))?;
        let stored = self.stored(request);
        let decision = self.judge(&choice, request, stored.as_ref())?;
        let record = self.record(request, &decision, &language.lang, choice.layer).await?;
        let value = decision.cookie(self.terms.version);
        let stored = Stored::read(&value);
        let receipt = serde_json::from_str::<&RawValue>(&record.line).expect("a record is JSON");
        // `value` lives as long as the answer is written.
        let state = self.state(request, stored.as_ref(), language);
        let mut answer = self.answer();
        for cookie in self.cookies(request, &decision, &choice.path) {
            answer.append_header((SET_COOKIE, cookie));
        }
        Ok(answer.json(Answer { state, receipt_record: receipt }))
    }

    /// The consent cookie, and the end of the visit cookie where visits are no longer counted.
    pub(super) fn cookies(&self, request: &HttpRequest, decision: &Decision, path: &str) -> Vec<String> {
        let keep = self.terms.keep(&decision.cookie(self.terms.version));
        let analytics = decision.granted.contains(&self.consent.analytics_tier);
        let forget = if analytics { None } else { self.forget_visits(request, path) };
        std::iter::once(keep).chain(forget).collect()
    }

    fn judge(&self, choice: &Choice, request: &HttpRequest, stored: Option<&Stored<'_>>) -> Result<Decision, Problem> {
        if choice.version != self.terms.version {
            let detail = format!("the question is at version {}; ask for it again", self.terms.version);
            return Err(bad(409, "old_version", detail));
        }
        match (choice.act, &choice.tiers) {
            (Said::Grant, Some(tiers)) => {
                if self.terms.signal(&Origins::signals(request)).is_some() {
                    return Err(bad(409, "signal", "the browser's opt-out signal is honoured: nothing can be granted"));
                }
                Ok(self.granted(self.tiers_granted(tiers)?, stored))
            }
            (Said::Grant, None) => Err(bad(422, "bad_tiers", format!("tiers must name {}", self.optional()))),
            (_, Some(_)) => Err(bad(422, "bad_tiers", "tiers belong to a grant only")),
            (Said::Refuse | Said::Withdraw, None) => Ok(Decision::no(self, stored)),
        }
    }

    /// The tiers with a yes. Each optional tier must be named: an answer nobody gave is no yes and no no.
    fn tiers_granted(&self, tiers: &BTreeMap<String, bool>) -> Result<Vec<String>, Problem> {
        let optional = &self.terms.optional;
        for (name, granted) in tiers {
            if **name == *self.terms.necessary {
                if !granted {
                    return Err(bad(422, "necessary", format!("{name} cannot be turned off")));
                }
            } else if !optional.iter().any(|tier| *tier.name == **name) {
                return Err(bad(
                    422,
                    "unknown_tier",
                    format!("there is no such tier; accepted are {}", self.optional()),
                ));
            }
        }
        if let Some(tier) = optional.iter().find(|tier| !tiers.contains_key(&*tier.name)) {
            return Err(bad(
                422,
                "bad_tiers",
                format!("{} is not named; each of {} must be", tier.name, self.optional()),
            ));
        }
        let yes = optional.iter().filter(|tier| tiers.get(&*tier.name) == Some(&true));
        let yes: Vec<String> = yes.map(|tier| tier.name.to_string()).collect();
        if yes.is_empty() {
            return Err(bad(422, "nothing_granted", "a grant grants at least one tier; to grant none, refuse"));
        }
        if self.terms.bundled && yes.len() != optional.len() {
            return Err(bad(422, "bundled", format!("{} are granted together or not at all", self.optional())));
        }
        Ok(yes)
    }

    fn granted(&self, granted: Vec<String>, stored: Option<&Stored<'_>>) -> Decision {
        let id = stored.and_then(|stored| stored.id);
        let before = id.and_then(|id| self.ledger.standing(&id)).filter(|standing| standing.live);
        let narrower = before.as_ref().is_some_and(|before| {
            let kept = granted.iter().all(|tier| before.granted.contains(tier));
            before.version == self.terms.version && kept && granted.len() < before.granted.len()
        });
        let id = id.filter(|_| before.is_some()).unwrap_or_else(ConsentId::random);
        Decision { act: if narrower { Act::Withdraw } else { Act::Grant }, id: Some(id), granted }
    }

    pub(super) async fn record(
        &self,
        request: &HttpRequest,
        decision: &Decision,
        lang: &str,
        layer: Layer,
    ) -> Result<Record, Problem> {
        let signals = Origins::signals(request);
        let purpose = |name: &str| (name.to_owned(), decision.granted.iter().any(|granted| granted == name));
        let act = NewAct {
            id: decision.id,
            act: decision.act,
            site: self.consent.site.clone(),
            version: self.terms.version,
            texts: self.digests,
            lang: lang.to_owned(),
            layer,
            purposes: self.terms.optional.iter().map(|tier| purpose(&tier.name)).collect(),
            gpc: signals.gpc,
            dnt: signals.dnt,
            at: self.clock.now(),
        };
        self.ledger.append(act).await.map_err(|error| not_recorded(&error))
    }

    fn is_live(&self, id: &ConsentId) -> bool {
        self.ledger.standing(id).is_some_and(|standing| standing.live)
    }

    fn optional(&self) -> String {
        self.terms.optional.iter().map(|tier| &*tier.name).collect::<Vec<_>>().join(", ")
    }
}

fn not_recorded(error: &LedgerError) -> Problem {
    match error {
        // Two tabs at once: the other one was first, and what this one wanted holds.
        LedgerError::NoGrant => bad(409, "old_version", "the choice was changed elsewhere; ask for it again"),
        error => {
            tracing::error!(%error, "a choice was not recorded");
            Problem::new(503, "not_recorded", "The choice could not be recorded; nothing was changed")
        }
    }
}

fn not_read(error: BodyError) -> Problem {
    match error {
        BodyError::TooLarge => bad(413, "body_too_large", format!("at most {BODY_BYTES} bytes")),
        BodyError::TooSlow => bad(408, "body_too_slow", "the body did not arrive in time"),
        BodyError::Broken => bad(400, "bad_body", "the body broke off"),
    }
}

fn bad(status: u16, code: &'static str, detail: impl Into<std::borrow::Cow<'static, str>>) -> Problem {
    Problem::new(status, code, "The choice was not taken").detail(detail)
}
