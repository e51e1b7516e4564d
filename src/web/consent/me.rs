//! `{prefix}/me`: shows visitors, in plain words, what a page counts about them. Works without
//! scripts and stores nothing.

use actix_web::http::header::{LOCATION, SET_COOKIE};
use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use serde::Deserialize;

use super::Asking;
use super::choose::Decision;
use super::state::under;
use crate::consent::texts::Language;
use crate::consent::{ConsentId, Stored};
use crate::event::{Counter, Dimension, Problem, Refusal, Subject};
use crate::http::{Origins, read, refuse};
use crate::ingest::{Edge, Raised};
use crate::ledger::Layer;
use crate::web::pages;

pub(super) const STYLE: &str = include_str!("../../../dashboards/consent/me.css");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    /// Path of the page in question.
    #[serde(default)]
    page: String,
    #[serde(default)]
    lang: String,
}

#[derive(Template)]
#[template(path = "me.html")]
struct Me<'a> {
    language: &'a Language,
    lang: &'a str,
    dir: &'a str,
    base: String,
    page: &'a str,
    signals: &'a str,
    choice: String,
    withdrawable: bool,
    cookies: Vec<String>,
    nothing: Option<String>,
    rows: Vec<Row>,
    /// Whether the visitor was counted today.
    known_today: bool,
}

struct Row {
    of: String,
    value: String,
    raises: String,
}

impl Me<'_> {
    fn text(&self, key: &str) -> &str {
        self.language.me(key)
    }
}

pub(super) async fn get(request: HttpRequest, asking: web::Data<Asking>, edge: web::Data<Edge>) -> HttpResponse {
    let Ok(query) = web::Query::<Query>::from_query(request.query_string()) else {
        return refuse(&bad_page(), None).await;
    };
    let below = under(&request);
    let page = if query.page.is_empty() { &below } else { &query.page };
    if !is_path(page) {
        return refuse(&bad_page(), None).await;
    }
    let language = asking.language(&request, &query.lang);
    let stored = asking.stored(&request);
    let preview = edge.preview(&request, asking.origins.host(&request), page).await;
    let cookies = asking.cookies_held(&request, stored.as_ref(), language).await;

    let me = Me {
        language,
        lang: &language.lang,
        dir: &language.dir,
        base: format!("{below}{}", asking.prefix),
        page,
        signals: language.me(match asking.terms.signal(&Origins::signals(&request)) {
            Some(Refusal::Gpc) => "signal_gpc",
            Some(_) => "signal_dnt",
            None => "signal_none",
        }),
        choice: asking.choice_said(stored.as_ref(), language),
        withdrawable: stored.as_ref().is_some_and(|stored| stored.id.is_some()),
        cookies,
        nothing: preview.as_ref().err().map(|reason| {
            let why = language.me(&format!("reason_{}", reason.name()));
            language.me("counters_nothing").replace("{reason}", why)
        }),
        known_today: preview.as_ref().is_ok_and(|preview| preview.known_today),
        rows: preview.map_or(Vec::new(), |preview| preview.rows.iter().map(|raised| row(raised, language)).collect()),
    };

    let html = me.render().expect("the template writes to a string");
    let mut answer = pages::answer(pages::HTML);
    asking.mark(&mut answer);
    answer.body(html)
}

pub(super) async fn style() -> HttpResponse {
    pages::answer(pages::CSS).body(STYLE)
}

/// The page's withdraw button: a form, so that it works without scripts.
pub(super) async fn withdraw(
    request: HttpRequest,
    mut payload: web::Payload,
    asking: web::Data<Asking>,
) -> HttpResponse {
    if let Err(problem) = asking.may_choose(&request) {
        return refuse(&problem, Some((&mut payload, asking.deadline))).await;
    }
    // The body is not needed, but read all the same: see `http::read`.
    let _ = read(&mut payload, 1024, asking.deadline).await;
    let Ok(query) = web::Query::<Query>::from_query(request.query_string()) else {
        return refuse(&bad_page(), None).await;
    };
    if !is_path(&query.page) {
        return refuse(&bad_page(), None).await;
    }
    let language = asking.language(&request, &query.lang);
    let decision = Decision::no(asking.stored(&request).as_ref());
    if let Err(problem) = asking.record(&request, &decision, &language.lang, Layer::Page).await {
        return refuse(&problem, None).await;
    }
    let mut answer = HttpResponse::SeeOther();
    for cookie in asking.cookies(&request, &decision, &query.page) {
        answer.append_header((SET_COOKIE, cookie));
    }
    asking.mark(&mut answer);
    let back: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("page", &query.page).finish();
    answer.insert_header((LOCATION, format!("{}{}/me?{back}", under(&request), asking.prefix))).finish()
}

