//! The scripts that a page loads to be counted, on its own origin and below a profile's own path.

use actix_web::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use actix_web::{HttpRequest, HttpResponse, web};

use super::compression::StaticContent;
use super::consent::BANNER_SCRIPT;
use super::pages::JS;

/// Built from tracker/src.
static SCRIPTS: [(&str, StaticContent); 4] = [
    (
        "f.js",
        StaticContent::new(include_bytes!("../../tracker/dist/f.js")),
    ),
    (
        "vitals.js",
        StaticContent::new(include_bytes!("../../tracker/dist/vitals.js")),
    ),
    (
        "faults.js",
        StaticContent::new(include_bytes!("../../tracker/dist/faults.js")),
    ),
    // The banner's script; the prompt's content is fetched separately.
    ("consent.js", StaticContent::new(BANNER_SCRIPT.as_bytes())),
];

pub(super) fn register_routes(prefix: &str, config: &mut web::ServiceConfig) {
    for under in ["", "/{under:.+}"] {
        for (name, script) in &SCRIPTS {
            let answer =
                move |request: HttpRequest| std::future::ready(script_response(script, &request));
            config.route(&format!("{under}{prefix}/{name}"), web::get().to(answer));
        }
    }
}

/// The same for all sites, so caches may store it; for an hour only, because a name without a
/// version must be able to change.
fn script_response(script: &'static StaticContent, request: &HttpRequest) -> HttpResponse {
    let mut answer = HttpResponse::Ok();
    answer
        .content_type(JS)
        .insert_header((CACHE_CONTROL, "public, max-age=3600"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
    script.to_response(answer, request)
}
