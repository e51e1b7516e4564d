//! Wires the parts, starts them in an order that loses nothing, and stops them in reverse.
//!
//! Start: recover the journal, start the writer, open the port. The store is opened concurrently,
//! because hits do not wait for it.
//!
//! Stop: report "not ready" for `server.drain_secs`, close the port, finish requests in progress,
//! close open visits, close the segment, and send the closed segments, within `server.shutdown_secs`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actix_server::Server;
use actix_web::middleware::{Condition, from_fn};
use actix_web::{App, web};
use anyhow::Context;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};

use crate::aggregate::AggregatorLimits;
use crate::backup::control::BackupListener;
use crate::bi_port::BiPort;
use crate::calendar::{Day, Millis};
use crate::clock::Clock;
use crate::cluster::{Cluster, ClusterPort};
use crate::config::{CompatibleRules, Config, StoredRefusals, is_site_name};
use crate::consent::{DropCounters, Gate, WithdrawnGrants};
use crate::disk::{self, RestrictOutcome};
use crate::enrich::{CountryDatabase, DataCentreNetworks, Enricher};
use crate::flush::{
    self, RetentionJob, SegmentBacklog, SegmentFlusher, SegmentProgress, ShardFlushers,
};
use crate::health::{self, HealthMonitor};
use crate::http::{ConnectionLimiter, RateLimiters, RequestEraser, TrustedProxies};
use crate::ingest::mail::{self, MailIngestService};
use crate::ingest::{self, IngestService};
use crate::journal::{Journal, JournalWriter, WriterParts};
use crate::ledger::ProgressCallback;
use crate::outage::Outage;
use crate::pseudonym::{DayKeys, harden_process};
use crate::publisher::LotPublisher;
use crate::random::random_bytes;
use crate::registry::Registry;
use crate::sites::SiteDirectory;
use crate::store::{BiUsers, EngineLimits, ShardPlace, Store, StoreOptions, StoreShards};
use crate::telemetry::MetricsRenderer;
use crate::web as pages;
use crate::web::AuthState;
use crate::web::consent::ConsentService;
use cluster_calls::ClusterCalls;
use consent_service::{SharedParts, build_consent_service};
use key_files::{CookieKeyFile, GrantKeyFile};
use listener::ConnectionLimits;
use maintenance::{ReloadableFiles, run_maintenance};
use signals::{OtherSignals, SIGTERM, StopSignals};

mod cluster_calls;
mod config_check;
mod consent_service;
mod key_files;
mod listener;
mod mail_service;
mod maintenance;
mod signals;
mod systemd;

pub use config_check::check_config;
pub use key_files::demo_grant_signer;
pub use mail_service::{build_link_signer, open_signed_values};

