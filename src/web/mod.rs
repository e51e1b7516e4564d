//! Stage 10: pages and API for people and programs that read: reports, metrics, sessions, tokens,
//! share links, the registry, the dashboards, the sample profile and the health check. Permissions
//! are checked in `access` only.

mod access;
mod api;
mod body;
mod coding;
pub mod consent;
mod dashboard;
mod deadline;
mod export;
mod health;
mod live;
mod mail;
mod metrics;
mod money;
mod pages;
mod passwords;
mod platform;
mod registry;
mod sample;
mod scripts;
mod session;
mod shared;
mod shares;
mod streams;
mod tag;
mod test_clock;
mod tokens;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header::{ALLOW, HeaderValue};
use actix_web::introspection::{IntrospectionReportItem, IntrospectionTree};
use actix_web::{HttpRequest, HttpResponse, web};
use jiff::Timestamp;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::event::{Millis, Problem};
use crate::flush;
use crate::health::Health;
use crate::http::{Crowd, refuse};
use crate::ingest;
use crate::journal::Journal;
use crate::mail::Desk;
use crate::publisher::Publisher;
use crate::registry::Registry;
use crate::report::Rules;
use crate::store::Store;
use crate::telemetry::Meters;

pub use access::Access;
pub use deadline::in_time;
pub use streams::Streams;
pub use test_clock::follow;

/// What the handlers need of the other parts.
pub struct Site {
    /// Time of all answers.
    pub clock: Clock,
    /// Sites, tokens, share links and the audit log.
    pub registry: Arc<Registry>,
    /// `None` where mails are switched off.
    pub mail: Option<Arc<Desk>>,
    /// Sessions, logins and permissions.
    pub access: Access,
    /// Limits that apply to every report.
    pub rules: Rules,
    /// Counts of current visitors, and the journal's state.
    pub journal: Journal,
    /// The store; empty until it was opened.
    pub store: Arc<arc_swap::ArcSwapOption<Store>>,
    /// Number of the last segment the store acknowledged; `None` before the first.
    pub flushed: watch::Receiver<Option<u64>>,
    /// The metrics page.
    pub meters: Meters,
    /// Liveness and readiness.
    pub health: Arc<Health>,
    /// State of sending segments, for the health report.
    pub flush: Arc<flush::Stats>,
    /// Publication of attributes.
    pub publisher: Arc<Publisher>,
    /// `embedded` or `server`.
    pub store_kind: &'static str,
    /// Bytes that may wait in the journal (`journal.max_bytes`).
    pub journal_most_bytes: u64,
    /// Start of the process.
    pub started: Timestamp,
    /// Open event streams, and their limits.
    pub streams: Arc<Streams>,
    /// `true` once the collector stops; ends open event streams.
    pub stopping: watch::Receiver<bool>,
    /// Open connections, by network.
    pub crowd: Arc<Crowd>,
    /// Time for a request's body to arrive.
    pub deadline: Duration,
    /// Time for an answer that needs the store.
    pub answer_within: Duration,
    /// Whether the sample profile is served.
    pub sample: bool,
    /// Path prefix of the collector's routes.
    pub prefix: String,
}

impl Site {
    /// Counts the clicks that were held back and are due at `now`.
    pub fn release_clicks(&self, now: Millis) {
        if let Some(desk) = &self.mail {
            ingest::mail::release(desk, &self.journal, now);
        }
    }
}

/// Registers all routes except those of `ingest` and of consent.
pub fn routes(site: &Site, config: &mut web::ServiceConfig) {
    config
        .route("/metrics", web::get().to(metrics::page))
        .route("/api/v1/sites/{site}/report", web::get().to(api::report))
        .route("/api/v1/sites/{site}/vitals", web::get().to(api::vitals))
        .route("/api/v1/sites/{site}/faults", web::get().to(api::faults))
        .route("/api/v1/sites/{site}/export", web::get().to(export::export))
        .route("/api/v1/sites/{site}/live", web::get().to(live::now))
        .route("/api/v1/sites/{site}/events", web::get().to(live::events));
    health::routes(config);
    mail::routes(config);
    money::routes(config);
    platform::routes(config);
    registry::routes(config);
    session::routes(config);
    shared::routes(config);
    shares::routes(config);
    tokens::routes(config);
    scripts::routes(&site.prefix, config);
    dashboard::routes(config);
    if site.sample {
        sample::routes(config);
    }
    if matches!(site.clock, Clock::Test(_)) {
        config
            .route("/test/flush", web::post().to(test_clock::flush))
            .route("/test/publish", web::post().to(test_clock::publish))
            .route("/test/routes", web::get().to(test_clock::routes));
    }
}

/// The handler of all other requests: 404, or 405 with the methods of the path. The body is drained
/// even here, see `http::read`.
pub async fn nothing(
    request: HttpRequest,
    mut payload: web::Payload,
    site: web::Data<Site>,
    tree: web::Data<IntrospectionTree>,
) -> HttpResponse {
    let unread = Some((&mut payload, site.deadline));
    let Some(pattern) = request.resource_map().match_pattern(request.path()) else {
        return refuse(&Problem::new(404, "not_found", "There is nothing here"), unread).await;
    };
    let methods = methods_of(&tree, &pattern);
    let problem =
        Problem::new(405, "method_not_allowed", "Not by this method").detail(format!("answered are {methods}"));
    let mut answer = refuse(&problem, unread).await;
    if let Ok(methods) = HeaderValue::from_str(&methods) {
        answer.headers_mut().insert(ALLOW, methods);
    }
    answer
}

fn methods_of(tree: &IntrospectionTree, pattern: &str) -> String {
    let routes: Vec<IntrospectionReportItem> = (&tree.root).into();
    let of = routes.iter().filter(|route| route.full_path == pattern).flat_map(|route| &route.methods);
    of.map(ToString::to_string).collect::<BTreeSet<String>>().into_iter().collect::<Vec<_>>().join(", ")
}
