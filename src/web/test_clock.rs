//! Routes for tests with `test.clock`: a request sets the time, and counts can be read at once. So
//! days of traffic take seconds.

use actix_web::body::{BoxBody, MessageBody};
use std::collections::BTreeSet;

use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::introspection::{IntrospectionReportItem, IntrospectionTree};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, web};

use super::AppState;
use crate::calendar::Millis;
use crate::event::Problem;
use crate::http::{header_text, problem_response};

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
                let problem =
                    Problem::new(400, "bad_clock", "X-Footfall-Now must be Unix milliseconds");
                return Ok(request.into_response(problem_response(&problem, None).await));
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
pub async fn flush_journal(site: web::Data<AppState>) -> HttpResponse {
    site.release_clicks(site.clock.now());
    let Some(last) = site.journal.close_segment().await else {
        return problem_response(
            &Problem::new(503, "unavailable", "The collector is stopping"),
            None,
        )
        .await;
    };
    let mut flushed = site.flushed_segment.clone();
    match flushed
        .wait_for(|done| done.is_some_and(|done| done >= last))
        .await
    {
        Ok(_) => HttpResponse::Ok().finish(),
        Err(_) => {
            problem_response(
                &Problem::new(503, "unavailable", "The collector is stopping"),
                None,
            )
            .await
        }
    }
}

/// Publishes all units that are due, and returns their number.
pub async fn publish_due(site: web::Data<AppState>) -> HttpResponse {
    site.release_clicks(site.clock.now());
    match site.publisher.publish_due().await {
        Ok(units) => HttpResponse::Ok().json(serde_json::json!({ "units": units })),
        Err(error) => {
            let problem = Problem::new(503, "unavailable", "Attributes could not be published");
            problem_response(&problem.with_detail(error.to_string()), None).await
        }
    }
}
