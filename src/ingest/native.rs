//! The endpoint for hits of our own script.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::error::{IngestError, body_error, unread_error};
use super::forward::{HitEndpoint, HitRequest, HitSelection, RequestOrigin};
use super::headers::RequestHeaders;
use super::service::{IngestService, PseudonymizedHits};
use super::visit_cookies::VisitCookies;
use super::wire;
use crate::event::{Problem, ProblemCode};
use crate::http::{peer_address, read_body};

/// `POST {prefix}/hit`.
pub async fn post_hit(
    request: HttpRequest,
    mut payload: web::Payload,
    edge: web::Data<IngestService>,
) -> Result<HttpResponse, Problem> {
    let (unreadable, cookies) = match accept_body(&request, &mut payload, &edge).await {
        Ok(accepted) => accepted,
        Err(error) => return Err(error.into_problem(&mut payload, edge.body_timeout).await),
    };

    let mut answer = HttpResponse::Accepted();
    cookies.add_to_response(&mut answer);
    Ok(if unreadable.is_empty() {
        answer.finish()
    } else {
        answer.json(PartialResponse { unreadable })
    })
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

/// Processes the hits of a body. Returns those that could not be parsed, and the visit cookies.
async fn accept_body(
    request: &HttpRequest,
    payload: &mut web::Payload,
    edge: &IngestService,
) -> Result<(Vec<UnreadableHit>, VisitCookies), IngestError> {
    let fields = RequestHeaders::from_header_map(request.headers());
    edge.check_headers(&fields).map_err(unread_error)?;
    let body = read_body(payload, edge.max_body_bytes, edge.body_timeout)
        .await
        .map_err(|error| body_error(error, edge.max_body_bytes))?;
    // Personal data of the request does not leave this block, except in wiped buffers for the
    // collectors that count its hits: only events wait for the disk.
    let (events, mut cookies, mut unreadable, calls) = {
        let text = String::from_utf8_lossy(&body);
        let request = HitRequest {
            endpoint: HitEndpoint::Native,
            origin: RequestOrigin::new(&edge.proxies, peer_address(request), &fields),
            fields,
            below: "",
            query: "",
            body: &body,
        };
        let wire::ParsedBody {
            hits,
            places,
            mut unreadable,
        } = wire::parse_body(&text, edge.max_hits)?;
        let PseudonymizedHits {
            events,
            cookies,
            no_page,
            remote,
        } = edge.pseudonymize_hits(
            &request.fields,
            &request.origin,
            hits,
            None,
            &HitSelection::ALL,
        );
        unreadable.extend(no_page.iter().map(|hit| (places[*hit], url_problem())));
        if no_page.len() == places.len() {
            return Err(first_problem(unreadable).into());
        }
        let calls = request.forward_calls(remote, &edge.cookie_names);
        (events, cookies, unreadable, calls)
    };

    cookies.extend(edge.store_everywhere(events, calls).await?);
    unreadable.sort_by_key(|(hit, _)| *hit);
    let named = unreadable.into_iter();
    let unreadable = named.map(|(hit, problem)| UnreadableHit {
        hit,
        code: problem.code.name(),
        detail: problem.detail.into_owned(),
    });
    Ok((unreadable.collect(), cookies))
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

fn url_problem() -> Problem {
    let accepted = "url must be an absolute http or https URL without user info";
    Problem::new(ProblemCode::InvalidValue).with_detail(accepted)
}