/// Runs the collector until a signal or a failure.
///
/// # Errors
///
/// A part cannot be opened, the journal or the store failed for good, or a stop could not write
/// everything. Acknowledged hits are in the journal in each case.
pub async fn run(config: Config, progress: ProgressCallback<'_>) -> anyhow::Result<()> {
    harden_process();
    restrict_folders(&config);
    let room = ConnectionLimits::from_config(&config);
    let CollectorParts {
        ingest,
        mail,
        site,
        consent_service,
        writer,
        flushers,
        rates,
        enricher,
        grant_keys,
        cookie_keys,
        registry,
        stop,
        cluster,
        withdrawn,
    } = build_parts(&config, room, progress)?;
    let backups = BackupListener {
        journal: Arc::clone(&site.journal.folder),
        store: Arc::clone(&site.store),
        clock: site.clock.clone(),
        disk: config.backup.disk.clone(),
        stopping: site.stopping.clone(),
    };
    let ledger = consent_service.ledger.clone();
    let (journal, shutdown_secs) = (site.journal.clone(), config.server.shutdown_secs);
    let site_publisher = Arc::clone(&site.publisher);
    let files = ReloadableFiles {
        enricher,
        grant_keys,
        cookie_keys,
        terms: Arc::clone(&consent_service.consent_policy),
    };
    // Before the port is open, so that from the first hit on a signal causes an orderly stop.
    let mut ends = StopSignals::install_handlers()?;
    let tend = run_maintenance(
        site.clone(),
        rates,
        files,
        Duration::from_secs(config.data.reload_secs),
        OtherSignals::install_handlers()?,
    );
    let bi_port = BiPort::open(
        &config,
        site.clock.clone(),
        Arc::clone(&registry),
        Arc::clone(&site.store),
    )?;
    let cluster = match cluster {
        None => None,
        Some((cluster, port)) => {
            port.start(Arc::new(ClusterCalls {
                ingest: ingest.clone().into_inner(),
                mail: mail.clone().into_inner(),
                site: site.clone().into_inner(),
                consent_service: consent_service.clone().into_inner(),
                withdrawn,
            }))?;
            cluster.wait_for_contact().await;
            Some(cluster)
        }
    };
    let server = start_server(&config, room, ingest, mail, site.clone(), consent_service)?;
    let door = server.handle();
    let health = Arc::clone(&site.health);

    let (ended, mut writer_ended) = oneshot::channel();
    std::thread::Builder::new()
        .name("writer".into())
        .spawn(move || ended.send(writer.run()))?;
    let mut flushing = tokio::spawn(flushers.run());
    let serving = tokio::spawn(server);
    let tending = tokio::spawn(tend);
    let publishing = tokio::spawn(Arc::clone(&site_publisher).run());
    let following = tokio::spawn(
        Arc::clone(&registry).poll_changes(Duration::from_secs(config.registry.refresh_secs)),
    );

    let bi_serving = bi_port.map(|port| tokio::spawn(port.run()));
    tokio::spawn(backups.run());
    tokio::spawn(Arc::clone(&health).poll_store());
    tokio::spawn(systemd::run_watchdog(Arc::clone(&health)));
    systemd::send_ready();

    let failure = tokio::select! {
        signal = ends.next_signal() => {
            tracing::info!(signal, "stopping");
            systemd::send_stopping();
            health.start_draining();
            if let Some(cluster) = &cluster {
                cluster.start_leaving();
            }
            // A user who presses Ctrl-C waits for the end; a supervisor has a load balancer that
            // needs the time.
            if signal == SIGTERM {
                let _ = timeout(Duration::from_secs(config.server.drain_secs), ends.next_signal()).await;
            }
            None
        }
        ended = &mut writer_ended => Some(ended.context("the writer stopped")?.context("the journal failed")),
        ended = &mut flushing => {
            let ended = ended.context("the flusher stopped")?.context("the store failed");
            // In an orderly stop, the flusher ends only after the writer.
            Some(ended.and_then(|()| Err(anyhow::anyhow!("the writer or the closer stopped"))))
        }
    };
    if let Some(failure) = failure {
        // The disk or the engine failed, and waiting does not help. Acknowledged hits are in the
        // journal.
        systemd::send_stopping();
        journal.queue.close();
        door.stop(false).await;
        return failure;
    }

    let limit = Duration::from_secs(shutdown_secs);
    kill_after(limit + STOP_GRACE);
    let deadline = Instant::now() + limit;
    stop.send_replace(true);
    if let Some(serving) = bi_serving {
        serving.abort();
    }
    let closed = async {
        door.stop(true).await;
        let _ = serving.await;
    };
    if timeout_at(deadline, closed).await.is_err() {
        tracing::warn!("connections were still open at the end of server.shutdown_secs");
    }

    site.release_clicks(Millis::MAX);
    journal.queue.close();
    let written = match timeout_at(deadline, writer_ended).await {
        Ok(ended) => ended
            .context("the writer stopped early")?
            .context("the journal failed"),
        Err(_) => Err(anyhow::anyhow!(
            "the journal could not be closed within server.shutdown_secs; acknowledged hits are in \
             it and are read at the next start"
        )),
    };

    let recorded = match timeout_at(
        deadline,
        tokio::task::spawn_blocking(move || ledger.close()),
    )
    .await
    {
        Ok(ended) => ended?.context("the ledger did not close in order"),
        Err(_) => Err(anyhow::anyhow!(
            "the ledger could not be closed within server.shutdown_secs"
        )),
    };

    tending.abort();
    following.abort();
    // An interrupted publication is resumed at the next start.
    publishing.abort();
    // Audit entries of sign-ins get only a part of the time: if the store hangs, segments need the
    // rest.
    let sign_ins = deadline.min(Instant::now() + limit / 4);
    let (noted, sent) = tokio::join!(
        timeout_at(sign_ins, registry.write_queued()),
        timeout_at(deadline, flushing)
    );
    if noted.is_err() {
        tracing::warn!("the last sign-ins could not be added to the audit log in time");
    }

    if let Ok(ended) = sent {
        ended.context("the flusher stopped early")??;
    }
    for store in site.shards.take_all() {
        store.close().await;
    }
    if let Some(segments) = SegmentBacklog::from_folder(&journal.folder, site.clock.file_time())
        .map(|waiting| waiting.segments)
        .filter(|left| *left > 0)
    {
        tracing::warn!(
            segments,
            "not all segments were sent; they are in the journal and are sent at the next start"
        );
    }
    written.and(recorded)?;
    tracing::info!("stopped");
    Ok(())
}

