//! The scripts that a page loads to be counted, on its own origin and below a profile's own path.

use actix_web::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use actix_web::{HttpRequest, HttpResponse, web};

use super::coding::Fixed;
use super::consent::BANNER;
use super::pages::JS;

/// Built from tracker/src.
static SCRIPTS: [(&str, Fixed); 4] = [
    ("f.js", Fixed::new(include_bytes!("../../tracker/dist/f.js"))),
    ("vitals.js", Fixed::new(include_bytes!("../../tracker/dist/vitals.js"))),
    ("faults.js", Fixed::new(include_bytes!("../../tracker/dist/faults.js"))),
    // The banner's script; the prompt's content is fetched separately.
    ("consent.js", Fixed::new(BANNER.as_bytes())),
];

pub(super) fn routes(prefix: &str, config: &mut web::ServiceConfig) {
    for under in ["", "/{under:.+}"] {
        for (name, script) in &SCRIPTS {
            let answer = move |request: HttpRequest| std::future::ready(sent(script, &request));
            config.route(&format!("{under}{prefix}/{name}"), web::get().to(answer));
        }
    }
}

/// The same for all, so caches may keep it; for an hour, because a name without a version must be
/// able to change.
fn sent(script: &'static Fixed, request: &HttpRequest) -> HttpResponse {
    let mut answer = HttpResponse::Ok();
    answer
        .content_type(JS)
        .insert_header((CACHE_CONTROL, "public, max-age=3600"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
    script.sent(answer, request)
}
