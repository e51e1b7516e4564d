//! `GET /metrics`: the metrics page, for Prometheus.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};

use super::Site;
use super::access::Right;
use crate::http::refuse;
use crate::telemetry::{Doors, Times};

/// Time to ask the store for the size of its tables, which is one figure of many: a store that
/// hangs must not hide the others.
const SIZE_WITHIN: Duration = Duration::from_secs(1);

/// `GET /metrics`.
pub async fn page(request: HttpRequest, site: web::Data<Site>) -> HttpResponse {
    if let Err(problem) = site.allow(&request, Right::Platform) {
        return refuse(&problem, None).await;
    }
    let stored = match site.store.load_full() {
        Some(store) => tokio::time::timeout(SIZE_WITHIN, store.bytes()).await.ok().and_then(Result::ok),
        None => None,
    };

    let ((wrong_tokens, tokens_refused), (streams, streams_refused)) =
        (site.access.guesses.totals(), site.streams.totals());
    let connected = site.crowd.totals();
    let doors = Doors { wrong_tokens, tokens_refused, streams, streams_refused, connected };
    let clamped = site.store.load().as_ref().map_or(0, |store| store.clamped());
    let times = Times { files: site.clock.file_time(), ahead_millis: site.clock.ahead(), now: site.clock.now() };
    let page = site.meters.render(&site.journal, &doors, &times, stored, clamped);
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(page)
}
