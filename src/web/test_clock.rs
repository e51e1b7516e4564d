//! Routes for tests with `test.clock`: a request sets the time, and counts can be read at once. So
//! days of traffic take seconds.

use actix_web::body::{BoxBody, MessageBody};
use std::collections::BTreeSet;

use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::introspection::{IntrospectionReportItem, IntrospectionTree};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, ResponseError, web};

use super::AppState;
use crate::calendar::Millis;
use crate::event::{Problem, ProblemCode};
use crate::http::header_text;

/// Advances the clock to `X-Footfall-Now`, in Unix milliseconds. An earlier time changes nothing.
///
/// # Errors
///
/// Only those of the handler; the response to a malformed header is 400.
pub async fn advance_clock(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if let Some(field) = request.headers().get("x-footfall-now") {
        let at = header_text(field)
            .and_then(|text| text.parse::<Millis>().ok())
            .filter(|at| *at >= 0);
        let site = request.app_data::<web::Data<AppState>>();
        match (at, site) {
            (Some(at), Some(site)) => {
                site.clock.advance_to(at);
            }
            _ => {
                let problem = Problem::new(ProblemCode::InvalidClock)
                    .with_detail("X-Footfall-Now must be Unix milliseconds");
                return Ok(request.into_response(problem.error_response()));
            }
        }
    }
    next.call(request)
        .await
        .map(ServiceResponse::map_into_boxed_body)
}

/// Lists every method and path of the running program.
pub async fn list_routes(tree: web::Data<IntrospectionTree>) -> HttpResponse {
    let routes: Vec<IntrospectionReportItem> = (&tree.root).into();
    let pairs = routes.iter().flat_map(|route| {
        route
            .methods
            .iter()
            .map(|method| format!("{method} {}", route.full_path))
    });
    HttpResponse::Ok().json(pairs.collect::<BTreeSet<String>>())
}

/// Responds once everything counted so far can be read.
///
/// # Errors
///
/// The collector is stopping.
pub async fn flush_journal(site: web::Data<AppState>) -> Result<HttpResponse, Problem> {
    let stopping = || Problem::new(ProblemCode::Stopping);
    site.release_clicks(site.clock.now());
    let last = site.journal.close_segment().await.ok_or_else(stopping)?;

    let mut flushed = site.flushed_segment.clone();
    flushed
        .wait_for(|done| done.is_some_and(|done| done >= last))
        .await
        .map_err(|_| stopping())?;
    Ok(HttpResponse::Ok().finish())
}

/// Publishes all units that are due, and returns their number.
///
/// # Errors
///
/// A unit could not be published.
pub async fn publish_due(site: web::Data<AppState>) -> Result<HttpResponse, Problem> {
    site.release_clicks(site.clock.now());
    let units = site.publisher.publish_due().await.map_err(|error| {
        Problem::new(ProblemCode::PublicationFailed).with_detail(error.to_string())
    })?;
    Ok(HttpResponse::Ok().json(serde_json::json!({ "units": units })))
}

/// Deletes old counts, as the collector does every hour.
///
/// # Errors
///
/// The store is not there or failed.
pub async fn run_retention(site: web::Data<AppState>) -> Result<HttpResponse, Problem> {
    let replicas = site.shards.all_replicas();
    for store in replicas.ok_or_else(Problem::store_unavailable)? {
        site.retention.run(&store).await.map_err(|error| {
            Problem::new(ProblemCode::RetentionFailed).with_detail(error.to_string())
        })?;
    }
    Ok(HttpResponse::Ok().finish())
}