/// Time that a stop may take beyond `server.shutdown_secs` before the process kills itself.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// Kills the process after `limit`, so that the deadline holds even if a disk or a library blocks a
/// thread.
fn kill_after(limit: Duration) {
    let kill = move || {
        std::thread::sleep(limit);
        tracing::error!(
            "the stop hangs; the process is killed. Acknowledged hits are in the journal"
        );
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    };
    if let Err(error) = std::thread::Builder::new()
        .name("deadline".into())
        .spawn(kill)
    {
        tracing::warn!(%error, "the end of server.shutdown_secs is not enforced");
    }
}

/// All parts, connected but not running.
struct CollectorParts {
    ingest: web::Data<IngestService>,
    mail: web::Data<MailIngestService>,
    site: web::Data<pages::AppState>,
    consent_service: web::Data<ConsentService>,
    writer: JournalWriter,
    flushers: ShardFlushers,
    rates: Arc<RateLimiters>,
    enricher: Arc<Enricher>,
    grant_keys: Arc<GrantKeyFile>,
    cookie_keys: Arc<CookieKeyFile>,
    registry: Arc<Registry>,
    /// Makes open event streams end.
    stop: watch::Sender<bool>,
    cluster: Option<(Arc<Cluster>, ClusterPort)>,
    withdrawn: Arc<WithdrawnGrants>,
}

