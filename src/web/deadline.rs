//! Sends readers a response within a deadline, even if the store hangs.
//!
//! It is enforced here, not in each handler, whatever a request waits for (the store, or a lock
//! whose holder waits for it). Hits and consent choices are exempt: a response before they are
//! written could be false.

use std::time::Duration;

use actix_web::Error;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;
use actix_web::web;

use super::AppState;
use super::health::close_while_draining;
use super::session::renew_session_cookie;
use crate::event::Problem;

/// Responds 503 after `limits.response_timeout_millis`; after an upgrade, the time until the store is
/// open again is not part of it. Responses of the API renew the cookie of the
/// request's session.
///
/// # Errors
///
/// The errors of the handler. The 503 is returned as an error too, because the request was dropped
/// with the handler.
pub async fn enforce_deadline(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    // The deadline is for a store that hangs, not for one that changes hands.
    if needs_store(&request)
        && let Some(site) = request.app_data::<web::Data<AppState>>().cloned()
    {
        site.wait_for_store().await;
    }
    let Some((deadline, problem)) = request_deadline(&request) else {
        return next
            .call(request)
            .await
            .map(ServiceResponse::map_into_boxed_body)
            .map(close_while_draining);
    };

    match tokio::time::timeout(deadline, next.call(request)).await {
        Ok(answer) => answer
            .map(ServiceResponse::map_into_boxed_body)
            .map(renew_session_cookie)
            .map(close_while_draining),
        // The request was dropped with the handler, so the response is returned as an error.
        Err(_) => Err(problem.into()),
    }
}

fn needs_store(request: &ServiceRequest) -> bool {
    let path = request.path();
    path.starts_with("/api/") || path == "/metrics" || path.starts_with("/test/")
}

/// Time for a request and its response; `None` for an erasure, for the hooks of tests, and for
/// requests that do not need the store.
fn request_deadline(request: &ServiceRequest) -> Option<(Duration, Problem)> {
    let path = request.path();
    if !needs_store(request) || path.starts_with("/test/") {
        return None;
    }
    if path.ends_with(super::erasure::ERASE_PATH_END) {
        return None;
    }
    let site = request.app_data::<web::Data<AppState>>()?;
    match *request.method() {
        Method::GET | Method::HEAD => Some((site.response_deadline, Problem::store_unavailable())),
        // Its body has to arrive first.
        _ => Some((
            site.response_deadline + site.body_deadline,
            Problem::change_unconfirmed(),
        )),
    }
}
