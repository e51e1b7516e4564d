//! `POST {prefix}/consent`: a visitor grants, refuses or withdraws.
//!
//! The order is: validate the choice, record and sync it, update the gate, then answer with the
//! cookie. A failure on the way leaves everything as it was.

use std::collections::BTreeMap;

use actix_web::http::header::{CONTENT_TYPE, SET_COOKIE};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Asking;
use super::state::State;
use crate::consent::{ConsentId, Stored, Terms};
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
    /// Path of the page where the choice is made. Only used to expire that profile's visit cookie.
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

/// A choice, in the ledger's terms.
pub(super) struct Decision {
    /// A grant that ends because less is granted in its place: copies of its cookie must stop
    /// granting more.
    ends: Option<ConsentId>,
    act: Act,
    id: Option<ConsentId>,
    /// The optional tiers that are granted from now on.
    granted: Vec<String>,
}

impl Decision {
    /// Ends all grants. The grant need not be recorded here: a cookie that verifies was issued by a
    /// collector of this platform.
    pub(super) fn no(stored: Option<&Stored<'_>>) -> Decision {
        let id = stored.and_then(|stored| stored.id.as_ref()).map(ConsentId::to_keep);
        Decision { ends: None, act: if id.is_some() { Act::Withdraw } else { Act::Refuse }, id, granted: Vec::new() }
    }

    fn yes(granted: Vec<String>, stored: Option<&Stored<'_>>) -> Decision {
        let id = || stored.and_then(|stored| stored.id.as_ref()).map(ConsentId::to_keep);
        let loses = |stored: &Stored<'_>| stored.tiers().any(|tier| !granted.iter().any(|kept| kept == tier));
        let ends = id().filter(|_| stored.is_some_and(loses));
        let id = id().filter(|_| ends.is_none()).unwrap_or_else(ConsentId::random);
        Decision { ends, act: Act::Grant, id: Some(id), granted }
    }

    /// The consent cookie's value.
    fn cookie(&self, terms: &Terms) -> String {
        let granted: Vec<&str> = self.granted.iter().map(String::as_str).collect();
        terms.value(self.id.as_ref().filter(|_| !granted.is_empty()).map(|id| (&*granted, id)))
    }
}

impl Asking {
    /// Checks by the header alone, before the body is read.
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

        let value = decision.cookie(&self.terms);
        let stored = self.terms.chosen(&value);
        let receipt = serde_json::from_str::<&RawValue>(&record.line).expect("a record is JSON");
        // `value` must outlive the answer.
        let state = self.state(request, stored.as_ref(), language);
        let mut answer = self.answer();
        for cookie in self.cookies(request, &decision, &choice.path) {
            answer.append_header((SET_COOKIE, cookie));
        }
        Ok(answer.json(Answer { state, receipt_record: receipt }))
    }

    /// The consent cookie, and the expiry of the visit cookie where visits may no longer be
    /// counted.
    pub(super) fn cookies(&self, request: &HttpRequest, decision: &Decision, path: &str) -> Vec<String> {
        let keep = self.terms.keep(&decision.cookie(&self.terms));
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
                Ok(Decision::yes(self.tiers_granted(tiers)?, stored))
            }
            (Said::Grant, None) => Err(bad(422, "bad_tiers", format!("tiers must name {}", self.optional()))),
            (_, Some(_)) => Err(bad(422, "bad_tiers", "tiers belong to a grant only")),
            (Said::Refuse | Said::Withdraw, None) => Ok(Decision::no(stored)),
        }
    }

    /// The granted tiers. Each optional tier must be named; a tier without an answer is an error,
    /// neither a grant nor a denial.
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

    /// Records a decision: of several acts, all or none. Returns the last one's record.
    pub(super) async fn record(
        &self,
        request: &HttpRequest,
        decision: &Decision,
        lang: &str,
        layer: Layer,
    ) -> Result<Record, Problem> {
        let signals = Origins::signals(request);
        let act = |act, id: Option<&ConsentId>, granted: &[String]| NewAct {
            id: id.map(ConsentId::to_keep),
            act,
            site: self.consent.site.clone(),
            version: self.terms.version,
            texts: self.digests,
            lang: lang.to_owned(),
            layer,
            purposes: {
                let purpose = |name: &str| (name.to_owned(), granted.iter().any(|granted| granted == name));
                self.terms.optional.iter().map(|tier| purpose(&tier.name)).collect()
            },
            gpc: signals.gpc,
            dnt: signals.dnt,
            at: self.clock.now(),
        };
        let ends = decision.ends.as_ref().map(|id| act(Act::Withdraw, Some(id), &[]));
        let acts = ends.into_iter().chain([act(decision.act, decision.id.as_ref(), &decision.granted)]);
        let records = self.ledger.append_all(acts.collect()).await.map_err(|error| not_recorded(&error))?;
        Ok(records.into_iter().next_back().expect("each act has its record"))
    }

    fn optional(&self) -> String {
        self.terms.optional.iter().map(|tier| &*tier.name).collect::<Vec<_>>().join(", ")
    }
}

fn not_recorded(error: &LedgerError) -> Problem {
    match error {
        // Two tabs at once: the other one was first, and its choice holds.
        LedgerError::NoGrant => bad(409, "old_version", "the choice was changed elsewhere; ask for it again"),
        LedgerError::Crowded { retry_secs } => {
            let problem = Problem::new(503, "crowded", "Too many answers come at once; nothing was changed");
            problem
                .retry_after(u64::try_from(*retry_secs).unwrap_or(1))
                .detail("answers are taken again with the next full hour; a withdrawal is always taken")
        }
        // The ledger logs its own errors, once per outage.
        error => {
            tracing::debug!(%error, "a choice was not recorded");
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