fn build_parts(
    config: &Config,
    room: ConnectionLimits,
    progress: ProgressCallback<'_>,
) -> anyhow::Result<CollectorParts> {
    let clock = if config.test.clock {
        Clock::new_test(config.test.start_millis)
    } else {
        Clock::new_steady()
    };
    let directory = Arc::new(SiteDirectory::new(config));
    let refusals = Arc::new(DropCounters::default());
    let keys = Arc::new(DayKeys::with_system_random(directory.time_zones()));
    let rates = Arc::new(RateLimiters::new(config));
    let enricher = Enricher::new(random_bytes(), open_countries(config)?)
        .with_data_centres(open_data_centres(config)?);
    let enricher = Arc::new(enricher);
    if !enricher.rejected_patterns().is_empty() {
        tracing::warn!(patterns = ?enricher.rejected_patterns(), "bot patterns that match browsers \
            are not used");
    }

    let (sealed_sender, sealed) = mpsc::unbounded_channel();
    let parts = WriterParts {
        clock: clock.clone(),
        day_keys: Arc::clone(&keys),
        drop_counters: Arc::clone(&refusals),
    };
    let (journal, writer) = JournalWriter::open(config, parts, sealed_sender)
        .context("the journal cannot be opened")?;
    log_recovered(&journal);
    log_declared_rules(config);

    let flush_stats = Arc::new(flush::FlushStats::default());
    let shard_options = shard_options(config);
    let shards = Arc::new(StoreShards::new(shard_options.len()));
    let retention = Arc::new(RetentionJob::new(
        Arc::clone(&journal.folder),
        Arc::clone(&directory),
        clock.clone(),
        config.retention.ageing_limits(),
        shards.shard_count(),
    ));
    let withdrawn = Arc::new(WithdrawnGrants::empty_since(Store::withdrawals_since(
        today_utc(&clock),
    )));
    let cluster = Cluster::open(&config.cluster, &clock)?;
    let others = cluster.as_ref().map(|(cluster, _)| Arc::clone(cluster));
    let (dir, templates) = (&config.journal.dir, config.mail.templates.clone());
    let registry = Arc::new(Registry::open(
        Arc::clone(&directory),
        Arc::clone(&shards),
        dir,
        templates,
        Arc::clone(&withdrawn),
        others.clone(),
    ));

    let grant_keys = Arc::new(GrantKeyFile::from_config(config));
    let shared = SharedParts {
        clock: clock.clone(),
        rates: Arc::clone(&rates),
        registry: Arc::clone(&registry),
        grant_keys: Arc::clone(&grant_keys),
        withdrawn: Arc::clone(&withdrawn),
        cluster: others.clone(),
    };
    let consent_service = web::Data::new(build_consent_service(config, shared, progress)?);

    let (stop, stopping) = watch::channel(false);
    let progress = Arc::new(SegmentProgress::new(shards.shard_count()));
    let mut flushed = Vec::new();
    let mut flushers = ShardFlushers {
        closed_segments: sealed,
        flushers: Vec::new(),
        shards: Vec::new(),
    };
    for options in shard_options {
        let (done, of_shard) = watch::channel(None);
        let (announce, announced) = mpsc::unbounded_channel();
        flushed.push(of_shard);
        flushers.shards.push(announce);
        flushers.flushers.push(SegmentFlusher {
            folder: Arc::clone(&journal.folder),
            closed_segments: announced,
            store_slot: shards.slot(options.shard.index()),
            options,
            retention: Arc::clone(&retention),
            progress: Arc::clone(&progress),
            stats: Arc::clone(&flush_stats),
            finished: done,
            stopping: stopping.clone(),
            outage: Outage::default(),
            queue: flush::FlushQueue::default(),
        });
    }

    let publisher = Arc::new(LotPublisher::new(
        &config.report,
        &config.test,
        clock.clone(),
        Arc::clone(&directory),
        Arc::clone(&shards),
        journal.clone(),
        flushed,
    ));

    let health = health::HealthSources {
        clock: clock.clone(),
        journal: journal.clone(),
        day_keys: Arc::clone(&keys),
        shards: Arc::clone(&shards),
        publisher_stats: publisher.stats(),
        retention_stats: retention.stats(),
        ledger_stats: consent_service.ledger.stats(),
    };
    let deadline = Duration::from_millis(config.limits.read_timeout_millis);
    let ingest = web::Data::new(IngestService {
        clock: clock.clone(),
        directory,
        proxies: TrustedProxies::new(&config.proxy.trusted),
        rates: Arc::clone(&rates),
        enricher: Arc::clone(&enricher),
        compatible: CompatibleRules::new(&config.compatible),
        gate: Gate::new(
            config,
            Arc::clone(&consent_service.consent_policy),
            Arc::clone(&refusals),
        ),
        keys,
        hit_queue: Arc::clone(&journal.queue),
        mode: config.visitor.mode,
        aggregator_limits: AggregatorLimits::from_config(config),
        visit_cookie_prefix: IngestService::visit_cookie_prefix(config),
        max_body_bytes: config.limits.body_bytes,
        max_hits: config.limits.hits_per_beacon,
        max_header_fields: config.limits.headers,
        max_header_bytes: config.limits.header_bytes,
        max_amount: config.limits.max_amount,
        body_timeout: deadline,
        cluster: others.clone(),
        cookie_names: [
            config.consent.cookie.name.clone(),
            config.visitor.cookie.name.clone(),
        ],
    });

    let gate = Gate::new(
        config,
        Arc::clone(&consent_service.consent_policy),
        Arc::clone(&refusals),
    );
    let desk = mail_service::build_mail_service(
        config,
        &ingest.directory.time_zones(),
        random_bytes(),
        Arc::clone(&registry.opened_messages),
    )?;
    let mail = web::Data::new(mail_service::build_mail_ingest(
        config,
        &ingest,
        gate,
        desk.clone(),
        journal.clone(),
    ));

    let cookie_keys = Arc::new(CookieKeyFile::from_config(config));
    registry
        .read_sign_outs(today_utc(&clock), config.store.is_embedded())
        .context("the sign-outs of former runs cannot be read")?;
    let site = web::Data::new(pages::AppState {
        clock,
        registry: Arc::clone(&registry),
        mail: desk,
        auth: AuthState::new(config, cookie_keys.open()?, Arc::clone(&rates))
            .context("platform.token_key: not a key of platform.token_algorithm")?,
        report_k: config.report.k,
        backup_dir: config.backup.dir.clone(),
        journal,
        store: shards.first_slot(),
        shards,
        flushed_segment: progress.all_done(),
        flush_progress: progress.any_done(),
        meters: MetricsRenderer::new(
            refusals,
            Arc::clone(&flush_stats),
            publisher.stats(),
            consent_service.ledger.stats(),
            retention.stats(),
            others.clone(),
        ),
        health: Arc::new(HealthMonitor::new(&config.health, health)),
        publisher,
        retention,
        flush_stats,
        store_kind: match (config.store.is_embedded(), config.store.shards.len()) {
            (true, _) => "embedded",
            (false, 0 | 1) => "server",
            (false, _) => "shards",
        },
        journal_max_bytes: config.journal.max_bytes,
        started_at: jiff::Timestamp::now(),
        streams: Arc::new(pages::StreamLimiter::new(config)),
        stopping,
        connections: Arc::new(ConnectionLimiter::new(
            room.per_network,
            TrustedProxies::new(&config.proxy.trusted),
        )),
        body_deadline: deadline,
        response_deadline: Duration::from_millis(config.limits.response_timeout_millis),
        serves_sample: config.sample.enabled,
        route_prefix: config.server.prefix.clone(),
        promises: pages::ConfiguredPromises::from_config(config),
        cluster: others,
    });

    Ok(CollectorParts {
        ingest,
        mail,
        site,
        consent_service,
        writer,
        flushers,
        rates,
        enricher,
        grant_keys,
        cookie_keys,
        registry,
        stop,
        cluster,
        withdrawn,
    })
}

