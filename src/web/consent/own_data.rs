//! `{prefix}/me`: shows visitors, in plain words, what a page counts about them. Works without
//! scripts and stores nothing.

use actix_web::http::header::{LOCATION, SET_COOKIE};
use actix_web::{Error, HttpRequest, HttpResponse, web};
use askama::Template;
use serde::Deserialize;

use super::ConsentService;
use super::choice::ConsentDecision;
use super::prompt::profile_path;
use crate::consent::texts::LanguageTexts;
use crate::consent::{ConsentId, StoredChoice};
use crate::event::{CounterKind, Dimension, DropReason, Problem, ProblemCode, Subject};
use crate::http::{OriginResolver, read_body};
use crate::ingest::{IngestService, PreviewRow};
use crate::ledger::PromptLayer;
use crate::web::pages;

pub(super) const STYLESHEET: &str = include_str!("../../../dashboards/consent/me.css");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OwnDataParams {
    /// Path of the page in question.
    #[serde(default)]
    page: String,
    #[serde(default)]
    lang: String,
}

#[derive(Template)]
#[template(path = "me.html")]
struct OwnDataPage<'a> {
    language: &'a LanguageTexts,
    lang: &'a str,
    dir: &'a str,
    base: String,
    page: &'a str,
    signals: &'a str,
    choice: String,
    withdrawable: bool,
    cookies: Vec<String>,
    nothing: Option<String>,
    rows: Vec<OwnDataRow>,
    /// Whether the visitor was counted today.
    known_today: bool,
}

struct OwnDataRow {
    of: String,
    value: String,
    raises: String,
}

impl OwnDataPage<'_> {
    fn text(&self, key: &str) -> &str {
        self.language.visitor_page_text(key)
    }
}

pub(super) async fn get_own_data(
    request: HttpRequest,
    query: web::Query<OwnDataParams>,
    asking: web::Data<ConsentService>,
    edge: web::Data<IngestService>,
) -> Result<HttpResponse, Problem> {
    let below = profile_path(&request);
    let page = if query.page.is_empty() {
        &below
    } else {
        &query.page
    };
    if !is_path(page) {
        return Err(bad_page());
    }
    let language = asking.pick_language(&request, &query.lang);
    let stored = asking.stored_choice(&request);
    let preview = edge
        .preview_view(&request, asking.origins.requested_host(&request), page)
        .await;
    let cookies = asking
        .describe_cookies(&request, stored.as_ref(), language)
        .await;

    let me = OwnDataPage {
        language,
        lang: &language.lang,
        dir: &language.dir,
        base: format!("{below}{}", asking.route_prefix),
        page,
        signals: language.visitor_page_text(
            match asking
                .consent_policy
                .signal_drop_reason(&OriginResolver::opt_out_signals(&request))
            {
                Some(DropReason::Gpc) => "signal_gpc",
                Some(_) => "signal_dnt",
                None => "signal_none",
            },
        ),
        choice: asking.describe_choice(stored.as_ref(), language),
        withdrawable: stored.as_ref().is_some_and(|stored| stored.id.is_some()),
        cookies,
        nothing: preview.as_ref().err().map(|reason| {
            let why = language.visitor_page_text(&format!("reason_{}", reason.name()));
            language
                .visitor_page_text("counters_nothing")
                .replace("{reason}", why)
        }),
        known_today: preview.as_ref().is_ok_and(|preview| preview.known_today),
        rows: preview.map_or(Vec::new(), |preview| {
            preview
                .rows
                .iter()
                .map(|raised| own_data_row(raised, language))
                .collect()
        }),
    };

    let html = me.render().expect("the template writes to a string");
    let mut answer = pages::page_builder(pages::HTML);
    asking.add_consent_headers(&mut answer);
    Ok(answer.body(html))
}

pub(super) async fn get_stylesheet() -> HttpResponse {
    pages::page_builder(pages::CSS).body(STYLESHEET)
}

/// The page's withdraw button: a form, so that it works without scripts.
pub(super) async fn withdraw_consent(
    request: HttpRequest,
    query: Result<web::Query<OwnDataParams>, Error>,
    mut payload: web::Payload,
    asking: web::Data<ConsentService>,
) -> Result<HttpResponse, Error> {
    if let Err(problem) = asking.check_choice_request(&request) {
        let problem = problem
            .after_draining(&mut payload, asking.body_deadline)
            .await;
        return Err(problem.into());
    }
    // The body is not needed, but must be read, also if the query is invalid: see
    // `http::read_body`.
    let _ = read_body(&mut payload, 1024, asking.body_deadline).await;
    let query = query?;
    if !is_path(&query.page) {
        return Err(bad_page().into());
    }

    let language = asking.pick_language(&request, &query.lang);
    let decision = ConsentDecision::new_denial(asking.stored_choice(&request).as_ref());
    asking
        .record_decision(&request, &decision, &language.lang, PromptLayer::Page)
        .await?;

    let mut answer = HttpResponse::SeeOther();
    for cookie in asking.decision_cookies(&request, &decision, &query.page) {
        answer.append_header((SET_COOKIE, cookie));
    }
    asking.add_consent_headers(&mut answer);
    let back: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("page", &query.page)
        .finish();
    Ok(answer
        .insert_header((
            LOCATION,
            format!(
                "{}{}/me?{back}",
                profile_path(&request),
                asking.route_prefix
            ),
        ))
        .finish())
}

