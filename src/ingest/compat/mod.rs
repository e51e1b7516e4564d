//! Endpoints for other products' trackers, so that a page can keep its script and change one
//! option.
//!
//! Each body is parsed by its product's rules into hits, which then pass the same stages as any
//! hit. Not adopted are: addresses, agents and times that clients write into bodies, responses for
//! other origins, and responses that distinguish dropped hits from counted ones.

mod goatcounter;
mod json;
mod plausible;
mod responses;
mod umami;

use std::rc::Rc;

use actix_web::{HttpRequest, HttpResponse, web};

use super::error::{IngestError, body_error, unread_error};
use super::forward::{HitEndpoint, HitRequest, HitSelection, RequestOrigin};
use super::headers::RequestHeaders;
use super::sender::{SenderClaims, ThirdPartyClaims};
use super::service::{IngestService, PseudonymizedHits};
use super::site_match::HostCheck;
use super::visit_cookies::VisitCookies;
use crate::config::TrackerDialect;
use crate::event::{HitPayload, Problem};
use crate::http::{peer_address, read_body};

/// One endpoint of one product. The numbers are codes between collectors.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum CompatEndpoint {
    Plausible = 0,
    Umami = 1,
    UmamiBatch = 2,
    GoatCounter = 3,
}

/// What is wrong with a hit, without quoting it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ValidationError {
    field: &'static str,
    rule: &'static str,
}

/// The hits of a request, each with the request's claims about its sender. Deliberately without
/// `Debug`.
#[derive(Default)]
pub(super) struct ParsedHits {
    pub(super) hits: Vec<HitPayload<'static>>,
    /// One per hit; hits of one envelope share theirs.
    pub(super) claims: Vec<Rc<SenderClaims>>,
    /// Position of each hit in the request.
    places: Vec<usize>,
    /// Number of hits as the product counts them, including unreadable ones.
    size: usize,
    /// Positions of the unreadable hits, and what is wrong with each.
    unreadable: Vec<(usize, ValidationError)>,
}

impl ParsedHits {
    fn from_hit(hit: HitPayload<'static>) -> ParsedHits {
        ParsedHits {
            hits: vec![hit],
            claims: vec![Rc::default()],
            places: vec![0],
            size: 1,
            unreadable: Vec::new(),
        }
    }
}

enum CompatError {
    Invalid(ValidationError),
    Ingest(IngestError),
}

/// Registers the products' endpoints at the root, below the collector's prefix and below a profile.
pub fn register_compat_routes(prefix: &str, config: &mut web::ServiceConfig) {
    let all = [
        ("/api/event", CompatEndpoint::Plausible),
        ("/api/send", CompatEndpoint::Umami),
        ("/api/batch", CompatEndpoint::UmamiBatch),
        ("/count", CompatEndpoint::GoatCounter),
    ];
    for (path, endpoint) in all {
        let places = [
            path.to_owned(),
            format!("{prefix}{path}"),
            format!("/{{under:.+}}{prefix}{path}"),
        ];
        for place in places {
            let take =
                move |request, payload, edge| handle_request(endpoint, request, payload, edge);
            let resource = web::resource(place).route(web::post().to(take));
            config.service(match endpoint {
                CompatEndpoint::GoatCounter => resource.route(web::get().to(take)),
                _ => resource,
            });
        }
    }
}

async fn handle_request(
    endpoint: CompatEndpoint,
    request: HttpRequest,
    mut payload: web::Payload,
    edge: web::Data<IngestService>,
) -> Result<HttpResponse, Problem> {
    match accept_hits(endpoint, &request, &mut payload, &edge).await {
        Ok(CompatOutcome {
            size,
            unreadable,
            cookies,
        }) => Ok(endpoint.success_response(size, &unreadable, cookies)),
        Err(CompatError::Invalid(complaint)) => Ok(endpoint.error_response(&complaint)),
        Err(CompatError::Ingest(error)) => {
            Err(error.into_problem(&mut payload, edge.body_timeout).await)
        }
    }
}

/// What the response may reveal about a request's hits.
struct CompatOutcome {
    size: usize,
    unreadable: Vec<(usize, ValidationError)>,
    cookies: VisitCookies,
}

