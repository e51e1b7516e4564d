//! Documents under `/.well-known/` about privacy signals.

use actix_web::{HttpResponse, web};
use serde_json::json;

use super::ConsentService;
use crate::config::WellKnownConfig;

pub(super) fn register_routes(known: &WellKnownConfig, config: &mut web::ServiceConfig) {
    if known.gpc {
        config.route("/.well-known/gpc.json", web::get().to(get_gpc_document));
    }
    if known.dnt {
        config.route("/.well-known/dnt/", web::get().to(get_tracking_status));
    }
}

async fn get_gpc_document(asking: web::Data<ConsentService>) -> HttpResponse {
    let date = asking.policy_config.effective_date.to_string();
    HttpResponse::Ok().json(json!({"gpc": asking.consent_policy.obeys_gpc(), "lastUpdate": date}))
}

/// The site-wide tracking status of the W3C's Tracking Preference Expression. `N`: not tracking.
async fn get_tracking_status(asking: web::Data<ConsentService>) -> HttpResponse {
    let mut status = json!({"tracking": "N", "config": format!("{}/me", asking.route_prefix)});
    if !asking.policy_config.url.is_empty() {
        status["policy"] = json!(asking.policy_config.url);
    }
    asking
        .response_builder()
        .content_type("application/tracking-status+json")
        .body(status.to_string())
}
