//! Stage 10: pages and API for people and programs that read: reports, metrics, sessions, tokens,
//! share links, the registry, the dashboards, the sample profile and the health check. Permissions
//! are checked in `access` only.

mod access;
mod api;
mod body;
mod compliance;
mod compression;
pub mod consent;
mod dashboard;
mod deadline;
mod entity_tag;
mod erasure;
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
mod retention;
mod sample;
mod scripts;
mod session;
mod share_page;
mod shares;
mod streams;
mod test_clock;
mod tokens;
mod used_tokens;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::http::header::{ALLOW, HeaderValue};
use actix_web::introspection::{IntrospectionReportItem, IntrospectionTree};
use actix_web::{HttpRequest, HttpResponse, ResponseError, web};
use jiff::Timestamp;
use tokio::sync::watch;

use crate::access::CredentialIndex;
use crate::calendar::Millis;
use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::config::RetentionPolicy;
use crate::event::{Problem, ProblemCode, SiteId};
use crate::flush;
use crate::health::HealthMonitor;
use crate::http::{ConnectionLimiter, configure_extractors};
use crate::ingest;
use crate::journal::Journal;
use crate::mail::MailService;
use crate::publisher::LotPublisher;
use crate::registry::Registry;
use crate::report::ReportLimits;
use crate::store::{Store, StoreError, StoreShards, StoreSlot};
use crate::telemetry::MetricsRenderer;

/// Pause between two looks at whether the store is open.
const STORE_LOOK_PAUSE: Duration = Duration::from_millis(10);

pub use access::AuthState;
pub use compliance::ConfiguredPromises;
pub use deadline::enforce_deadline;
pub use live::answer_live_visitors;
pub use streams::StreamLimiter;
pub use test_clock::advance_clock;

/// The parts that the handlers need.
pub struct AppState {
    /// Time of all responses.
    pub clock: Clock,
    /// Sites, tokens, share links and the audit log.
    pub registry: Arc<Registry>,
    /// `None` if mail is switched off.
    pub mail: Option<Arc<MailService>>,
    /// Sessions, logins and permissions.
    pub auth: AuthState,
    /// Minimum number of visitors of a value that is named (`report.k`).
    pub report_k: u32,
    /// The folder of backups, which an erasure leaves as they are.
    pub backup_dir: PathBuf,
    /// Counts of current visitors, and the journal's state.
    pub journal: Journal,
    /// The store, or its first shard; empty until it is opened.
    pub store: StoreSlot,
    /// All shards of the store; the first is `store`.
    pub shards: Arc<StoreShards>,
    /// Number of the last segment that all shards acknowledged; `None` before the first.
    pub flushed_segment: watch::Receiver<Option<u64>>,
    /// Changes whenever a shard acknowledged a segment.
    pub flush_progress: watch::Receiver<Option<u64>>,
    /// The metrics page.
    pub meters: MetricsRenderer,
    /// Liveness and readiness.
    pub health: Arc<HealthMonitor>,
    /// State of sending segments, for the health report.
    pub flush_stats: Arc<flush::FlushStats>,
    /// Publishes attributes.
    pub publisher: Arc<LotPublisher>,
    /// Deletes old counts.
    pub retention: Arc<flush::RetentionJob>,
    /// `embedded` or `server`.
    pub store_kind: &'static str,
    /// Maximum number of bytes in the journal (`journal.max_bytes`).
    pub journal_max_bytes: u64,
    /// Start of the process.
    pub started_at: Timestamp,
    /// Open event streams, and their limits.
    pub streams: Arc<StreamLimiter>,
    /// `true` once the collector stops.
    pub stopping: watch::Receiver<bool>,
    /// `true` while open event streams must end: the collector stops, or another process takes over.
    pub streams_ending: watch::Receiver<bool>,
    /// After an upgrade, until when requests wait for the store to be opened again. `None` for a
    /// process that did not take over from another: it answers 503 meanwhile.
    pub waits_for_store_until: Option<Instant>,
    /// Open connections, by network.
    pub connections: Arc<ConnectionLimiter>,
    /// Time for a request's body to arrive.
    pub body_deadline: Duration,
    /// Time for a response that needs the store.
    pub response_deadline: Duration,
    /// Whether the sample profile is served.
    pub serves_sample: bool,
    /// Path prefix of the collector's routes.
    pub route_prefix: String,
    /// The promises that the configuration makes.
    pub promises: ConfiguredPromises,
    /// The other collectors, if there are any.
    pub cluster: Option<Arc<Cluster>>,
}