/// Opens the port. Hits are accepted from here on; they wait until the writer runs.
fn start_server(
    config: &Config,
    room: ConnectionLimits,
    ingest: web::Data<IngestService>,
    mail: web::Data<MailIngestService>,
    site: web::Data<pages::AppState>,
    consent_service: web::Data<ConsentService>,
) -> anyhow::Result<Server> {
    let hit_path = format!("{}/hit", config.server.prefix);
    // The visit cookie of a profile is only sent to paths below the profile.
    let hit_under = format!("/{{under:.+}}{hit_path}");
    let prefix = config.server.prefix.clone();
    let (pixels, links) = (format!("{prefix}/o"), format!("{prefix}/c"));
    let (test_clock, crowd) = (config.test.clock, Arc::clone(&site.connections));
    let factory = move || {
        let (routed, asked) = (site.clone(), consent_service.clone());
        App::new()
            .app_data(ingest.clone())
            .app_data(mail.clone())
            .app_data(site.clone())
            .app_data(consent_service.clone())
            .wrap(from_fn(pages::enforce_deadline))
            .wrap(Condition::new(test_clock, from_fn(pages::advance_clock)))
            .wrap(RequestEraser)
            .route(&hit_path, web::post().to(ingest::post_hit))
            // Scopes instead of patterns, and placed before the patterns: matching patterns against
            // a token costs more than counting its mail.
            .service(web::scope(&pixels).default_service(web::to(mail::serve_pixel)))
            .service(web::scope(&links).default_service(web::to(mail::follow_link)))
            .route(&hit_under, web::post().to(ingest::post_hit))
            .configure(|config| ingest::register_compat_routes(&prefix, config))
            .configure(move |config| pages::consent::register_routes(&asked, config))
            .configure(move |config| pages::register_routes(&routed, config))
            .default_service(web::to(pages::handle_unmatched))
    };
    listener::open_port(config, room, &crowd, factory)
}

