//! A reader is answered in time, also where the store hangs.
//!
//! Here and not in each handler: whatever a question waits for (the store, a lock that somebody holds who waits for it), its end is the same.
//! Hits and answers to the consent question do not come by: an answer they did not wait for could be untrue.

use std::time::Duration;

use actix_web::Error;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::Method;
use actix_web::middleware::Next;
use actix_web::web;

use super::Site;
use super::api::no_store;
use crate::event::Problem;
use crate::http::refuse;

/// Ends the wait of questions and changes after `limits.answer_millis`, with 503.
pub async fn in_time(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some((deadline, problem)) = deadline(&request) else {
        return next.call(request).await.map(ServiceResponse::map_into_boxed_body);
    };

    match tokio::time::timeout(deadline, next.call(request)).await {
        Ok(answer) => answer.map(ServiceResponse::map_into_boxed_body),
        Err(_) => {
            // The request is gone with the handler, so the answer travels as an error.
            let answer = refuse(&problem, None).await;
            Err(InternalError::from_response("not answered in time", answer).into())
        }
    }
}

/// How long a request may take, and what is answered then; `None` for those that do not ask the store.
fn deadline(request: &ServiceRequest) -> Option<(Duration, Problem)> {
    if !request.path().starts_with("/api/") && request.path() != "/metrics" {
        return None;
    }
    let site = request.app_data::<web::Data<Site>>()?;
    match *request.method() {
        Method::GET | Method::HEAD => Some((site.answer_within, no_store())),
        // Its body has to come first.
        _ => Some((site.answer_within + site.deadline, unknown_outcome())),
    }
}

fn unknown_outcome() -> Problem {
    Problem::new(503, "store_unavailable", "The store did not answer in time")
        .detail("whether the change was made is not known; look, or send it again")
}
