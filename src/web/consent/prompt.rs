//! `GET {prefix}/consent`: the consent prompt and the stored choice, for the banner and the own
//! data page.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::ConsentService;
use crate::config::{ConsentBasis, PromptStyle};
use crate::consent::StoredChoice;
use crate::consent::texts::LanguageTexts;
use crate::event::DropReason;
use crate::http::OriginResolver;
use crate::web::compression;

/// The prompt and the stored choice, as in tracker/src/banner/contract.ts.
#[derive(Serialize)]
pub(super) struct PromptState<'a> {
    version: u32,
    ui: PromptStyle,
    lang: &'a str,
    dir: &'a str,
    texts: &'a BTreeMap<String, String>,
    tiers: Vec<PromptTier<'a>>,
    choice: Option<PromptChoice<'a>>,
    signal: Option<&'static str>,
    /// Whether the banner should open automatically.
    ask: bool,
    policy: PromptPolicy<'a>,
    me: String,
    receipt: Option<String>,
}

#[derive(Serialize)]
struct PromptTier<'a> {
    name: &'a str,
    title: &'a str,
    text: &'a str,
    locked: bool,
    inert: bool,
    granted: bool,
}

#[derive(Serialize)]
struct PromptChoice<'a> {
    version: u32,
    tiers: Vec<&'a str>,
    outdated: bool,
}

#[derive(Serialize)]
struct PromptPolicy<'a> {
    url: &'a str,
    date: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PromptParams {
    #[serde(default)]
    lang: String,
}

pub(super) async fn get_prompt(
    request: HttpRequest,
    query: web::Query<PromptParams>,
    asking: web::Data<ConsentService>,
) -> HttpResponse {
    let language = asking.pick_language(&request, &query.lang);
    let state = asking.prompt_state(&request, asking.stored_choice(&request).as_ref(), language);
    let mut answer = asking.response_builder();
    answer.content_type("application/json");
    compression::compressed_response(
        answer,
        &request,
        serde_json::to_vec(&state).expect("a response is JSON"),
    )
}

impl ConsentService {
    /// The state with `stored` in place of the request's own choice.
    pub(super) fn prompt_state<'a>(
        &'a self,
        request: &HttpRequest,
        stored: Option<&StoredChoice<'a>>,
        language: &'a LanguageTexts,
    ) -> PromptState<'a> {
        let terms = &self.consent_policy;
        let signal = terms.signal_drop_reason(&OriginResolver::opt_out_signals(request));
        let outdated = stored.is_some_and(|stored| terms.is_outdated(stored));
        let unasked = stored.is_none() || outdated;
        let path = |rest: &str| format!("{}{}/{rest}", profile_path(request), self.route_prefix);
        PromptState {
            version: terms.version,
            ui: self.consent_config.ui,
            lang: &language.lang,
            dir: &language.dir,
            texts: &language.banner,
            tiers: self.prompt_tiers(stored, signal, language),
            choice: stored.map(|stored| PromptChoice {
                version: stored.version,
                tiers: stored.tiers().collect(),
                outdated,
            }),
            signal: signal.map(DropReason::name),
            ask: unasked && signal.is_none() && terms.basis == ConsentBasis::OptIn,
            policy: PromptPolicy {
                url: &self.policy_config.url,
                date: self.policy_config.effective_date.to_string(),
            },
            me: path("me"),
            receipt: stored
                .is_some_and(|stored| stored.id.is_some())
                .then(|| path("consent/receipt")),
        }
    }

    fn prompt_tiers<'a>(
        &'a self,
        stored: Option<&StoredChoice<'_>>,
        signal: Option<DropReason>,
        language: &'a LanguageTexts,
    ) -> Vec<PromptTier<'a>> {
        let tier = |name: &'a str, locked, inert, granted| PromptTier {
            name,
            title: language.tier_title(name),
            text: language.tier_text(name),
            locked,
            inert,
            granted,
        };

        let necessary = tier(&self.consent_policy.necessary, true, false, true);
        let optional = self.consent_policy.optional.iter().map(|of| {
            let granted = signal.is_none() && self.consent_policy.is_granted(stored, of);
            tier(&of.name, false, of.inert, granted)
        });
        std::iter::once(necessary).chain(optional).collect()
    }
}

/// The profile's path before the collector's prefix, as in the request. A path that a browser would
/// read as another host (`//evil.example`) is ignored, also if that requires dropping tabs and line
/// ends, as browsers do in every URL.
pub(super) fn profile_path(request: &HttpRequest) -> String {
    let under = request.match_info().get("under");
    let under = under
        .filter(|under| !under.starts_with(['/', '\\']) && !under.chars().any(char::is_control));
    under.map_or(String::new(), |under| format!("/{under}"))
}
