//! The number of current visitors, and an event stream that tells open dashboards when to reload.

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

use super::Site;
use super::access::Right;
use super::api::{named, shown};
use super::streams::Room;
use crate::event::{Problem, SiteId};
use crate::http::refuse;
use crate::journal::Journal;
use crate::publisher;

/// Interval of checks, each of which sends something: only a failed write shows that the listener
/// is gone, and frees its place.
const LOOK: Duration = Duration::from_secs(5);

/// `GET /api/v1/sites/{site}/live`: visitors of the last five minutes.
pub async fn now(request: HttpRequest, name: web::Path<String>, site: web::Data<Site>) -> HttpResponse {
    let answer = async {
        site.allow(&request, Right::Site(&name))?;
        let (id, _) = named(&name, &site)?;
        let visitors = site.journal.live(id).await.ok_or_else(stopping)?;
        Ok(json!({"visitors": visitors}))
    };
    shown(&request, false, answer.await).await
}

/// `GET /api/v1/sites/{site}/events`, server-sent events: `live` with the number whenever it
/// changes, `counted` when reports have new counts.
pub async fn events(request: HttpRequest, name: web::Path<String>, site: web::Data<Site>) -> HttpResponse {
    let opened = async {
        site.allow(&request, Right::Site(&name))?;
        let (id, _) = named(&name, &site)?;
        let shown = site.shown_by(&request);
        let network = site.access.network(&request);
        let room = site.streams.enter(site.holder_of(&shown), network)?;
        // Keeps the proof, not the request: its personal data ends with the answer's header.
        let of = site.clone();
        let allowed = move || of.may_still(&shown, Right::Site(&name));
        Ok(Watch::new(id, &site, Box::new(allowed), room))
    };
    let watch: Result<Watch, Problem> = opened.await;
    match watch {
        Ok(watch) => HttpResponse::Ok()
            .content_type("text/event-stream")
            .insert_header((CACHE_CONTROL, "no-store"))
            .insert_header(("x-accel-buffering", "no"))
            .streaming(stream::unfold(watch, |mut watch| async {
                let event = watch.next().await?;
                Some((Ok::<_, Infallible>(Bytes::from(event)), watch))
            })),
        Err(problem) => refuse(&problem, None).await,
    }
}

struct Watch {
    site: SiteId,
    journal: Journal,
    flushed: watch::Receiver<Option<u64>>,
    publisher: Arc<publisher::Stats>,
    /// Units published when this listener was last told.
    published: u64,
    stopping: watch::Receiver<bool>,
    look: tokio::time::Interval,
    told: Option<u32>,
    /// Ends the stream after a sign-out or when the token is revoked.
    allowed: Box<dyn Fn() -> bool>,
    _room: Room,
}

impl Watch {
    fn new(id: SiteId, site: &Site, allowed: Box<dyn Fn() -> bool>, room: Room) -> Watch {
        let mut flushed = site.flushed.clone();
        flushed.mark_unchanged();
        let mut look = interval_at(Instant::now(), LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (journal, stopping) = (site.journal.clone(), site.stopping.clone());
        let publisher = site.publisher.stats();
        let published = publisher.units.load(Ordering::Relaxed);
        Watch { site: id, journal, flushed, publisher, published, stopping, look, told: None, allowed, _room: room }
    }

    /// The next event; `None` if the listener may no longer receive it, or the collector stops.
    async fn next(&mut self) -> Option<String> {
        tokio::select! {
            _ = self.stopping.wait_for(|stopping| *stopping) => return None,
            _ = self.look.tick() => {}
        }
        if !(self.allowed)() {
            return None;
        }
        let published = self.publisher.units.load(Ordering::Relaxed);
        if self.flushed.has_changed().ok()? || published != self.published {
            self.flushed.mark_unchanged();
            self.published = published;
            return Some("event: counted\ndata: {}\n\n".to_owned());
        }
        let visitors = self.journal.live(self.site).await?;
        if self.told != Some(visitors) {
            self.told = Some(visitors);
            return Some(format!("event: live\ndata: {{\"visitors\":{visitors}}}\n\n"));
        }
        Some(": here\n\n".to_owned())
    }
}

fn stopping() -> Problem {
    Problem::new(503, "unavailable", "The collector is stopping")
}
