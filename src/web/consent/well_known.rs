//! Documents under `/.well-known/` about privacy signals.

use actix_web::{HttpResponse, web};
use serde_json::json;

use super::Asking;
use crate::config::WellKnown;

pub(super) fn routes(known: &WellKnown, config: &mut web::ServiceConfig) {
    if known.gpc {
        config.route("/.well-known/gpc.json", web::get().to(gpc));
    }
    if known.dnt {
        config.route("/.well-known/dnt/", web::get().to(dnt));
    }
}

async fn gpc(asking: web::Data<Asking>) -> HttpResponse {
    let date = asking.policy.effective_date.to_string();
    HttpResponse::Ok().json(json!({"gpc": asking.terms.obeys_gpc(), "lastUpdate": date}))
}

/// The site-wide tracking status of the W3C's Tracking Preference Expression. `N`: not tracking.
async fn dnt(asking: web::Data<Asking>) -> HttpResponse {
    let mut status = json!({"tracking": "N", "config": format!("{}/me", asking.prefix)});
    if !asking.policy.url.is_empty() {
        status["policy"] = json!(asking.policy.url);
    }
    asking.answer().content_type("application/tracking-status+json").body(status.to_string())
}
