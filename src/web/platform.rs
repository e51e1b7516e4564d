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
use crate::report::{self, ConsentReport, ReportParams, ReportQuery};
use crate::store::Store;

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

/// The platform's days are those of UTC.
fn authorized_query(
    request: &HttpRequest,
    query: QueryPairs,
    right: Permission<'_>,
    site: &AppState,
) -> Result<(Arc<Store>, ReportQuery), Problem> {
    site.check_permission(request, right)?;
    build_platform_query(
        ReportParams::from_pairs(into_pairs(query)?).ok_or_else(invalid_report_params)?,
        site,
    )
}

fn build_platform_query(
    asked: ReportParams,
    site: &AppState,
) -> Result<(Arc<Store>, ReportQuery), Problem> {
    let question = ReportQuery::new(
        "",
        (SiteId::PLATFORM, &TimeZone::UTC),
        asked,
        site.clock.now(),
        site.platform_report_limits(),
    )?;
    Ok((site.require_store()?, question))
}

async fn get_drops(
    request: HttpRequest,
    query: QueryPairs,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let (store, question) = authorized_query(&request, query, Permission::ReadDrops, &site)?;
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
    let (store, question) = authorized_query(&request, query, Permission::ReadPlatform, &site)?;
    if question.filter.is_some() {
        return Err(invalid_query("the platform as a whole has no filter"));
    }
    let answer = report::run_report(&store, question)
        .await
        .map_err(store_problem)?;
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
    let (store, question) = build_platform_query(
        ReportParams::from_pairs(rest).ok_or_else(invalid_report_params)?,
        &site,
    )?;
    let answer = report::run_sites_report(&store, &site.registry.directory, &question, &search)
        .await
        .map_err(store_problem)?;
    Ok(json_response(&request, false, &answer))
}

async fn list_platform_pages(
    request: HttpRequest,
    query: QueryPairs,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    let (store, question) = authorized_query(&request, query, Permission::ReadPlatform, &site)?;
    let answer = report::run_pages_report(&store, &site.registry.directory, &question)
        .await
        .map_err(store_problem)?;
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
            "last_success_secs": read(&retention.last_success_secs),
            "overdue_secs": retention.overdue_secs(site.clock.now()),
        },
        "hits": read(&stats.hits),
        "visitors": read(&stats.visitors),
        "over_limits": read(&stats.overflow_visitors) + read(&stats.overflow_grants) + read(&stats.overflow_texts) + read(&stats.overflow_sites) + read(&stats.overflow_ids),
    });

    Ok(json_response(&request, false, &answer))
}
