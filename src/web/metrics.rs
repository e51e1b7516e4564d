//! `GET /metrics`: the metrics page, for Prometheus.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::future::try_join_all;

use super::AppState;
use super::access::Permission;
use crate::event::Problem;
use crate::telemetry::{AccessCounts, ClockReadings, StoreReadings};

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
    let times = ClockReadings {
        file_time: site.clock.file_time(),
        ahead: site.clock.time_ahead(),
        now: site.clock.now(),
    };
    let store = site.read_store_figures().await;
    let page = site
        .meters
        .render_metrics(&site.journal, &doors, &times, &store);
    Ok(HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4")
        .body(page))
}

impl AppState {
    async fn read_store_figures(&self) -> StoreReadings {
        // The size of a part of the shards would look like the size of all.
        let table_bytes = match self.shards.all_shards() {
            Some(shards) => {
                let sizes = try_join_all(shards.iter().map(|shard| shard.disk_bytes()));
                let sizes = tokio::time::timeout(STORE_SIZE_TIMEOUT, sizes).await;
                let sizes = sizes.ok().and_then(Result::ok);
                sizes.map(|sizes| sizes.iter().sum())
            }
            None => None,
        };

        let shards = self.shards.reached_shards();
        StoreReadings {
            table_bytes,
            clamped_sums: shards.iter().map(|shard| shard.clamped_sums()).sum(),
            away_secs: self.health.shard_unavailable_secs(),
            replicas_away: self.shards.absent_replicas().len() as u64,
            engine_restarts: shards
                .first()
                .and_then(|store| store.engine())
                .map(|engine| engine.process_starts().saturating_sub(1)),
        }
    }
}