impl ConsentService {
    fn describe_choice(
        &self,
        stored: Option<&StoredChoice<'_>>,
        language: &LanguageTexts,
    ) -> String {
        let Some(stored) = stored else {
            return language.visitor_page_text("choice_none").to_owned();
        };
        if self.consent_policy.is_outdated(stored) {
            return language.visitor_page_text("choice_outdated").to_owned();
        }
        let tiers: Vec<&str> = stored
            .tiers()
            .map(|tier| language.tier_title(tier))
            .collect();
        if tiers.is_empty() {
            return language.visitor_page_text("choice_refused").to_owned();
        }
        let said = language
            .visitor_page_text("choice_granted")
            .replace("{tiers}", &tiers.join(", "));
        said.replace("{version}", &stored.version.to_string())
    }

    /// The collector's cookies that the browser sent, and the days until they expire. Browsers do
    /// not send this; for a grant, the ledger has the hour.
    async fn describe_cookies(
        &self,
        request: &HttpRequest,
        stored: Option<&StoredChoice<'_>>,
        language: &LanguageTexts,
    ) -> Vec<String> {
        let line = |name: &str, days: u64| {
            language
                .visitor_page_text("cookie_line")
                .replace("{name}", name)
                .replace("{days}", &days.to_string())
        };
        let mut lines = Vec::new();
        if let Some(stored) = stored {
            let age = self.grant_age_days(stored).await;
            lines.push(line(
                self.consent_policy.cookie_name(),
                self.consent_policy.cookie_days().saturating_sub(age),
            ));
        }
        if let Some((name, secs)) = &self.visit_cookie
            && OriginResolver::parse_cookies(request).has_cookie(name)
        {
            lines.push(line(name, secs.div_ceil(86_400)));
        }
        lines
    }

    /// Whole days since the grant's last record; 0 without one.
    async fn grant_age_days(&self, stored: &StoredChoice<'_>) -> u64 {
        let Some(id) = stored.id.as_ref().map(ConsentId::duplicate_id) else {
            return 0;
        };
        let ledger = self.ledger.clone();
        let records = web::block(move || ledger.read_records(&id)).await;
        let last = records
            .ok()
            .and_then(Result::ok)
            .and_then(|records| records.into_iter().next_back());
        let record =
            last.and_then(|record| serde_json::from_str::<serde_json::Value>(&record.line).ok());
        let at = record.and_then(|record| {
            record["at"]
                .as_str()?
                .replace('Z', ":00Z")
                .parse::<jiff::Timestamp>()
                .ok()
        });
        at.map_or(0, |at| {
            u64::try_from((self.clock.now() - at.as_millisecond()) / 86_400_000).unwrap_or(0)
        })
    }
}

fn own_data_row(raised: &PreviewRow, language: &LanguageTexts) -> OwnDataRow {
    let subject = language.visitor_page_text(match raised.subject {
        Subject::Page => "subject_page",
        _ => "subject_site",
    });
    let of = match raised.dimension {
        Dimension::Total => subject.to_owned(),
        dimension => format!(
            "{subject}: {}",
            language.visitor_page_text(&format!("dim_{}", dimension.name()))
        ),
    };

    // Totals show counters that do not change as well; attributes have no hits.
    let is_total = raised.dimension == Dimension::Total;
    let counter = |(counter, key): (CounterKind, &str)| {
        let n = raised.counts.get(counter);
        (n > 0 || is_total).then(|| format!("{} +{n}", language.visitor_page_text(key)))
    };
    let counters = [
        (CounterKind::Hits, "counter_hits"),
        (CounterKind::Visitors, "counter_visitors"),
        (CounterKind::Visits, "counter_visits"),
    ];

    let value = if is_total {
        &raised.item
    } else {
        &raised.value
    };
    OwnDataRow {
        of,
        value: value.to_string(),
        raises: counters
            .into_iter()
            .filter_map(counter)
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// Whether `page` can be the path of a page, or is empty, which means the page below which this one
/// is. It becomes part of links.
fn is_path(page: &str) -> bool {
    page.is_empty() || page.starts_with('/') && !page.chars().any(char::is_control)
}

fn bad_page() -> Problem {
    Problem::new(ProblemCode::InvalidPage).with_detail("page must be a path, such as page=/u/mia")
}
