//! `/healthz`, `/readyz` and `/version`, for supervisors and load balancers. They are public, so
//! their responses contain codes and no figures.

use actix_web::body::MessageBody;
use actix_web::dev::ServiceResponse;
use actix_web::http::{ConnectionType, StatusCode};
use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::AppState;
use crate::store::schema;

pub(super) fn register_routes(config: &mut web::ServiceConfig) {
    config
        .route("/healthz", web::get().to(get_liveness))
        .route("/readyz", web::get().to(get_readiness))
        .route("/version", web::get().to(get_version));
}

/// Liveness: a supervisor restarts the process on 503.
async fn get_liveness(site: web::Data<AppState>) -> HttpResponse {
    match site.health.is_alive() {
        true => health_response(StatusCode::OK, json!({"status": "ok", "code": "alive"})),
        false => health_response(
            StatusCode::SERVICE_UNAVAILABLE,
            json!({"status": "failed", "code": "journal_stalled"}),
        ),
    }
}

/// Readiness: a load balancer sends no requests on 503. `code` is that of the first failing check.
async fn get_readiness(site: web::Data<AppState>) -> HttpResponse {
    let checks = site.health.run_checks();
    let (status, word, code) = match checks.iter().find(|check| !check.ok) {
        None => (StatusCode::OK, "ready", "ready"),
        Some(failing) => (StatusCode::SERVICE_UNAVAILABLE, "not_ready", failing.code),
    };
    health_response(
        status,
        json!({"status": word, "code": code, "checks": checks}),
    )
}

async fn get_version() -> HttpResponse {
    health_response(
        StatusCode::OK,
        json!({"name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION"), "schema": schema::NEWEST_SCHEMA}),
    )
}

fn health_response(status: StatusCode, body: Value) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header(("Cache-Control", "no-store"))
        .json(body)
}

/// Makes clients with keep-alive connections reconnect, to another collector, before the port
/// closes.
pub(super) fn close_while_draining<B: MessageBody>(
    mut answer: ServiceResponse<B>,
) -> ServiceResponse<B> {
    let draining = answer
        .request()
        .app_data::<web::Data<AppState>>()
        .is_some_and(|site| site.health.is_draining());
    if draining {
        answer
            .response_mut()
            .head_mut()
            .set_connection_type(ConnectionType::Close);
    }
    answer
}