/// Removes other users' access to folders that an earlier version or a manual setup left open.
fn restrict_folders(config: &Config) {
    let embedded = config.store.is_embedded().then_some(&config.store.dir);
    for folder in [
        &config.journal.dir,
        &config.ledger.dir,
        &config.mail.key_file,
    ]
    .into_iter()
    .chain(embedded)
    {
        let shown = folder.display();
        match disk::restrict_tree(folder) {
            Ok(RestrictOutcome {
                restricted: 0,
                failed: 0,
            }) => {}
            Ok(RestrictOutcome {
                restricted: closed,
                failed: 0,
            }) => {
                tracing::warn!(path = %shown, closed, "other users of this machine could reach it; \
                    now they cannot");
            }
            Ok(RestrictOutcome {
                restricted: closed,
                failed: left,
            }) => tracing::warn!(
                path = %shown, closed, left,
                "other users of this machine have access, and the collector may not change it: \
                 chmod it to 0700 and its files to 0600"
            ),
            Err(error) => {
                tracing::warn!(path = %shown, %error, "the access of other users could not be \
                    checked")
            }
        }
    }
}

fn log_recovered(journal: &Journal) {
    let recovered = &journal.recovered;
    if recovered.frames > 0 || recovered.damaged > 0 {
        let (segments, batches, damaged) =
            (recovered.segments, recovered.frames, recovered.damaged);
        tracing::info!(segments, batches, damaged, "recovered the journal");
    }
}

/// Logs the operator's stated reason for each rule that counts hits without the consent cookie.
fn log_declared_rules(config: &Config) {
    for rule in config
        .compatible
        .iter()
        .filter(|rule| !rule.declared.is_empty())
    {
        let products: Vec<&str> = rule.accept.iter().map(|dialect| dialect.name()).collect();
        let (sites, products) = (rule.sites.join(", "), products.join(", "));
        tracing::info!(%sites, %products, declared = %rule.declared, "counted without our consent \
            cookie, as declared by the operator");
        if rule.stored_refusals == StoredRefusals::Unseen {
            tracing::warn!(
                %sites,
                "umami's tag sends no cookies: people whose refusal is stored here are counted \
                 (stored_refusals)"
            );
        }
    }
}

/// Waits for SIGTERM or SIGINT and returns its name.
pub(crate) async fn wait_for_stop_signal() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => terminate.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = terminate => "SIGTERM",
        _ = tokio::signal::ctrl_c() => "SIGINT",
    }
}

/// How to open each shard of the configured store, in order; one entry for a store without shards.
fn shard_options(config: &Config) -> Vec<StoreOptions> {
    let whole = store_options(config);
    let urls = config.store.shard_urls();
    let count = u32::try_from(urls.len()).unwrap_or(u32::MAX);
    let shards = (0..).zip(urls).map(|(index, url)| StoreOptions {
        url: Some(url.to_owned()),
        shard: ShardPlace::new(index, count),
        ..whole.clone()
    });
    let shards: Vec<StoreOptions> = shards.collect();
    if shards.is_empty() {
        return vec![whole];
    }
    shards
}

