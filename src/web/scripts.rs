//! What a page loads to be counted, on its own origin and below a profile's own path.

use actix_web::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use actix_web::{HttpResponse, web};

use super::pages::JS;

/// Built from tracker/src.
const SCRIPTS: [(&str, &str); 3] = [
    ("f.js", include_str!("../../tracker/dist/f.js")),
    ("vitals.js", include_str!("../../tracker/dist/vitals.js")),
    ("faults.js", include_str!("../../tracker/dist/faults.js")),
];

pub(super) fn routes(prefix: &str, config: &mut web::ServiceConfig) {
    for under in ["", "/{under:.+}"] {
        for (name, text) in SCRIPTS {
            config.route(&format!("{under}{prefix}/{name}"), web::get().to(move || std::future::ready(script(text))));
        }
    }
}

/// The same for everybody, so a cache may keep it; an hour, because a name without a version must be able to change.
fn script(text: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(JS)
        .insert_header((CACHE_CONTROL, "public, max-age=3600"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(text)
}
