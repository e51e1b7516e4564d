//! The answers that the products' scripts expect. Counted and dropped hits get the same bytes; no
//! answer allows another origin.

use actix_web::http::header::{CACHE_CONTROL, SET_COOKIE};
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde_json::json;

use super::{Complaint, Endpoint};

/// One transparent pixel.
const GIF: [u8; 43] = *b"GIF89a\x01\0\x01\0\x80\0\0\xff\xff\xff\0\0\0\x21\xf9\x04\x01\0\0\0\0\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0\x3b";

impl Endpoint {
    /// The answer to a request that was taken, whether its hits were counted or dropped.
    pub(super) fn taken(self, size: usize, unreadable: &[(usize, Complaint)], cookie: Option<String>) -> HttpResponse {
        let mut answer = match self {
            Endpoint::Plausible => HttpResponse::Accepted(),
            _ => HttpResponse::Ok(),
        };
        if let Some(cookie) = cookie {
            answer.insert_header((SET_COOKIE, cookie));
        }
        match self {
            Endpoint::Plausible => answer.content_type("text/plain; charset=utf-8").body("ok"),
            Endpoint::Umami => answer.json(json!({})),
            Endpoint::UmamiBatch => {
                let detail = |(index, Complaint { field, rule }): &(usize, Complaint)| json!({ "index": index, "response": { "error": { "message": format!("{field} {rule}"), "code": "bad-request", "status": 400 } } });
                let details: Vec<_> = unreadable.iter().map(detail).collect();
                let processed = size - details.len();
                answer
                    .json(json!({ "size": size, "processed": processed, "errors": details.len(), "details": details }))
            }
            Endpoint::GoatCounter => pixel(answer),
        }
    }

    /// The answer to a request that cannot be parsed. None of its hits counts.
    pub(super) fn refused(self, complaint: &Complaint) -> HttpResponse {
        let Complaint { field, rule } = complaint;
        let mut answer = HttpResponse::BadRequest();
        match self {
            Endpoint::Plausible => answer.json(json!({ "errors": { *field: [rule] } })),
            Endpoint::Umami | Endpoint::UmamiBatch => {
                let message = format!("{field} {rule}");
                answer.json(json!({ "error": { "message": message, "code": "bad-request", "status": 400 } }))
            }
            Endpoint::GoatCounter => {
                answer.insert_header(("X-Goatcounter", format!("{field} {rule}")));
                pixel(answer)
            }
        }
    }

    /// The complaint about the page's URL, by the product's name for it.
    pub(super) fn bad_url(self) -> Complaint {
        let field = match self {
            Endpoint::GoatCounter => "p",
            _ => "url",
        };
        Complaint { field, rule: "must make an absolute http or https URL without user info" }
    }
}

/// Not cacheable, since each request is a hit.
fn pixel(mut answer: HttpResponseBuilder) -> HttpResponse {
    answer.insert_header((CACHE_CONTROL, "no-store")).content_type("image/gif").body(GIF.as_slice())
}