/// How to open the configured store, or its first shard.
pub(crate) fn store_options(config: &Config) -> StoreOptions {
    let urls = config.store.shard_urls();
    let store = &config.store;
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());

    StoreOptions {
        url: match urls.first() {
            Some(first) => Some((*first).to_owned()),
            None => some(&store.url),
        },
        shard: ShardPlace::new(0, u32::try_from(urls.len()).unwrap_or(u32::MAX)),
        user: some(&store.user),
        password: some(store.password.expose_secret()),
        ca_file: store_ca_file(config),
        database: store.database.clone(),
        cluster: some(&store.cluster),
        data_dir: store.dir.clone(),
        backup_dir: Some(config.backup.dir.clone()),
        // Refers to the running program, also if its file was replaced by a later version.
        program: PathBuf::from("/proc/self/exe"),
        library: find_file(&store.library, "@chdb/lib-linux-x64-gnu/libchdb.so")
            .unwrap_or_else(|| PathBuf::from("libchdb.so")),
        limits: EngineLimits {
            server_memory: store.memory_bytes,
            query_memory: store.query_memory_bytes,
            query_seconds: store.query_timeout_secs,
            connections: store.connections,
            bi_users: config.bi_port.is_enabled().then(|| BiUsers {
                count: config.bi_port.tokens,
                database: store.database.clone(),
                query_memory: config.bi_port.query_memory_bytes,
                query_seconds: config.bi_port.query_timeout_secs,
                result_rows: config.bi_port.result_rows,
                queries: config.bi_port.queries,
            }),
            ..EngineLimits::default()
        },
        site_names: configured_site_names(config),
    }
}

/// CA certificates for the store's TLS: `store.ca_file`, or else the environment's `SSL_CERT_FILE`.
fn store_ca_file(config: &Config) -> Option<PathBuf> {
    let named = Some(&config.store.ca_file)
        .filter(|file| !file.is_empty())
        .map(PathBuf::from);
    named.or_else(|| {
        std::env::var_os("SSL_CERT_FILE")
            .filter(|file| !file.is_empty())
            .map(PathBuf::from)
    })
}

/// Names of the sites that the configuration lists.
fn configured_site_names(config: &Config) -> Vec<String> {
    let sites = config.sites.iter().map(|site| &site.id);
    let compatible = config.compatible.iter().flat_map(|rule| &rule.sites);
    sites
        .chain(compatible)
        .filter(|name| is_site_name(name))
        .cloned()
        .collect()
}

/// The current day in UTC.
fn today_utc(clock: &Clock) -> Day {
    Day::from_utc(clock.now()).unwrap_or(Day::from_number(0))
}

/// Opens the country database of `data.countries`, or the npm package's. Without one, every country
/// is `(unknown)`.
///
/// # Errors
///
/// The file exists but is not a readable database.
pub(crate) fn open_countries(config: &Config) -> anyhow::Result<CountryDatabase> {
    let file = "@ip-location-db/geo-whois-asn-country-mmdb/geo-whois-asn-country.mmdb";
    match find_file(&config.data.countries, file) {
        Some(path) => CountryDatabase::open(path).context("data.countries"),
        None => {
            tracing::warn!(
                "no country database was found (data.countries); every country is (unknown)"
            );
            Ok(CountryDatabase::without_file())
        }
    }
}

fn open_data_centres(config: &Config) -> anyhow::Result<DataCentreNetworks> {
    match config.data.datacenter_networks.as_str() {
        "" => Ok(DataCentreNetworks::default()),
        file => DataCentreNetworks::open(file).context("data.datacenter_networks"),
    }
}

/// The configured path; otherwise the npm package's file in `node_modules`, here or in the binary's
/// folder, or the file itself in that folder. `None` if there is no such file.
fn find_file(configured: &str, file: &str) -> Option<PathBuf> {
    if !configured.is_empty() {
        return Some(PathBuf::from(configured));
    }
    let beside = std::env::current_exe()
        .ok()
        .and_then(|binary| binary.parent().map(Path::to_owned));
    let bare = Path::new(file)
        .file_name()
        .map(Path::new)
        .unwrap_or(Path::new(file));
    let mut places = vec![Path::new("node_modules").join(file)];
    if let Some(beside) = beside {
        places.push(beside.join(bare));
        places.push(beside.join("node_modules").join(file));
    }
    places.into_iter().find(|place| place.is_file())
}
