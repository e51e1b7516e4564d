//! Problems as HTTP responses.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::web::Payload;

use super::MAX_DRAIN_BYTES;
use super::body::drain_body;
use crate::event::Problem;

/// The response for a problem. `unread` is the request's body and the deadline for draining it; if
/// it cannot be drained, the connection is closed. `Retry-After` defaults to 2 seconds for 503 and
/// 60 for 429.
pub async fn problem_response(
    problem: &Problem,
    unread: Option<(&mut Payload, Duration)>,
) -> HttpResponse {
    let keep = match unread {
        Some((payload, deadline)) => drain_body(payload, MAX_DRAIN_BYTES, deadline).await,
        None => true,
    };
    let mut answer = HttpResponse::build(
        StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_REQUEST),
    );
    answer
        .content_type(Problem::MEDIA_TYPE)
        .insert_header((CACHE_CONTROL, "no-store"));
    let usual = match problem.status {
        503 => Some(2),
        429 => Some(60),
        _ => None,
    };
    if let Some(seconds) = problem.retry_secs.or(usual) {
        answer.insert_header((RETRY_AFTER, seconds));
    }
    if problem.status == 401 {
        answer.insert_header((WWW_AUTHENTICATE, "Bearer"));
    }
    if !keep {
        answer.insert_header((CONNECTION, "close")).force_close();
    }
    answer.body(problem.to_json())
}
