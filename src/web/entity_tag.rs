//! Entity tags: content that the browser already has is not sent again.

use actix_web::HttpRequest;
use actix_web::http::header::IF_NONE_MATCH;

use crate::http::header_text;

/// The entity tag of these bytes, and whether the client has them.
pub(super) fn compute_tag(request: &HttpRequest, bytes: &[u8]) -> (String, bool) {
    let tag = format!("\"{:016x}\"", xxhash_rust::xxh3::xxh3_64(bytes));
    let held = has_matching_tag(request, &tag);
    (tag, held)
}

/// Whether the request's `If-None-Match` has this tag, weak or strong.
pub(super) fn has_matching_tag(request: &HttpRequest, tag: &str) -> bool {
    request
        .headers()
        .get(IF_NONE_MATCH)
        .and_then(header_text)
        .is_some_and(|tags| tags.contains(tag))
}
