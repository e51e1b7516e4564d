//! `/api/v1/platform/…` and `/api/v1/drops`: reports and state of the platform as a whole.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix_web::{HttpRequest, HttpResponse, web};
use jiff::tz::TimeZone;
use serde_json::json;

use super::AppState;
use super::access::Permission;
use super::api::{
    QueryPairs, into_pairs, invalid_query, invalid_report_params, json_response, store_problem,
};
use super::consent::ConsentService;
use crate::event::{Problem, SiteId};
use crate::flush::SegmentBacklog;
use crate::report::{self, ConsentReport, CoveredResponse, ReportParams, ReportQuery};
use crate::store::{RespondingShards, Store, StoreError};

pub(super) fn register_routes(config: &mut web::ServiceConfig) {
    config
        .route("/api/v1/drops", web::get().to(get_drops))
        .route(
            "/api/v1/platform/report",
            web::get().to(get_platform_report),
        )
        .route("/api/v1/platform/sites", web::get().to(list_platform_sites))
        .route("/api/v1/platform/pages", web::get().to(list_platform_pages))
        .route(
            "/api/v1/platform/consent",
            web::get().to(get_consent_counts),
        )
        .route(
            "/api/v1/platform/health",
            web::get().to(get_platform_health),
        );
}

/// How often a report over all sites is begun: once more if a shard goes away meanwhile.
const MAX_ATTEMPTS: usize = 2;

impl AppState {
    /// Reads a response from the shards that respond. A store without shards is one of them.
    ///
    /// # Errors
    ///
    /// 503 `store_unavailable` if none responds, or one that does fails.
    async fn read_shards<T>(
        &self,
        read: impl AsyncFn(&RespondingShards) -> Result<T, StoreError>,
    ) -> Result<CoveredResponse<T>, Problem> {
        let mut attempt = 1;
        loop {
            let away = self.health.unavailable_shards();
            let mut shards = self.shards.find_responding(&away).await;
            if shards.stores.is_empty() {
                // Right after the start, shards are taken for away until they were asked.
                shards = self.shards.find_responding(&[]).await;
            }
            if shards.stores.is_empty() {
                return Err(Problem::store_unavailable());
            }
            match read(&shards).await {
                Ok(response) => return Ok(CoveredResponse::new(response, shards.missing)),
                // Which shard it was, its ping tells.
                Err(error)
                    if self.shards.shard_count() > 1
                        && attempt < MAX_ATTEMPTS
                        && error.is_retryable() =>
                {
                    attempt += 1;
                }
                Err(error) => return Err(store_problem(error)),
            }
        }
    }
}

/// The platform's days are those of UTC.
fn authorized_query(
    request: &HttpRequest,
    query: QueryPairs,
    right: Permission<'_>,
    site: &AppState,
) -> Result<ReportQuery, Problem> {
    site.check_permission(request, right)?;
    build_platform_query(
        ReportParams::from_pairs(into_pairs(query)?).ok_or_else(invalid_report_params)?,
        site,
    )
}

fn build_platform_query(asked: ReportParams, site: &AppState) -> Result<ReportQuery, Problem> {
    ReportQuery::new(
        "",
        (SiteId::PLATFORM, &TimeZone::UTC),
        asked,
        site.clock.now(),
        site.platform_report_limits(),
    )
}

async fn get_drops(
    request: HttpRequest,
    query: QueryPairs,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let question = authorized_query(&request, query, Permission::ReadDrops, &site)?;
    let store = site.require_store()?;
    let answer = report::run_drops_report(&store, &question)
        .await
        .map_err(store_problem)?;
    Ok(json_response(&request, false, &answer))
}

async fn get_platform_report(
    request: HttpRequest,
    query: QueryPairs,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let question = authorized_query(&request, query, Permission::ReadPlatform, &site)?;
    if question.filter.is_some() {
        return Err(invalid_query("the platform as a whole has no filter"));
    }
    let answer = site.read_shards(async |shards| {
        let stores: Vec<&Store> = shards.stores.iter().map(Arc::as_ref).collect();
        let mut answer = report::run_report_of(&stores, question.clone()).await?;
        answer.is_final &= shards.missing.is_empty();
        Ok(answer)
    });
    let answer = answer.await?;
    Ok(json_response(&request, false, &answer))
}

