//! `GET /api/v1/sites/{site}/report`, `/vitals` and `/faults`, and what all report handlers share.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use actix_web::http::header::{CACHE_CONTROL, ETAG, VARY};
use actix_web::{HttpRequest, HttpResponse, web};
use jiff::tz::TimeZone;
use serde::Serialize;

use super::Site;
use super::access::Right;
use super::coding;
use super::tag::tag;
use crate::event::{Problem, SiteId, Subject};
use crate::http::refuse;
use crate::outage::Outage;
use crate::report::{self, Answer, Asked, Filter, Question};
use crate::store::{Store, StoreError};

/// `GET /api/v1/sites/{site}/report`.
pub async fn report(request: HttpRequest, name: web::Path<String>, site: web::Data<Site>) -> HttpResponse {
    let answer = async {
        let (store, question) = asked(&request, &name, &site)?;
        report::ask(&store, question).await.map_err(unread)
    };
    let answer: Result<Answer, Problem> = answer.await;
    let is_final = answer.as_ref().is_ok_and(|answer| answer.is_final);
    shown(&request, is_final, answer).await
}

/// `GET /api/v1/sites/{site}/vitals`; accepts a filter by page only.
pub async fn vitals(request: HttpRequest, name: web::Path<String>, site: web::Data<Site>) -> HttpResponse {
    let asked = async {
        let (store, question) = asked(&request, &name, &site)?;
        match &question.filter {
            None | Some(Filter::Item(Subject::Page, _)) => report::vitals(&store, &question).await.map_err(unread),
            Some(_) => Err(bad_question("filter must be page: and a path")),
        }
    };
    shown(&request, false, asked.await).await
}

/// `GET /api/v1/sites/{site}/faults`; accepts no filter.
pub async fn faults(request: HttpRequest, name: web::Path<String>, site: web::Data<Site>) -> HttpResponse {
    let asked = async {
        let (store, question) = asked(&request, &name, &site)?;
        match question.filter {
            None => report::faults(&store, &question).await.map_err(unread),
            Some(_) => Err(bad_question("faults have no filter")),
        }
    };
    shown(&request, false, asked.await).await
}

/// Serialises an answer. A final one, of published days only, never changes, so it gets an entity
/// tag that browsers can revalidate.
pub(super) async fn shown(
    request: &HttpRequest,
    is_final: bool,
    answer: Result<impl Serialize, Problem>,
) -> HttpResponse {
    let answer = match answer {
        Ok(answer) => answer,
        Err(problem) => return refuse(&problem, None).await,
    };
    if let Some(failures) = UNREAD.is_over() {
        tracing::info!(failures, "reports can be read again");
    }
    let body = serde_json::to_vec(&answer).expect("an answer is JSON");
    if !is_final {
        let mut answer = HttpResponse::Ok();
        answer.content_type("application/json").insert_header((CACHE_CONTROL, "no-store"));
        return coding::sent(answer, request, body);
    }
    let (tag, known) = tag(request, &body);
    let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header((CACHE_CONTROL, "private, no-cache")).insert_header((ETAG, tag));
    if known {
        return response.insert_header((VARY, "accept-encoding")).finish();
    }
    response.content_type("application/json");
    coding::sent(response, request, body)
}

/// The key-value pairs of the query string.
pub(super) fn pairs(request: &HttpRequest) -> Result<Vec<(String, String)>, Problem> {
    let pairs = web::Query::<Vec<(String, String)>>::from_query(request.query_string());
    pairs.map(web::Query::into_inner).map_err(|_| asked_of())
}

/// Permission is checked first: without it, nothing is said about the parameters.
fn asked(request: &HttpRequest, name: &str, site: &Site) -> Result<(Arc<Store>, Question), Problem> {
    site.allow(request, Right::Site(name))?;
    let asked = Asked::of(pairs(request)?).ok_or_else(asked_of)?;
    question_of(name, site, asked)
}

/// Builds the report query; the caller has checked the permission.
pub(super) fn question_of(name: &str, site: &Site, asked: Asked) -> Result<(Arc<Store>, Question), Problem> {
    let (id, zone) = named(name, site)?;
    let question = Question::new(name, (id, &zone), asked, site.clock.now(), site.rules)?;
    Ok((site.store.load_full().ok_or_else(Problem::store_unavailable)?, question))
}

/// The site with this name, and its time zone.
pub(super) fn named(name: &str, site: &Site) -> Result<(SiteId, TimeZone), Problem> {
    let hosts = site.registry.directory.hosts();
    let (id, zone) = hosts.by_name(name).ok_or_else(Problem::unknown_site)?;
    Ok((id, hosts.time_zone(zone)))
}

pub(super) fn asked_of() -> Problem {
    bad_question(
        "accepted are range or from and to, compare or compare_from, interval, week, limit, filter and with, once each",
    )
}

pub(super) fn bad_question(accepted: impl Into<Cow<'static, str>>) -> Problem {
    Problem::new(400, "bad_question", "The question cannot be answered").detail(accepted)
}

/// Outage of all reports, since they read from one store.
static UNREAD: LazyLock<Outage> = LazyLock::new(Outage::default);

pub(super) fn unread(error: StoreError) -> Problem {
    if UNREAD.begins() {
        tracing::error!(%error, "reports cannot be read");
    }
    Problem::store_unavailable()
}
