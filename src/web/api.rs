//! `GET /api/v1/sites/{site}/report`, `/vitals` and `/faults`, and the code that all report
//! handlers share.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use actix_web::http::header::{CACHE_CONTROL, ETAG, VARY};
use actix_web::{HttpRequest, HttpResponse, web};
use jiff::tz::TimeZone;
use serde::Serialize;

use super::AppState;
use super::access::Permission;
use super::compression;
use super::entity_tag::compute_tag;
use crate::event::{Problem, SiteId, Subject};
use crate::http::problem_response;
use crate::outage::Outage;
use crate::report::{self, ReportFilter, ReportParams, ReportQuery, ReportResponse};
use crate::store::{Store, StoreError};

/// `GET /api/v1/sites/{site}/report`.
pub async fn get_report(
    request: HttpRequest,
    name: web::Path<String>,
    site: web::Data<AppState>,
) -> HttpResponse {
    let answer = async {
        let (store, question) = authorized_query(&request, &name, &site)?;
        report::run_report(&store, question)
            .await
            .map_err(store_problem)
    };
    let answer: Result<ReportResponse, Problem> = answer.await;
    let is_final = answer.as_ref().is_ok_and(|answer| answer.is_final);
    json_response(&request, is_final, answer).await
}

/// `GET /api/v1/sites/{site}/vitals`; accepts a filter by page only.
pub async fn get_vitals(
    request: HttpRequest,
    name: web::Path<String>,
    site: web::Data<AppState>,
) -> HttpResponse {
    let asked = async {
        let (store, question) = authorized_query(&request, &name, &site)?;
        match &question.filter {
            None | Some(ReportFilter::Item(Subject::Page, _)) => {
                report::run_vitals_report(&store, &question)
                    .await
                    .map_err(store_problem)
            }
            Some(_) => Err(invalid_query("filter must be page: and a path")),
        }
    };
    json_response(&request, false, asked.await).await
}

/// `GET /api/v1/sites/{site}/faults`; accepts no filter.
pub async fn get_faults(
    request: HttpRequest,
    name: web::Path<String>,
    site: web::Data<AppState>,
) -> HttpResponse {
    let asked = async {
        let (store, question) = authorized_query(&request, &name, &site)?;
        match question.filter {
            None => report::run_faults_report(&store, &question)
                .await
                .map_err(store_problem),
            Some(_) => Err(invalid_query("faults have no filter")),
        }
    };
    json_response(&request, false, asked.await).await
}

/// Serialises a response. A final one, of published days only, never changes, so it gets an entity
/// tag that browsers can revalidate.
pub(super) async fn json_response(
    request: &HttpRequest,
    is_final: bool,
    answer: Result<impl Serialize, Problem>,
) -> HttpResponse {
    let answer = match answer {
        Ok(answer) => answer,
        Err(problem) => return problem_response(&problem, None).await,
    };
    if let Some(failures) = READ_OUTAGE.record_success() {
        tracing::info!(failures, "reports can be read again");
    }
    let body = serde_json::to_vec(&answer).expect("a response is JSON");
    if !is_final {
        let mut answer = HttpResponse::Ok();
        answer
            .content_type("application/json")
            .insert_header((CACHE_CONTROL, "no-store"));
        return compression::compressed_response(answer, request, body);
    }
    let (tag, known) = compute_tag(request, &body);
    let mut response = if known {
        HttpResponse::NotModified()
    } else {
        HttpResponse::Ok()
    };
    response
        .insert_header((CACHE_CONTROL, "private, no-cache"))
        .insert_header((ETAG, tag));
    if known {
        return response.insert_header((VARY, "accept-encoding")).finish();
    }
    response.content_type("application/json");
    compression::compressed_response(response, request, body)
}

/// The key-value pairs of the query string.
pub(super) fn query_pairs(request: &HttpRequest) -> Result<Vec<(String, String)>, Problem> {
    let pairs = web::Query::<Vec<(String, String)>>::from_query(request.query_string());
    pairs
        .map(web::Query::into_inner)
        .map_err(|_| invalid_report_params())
}

/// Permission is checked first: without it, no error about the parameters is returned.
fn authorized_query(
    request: &HttpRequest,
    name: &str,
    site: &AppState,
) -> Result<(Arc<Store>, ReportQuery), Problem> {
    site.check_permission(request, Permission::ReadSite(name))?;
    let asked =
        ReportParams::from_pairs(query_pairs(request)?).ok_or_else(invalid_report_params)?;
    build_query(name, site, asked)
}

/// Builds the report query; the caller has checked the permission.
pub(super) fn build_query(
    name: &str,
    site: &AppState,
    asked: ReportParams,
) -> Result<(Arc<Store>, ReportQuery), Problem> {
    let (id, zone) = find_site(name, site)?;
    let question = ReportQuery::new(
        name,
        (id, &zone),
        asked,
        site.clock.now(),
        site.site_report_limits(name),
    )?;
    Ok((
        site.store
            .load_full()
            .ok_or_else(Problem::store_unavailable)?,
        question,
    ))
}

/// The site with this name, and its time zone.
pub(super) fn find_site(name: &str, site: &AppState) -> Result<(SiteId, TimeZone), Problem> {
    let hosts = site.registry.directory.resolver();
    let (id, zone) = hosts.find_by_name(name).ok_or_else(Problem::unknown_site)?;
    Ok((id, hosts.time_zone(zone)))
}

pub(super) fn invalid_report_params() -> Problem {
    invalid_query(
        "accepted are range or from and to, compare or compare_from, interval, week, limit, filter and with, once each",
    )
}

pub(super) fn invalid_query(accepted: impl Into<Cow<'static, str>>) -> Problem {
    Problem::new(400, "bad_question", "Invalid query").with_detail(accepted)
}

/// Outage of all reports, since they read from one store.
static READ_OUTAGE: LazyLock<Outage> = LazyLock::new(Outage::default);

pub(super) fn store_problem(error: StoreError) -> Problem {
    if READ_OUTAGE.record_failure() {
        tracing::error!(%error, "reports cannot be read");
    }
    Problem::store_unavailable()
}
