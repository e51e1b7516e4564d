//! Days of traffic in seconds: with `test.clock` a request says what time it is, and counts can be read at once.

use actix_web::body::{BoxBody, MessageBody};
use std::collections::BTreeSet;

use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::introspection::{IntrospectionReportItem, IntrospectionTree};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, web};

use super::Site;
use crate::event::{Millis, Problem};
use crate::http::{refuse, text};

/// Moves the clock to `X-Footfall-Now`. Time goes forward only: an earlier instant changes nothing.
pub async fn follow(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if let Some(field) = request.headers().get("x-footfall-now") {
        let at = text(field).and_then(|text| text.parse::<Millis>().ok()).filter(|at| *at >= 0);
        let site = request.app_data::<web::Data<Site>>();
        match (at, site) {
            (Some(at), Some(site)) => {
                site.clock.advance_to(at);
            }
            _ => {
                let problem = Problem::new(400, "bad_clock", "X-Footfall-Now must be Unix milliseconds");
                return Ok(request.into_response(refuse(&problem, None).await));
            }
        }
    }
    next.call(request).await.map(ServiceResponse::map_into_boxed_body)
}

/// Every method and path that is answered, as the running program has them.
pub async fn routes(tree: web::Data<IntrospectionTree>) -> HttpResponse {
    let routes: Vec<IntrospectionReportItem> = (&tree.root).into();
    let pairs =
        routes.iter().flat_map(|route| route.methods.iter().map(|method| format!("{method} {}", route.full_path)));
    HttpResponse::Ok().json(pairs.collect::<BTreeSet<String>>())
}

/// Answers once everything counted so far can be read.
pub async fn flush(site: web::Data<Site>) -> HttpResponse {
    site.release_clicks(site.clock.now());
    let Some(last) = site.journal.seal().await else {
        return refuse(&Problem::new(503, "unavailable", "The collector is stopping"), None).await;
    };
    let mut flushed = site.flushed.clone();
    match flushed.wait_for(|done| done.is_some_and(|done| done >= last)).await {
        Ok(_) => HttpResponse::Ok().finish(),
        Err(_) => refuse(&Problem::new(503, "unavailable", "The collector is stopping"), None).await,
    }
}

/// Publishes every unit that is due; answers how many there were.
pub async fn publish(site: web::Data<Site>) -> HttpResponse {
    site.release_clicks(site.clock.now());
    match site.publisher.publish_due().await {
        Ok(units) => HttpResponse::Ok().json(serde_json::json!({ "units": units })),
        Err(error) => {
            let problem = Problem::new(503, "unavailable", "Attributes could not be published");
            refuse(&problem.detail(error.to_string()), None).await
        }
    }
}
