//! `GET {prefix}/consent`: the consent prompt and the stored answer, for the banner and the page
//! about one's own data.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::Asking;
use crate::config::{Basis, Ui};
use crate::consent::Stored;
use crate::consent::texts::Language;
use crate::event::{Problem, Refusal};
use crate::http::{Origins, refuse};
use crate::web::coding;

/// The prompt and the stored answer, as in tracker/src/banner/contract.ts.
#[derive(Serialize)]
pub(super) struct State<'a> {
    version: u32,
    ui: Ui,
    lang: &'a str,
    dir: &'a str,
    texts: &'a BTreeMap<String, String>,
    tiers: Vec<Tier<'a>>,
    choice: Option<Choice<'a>>,
    signal: Option<&'static str>,
    /// Whether the banner should open by itself.
    ask: bool,
    policy: Policy<'a>,
    me: String,
    receipt: Option<String>,
}

#[derive(Serialize)]
struct Tier<'a> {
    name: &'a str,
    title: &'a str,
    text: &'a str,
    locked: bool,
    inert: bool,
    granted: bool,
}

#[derive(Serialize)]
struct Choice<'a> {
    version: u32,
    tiers: Vec<&'a str>,
    outdated: bool,
}

#[derive(Serialize)]
struct Policy<'a> {
    url: &'a str,
    date: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    #[serde(default)]
    lang: String,
}

pub(super) async fn get(request: HttpRequest, asking: web::Data<Asking>) -> HttpResponse {
    let Ok(query) = web::Query::<Query>::from_query(request.query_string()) else {
        let problem = Problem::new(400, "bad_question", "The question cannot be answered");
        return refuse(&problem.detail("accepted is lang, once, such as lang=de"), None).await;
    };
    let language = asking.language(&request, &query.lang);
    let state = asking.state(&request, asking.stored(&request).as_ref(), language);
    let mut answer = asking.answer();
    answer.content_type("application/json");
    coding::sent(answer, &request, serde_json::to_vec(&state).expect("an answer is JSON"))
}

impl Asking {
    /// The state with `stored` in place of the request's own answer.
    pub(super) fn state<'a>(
        &'a self,
        request: &HttpRequest,
        stored: Option<&Stored<'a>>,
        language: &'a Language,
    ) -> State<'a> {
        let terms = &self.terms;
        let signal = terms.signal(&Origins::signals(request));
        let outdated = stored.is_some_and(|stored| terms.outdated(stored));
        let unasked = stored.is_none() || outdated;
        let path = |rest: &str| format!("{}{}/{rest}", under(request), self.prefix);
        State {
            version: terms.version,
            ui: self.consent.ui,
            lang: &language.lang,
            dir: &language.dir,
            texts: &language.banner,
            tiers: self.tiers(stored, signal, language),
            choice: stored.map(|stored| Choice { version: stored.version, tiers: stored.tiers().collect(), outdated }),
            signal: signal.map(Refusal::name),
            ask: unasked && signal.is_none() && terms.basis == Basis::OptIn,
            policy: Policy { url: &self.policy.url, date: self.policy.effective_date.to_string() },
            me: path("me"),
            receipt: stored.is_some_and(|stored| stored.id.is_some()).then(|| path("consent/receipt")),
        }
    }

    fn tiers<'a>(
        &'a self,
        stored: Option<&Stored<'_>>,
        signal: Option<Refusal>,
        language: &'a Language,
    ) -> Vec<Tier<'a>> {
        let tier = |name: &'a str, locked, inert, granted| Tier {
            name,
            title: language.title(name),
            text: language.text(name),
            locked,
            inert,
            granted,
        };

        let necessary = tier(&self.terms.necessary, true, false, true);
        let optional = self.terms.optional.iter().map(|of| {
            let granted = signal.is_none() && self.terms.holds(stored, of);
            tier(&of.name, false, of.inert, granted)
        });
        std::iter::once(necessary).chain(optional).collect()
    }
}

/// The profile's path in front of ours, as in the request. A path that a browser would read as
/// another host (`//evil.example`) is ignored, also if it does so only after dropping tabs and line
/// ends, as browsers do in every URL.
pub(super) fn under(request: &HttpRequest) -> String {
    let under = request.match_info().get("under");
    let under = under.filter(|under| !under.starts_with(['/', '\\']) && !under.chars().any(char::is_control));
    under.map_or(String::new(), |under| format!("/{under}"))
}
