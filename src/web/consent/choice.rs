//! `POST {prefix}/consent`: a visitor grants, refuses or withdraws.
//!
//! The order is: validate the choice, record and sync it, update the gate, then respond with the
//! cookie. A failure in between changes nothing.

use std::collections::BTreeMap;

use actix_web::http::header::{CONTENT_TYPE, SET_COOKIE};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::ConsentService;
use super::prompt::PromptState;
use crate::cluster::CallKind;
use crate::consent::{ConsentId, ConsentPolicy, StoredChoice, WithdrawnGrants};
use crate::event::{Problem, ProblemCode};
use crate::http::{OriginResolver, header_text, read_body};
use crate::ledger::{ActKind, LedgerError, LedgerRecord, NewAct, PromptLayer};

const MAX_BODY_BYTES: usize = 4096;

#[derive(Deserialize, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum ChoiceAction {
    Grant,
    Refuse,
    Withdraw,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChoiceRequest {
    version: u32,
    act: ChoiceAction,
    #[serde(default)]
    tiers: Option<BTreeMap<String, bool>>,
    lang: String,
    layer: PromptLayer,
    /// Path of the page where the choice was made. Only used to expire that profile's visit cookie.
    path: String,
}

#[derive(Serialize)]
struct ChoiceResponse<'a> {
    #[serde(flatten)]
    state: PromptState<'a>,
    receipt_record: &'a RawValue,
}

pub(super) async fn post_choice(
    request: HttpRequest,
    mut payload: web::Payload,
    asking: web::Data<ConsentService>,
) -> Result<HttpResponse, Problem> {
    // Not an extractor: the headers are checked before the body is read, and a body that is not
    // read is drained.
    let body = async {
        asking.check_choice_request(&request)?;
        read_body(&mut payload, MAX_BODY_BYTES, asking.body_deadline)
            .await
            .map_err(|error| error.to_problem(MAX_BODY_BYTES))
    };
    let body: Result<Bytes, Problem> = body.await;
    match body {
        Ok(body) => asking.handle_choice(&request, &body).await,
        Err(problem) => Err(problem
            .after_draining(&mut payload, asking.body_deadline)
            .await),
    }
}

/// A choice, as the ledger records it.
pub(super) struct ConsentDecision {
    /// A grant that ends because less is granted in its place: copies of its cookie must no longer
    /// grant more.
    withdrawn_grant: Option<ConsentId>,
    action: ActKind,
    consent_id: Option<ConsentId>,
    /// The optional tiers that are granted from now on.
    granted_tiers: Vec<String>,
}

impl ConsentDecision {
    /// Ends all grants. The grant need not be recorded here: a cookie whose signature is valid was
    /// issued by a collector of this platform.
    pub(super) fn new_denial(stored: Option<&StoredChoice<'_>>) -> ConsentDecision {
        let id = stored
            .and_then(|stored| stored.id.as_ref())
            .map(ConsentId::duplicate_id);
        ConsentDecision {
            withdrawn_grant: None,
            action: if id.is_some() {
                ActKind::Withdraw
            } else {
                ActKind::Refuse
            },
            consent_id: id,
            granted_tiers: Vec::new(),
        }
    }

    fn new_grant(granted: Vec<String>, stored: Option<&StoredChoice<'_>>) -> ConsentDecision {
        let id = || {
            stored
                .and_then(|stored| stored.id.as_ref())
                .map(ConsentId::duplicate_id)
        };
        let loses = |stored: &StoredChoice<'_>| {
            stored
                .tiers()
                .any(|tier| !granted.iter().any(|kept| kept == tier))
        };
        let ends = id().filter(|_| stored.is_some_and(loses));
        let id = id()
            .filter(|_| ends.is_none())
            .unwrap_or_else(ConsentId::random);
        ConsentDecision {
            withdrawn_grant: ends,
            action: ActKind::Grant,
            consent_id: Some(id),
            granted_tiers: granted,
        }
    }

    /// The consent cookie's value.
    fn cookie_value(&self, terms: &ConsentPolicy) -> String {
        let granted: Vec<&str> = self.granted_tiers.iter().map(String::as_str).collect();
        terms.cookie_value(
            self.consent_id
                .as_ref()
                .filter(|_| !granted.is_empty())
                .map(|id| (&*granted, id)),
        )
    }
}

