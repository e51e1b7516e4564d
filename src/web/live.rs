//! The number of current visitors, and an event stream that makes open dashboards reload.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::stream;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::AppState;
use super::access::Permission;
use super::api::{find_site, json_response};
use super::streams::StreamPermit;
use crate::cluster::{BufferReader, CallBuffer, CallKind, Cluster};
use crate::event::{Problem, ProblemCode, SiteId};
use crate::journal::Journal;
use crate::publisher;

/// Interval of checks. Each of them sends something, because only a failed write shows that the
/// client is gone, and frees its place.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// `GET /api/v1/sites/{site}/live`: visitors of the last five minutes.
pub async fn get_live_visitors(
    request: HttpRequest,
    name: web::Path<String>,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    site.check_permission(&request, Permission::ReadSite(&name))?;
    let (id, _) = find_site(&name, &site)?;
    let visitors = count_live_visitors(&site.journal, site.cluster.as_deref(), id)
        .await
        .ok_or_else(|| Problem::new(ProblemCode::Stopping))?;
    Ok(json_response(
        &request,
        false,
        &json!({"visitors": visitors}),
    ))
}

/// `GET /api/v1/sites/{site}/events`, server-sent events: `live` with the number whenever it
/// changes, `counted` when reports have new counts.
pub async fn stream_events(
    request: HttpRequest,
    name: web::Path<String>,
    site: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    site.check_permission(&request, Permission::ReadSite(&name))?;
    let (id, _) = find_site(&name, &site)?;
    let shown = site.credential_from_request(&request);
    let network = site.auth.network_key(&request);
    let room = site
        .streams
        .try_acquire(site.stream_holder(&shown), network)?;

    // Keeps the credential, not the request, whose personal data are dropped with the response's
    // header.
    let of = site.clone();
    let allowed = move || of.is_still_permitted(&shown, Permission::ReadSite(&name));
    let watch = LiveEventStream::new(id, &site, Box::new(allowed), room);

    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header(("x-accel-buffering", "no"))
        .streaming(stream::unfold(watch, |mut watch| async {
            let event = watch.next_event().await?;
            Some((Ok::<_, Infallible>(Bytes::from(event)), watch))
        })))
}

/// A site's current visitors at all collectors that are reached; `None` if this one stops.
async fn count_live_visitors(
    journal: &Journal,
    cluster: Option<&Cluster>,
    site: SiteId,
) -> Option<u32> {
    let Some(cluster) = cluster else {
        return journal.count_live_visitors(site).await;
    };
    let payload = site.as_u128().to_le_bytes();
    let (own, of_others) = tokio::join!(
        journal.count_live_visitors(site),
        cluster.call_others(CallKind::LiveVisitors, &payload)
    );
    let counted = |reply: CallBuffer| {
        let bytes = BufferReader::new(reply.as_bytes()).read_array();
        bytes.map_or(0, u32::from_le_bytes)
    };
    let others: u32 = of_others.into_iter().flatten().map(counted).sum();
    Some(own?.saturating_add(others))
}

/// Answers the call of another collector.
pub async fn answer_live_visitors(journal: &Journal, request: &CallBuffer) -> CallBuffer {
    let mut reply = CallBuffer::default();
    if let Some(bytes) = BufferReader::new(request.as_bytes()).read_array() {
        let site = SiteId::from_u128(u128::from_le_bytes(bytes));
        let visitors = journal.count_live_visitors(site).await.unwrap_or(0);
        reply.push_bytes(&visitors.to_le_bytes());
    }
    reply
}

struct LiveEventStream {
    site: SiteId,
    journal: Journal,
    cluster: Option<Arc<Cluster>>,
    flush_progress: watch::Receiver<Option<u64>>,
    publisher_stats: Arc<publisher::PublisherStats>,
    /// Units published when the last event was sent.
    published_units: u64,
    streams_ending: watch::Receiver<bool>,
    check_timer: tokio::time::Interval,
    last_visitors: Option<u32>,
    /// Ends the stream after a sign-out or if the token is revoked.
    is_permitted: Box<dyn Fn() -> bool>,
    _permit: StreamPermit,
}

impl LiveEventStream {
    fn new(
        id: SiteId,
        site: &AppState,
        allowed: Box<dyn Fn() -> bool>,
        room: StreamPermit,
    ) -> LiveEventStream {
        let mut flushed = site.flush_progress.clone();
        flushed.mark_unchanged();
        let mut look = interval_at(Instant::now(), CHECK_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (journal, streams_ending) = (site.journal.clone(), site.streams_ending.clone());
        let publisher = site.publisher.stats();
        let published = publisher.units.load(Ordering::Relaxed);
        LiveEventStream {
            site: id,
            journal,
            cluster: site.cluster.clone(),
            flush_progress: flushed,
            publisher_stats: publisher,
            published_units: published,
            streams_ending,
            check_timer: look,
            last_visitors: None,
            is_permitted: allowed,
            _permit: room,
        }
    }

    /// The next event; `None` if the client may no longer receive it, or the collector stops.
    async fn next_event(&mut self) -> Option<String> {
        tokio::select! {
            _ = self.streams_ending.wait_for(|ending| *ending) => return None,
            _ = self.check_timer.tick() => {}
        }
        if !(self.is_permitted)() {
            return None;
        }
        let published = self.publisher_stats.units.load(Ordering::Relaxed);
        if self.flush_progress.has_changed().ok()? || published != self.published_units {
            self.flush_progress.mark_unchanged();
            self.published_units = published;
            return Some("event: counted\ndata: {}\n\n".to_owned());
        }
        let cluster = self.cluster.as_deref();
        let visitors = count_live_visitors(&self.journal, cluster, self.site).await?;
        if self.last_visitors != Some(visitors) {
            self.last_visitors = Some(visitors);
            return Some(format!(
                "event: live\ndata: {{\"visitors\":{visitors}}}\n\n"
            ));
        }
        Some(": here\n\n".to_owned())
    }
}
