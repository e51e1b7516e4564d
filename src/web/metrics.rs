//! `GET /metrics`: the metrics page, for Prometheus.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};

use super::AppState;
use super::access::Permission;
use crate::event::Problem;
use crate::telemetry::{AccessCounts, ClockReadings};

/// Deadline for the size of the store's tables, which is one figure of many: a store that hangs
/// must not hide the others.
const STORE_SIZE_TIMEOUT: Duration = Duration::from_secs(1);

/// `GET /metrics`.
///
/// # Errors
///
/// The caller may not read the platform's reports.
pub async fn get_metrics(
    request: HttpRequest,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    site.check_permission(&request, Permission::ReadPlatform)?;
    let stored = match site.store.load_full() {
        Some(store) => tokio::time::timeout(STORE_SIZE_TIMEOUT, store.disk_bytes())
            .await
            .ok()
            .and_then(Result::ok),
        None => None,
    };

    let ((invalid_tokens, tokens_unverified), (streams, streams_rejected)) = (
        site.auth.token_attempts.failure_totals(),
        site.streams.stream_totals(),
    );
    let connected = site.connections.connection_stats();
    let doors = AccessCounts {
        invalid_tokens,
        tokens_unverified,
        streams,
        streams_rejected,
        connections: connected,
    };
    let clamped = site
        .store
        .load()
        .as_ref()
        .map_or(0, |store| store.clamped_sums());
    let times = ClockReadings {
        file_time: site.clock.file_time(),
        ahead_millis: site.clock.ahead_millis(),
        now: site.clock.now(),
    };
    let page = site
        .meters
        .render_metrics(&site.journal, &doors, &times, stored, clamped);
    Ok(HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4")
        .body(page))
}