impl ConsentService {
    /// Checks the headers alone, before the body is read.
    pub(super) fn check_choice_request(&self, request: &HttpRequest) -> Result<(), Problem> {
        if !self.origins.is_same_origin(request) {
            return Err(Problem::new(ProblemCode::ForeignOrigin)
                .with_detail("the request must come from a page of the same origin"));
        }
        if self.rate_limiters.is_choice_limited(
            self.rate_limiters
                .network_key(&self.origins.client_address(request)),
        ) {
            return Err(Problem::new(ProblemCode::TooManyChoices));
        }
        Ok(())
    }

    async fn handle_choice(
        &self,
        request: &HttpRequest,
        body: &[u8],
    ) -> Result<HttpResponse, Problem> {
        let kind = request
            .headers()
            .get(CONTENT_TYPE)
            .and_then(header_text)
            .unwrap_or("");
        if !kind.to_ascii_lowercase().starts_with("application/json") {
            return Err(Problem::new(ProblemCode::NotJson).with_detail("send application/json"));
        }
        let choice: ChoiceRequest =
            serde_json::from_slice(body).map_err(|error| Problem::from_json_error(&error))?;
        let language = self.texts.find_language(&choice.lang).ok_or_else(|| {
            Problem::new(ProblemCode::UnknownLanguage)
                .with_detail("lang must be one that was offered")
        })?;

        let stored = self.stored_choice(request);
        let decision = self.validate_choice(&choice, request, stored.as_ref())?;
        let record = self
            .record_decision(request, &decision, &language.lang, choice.layer)
            .await?;

        let value = decision.cookie_value(&self.consent_policy);
        let stored = self.consent_policy.choice_from_value(&value);
        let receipt = serde_json::from_str::<&RawValue>(&record.line).expect("a record is JSON");
        // `value` must outlive the response.
        let state = self.prompt_state(request, stored.as_ref(), language);
        let mut answer = self.response_builder();
        for cookie in self.decision_cookies(request, &decision, &choice.path) {
            answer.append_header((SET_COOKIE, cookie));
        }
        Ok(answer.json(ChoiceResponse {
            state,
            receipt_record: receipt,
        }))
    }

    /// The consent cookie, and the expiry of the visit cookie if visits may no longer be counted.
    pub(super) fn decision_cookies(
        &self,
        request: &HttpRequest,
        decision: &ConsentDecision,
        path: &str,
    ) -> Vec<String> {
        let keep = self
            .consent_policy
            .set_cookie_value(&decision.cookie_value(&self.consent_policy));
        let analytics = decision
            .granted_tiers
            .contains(&self.consent_config.analytics_tier);
        let forget = if analytics {
            None
        } else {
            self.expire_visit_cookie(request, path)
        };
        std::iter::once(keep).chain(forget).collect()
    }

    fn validate_choice(
        &self,
        choice: &ChoiceRequest,
        request: &HttpRequest,
        stored: Option<&StoredChoice<'_>>,
    ) -> Result<ConsentDecision, Problem> {
        if choice.version != self.consent_policy.version {
            let detail = format!(
                "the consent prompt has version {}; fetch it again",
                self.consent_policy.version
            );
            return Err(Problem::new(ProblemCode::OutdatedPrompt).with_detail(detail));
        }

        match (choice.act, &choice.tiers) {
            (ChoiceAction::Grant, Some(tiers)) => {
                if self
                    .consent_policy
                    .signal_drop_reason(&OriginResolver::opt_out_signals(request))
                    .is_some()
                {
                    return Err(Problem::new(ProblemCode::OptOutSignal).with_detail(
                        "the browser sends an opt-out signal: nothing can be granted",
                    ));
                }
                Ok(ConsentDecision::new_grant(
                    self.granted_tiers(tiers)?,
                    stored,
                ))
            }
            (ChoiceAction::Grant, None) => Err(Problem::new(ProblemCode::InvalidTiers)
                .with_detail(format!("tiers must name {}", self.optional_tier_names()))),
            (_, Some(_)) => {
                Err(Problem::new(ProblemCode::InvalidTiers)
                    .with_detail("tiers belong to a grant only"))
            }
            (ChoiceAction::Refuse | ChoiceAction::Withdraw, None) => {
                Ok(ConsentDecision::new_denial(stored))
            }
        }
    }