async fn accept_hits(
    endpoint: CompatEndpoint,
    request: &HttpRequest,
    payload: &mut web::Payload,
    edge: &IngestService,
) -> Result<CompatOutcome, CompatError> {
    let fields = RequestHeaders::from_header_map(request.headers());
    edge.check_headers(&fields).map_err(unread_error)?;
    let body = read_body(payload, edge.max_body_bytes, edge.body_timeout)
        .await
        .map_err(|error| body_error(error, edge.max_body_bytes))?;

    let request = HitRequest {
        endpoint: HitEndpoint::Compat(endpoint),
        origin: RequestOrigin::new(&edge.proxies, peer_address(request), &fields),
        fields,
        below: request.match_info().get("under").unwrap_or(""),
        query: request.query_string(),
        body: &body,
    };
    let (events, mut taken, calls) = {
        let ParsedHits {
            hits,
            claims,
            places,
            size,
            mut unreadable,
        } = endpoint.parse_hits(&request, edge)?;
        let foreign = ThirdPartyClaims {
            dialect: endpoint.dialect(),
            claims: &claims,
        };
        let PseudonymizedHits {
            events,
            cookies,
            no_page,
            remote,
        } = edge.pseudonymize_hits(
            &request.fields,
            &request.origin,
            hits,
            Some(foreign),
            &HitSelection::ALL,
        );
        for hit in no_page {
            let place = places.get(hit).copied().unwrap_or(0);
            if !unreadable.iter().any(|(known, _)| *known == place) {
                unreadable.push((place, endpoint.url_error()));
            }
        }
        unreadable.sort_by_key(|(place, _)| *place);
        if let Some((_, complaint)) = unreadable.first().filter(|_| unreadable.len() >= size) {
            return Err((*complaint).into());
        }
        (
            events,
            CompatOutcome {
                size,
                unreadable,
                cookies,
            },
            request.forward_calls(remote, &edge.cookie_names),
        )
    };

    let of_others = edge.store_everywhere(events, calls).await?;
    taken.cookies.extend(of_others);
    Ok(taken)
}

impl CompatEndpoint {
    /// The endpoint with this code.
    pub(super) fn from_code(code: u8) -> Option<CompatEndpoint> {
        let all = [
            CompatEndpoint::Plausible,
            CompatEndpoint::Umami,
            CompatEndpoint::UmamiBatch,
            CompatEndpoint::GoatCounter,
        ];
        all.into_iter().find(|endpoint| *endpoint as u8 == code)
    }

    pub(super) fn dialect(self) -> TrackerDialect {
        match self {
            CompatEndpoint::Plausible => TrackerDialect::Plausible,
            CompatEndpoint::Umami | CompatEndpoint::UmamiBatch => TrackerDialect::Umami,
            CompatEndpoint::GoatCounter => TrackerDialect::GoatCounter,
        }
    }

    pub(super) fn parse_hits(
        self,
        request: &HitRequest<'_>,
        edge: &IngestService,
    ) -> Result<ParsedHits, ValidationError> {
        let body = request.body;
        match self {
            CompatEndpoint::Plausible => plausible::parse_hit(body).map(ParsedHits::from_hit),
            CompatEndpoint::Umami => umami::parse_single(body),
            CompatEndpoint::UmamiBatch => umami::parse_batch(body, edge.max_hits),
            // GoatCounter's fields are in the query, also in a POST.
            CompatEndpoint::GoatCounter => {
                let host = HostCheck::new(&request.fields, request.origin.is_behind_proxy);
                goatcounter::parse_hit(request.query, host.requested_host(), request.below)
                    .map(ParsedHits::from_hit)
            }
        }
    }
}

impl From<ValidationError> for CompatError {
    fn from(complaint: ValidationError) -> CompatError {
        CompatError::Invalid(complaint)
    }
}

impl From<IngestError> for CompatError {
    fn from(not_taken: IngestError) -> CompatError {
        CompatError::Ingest(not_taken)
    }
}

#[cfg(test)]
mod tests;
