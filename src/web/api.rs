//! `GET /api/v1/sites/{site}/report`, `/vitals` and `/faults`, and the code that all report
//! handlers share.

use std::borrow::Cow;
use std::sync::LazyLock;

use actix_web::http::header::{CACHE_CONTROL, ETAG, VARY};
use actix_web::{Error, HttpRequest, HttpResponse, web};
use jiff::tz::TimeZone;
use serde::Serialize;

use super::AppState;
use super::access::Permission;
use super::compression;
use super::entity_tag::compute_tag;
use crate::event::{Problem, ProblemCode, SiteId, Subject};
use crate::outage::Outage;
use crate::report::{self, ReportFilter, ReportParams, ReportQuery};
use crate::store::StoreError;

/// The key-value pairs of the query string. The error is kept for the handler, which checks the
/// permission first: a caller without permission gets no error about parameters.
pub(super) type QueryPairs = Result<web::Query<Vec<(String, String)>>, Error>;

/// `GET /api/v1/sites/{site}/report`.
pub async fn get_report(
    request: HttpRequest,
    name: web::Path<String>,
    query: QueryPairs,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let question = authorized_query(&request, query, &name, &site)?;
    let answer = site
        .read_shard(question.site, async |store| {
            report::run_report(store, question.clone()).await
        })
        .await?;
    Ok(json_response(&request, answer.is_final, &answer))
}

/// `GET /api/v1/sites/{site}/vitals`; accepts a filter by page only.
pub async fn get_vitals(
    request: HttpRequest,
    name: web::Path<String>,
    query: QueryPairs,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let question = authorized_query(&request, query, &name, &site)?;
    if !matches!(
        question.filter,
        None | Some(ReportFilter::Item(Subject::Page, _))
    ) {
        return Err(invalid_query("filter must be page: and a path"));
    }

    let answer = site
        .read_shard(question.site, async |store| {
            report::run_vitals_report(store, &question).await
        })
        .await?;
    Ok(json_response(&request, false, &answer))
}

/// `GET /api/v1/sites/{site}/faults`; accepts no filter.
pub async fn get_faults(
    request: HttpRequest,
    name: web::Path<String>,
    query: QueryPairs,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let question = authorized_query(&request, query, &name, &site)?;
    if question.filter.is_some() {
        return Err(invalid_query("faults have no filter"));
    }

    let answer = site
        .read_shard(question.site, async |store| {
            report::run_faults_report(store, &question).await
        })
        .await?;
    Ok(json_response(&request, false, &answer))
}

/// Serialises a response. A final one, of published days only, never changes, so it gets an entity
/// tag that browsers can revalidate.
pub(super) fn json_response(
    request: &HttpRequest,
    is_final: bool,
    answer: &impl Serialize,
) -> HttpResponse {
    if let Some(failures) = READ_OUTAGE.record_success() {
        tracing::info!(failures, "reports can be read again");
    }
    let body = serde_json::to_vec(answer).expect("a response is JSON");
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

/// The response to a change that has no content.
pub(super) fn changed_response() -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((CACHE_CONTROL, "no-store"))
        .finish()
}

/// The response to a change that made something.
pub(super) fn created_response(made: &impl Serialize) -> HttpResponse {
    HttpResponse::Created()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(made)
}

/// The pairs, or the problem of a query string that is not one. Handlers check the permission first.
pub(super) fn into_pairs(query: QueryPairs) -> Result<Vec<(String, String)>, Problem> {
    query
        .map(web::Query::into_inner)
        .map_err(|_| invalid_report_params())
}

/// Permission is checked first: without it, no error about the parameters is returned.
fn authorized_query(
    request: &HttpRequest,
    query: QueryPairs,
    name: &str,
    site: &AppState,
) -> Result<ReportQuery, Problem> {
    site.check_permission(request, Permission::ReadSite(name))?;
    let asked = ReportParams::from_pairs(into_pairs(query)?).ok_or_else(invalid_report_params)?;
    build_query(name, site, asked)
}

/// Builds the report query; the caller has checked the permission.
pub(super) fn build_query(
    name: &str,
    site: &AppState,
    asked: ReportParams,
) -> Result<ReportQuery, Problem> {
    let (id, zone) = find_site(name, site)?;
    ReportQuery::new(
        name,
        (id, &zone),
        asked,
        site.clock.now(),
        site.site_report_limits(name),
    )
}

/// The site with this name, and its time zone.
pub(super) fn find_site(name: &str, site: &AppState) -> Result<(SiteId, TimeZone), Problem> {
    let hosts = site.registry.directory.resolver();
    let (id, zone) = hosts.find_by_name(name).ok_or_else(Problem::unknown_site)?;
    Ok((id, hosts.time_zone(zone)))
}

pub(super) fn invalid_report_params() -> Problem {
    invalid_query(
        "accepted are range or from and to, compare or compare_from, interval, week, limit, filter \
         and with, once each",
    )
}

pub(super) fn invalid_query(accepted: impl Into<Cow<'static, str>>) -> Problem {
    Problem::new(ProblemCode::InvalidQuery).with_detail(accepted)
}

/// Outage of all reports, since they read from one store.
static READ_OUTAGE: LazyLock<Outage> = LazyLock::new(Outage::default);

pub(super) fn store_problem(error: StoreError) -> Problem {
    if READ_OUTAGE.record_failure_reason(&error.reason()) {
        tracing::error!(%error, "reports cannot be read");
    }
    Problem::store_unavailable()
}
