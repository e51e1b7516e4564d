//! `/healthz`, `/readyz` and `/version`, for supervisors and load balancers. Public: the answers hold
//! codes and no figures.

use actix_web::body::MessageBody;
use actix_web::dev::ServiceResponse;
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::Site;
use crate::store::schema;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/healthz", web::get().to(alive))
        .route("/readyz", web::get().to(ready))
        .route("/version", web::get().to(version));
}

/// Liveness: a supervisor restarts the process on 503.
async fn alive(site: web::Data<Site>) -> HttpResponse {
    match site.health.is_alive() {
        true => answer(StatusCode::OK, json!({"status": "ok", "code": "alive"})),
        false => answer(StatusCode::SERVICE_UNAVAILABLE, json!({"status": "failed", "code": "journal_stalled"})),
    }
}

/// Readiness: a load balancer sends nothing on 503. `code` is that of the first failing check.
async fn ready(site: web::Data<Site>) -> HttpResponse {
    let checks = site.health.checks();
    let (status, word, code) = match checks.iter().find(|check| !check.ok) {
        None => (StatusCode::OK, "ready", "ready"),
        Some(failing) => (StatusCode::SERVICE_UNAVAILABLE, "not_ready", failing.code),
    };
    answer(status, json!({"status": word, "code": code, "checks": checks}))
}

async fn version() -> HttpResponse {
    answer(
        StatusCode::OK,
        json!({"name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION"), "schema": schema::NEWEST}),
    )
}

fn answer(status: StatusCode, body: Value) -> HttpResponse {
    HttpResponse::build(status).insert_header(("Cache-Control", "no-store")).json(body)
}

/// Asks clients with kept connections to reconnect, to another collector, before the port closes.
pub(super) fn close_while_draining<B: MessageBody>(mut answer: ServiceResponse<B>) -> ServiceResponse<B> {
    let draining = answer.request().app_data::<web::Data<Site>>().is_some_and(|site| site.health.is_draining());
    if draining {
        answer.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    answer
}
