//! The responses that the products' scripts expect. Counted and dropped hits get the same bytes; no
//! response allows another origin.

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpResponse, HttpResponseBuilder};
use serde_json::json;

use super::{CompatEndpoint, ValidationError};
use crate::ingest::visit_cookies::VisitCookies;

/// One transparent pixel.
const PIXEL_GIF: [u8; 43] = *b"GIF89a\x01\0\x01\0\x80\0\0\xff\xff\xff\0\0\0\x21\xf9\x04\x01\0\0\0\0\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0\x3b";

impl CompatEndpoint {
    /// The response to a request that was accepted, whether its hits were counted or dropped.
    pub(super) fn success_response(
        self,
        size: usize,
        unreadable: &[(usize, ValidationError)],
        cookies: VisitCookies,
    ) -> HttpResponse {
        let mut answer = match self {
            CompatEndpoint::Plausible => HttpResponse::Accepted(),
            _ => HttpResponse::Ok(),
        };
        cookies.add_to_response(&mut answer);
        match self {
            CompatEndpoint::Plausible => {
                answer.content_type("text/plain; charset=utf-8").body("ok")
            }
            CompatEndpoint::Umami => answer.json(json!({})),
            CompatEndpoint::UmamiBatch => {
                let detail = |(index, ValidationError { field, rule }): &(
                    usize,
                    ValidationError,
                )| json!({ "index": index, "response": { "error": { "message": format!("{field} {rule}"), "code": "bad-request", "status": 400 } } });
                let details: Vec<_> = unreadable.iter().map(detail).collect();
                let processed = size - details.len();
                answer
                    .json(json!({ "size": size, "processed": processed, "errors": details.len(), "details": details }))
            }
            CompatEndpoint::GoatCounter => pixel_response(answer),
        }
    }

    /// The response to a request that cannot be parsed. None of its hits counts.
    pub(super) fn error_response(self, complaint: &ValidationError) -> HttpResponse {
        let ValidationError { field, rule } = complaint;
        let mut answer = HttpResponse::BadRequest();
        match self {
            CompatEndpoint::Plausible => answer.json(json!({ "errors": { *field: [rule] } })),
            CompatEndpoint::Umami | CompatEndpoint::UmamiBatch => {
                let message = format!("{field} {rule}");
                answer.json(json!({ "error": { "message": message, "code": "bad-request", "status": 400 } }))
            }
            CompatEndpoint::GoatCounter => {
                answer.insert_header(("X-Goatcounter", format!("{field} {rule}")));
                pixel_response(answer)
            }
        }
    }

    /// The error for the page's URL, with the product's name of the field.
    pub(super) fn url_error(self) -> ValidationError {
        let field = match self {
            CompatEndpoint::GoatCounter => "p",
            _ => "url",
        };
        ValidationError {
            field,
            rule: "must make an absolute http or https URL without user info",
        }
    }
}

/// Not cacheable, since each request is a hit.
fn pixel_response(mut answer: HttpResponseBuilder) -> HttpResponse {
    answer
        .insert_header((CACHE_CONTROL, "no-store"))
        .content_type("image/gif")
        .body(PIXEL_GIF.as_slice())
}