impl Asking {
    fn choice_said(&self, stored: Option<&Stored<'_>>, language: &Language) -> String {
        let Some(stored) = stored else { return language.me("choice_none").to_owned() };
        if self.terms.outdated(stored) {
            return language.me("choice_outdated").to_owned();
        }
        let tiers: Vec<&str> = stored.tiers().map(|tier| language.title(tier)).collect();
        if tiers.is_empty() {
            return language.me("choice_refused").to_owned();
        }
        let said = language.me("choice_granted").replace("{tiers}", &tiers.join(", "));
        said.replace("{version}", &stored.version.to_string())
    }

    /// Our cookies that the browser sent, and the days that it still keeps them. Browsers do not
    /// tell; for a grant, the ledger has the hour.
    async fn cookies_held(
        &self,
        request: &HttpRequest,
        stored: Option<&Stored<'_>>,
        language: &Language,
    ) -> Vec<String> {
        let line = |name: &str, days: u64| {
            language.me("cookie_line").replace("{name}", name).replace("{days}", &days.to_string())
        };
        let mut lines = Vec::new();
        if let Some(stored) = stored {
            let age = self.age_days(stored).await;
            lines.push(line(self.terms.cookie_name(), self.terms.cookie_days().saturating_sub(age)));
        }
        if let Some((name, secs)) = &self.visit_cookie
            && Origins::cookies(request).hold(name)
        {
            lines.push(line(name, secs.div_ceil(86_400)));
        }
        lines
    }

    /// Whole days since the grant's last record; 0 without one.
    async fn age_days(&self, stored: &Stored<'_>) -> u64 {
        let Some(id) = stored.id.as_ref().map(ConsentId::to_keep) else { return 0 };
        let ledger = self.ledger.clone();
        let records = web::block(move || ledger.records(&id)).await;
        let last = records.ok().and_then(Result::ok).and_then(|records| records.into_iter().next_back());
        let record = last.and_then(|record| serde_json::from_str::<serde_json::Value>(&record.line).ok());
        let at = record.and_then(|record| record["at"].as_str()?.replace('Z', ":00Z").parse::<jiff::Timestamp>().ok());
        at.map_or(0, |at| u64::try_from((self.clock.now() - at.as_millisecond()) / 86_400_000).unwrap_or(0))
    }
}

fn row(raised: &Raised, language: &Language) -> Row {
    let subject = language.me(match raised.subject {
        Subject::Page => "subject_page",
        _ => "subject_site",
    });
    let of = match raised.dimension {
        Dimension::Total => subject.to_owned(),
        dimension => format!("{subject}: {}", language.me(&format!("dim_{}", dimension.name()))),
    };

    // Totals show counters that do not change as well; attributes have no hits.
    let is_total = raised.dimension == Dimension::Total;
    let counter = |(counter, key): (Counter, &str)| {
        let n = raised.counts.get(counter);
        (n > 0 || is_total).then(|| format!("{} +{n}", language.me(key)))
    };
    let counters =
        [(Counter::Hits, "counter_hits"), (Counter::Visitors, "counter_visitors"), (Counter::Visits, "counter_visits")];

    let value = if is_total { &raised.item } else { &raised.value };
    Row {
        of,
        value: value.to_string(),
        raises: counters.into_iter().filter_map(counter).collect::<Vec<_>>().join(", "),
    }
}

/// Whether `page` can be the path of a page, or is empty, which means the page below which this one
/// is. It becomes part of links.
fn is_path(page: &str) -> bool {
    page.is_empty() || page.starts_with('/') && !page.chars().any(char::is_control)
}

fn bad_page() -> Problem {
    Problem::new(400, "bad_page", "This page cannot be asked about").detail("page must be a path, such as page=/u/mia")
}
