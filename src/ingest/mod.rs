//! Stage 1: the HTTP endpoints for hits. Reads the request within its limits, makes
//! [`crate::event::RawHit`]s, submits what the gate admits, and answers once the counts are on
//! disk.
//!
//! Counted, dropped and repeated hits get the same answer, byte for byte, so that a page learns
//! nothing from it. Hits that cannot be parsed are neither: they are left out of their body, and
//! the answer names them.

mod compat;
mod edge;
mod fields;
pub mod mail;
mod preview;
mod wire;

use actix_web::http::header::SET_COOKIE;
use actix_web::{HttpRequest, HttpResponse, web};

pub use compat::compatible;
pub use edge::Edge;
pub use preview::{Preview, Raised};

use serde::Serialize;

use crate::event::Problem;
use crate::http::{BodyError, peer, read, refuse};
use crate::journal::Unavailable;
use edge::Sealed;
use fields::Fields;

/// `POST {prefix}/hit`.
pub async fn hit(request: HttpRequest, mut payload: web::Payload, edge: web::Data<Edge>) -> HttpResponse {
    match accept(&request, &mut payload, &edge).await {
        Ok((unreadable, cookie)) => {
            let mut answer = HttpResponse::Accepted();
            if let Some(cookie) = cookie {
                answer.insert_header((SET_COOKIE, cookie));
            }
            if unreadable.is_empty() { answer.finish() } else { answer.json(Partly { unreadable }) }
        }
        Err(NotTaken { problem, unread }) => refuse(&problem, unread.then_some((&mut payload, edge.deadline))).await,
    }
}

/// Why a request was not taken; a dropped hit is a taken one.
struct NotTaken {
    problem: Problem,
    /// The body has not been read, so it has to be drained before the answer.
    unread: bool,
}

/// The answer if some hits of a body could not be parsed. The others were taken.
#[derive(Serialize)]
struct Partly {
    unreadable: Vec<Unreadable>,
}

#[derive(Serialize)]
struct Unreadable {
    /// Position in the body, from 0.
    hit: usize,
    code: &'static str,
    detail: String,
}

/// Takes the hits of a body. Returns those that could not be parsed, and the cookie to set.
async fn accept(
    request: &HttpRequest,
    payload: &mut web::Payload,
    edge: &Edge,
) -> Result<(Vec<Unreadable>, Option<String>), NotTaken> {
    let fields = Fields::read(request.headers());
    edge.check_size(&fields).map_err(unread)?;
    let body = read(payload, edge.body_bytes, edge.deadline).await.map_err(|error| not_read(error, edge.body_bytes))?;
    // Personal data of the request ends with this block: only events wait for the disk.
    let (events, cookie, mut unreadable) = {
        let text = String::from_utf8_lossy(&body);
        let wire::Read { hits, places, mut unreadable } = wire::parse(&text, edge.batch_hits)?;
        let Sealed { events, cookie, no_page } = edge.seal(&fields, peer(request), hits, None);
        unreadable.extend(no_page.iter().map(|hit| (places[*hit], bad_url())));
        if no_page.len() == places.len() {
            return Err(first(unreadable).into());
        }
        (events, cookie, unreadable)
    };

    edge.put(events).await?;
    unreadable.sort_by_key(|(hit, _)| *hit);
    let named = unreadable.into_iter();
    let unreadable =
        named.map(|(hit, problem)| Unreadable { hit, code: problem.code, detail: problem.detail.into_owned() });
    Ok((unreadable.collect(), cookie))
}

/// The problem of a body without any readable hit: that of its first hit.
fn first(mut unreadable: Vec<(usize, Problem)>) -> Problem {
    unreadable.sort_by_key(|(hit, _)| *hit);
    let several = unreadable.len() > 1;
    let (hit, problem) = unreadable.swap_remove(0);
    if !several {
        return problem;
    }
    let detail = format!("hit {hit}: {}", problem.detail);
    problem.detail(detail)
}

fn unread(problem: Problem) -> NotTaken {
    NotTaken { problem, unread: true }
}

impl From<Problem> for NotTaken {
    fn from(problem: Problem) -> NotTaken {
        NotTaken { problem, unread: false }
    }
}

fn not_read(error: BodyError, most: usize) -> NotTaken {
    let problem = match error {
        BodyError::TooLarge => {
            Problem::new(413, "body_too_large", "The body is too large").detail(format!("at most {most} bytes"))
        }
        BodyError::TooSlow => Problem::new(408, "body_too_slow", "The body did not arrive in time"),
        // Nothing more will arrive: draining would only keep the request, and its personal data,
        // until the deadline.
        BodyError::Broken => return Problem::new(400, "bad_body", "The body cannot be read").into(),
    };
    unread(problem)
}

fn bad_url() -> Problem {
    let accepted = "url must be an absolute http or https URL without user info";
    Problem::new(400, "bad_value", "The hit cannot be read").detail(accepted)
}

fn unavailable(why: Unavailable) -> NotTaken {
    let detail = match why {
        Unavailable::Crowded => "more hits wait than can be taken",
        Unavailable::Full => "the journal is full",
        Unavailable::Stopping => "the collector is stopping",
        // Not 503: if the sender repeated it, it might be counted twice.
        Unavailable::Uncertain => {
            let problem = Problem::new(500, "unknown_outcome", "Whether the hit was counted is not known");
            return problem.detail("the disk failed while it was written").into();
        }
    };
    Problem::new(503, "unavailable", "The hit was not counted; send it again").detail(detail).into()
}