async fn list_platform_sites(
    request: HttpRequest,
    query: QueryPairs,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    site.check_permission(&request, Permission::ReadPlatform)?;
    let (search, rest): (Vec<_>, Vec<_>) = into_pairs(query)?
        .into_iter()
        .partition(|(key, _)| key == "search");
    let search = search
        .into_iter()
        .next()
        .map(|(_, text)| text)
        .unwrap_or_default();
    let question = build_platform_query(
        ReportParams::from_pairs(rest).ok_or_else(invalid_report_params)?,
        &site,
    )?;
    let directory = &site.registry.directory;
    let answer = site
        .read_shards(async |shards| {
            report::run_sites_report(shards, directory, &question, &search).await
        })
        .await?;
    Ok(json_response(&request, false, &answer))
}

async fn list_platform_pages(
    request: HttpRequest,
    query: QueryPairs,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let question = authorized_query(&request, query, Permission::ReadPlatform, &site)?;
    let directory = &site.registry.directory;
    let answer = site
        .read_shards(async |shards| report::run_pages_report(shards, directory, &question).await)
        .await?;
    Ok(json_response(&request, false, &answer))
}

async fn get_consent_counts(
    request: HttpRequest,
    site: web::Data<AppState>,
    asking: web::Data<ConsentService>,
) -> Result<HttpResponse, Problem> {
    site.check_permission(&request, Permission::ReadPlatform)?;
    let tallies = asking.ledger.counts_by_version().into_iter();
    let answer = ConsentReport::from_tallies(
        tallies
            .map(|(version, of)| (version, (of.grants, of.refusals, of.withdrawals)))
            .collect(),
    );
    Ok(json_response(&request, false, &answer))
}

/// The collector's state at a glance, for operators.
async fn get_platform_health(
    request: HttpRequest,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    site.check_permission(&request, Permission::ReadPlatform)?;
    let (journal, stats) = (&site.journal, &site.journal.stats);
    let read = |figure: &std::sync::atomic::AtomicU64| figure.load(Ordering::Relaxed);
    let store = site.store.load_full();
    let (publication, retention) = (site.publisher.stats(), site.retention.stats());
    let waiting = SegmentBacklog::from_folder(&journal.folder, site.clock.file_time()).unwrap_or(
        SegmentBacklog {
            segments: 0,
            overdue_secs: 0,
        },
    );

    let answer = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "started": site.started_at.to_string(),
        "store": site.store_kind,
        "store_ready": store.is_some(),
        "shards": site.shards.shard_count(),
        "shards_away": site.health.unavailable_shards(),
        "replicas_away": site.shards.absent_replicas().iter()
            .map(|(shard, replica)| json!({"shard": shard, "replica": replica}))
            .collect::<Vec<_>>(),
        "checks": site.health.run_checks(),
        "clock_ahead_secs": site.clock.time_ahead().as_secs(),
        "journal": {
            "bytes": journal.folder.total_bytes(),
            "max_bytes": site.journal_max_bytes,
            "segments": waiting.segments,
            "full": read(&stats.full) == 1,
            "damaged": journal.recovered.damaged,
        },
        "flush": {
            "segments": read(&site.flush_stats.segments),
            "rows": read(&site.flush_stats.rows),
            "failures": read(&site.flush_stats.failures),
            "quarantined": read(&site.flush_stats.quarantined),
            "overdue_secs": waiting.overdue_secs,
        },
        "publication": {
            "units": read(&publication.units),
            "failures": read(&publication.failures),
            "last_success_secs": read(&publication.last_success_secs),
            "overdue_secs": publication.overdue_secs(site.clock.now()),
        },
        "retention": {
            "failures": read(&retention.failures),
            "last_success_secs": retention.last_success_secs(),
            "overdue_secs": retention.overdue_secs(site.clock.now()),
        },
        "hits": read(&stats.hits),
        "visitors": read(&stats.visitors),
        "over_limits": read(&stats.overflow_visitors) + read(&stats.overflow_grants) + read(&stats.overflow_texts) + read(&stats.overflow_sites) + read(&stats.overflow_new_sites) + read(&stats.overflow_ids),
    });

    Ok(json_response(&request, false, &answer))
}
