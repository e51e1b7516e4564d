//! The endpoints of other products' trackers, so that a page can keep its script and change one option.
//!
//! A body is read by its product's rules into our own hits; from there it is the way of every hit. What the products do that we do not:
//! believe an address, an agent or a time that a stranger writes into a body, allow other origins, or tell a dropped hit from a counted one.

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

/// One address of one product.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Plausible,
    Umami,
    UmamiBatch,
    GoatCounter,
}

/// What is wrong with a hit, in our words: nothing of the hit itself goes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Complaint {
    field: &'static str,
    rule: &'static str,
}

/// The hits of a request, each with what the request says of its sender. Deliberately without `Debug`.
#[derive(Default)]
struct Read {
    hits: Vec<Payload<'static>>,
    /// One for each hit; hits of one envelope share theirs.
    claims: Vec<Rc<Claims>>,
    /// As the product counts them.
    size: usize,
}

impl Read {
    fn one(hit: Payload<'static>) -> Read {
        Read { hits: vec![hit], claims: vec![Rc::default()], size: 1 }
    }
}

enum Refused {
    Form(Complaint),
    NotTaken(NotTaken),
}

/// The products' addresses at the root, below our prefix and below a profile.
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
        Ok((size, cookie)) => endpoint.taken(size, cookie),
        Err(Refused::Form(complaint)) => endpoint.refused(&complaint),
        Err(Refused::NotTaken(NotTaken { problem, unread })) => {
            refuse(&problem, unread.then_some((&mut payload, edge.deadline))).await
        }
    }
}

/// Answers how many hits were taken, and the cookie to set.
async fn accept(
    endpoint: Endpoint,
    request: &HttpRequest,
    payload: &mut web::Payload,
    edge: &Edge,
) -> Result<(usize, Option<String>), Refused> {
    let fields = Fields::read(request.headers());
    edge.check_size(&fields).map_err(unread)?;
    let body = read(payload, edge.body_bytes, edge.deadline).await.map_err(|error| not_read(error, edge.body_bytes))?;
    let (size, Sealed { events, cookie }) = {
        let Read { hits, claims, size } = endpoint.read(request, &fields, &body, edge)?;
        let foreign = Foreign { dialect: endpoint.dialect(), claims: &claims };
        let sealed = edge.seal(&fields, peer(request), hits, Some(foreign)).map_err(|_| endpoint.bad_url())?;
        (size, sealed)
    };
    edge.put(events).await?;
    Ok((size, cookie))
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
            // Its fields are in the query, also of a POST.
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