/// How often a report is read: from each of three replicas.
const MAX_READS: u32 = 3;
/// How long to wait until another replica is read.
const MAX_FAILOVER: Duration = Duration::from_secs(1);

impl AppState {
    /// After an upgrade, waits until the store is open and the registry was read.
    pub async fn wait_for_store(&self) {
        let Some(until) = self.waits_for_store_until else {
            return;
        };
        let is_open =
            || self.shards.all_shards().is_some() && self.registry.access_keys().is_some();
        while !is_open() && Instant::now() < until {
            tokio::time::sleep(STORE_LOOK_PAUSE).await;
        }
    }

    /// The store, or its first shard, which holds the registry and what is of no site.
    ///
    /// # Errors
    ///
    /// 503 `store_unavailable` until it is open.
    fn require_store(&self) -> Result<Arc<Store>, Problem> {
        self.store
            .load_full()
            .ok_or_else(Problem::store_unavailable)
    }

    /// The shard that holds a site.
    ///
    /// # Errors
    ///
    /// 503 `store_unavailable` until it is open.
    fn require_shard(&self, site: SiteId) -> Result<Arc<Store>, Problem> {
        self.shards
            .find_owner(site)
            .ok_or_else(Problem::store_unavailable)
    }

    /// Reads from the shard that holds a site; from another replica if the one that is read goes
    /// away meanwhile.
    ///
    /// # Errors
    ///
    /// 503 `store_unavailable` if no replica that is up to date responds, or as for the read.
    async fn read_shard<T>(
        &self,
        site: SiteId,
        read: impl AsyncFn(&Store) -> Result<T, StoreError>,
    ) -> Result<T, Problem> {
        let mut attempt = 1;
        loop {
            let store = self.require_shard(site)?;
            let gone = store.replica().wait_until_unread(&store);
            let error = tokio::select! {
                biased;
                read = read(&store) => match read {
                    Ok(read) => return Ok(read),
                    Err(error) => Some(error),
                },
                () = gone => None,
            };
            attempt += 1;
            let may_pass = error.as_ref().is_none_or(StoreError::is_retryable);
            if attempt > MAX_READS || !may_pass || !store.replica().is_replicated() {
                return Err(error.map_or_else(Problem::store_unavailable, api::store_problem));
            }
            // The replica may be back before it was missed.
            let gone = store.replica().wait_until_unread(&store);
            let _ = tokio::time::timeout(MAX_FAILOVER, gone).await;
        }
    }

    /// All shards, for what would be wrong without one of them.
    ///
    /// # Errors
    ///
    /// 503 `store_unavailable` until each is open.
    fn require_all_shards(&self) -> Result<Vec<Arc<Store>>, Problem> {
        self.shards
            .all_shards()
            .ok_or_else(Problem::store_unavailable)
    }

    /// Tokens and share links in force.
    ///
    /// # Errors
    ///
    /// 503 `store_unavailable` until they were read from the store.
    fn require_access_keys(&self) -> Result<Arc<CredentialIndex>, Problem> {
        self.registry
            .access_keys()
            .ok_or_else(Problem::store_unavailable)
    }

    /// Limits of the reports of one site.
    pub(crate) fn site_report_limits(&self, name: &str) -> ReportLimits {
        self.report_limits(|policy| policy.keep_days(name))
    }