    /// The granted tiers. Each optional tier must be named; a tier without a choice is an error,
    /// neither a grant nor a denial.
    fn granted_tiers(&self, tiers: &BTreeMap<String, bool>) -> Result<Vec<String>, Problem> {
        let optional = &self.consent_policy.optional;
        for (name, granted) in tiers {
            if **name == *self.consent_policy.necessary {
                if !granted {
                    return Err(Problem::new(ProblemCode::NecessaryTier)
                        .with_detail(format!("{name} cannot be turned off")));
                }
            } else if !optional.iter().any(|tier| *tier.name == **name) {
                return Err(Problem::new(ProblemCode::UnknownTier).with_detail(format!(
                    "there is no such tier; accepted are {}",
                    self.optional_tier_names()
                )));
            }
        }
        if let Some(tier) = optional
            .iter()
            .find(|tier| !tiers.contains_key(&*tier.name))
        {
            return Err(Problem::new(ProblemCode::InvalidTiers).with_detail(format!(
                "{} is not named; each of {} must be",
                tier.name,
                self.optional_tier_names()
            )));
        }
        let yes = optional
            .iter()
            .filter(|tier| tiers.get(&*tier.name) == Some(&true));
        let yes: Vec<String> = yes.map(|tier| tier.name.to_string()).collect();
        if yes.is_empty() {
            return Err(Problem::new(ProblemCode::NothingGranted)
                .with_detail("a grant grants at least one tier; to grant none, refuse"));
        }
        if self.consent_policy.bundled && yes.len() != optional.len() {
            return Err(Problem::new(ProblemCode::BundledTiers).with_detail(format!(
                "{} are granted together or not at all",
                self.optional_tier_names()
            )));
        }
        Ok(yes)
    }

    /// Records a decision of one or more acts, all or none. Returns the last one's record.
    pub(super) async fn record_decision(
        &self,
        request: &HttpRequest,
        decision: &ConsentDecision,
        lang: &str,
        layer: PromptLayer,
    ) -> Result<LedgerRecord, Problem> {
        let signals = OriginResolver::opt_out_signals(request);
        let act = |act, id: Option<&ConsentId>, granted: &[String]| NewAct {
            id: id.map(ConsentId::duplicate_id),
            act,
            site: self.consent_config.site.clone(),
            version: self.consent_policy.version,
            digests: self.digests,
            lang: lang.to_owned(),
            layer,
            purposes: {
                let purpose = |name: &str| {
                    (
                        name.to_owned(),
                        granted.iter().any(|granted| granted == name),
                    )
                };
                self.consent_policy
                    .optional
                    .iter()
                    .map(|tier| purpose(&tier.name))
                    .collect()
            },
            gpc: signals.gpc,
            dnt: signals.dnt,
            at: self.clock.now(),
        };
        let ends = decision
            .withdrawn_grant
            .as_ref()
            .map(|id| act(ActKind::Withdraw, Some(id), &[]));
        let acts = ends.into_iter().chain([act(
            decision.action,
            decision.consent_id.as_ref(),
            &decision.granted_tiers,
        )]);
        let records = self
            .ledger
            .append_acts(acts.collect())
            .await
            .map_err(|error| ledger_problem(&error))?;
        self.send_withdrawals(decision).await;
        Ok(records
            .into_iter()
            .next_back()
            .expect("each act has its record"))
    }

    /// Tells the other collectors which grants ended, so that the next hit is dropped there too.
    /// Those that are not reached read it from the store.
    async fn send_withdrawals(&self, decision: &ConsentDecision) {
        let ended = decision
            .consent_id
            .as_ref()
            .filter(|_| decision.action == ActKind::Withdraw);
        let ended: Vec<u8> = [decision.withdrawn_grant.as_ref(), ended]
            .into_iter()
            .flatten()
            .flat_map(WithdrawnGrants::id_digest)
            .collect();
        if let Some(cluster) = self.cluster.as_ref().filter(|_| !ended.is_empty()) {
            let _ = cluster.call_others(CallKind::Withdrawals, &ended).await;
        }
    }

    fn optional_tier_names(&self) -> String {
        self.consent_policy
            .optional
            .iter()
            .map(|tier| &*tier.name)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

fn ledger_problem(error: &LedgerError) -> Problem {
    match error {
        // Two tabs at once: the other one was first, and its choice is valid.
        LedgerError::NoLiveGrant => {
            Problem::new(ProblemCode::ChangedChoice).with_detail("fetch it again")
        }
        LedgerError::QuotaExceeded { retry_secs } => Problem::new(ProblemCode::LedgerQuotaExceeded)
            .with_retry_after(u64::try_from(*retry_secs).unwrap_or(1))
            .with_detail(
                "choices are accepted again from the next full hour; a withdrawal is always \
                     accepted",
            ),
        // The ledger logs its own errors, once per outage.
        error => {
            tracing::debug!(%error, "a choice was not recorded");
            Problem::new(ProblemCode::LedgerUnavailable)
        }
    }
}
