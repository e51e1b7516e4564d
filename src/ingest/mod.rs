//! Stage 1: the HTTP endpoints for hits. Reads the request within its limits, makes
//! [`crate::event::RawHit`]s, submits what the gate admits, and responds once the counts are on
//! disk.
//!
//! Counted, dropped and repeated hits get the same response, byte for byte, so that it reveals
//! nothing to the page. Hits that cannot be parsed are skipped, and the response lists them.

mod compat;
mod headers;
pub mod mail;
mod preview;
mod service;
mod wire;

use actix_web::http::header::SET_COOKIE;
use actix_web::{HttpRequest, HttpResponse, web};

pub use compat::register_compat_routes;
pub use preview::{PreviewRow, ViewPreview};
pub use service::IngestService;

use serde::Serialize;

use crate::event::Problem;
use crate::http::{BodyError, peer_address, problem_response, read_body};
use crate::journal::CommitError;
use headers::RequestHeaders;
use service::PseudonymizedHits;

/// `POST {prefix}/hit`.
pub async fn post_hit(
    request: HttpRequest,
    mut payload: web::Payload,
    edge: web::Data<IngestService>,
) -> HttpResponse {
    match accept_body(&request, &mut payload, &edge).await {
        Ok((unreadable, cookie)) => {
            let mut answer = HttpResponse::Accepted();
            if let Some(cookie) = cookie {
                answer.insert_header((SET_COOKIE, cookie));
            }
            if unreadable.is_empty() {
                answer.finish()
            } else {
                answer.json(PartialResponse { unreadable })
            }
        }
        Err(IngestError {
            problem,
            must_drain_body: unread,
        }) => {
            problem_response(
                &problem,
                unread.then_some((&mut payload, edge.body_timeout)),
            )
            .await
        }
    }
}

/// Why a request was not accepted. A request with dropped hits is accepted.
struct IngestError {
    problem: Problem,
    /// The body has not been read, so it has to be drained before the response.
    must_drain_body: bool,
}

/// The response if some hits of a body could not be parsed. The others were accepted.
#[derive(Serialize)]
struct PartialResponse {
    unreadable: Vec<UnreadableHit>,
}

#[derive(Serialize)]
struct UnreadableHit {
    /// Position in the body, from 0.
    hit: usize,
    code: &'static str,
    detail: String,
}

/// Processes the hits of a body. Returns those that could not be parsed, and the cookie to set.
async fn accept_body(
    request: &HttpRequest,
    payload: &mut web::Payload,
    edge: &IngestService,
) -> Result<(Vec<UnreadableHit>, Option<String>), IngestError> {
    let fields = RequestHeaders::from_header_map(request.headers());
    edge.check_headers(&fields).map_err(unread_error)?;
    let body = read_body(payload, edge.max_body_bytes, edge.body_timeout)
        .await
        .map_err(|error| body_error(error, edge.max_body_bytes))?;
    // Personal data of the request does not leave this block: only events wait for the disk.
    let (events, cookie, mut unreadable) = {
        let text = String::from_utf8_lossy(&body);
        let wire::ParsedBody {
            hits,
            places,
            mut unreadable,
        } = wire::parse_body(&text, edge.max_batch_hits)?;
        let PseudonymizedHits {
            events,
            cookie,
            no_page,
        } = edge.pseudonymize_hits(&fields, peer_address(request), hits, None);
        unreadable.extend(no_page.iter().map(|hit| (places[*hit], url_problem())));
        if no_page.len() == places.len() {
            return Err(first_problem(unreadable).into());
        }
        (events, cookie, unreadable)
    };

    edge.store_events(events).await?;
    unreadable.sort_by_key(|(hit, _)| *hit);
    let named = unreadable.into_iter();
    let unreadable = named.map(|(hit, problem)| UnreadableHit {
        hit,
        code: problem.code,
        detail: problem.detail.into_owned(),
    });
    Ok((unreadable.collect(), cookie))
}

/// The problem of a body without any readable hit: that of its first hit.
fn first_problem(mut unreadable: Vec<(usize, Problem)>) -> Problem {
    unreadable.sort_by_key(|(hit, _)| *hit);
    let several = unreadable.len() > 1;
    let (hit, problem) = unreadable.swap_remove(0);
    if !several {
        return problem;
    }
    let detail = format!("hit {hit}: {}", problem.detail);
    problem.with_detail(detail)
}

fn unread_error(problem: Problem) -> IngestError {
    IngestError {
        problem,
        must_drain_body: true,
    }
}

impl From<Problem> for IngestError {
    fn from(problem: Problem) -> IngestError {
        IngestError {
            problem,
            must_drain_body: false,
        }
    }
}

fn body_error(error: BodyError, most: usize) -> IngestError {
    let problem = match error {
        BodyError::TooLarge => Problem::new(413, "body_too_large", "The body is too large")
            .with_detail(format!("at most {most} bytes")),
        BodyError::TooSlow => Problem::new(408, "body_too_slow", "The body did not arrive in time"),
        // Nothing more will arrive. Draining would only keep the request, and its personal data,
        // until the deadline.
        BodyError::Broken => {
            return Problem::new(400, "bad_body", "The body cannot be read").into();
        }
    };
    unread_error(problem)
}

fn url_problem() -> Problem {
    let accepted = "url must be an absolute http or https URL without user info";
    Problem::new(400, "bad_value", "The hit cannot be read").with_detail(accepted)
}

fn unavailable_error(why: CommitError) -> IngestError {
    let detail = match why {
        CommitError::QueueFull => "more hits wait than can be taken",
        CommitError::DiskFull => "the journal is full",
        CommitError::Stopping => "the collector is stopping",
        // Not 503: if the sender repeated the hit, it might be counted twice.
        CommitError::Uncertain => {
            let problem = Problem::new(
                500,
                "unknown_outcome",
                "Whether the hit was counted is not known",
            );
            return problem
                .with_detail("the disk failed while it was written")
                .into();
        }
    };
    Problem::new(503, "unavailable", "The hit was not counted; send it again")
        .with_detail(detail)
        .into()
}
