//! `/api/v1/platform/…` and `/api/v1/drops`: reports and state of the platform as a whole.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix_web::{HttpRequest, HttpResponse, web};
use jiff::tz::TimeZone;
use serde_json::json;

use super::Site;
use super::access::Right;
use super::api::{asked_of, bad_question, pairs, shown, unread};
use super::consent::Asking;
use crate::event::{Problem, SiteId};
use crate::flush::Waiting;
use crate::report::{self, Asked, Choices, Question};
use crate::store::Store;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/api/v1/drops", web::get().to(drops))
        .route("/api/v1/platform/report", web::get().to(totals))
        .route("/api/v1/platform/sites", web::get().to(sites))
        .route("/api/v1/platform/pages", web::get().to(pages))
        .route("/api/v1/platform/consent", web::get().to(consent))
        .route("/api/v1/platform/health", web::get().to(health));
}

/// The platform's days are those of UTC.
fn question(request: &HttpRequest, right: Right<'_>, site: &Site) -> Result<(Arc<Store>, Question), Problem> {
    site.allow(request, right)?;
    about_platform(Asked::of(pairs(request)?).ok_or_else(asked_of)?, site)
}

fn about_platform(asked: Asked, site: &Site) -> Result<(Arc<Store>, Question), Problem> {
    let question = Question::new("", (SiteId::PLATFORM, &TimeZone::UTC), asked, site.clock.now(), site.rules)?;
    Ok((site.store.load_full().ok_or_else(Problem::store_unavailable)?, question))
}

async fn drops(request: HttpRequest, site: web::Data<Site>) -> HttpResponse {
    let asked = async {
        let (store, question) = question(&request, Right::Drops, &site)?;
        report::drops(&store, &question).await.map_err(unread)
    };
    shown(&request, false, asked.await).await
}

async fn totals(request: HttpRequest, site: web::Data<Site>) -> HttpResponse {
    let asked = async {
        let (store, question) = question(&request, Right::Platform, &site)?;
        if question.filter.is_some() {
            return Err(bad_question("the platform as a whole has no filter"));
        }
        report::ask(&store, question).await.map_err(unread)
    };
    shown(&request, false, asked.await).await
}

async fn sites(request: HttpRequest, site: web::Data<Site>) -> HttpResponse {
    let asked = async {
        site.allow(&request, Right::Platform)?;
        let (search, rest): (Vec<_>, Vec<_>) = pairs(&request)?.into_iter().partition(|(key, _)| key == "search");
        let search = search.into_iter().next().map(|(_, text)| text).unwrap_or_default();
        let (store, question) = about_platform(Asked::of(rest).ok_or_else(asked_of)?, &site)?;
        report::sites(&store, &site.registry.directory, &question, &search).await.map_err(unread)
    };
    shown(&request, false, asked.await).await
}

async fn pages(request: HttpRequest, site: web::Data<Site>) -> HttpResponse {
    let asked = async {
        let (store, question) = question(&request, Right::Platform, &site)?;
        report::pages(&store, &site.registry.directory, &question).await.map_err(unread)
    };
    shown(&request, false, asked.await).await
}

async fn consent(request: HttpRequest, site: web::Data<Site>, asking: web::Data<Asking>) -> HttpResponse {
    let answer = site.allow(&request, Right::Platform).map(|()| {
        let tallies = asking.ledger.tallies().into_iter();
        Choices::new(tallies.map(|(version, of)| (version, (of.grants, of.refusals, of.withdrawals))).collect())
    });
    shown(&request, false, answer).await
}

/// The collector's state at a glance, for operators.
async fn health(request: HttpRequest, site: web::Data<Site>) -> HttpResponse {
    let answer = site.allow(&request, Right::Platform).map(|()| {
        let (journal, stats) = (&site.journal, &site.journal.stats);
        let read = |figure: &std::sync::atomic::AtomicU64| figure.load(Ordering::Relaxed);
        let store = site.store.load_full();
        let publication = site.publisher.stats();
        let waiting = Waiting::of(&journal.folder, site.clock.file_time()).unwrap_or(Waiting { segments: 0, overdue_secs: 0 });
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "started": site.started.to_string(),
            "store": site.store_kind,
            "store_ready": store.is_some(),
            "checks": site.health.checks(),
            "clock_ahead_secs": site.clock.ahead() / 1000,
            "journal": {
                "bytes": journal.folder.bytes(),
                "most_bytes": site.journal_most_bytes,
                "segments": waiting.segments,
                "full": read(&stats.full) == 1,
                "damaged": journal.recovered.damaged,
            },
            "flush": {
                "segments": read(&site.flush.segments),
                "rows": read(&site.flush.rows),
                "failures": read(&site.flush.failures),
                "quarantined": read(&site.flush.quarantined),
                "overdue_secs": waiting.overdue_secs,
            },
            "publication": {
                "units": read(&publication.units),
                "failures": read(&publication.failures),
                "last_success_secs": read(&publication.last_success_secs),
                "late_secs": publication.late_secs(site.clock.now()),
            },
            "hits": read(&stats.hits),
            "visitors": read(&stats.visitors),
            "over_caps": read(&stats.overflow_visitors) + read(&stats.overflow_grants) + read(&stats.overflow_texts) + read(&stats.overflow_sites) + read(&stats.overflow_ids),
        })
    });
    shown(&request, false, answer).await
}