    /// Limits of the reports of the platform.
    pub(crate) fn platform_report_limits(&self) -> ReportLimits {
        self.report_limits(RetentionPolicy::default_days)
    }

    fn report_limits(&self, keep_days: impl Fn(&RetentionPolicy) -> u32) -> ReportLimits {
        let directory = &self.registry.directory;
        ReportLimits {
            k: self.report_k,
            keep_days: keep_days(&directory.retention_policy()),
            hourly_days: self.retention.limits().hourly_days,
            plausible_today: directory.plausible_today(),
        }
    }

    /// Counts the held clicks that are due at `now`.
    pub fn release_clicks(&self, now: Millis) {
        if let Some(desk) = &self.mail {
            ingest::mail::release_due_clicks(desk, &self.journal, now);
        }
    }
}

/// Registers all routes except those of `ingest` and of consent.
pub fn register_routes(site: &AppState, config: &mut web::ServiceConfig) {
    configure_extractors(config);
    config
        .route("/metrics", web::get().to(metrics::get_metrics))
        .route(
            "/api/v1/sites/{site}/report",
            web::get().to(api::get_report),
        )
        .route(
            "/api/v1/sites/{site}/vitals",
            web::get().to(api::get_vitals),
        )
        .route(
            "/api/v1/sites/{site}/faults",
            web::get().to(api::get_faults),
        )
        .route(
            "/api/v1/sites/{site}/export",
            web::get().to(export::get_export),
        )
        .route(
            "/api/v1/sites/{site}/live",
            web::get().to(live::get_live_visitors),
        )
        .route(
            "/api/v1/sites/{site}/events",
            web::get().to(live::stream_events),
        );
    health::register_routes(config);
    mail::register_routes(config);
    money::register_routes(config);
    platform::register_routes(config);
    registry::register_routes(config);
    retention::register_routes(config);
    erasure::register_routes(config);
    compliance::register_routes(config);
    session::register_routes(config);
    share_page::register_routes(config);
    shares::register_routes(config);
    tokens::register_routes(config);
    scripts::register_routes(&site.route_prefix, config);
    dashboard::register_routes(config);
    if site.serves_sample {
        sample::register_routes(config);
    }
    if matches!(site.clock, Clock::Test(_)) {
        config
            .route("/test/flush", web::post().to(test_clock::flush_journal))
            .route("/test/publish", web::post().to(test_clock::publish_due))
            .route("/test/retention", web::post().to(test_clock::run_retention))
            .route("/test/routes", web::get().to(test_clock::list_routes));
    }
}

/// The handler of all other requests: 404, or 405 with the methods of the path. The body is drained
/// even here, see `http::read_body`.
pub async fn handle_unmatched(
    request: HttpRequest,
    mut payload: web::Payload,
    site: web::Data<AppState>,
    tree: web::Data<IntrospectionTree>,
) -> HttpResponse {
    let pattern = request.resource_map().match_pattern(request.path());
    let methods = pattern.map(|pattern| allowed_methods(&tree, &pattern));
    let problem = match &methods {
        None => Problem::new(ProblemCode::NotFound),
        Some(methods) => Problem::new(ProblemCode::MethodNotAllowed)
            .with_detail(format!("allowed are {methods}")),
    };

    let problem = problem
        .after_draining(&mut payload, site.body_deadline)
        .await;
    let mut answer = problem.error_response();
    if let Some(methods) = methods.and_then(|methods| HeaderValue::from_str(&methods).ok()) {
        answer.headers_mut().insert(ALLOW, methods);
    }
    answer
}

fn allowed_methods(tree: &IntrospectionTree, pattern: &str) -> String {
    let routes: Vec<IntrospectionReportItem> = (&tree.root).into();
    let of = routes
        .iter()
        .filter(|route| route.full_path == pattern)
        .flat_map(|route| &route.methods);
    of.map(ToString::to_string)
        .collect::<BTreeSet<String>>()
        .into_iter()
        .collect::<Vec<_>>()
        .join(", ")
}
