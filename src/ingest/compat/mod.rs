//! Endpoints for other products' trackers, so that a page can keep its script and change one
//! option.
//!
//! Each body is parsed by its product's rules into our hits, which then take the same way as any
//! hit. Not adopted are: addresses, agents and times that strangers write into bodies, answers for
//! other origins, and answers that tell dropped hits from counted ones.

mod answer;
mod claims;
mod goatcounter;
mod json;
mod plausible;
mod umami;

use std::rc::Rc;

use actix_web::{HttpRequest, HttpResponse, web};

use super::edge::{Edge, Sealed};
use super::fields::Fields;
use super::{NotTaken, not_read, unread};
use crate::config::Dialect;
use crate::event::Payload;
use crate::http::{peer, read, refuse};
pub(super) use claims::{Claims, Foreign, Sender, Standing};

/// One endpoint of one product.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Plausible,
    Umami,
    UmamiBatch,
    GoatCounter,
}

/// What is wrong with a hit, without quoting it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Complaint {
    field: &'static str,
    rule: &'static str,
}

/// The hits of a request, each with the request's claims about its sender. Deliberately without
/// `Debug`.
#[derive(Default)]
struct Read {
    hits: Vec<Payload<'static>>,
    /// One per hit; hits of one envelope share theirs.
    claims: Vec<Rc<Claims>>,
    /// Position of each hit in the request.
    places: Vec<usize>,
    /// Number of hits as the product counts them, including unreadable ones.
    size: usize,
    /// Positions of the unreadable hits, and what is wrong with each.
    unreadable: Vec<(usize, Complaint)>,
}

impl Read {
    fn one(hit: Payload<'static>) -> Read {
        Read { hits: vec![hit], claims: vec![Rc::default()], places: vec![0], size: 1, unreadable: Vec::new() }
    }
}

enum Refused {
    Form(Complaint),
    NotTaken(NotTaken),
}

/// Registers the products' endpoints at the root, below our prefix and below a profile.
pub fn compatible(prefix: &str, config: &mut web::ServiceConfig) {
    let all = [
        ("/api/event", Endpoint::Plausible),
        ("/api/send", Endpoint::Umami),
        ("/api/batch", Endpoint::UmamiBatch),
        ("/count", Endpoint::GoatCounter),
    ];
    for (path, endpoint) in all {
        let places = [path.to_owned(), format!("{prefix}{path}"), format!("/{{under:.+}}{prefix}{path}")];
        for place in places {
            let take = move |request, payload, edge| take(endpoint, request, payload, edge);
            let resource = web::resource(place).route(web::post().to(take));
            config.service(match endpoint {
                Endpoint::GoatCounter => resource.route(web::get().to(take)),
                _ => resource,
            });
        }
    }
}

async fn take(
    endpoint: Endpoint,
    request: HttpRequest,
    mut payload: web::Payload,
    edge: web::Data<Edge>,
) -> HttpResponse {
    match accept(endpoint, &request, &mut payload, &edge).await {
        Ok(Taken { size, unreadable, cookie }) => endpoint.taken(size, &unreadable, cookie),
        Err(Refused::Form(complaint)) => endpoint.refused(&complaint),
        Err(Refused::NotTaken(NotTaken { problem, unread })) => {
            refuse(&problem, unread.then_some((&mut payload, edge.deadline))).await
        }
    }
}

/// What a request's sender may learn about its hits.
struct Taken {
    size: usize,
    unreadable: Vec<(usize, Complaint)>,
    cookie: Option<String>,
}

async fn accept(
    endpoint: Endpoint,
    request: &HttpRequest,
    payload: &mut web::Payload,
    edge: &Edge,
) -> Result<Taken, Refused> {
    let fields = Fields::read(request.headers());
    edge.check_size(&fields).map_err(unread)?;
    let body = read(payload, edge.body_bytes, edge.deadline).await.map_err(|error| not_read(error, edge.body_bytes))?;

    let (events, taken) = {
        let Read { hits, claims, places, size, mut unreadable } = endpoint.read(request, &fields, &body, edge)?;
        let foreign = Foreign { dialect: endpoint.dialect(), claims: &claims };
        let Sealed { events, cookie, no_page } = edge.seal(&fields, peer(request), hits, Some(foreign));
        for hit in no_page {
            let place = places.get(hit).copied().unwrap_or(0);
            if !unreadable.iter().any(|(known, _)| *known == place) {
                unreadable.push((place, endpoint.bad_url()));
            }
        }
        unreadable.sort_by_key(|(place, _)| *place);
        if let Some((_, complaint)) = unreadable.first().filter(|_| unreadable.len() >= size) {
            return Err((*complaint).into());
        }
        (events, Taken { size, unreadable, cookie })
    };

    edge.put(events).await?;
    Ok(taken)
}

impl Endpoint {
    fn dialect(self) -> Dialect {
        match self {
            Endpoint::Plausible => Dialect::Plausible,
            Endpoint::Umami | Endpoint::UmamiBatch => Dialect::Umami,
            Endpoint::GoatCounter => Dialect::GoatCounter,
        }
    }

    fn read(self, request: &HttpRequest, fields: &Fields<'_>, body: &[u8], edge: &Edge) -> Result<Read, Complaint> {
        match self {
            Endpoint::Plausible => plausible::read(body).map(Read::one),
            Endpoint::Umami => umami::one(body),
            Endpoint::UmamiBatch => umami::batch(body, edge.batch_hits),
            // GoatCounter's fields are in the query, also in a POST.
            Endpoint::GoatCounter => {
                let host = edge.asked_host(fields, peer(request));
                let below = request.match_info().get("under").unwrap_or("");
                goatcounter::read(request.query_string(), host, below).map(Read::one)
            }
        }
    }
}

impl From<Complaint> for Refused {
    fn from(complaint: Complaint) -> Refused {
        Refused::Form(complaint)
    }
}

impl From<NotTaken> for Refused {
    fn from(not_taken: NotTaken) -> Refused {
        Refused::NotTaken(not_taken)
    }
}

#[cfg(test)]
mod tests;
