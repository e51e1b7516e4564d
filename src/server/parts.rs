//! Builds the parts of a collector and connects them. Nothing runs yet.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use anyhow::Context;
use tokio::sync::{mpsc, watch};

use super::consent_service::{SharedParts, build_consent_service};
use super::data_files::{open_countries, open_data_centres};
use super::key_files::{CookieKeyFile, GrantKeyFile};
use super::listener::ConnectionLimits;
use super::mail_service;
use super::store_options::replica_options;
use super::upgrade::InheritedState;
use crate::access::{MAX_USED_TOKENS, UsedTokens};
use crate::aggregate::AggregatorLimits;
use crate::calendar::Day;
use crate::clock::Clock;
use crate::cluster::{Cluster, ClusterIdentity, ClusterPort};
use crate::config::{CompatibleRules, Config, StoredRefusals};
use crate::consent::{DropCounters, Gate, InheritedWithdrawals, WithdrawnGrants};
use crate::enrich::Enricher;
use crate::flush::{
    self, RemovedSegments, ReplicaFlushers, RetentionJob, SegmentFlusher, SegmentProgress,
};
use crate::health::{self, HealthMonitor};
use crate::http::{ConnectionLimiter, RateLimiters, TrustedProxies};
use crate::ingest::IngestService;
use crate::ingest::mail::MailIngestService;
use crate::journal::{Journal, JournalWriter, SealedSegment, WriterParts, WriterState};
use crate::ledger::ProgressCallback;
use crate::outage::Outage;
use crate::pseudonym::DayKeys;
use crate::publisher::LotPublisher;
use crate::random::random_bytes;
use crate::registry::{InheritedQueues, Registry};
use crate::sites::SiteDirectory;
use crate::state_codec::StateReader;
use crate::store::{ReplicaHandle, ReplicaProgress, Store, StoreOptions, StoreShards};
use crate::telemetry::MetricsRenderer;
use crate::web as pages;
use crate::web::AuthState;
use crate::web::consent::ConsentService;

/// Time after an upgrade in which requests wait for the store: the predecessor closes it first. Less
/// than most proxies wait for an answer.
const STORE_WAIT: Duration = Duration::from_secs(20);

/// All parts, connected but not running.
pub(super) struct CollectorParts {
    pub(super) ingest: web::Data<IngestService>,
    pub(super) mail: web::Data<MailIngestService>,
    pub(super) site: web::Data<pages::AppState>,
    pub(super) consent_service: web::Data<ConsentService>,
    pub(super) writer: JournalWriter,
    pub(super) flushers: ReplicaFlushers,
    pub(super) rates: Arc<RateLimiters>,
    pub(super) enricher: Arc<Enricher>,
    pub(super) grant_keys: Arc<GrantKeyFile>,
    pub(super) cookie_keys: Arc<CookieKeyFile>,
    pub(super) registry: Arc<Registry>,
    /// Tells the parts that the collector stops.
    pub(super) stop: watch::Sender<bool>,
    /// Makes open event streams end.
    pub(super) end_streams: watch::Sender<bool>,
    pub(super) cluster: Option<(Arc<Cluster>, ClusterPort)>,
    pub(super) withdrawn: Arc<WithdrawnGrants>,
}

/// What exists before the journal is opened: parts without files of their own, and with them the
/// state of a predecessor.
pub(super) struct BaseParts {
    writer: WriterParts,
    directory: Arc<SiteDirectory>,
    enricher: Arc<Enricher>,
    inherited: Option<InheritedState>,
}

impl BaseParts {
    pub(super) fn new(config: &Config) -> anyhow::Result<BaseParts> {
        let clock = if config.test.clock {
            Clock::new_test(config.test.start_millis)
        } else {
            Clock::new_steady()
        };
        let directory = Arc::new(SiteDirectory::new(config));
        let enricher = Enricher::new(random_bytes(), open_countries(config)?)
            .with_data_centres(open_data_centres(config)?);
        if !enricher.rejected_patterns().is_empty() {
            tracing::warn!(patterns = ?enricher.rejected_patterns(), "bot patterns that match \
                browsers are not used");
        }
        Ok(BaseParts {
            writer: WriterParts {
                clock,
                day_keys: Arc::new(DayKeys::with_system_random(directory.time_zones())),
                drop_counters: Arc::new(DropCounters::default()),
            },
            directory,
            enricher: Arc::new(enricher),
            inherited: None,
        })
    }

    /// Reads the state of the predecessor, of `bytes` bytes.
    pub(super) fn inherit(
        &mut self,
        config: &Config,
        state: &mut dyn std::io::Read,
        bytes: u64,
    ) -> anyhow::Result<()> {
        let mut input = StateReader::new(state, bytes);
        self.writer.clock = Clock::read_state(&mut input, config.test.clock)?;
        let used_tokens = UsedTokens::read_state(&mut input, MAX_USED_TOKENS)?;
        let withdrawn = WithdrawnGrants::read_state(&mut input)?;
        let queues = InheritedQueues::read_state(&mut input)?;
        let cluster = ClusterIdentity::read_state(&mut input)?;
        let zones = self.directory.time_zones();
        let writer = WriterState::read(&mut input, config, &self.writer, &zones)?;
        input.finish()?;
        self.inherited = Some(InheritedState {
            writer,
            used_tokens,
            withdrawn,
            queues,
            cluster,
        });
        Ok(())
    }
}

pub(super) fn build_parts(
    config: &Config,
    room: ConnectionLimits,
    base: BaseParts,
    progress: ProgressCallback<'_>,
) -> anyhow::Result<CollectorParts> {
    let BaseParts {
        writer: writer_parts,
        directory,
        enricher,
        inherited,
    } = base;
    let clock = writer_parts.clock.clone();
    let refusals = Arc::clone(&writer_parts.drop_counters);
    let keys = Arc::clone(&writer_parts.day_keys);
    let rates = Arc::new(RateLimiters::new(config));
    let (writer_state, used_tokens, inherited_withdrawals, queues, identity) = match inherited {
        None => (
            None,
            None,
            InheritedWithdrawals::default(),
            InheritedQueues::default(),
            None,
        ),
        Some(InheritedState {
            writer,
            used_tokens,
            withdrawn,
            queues,
            cluster,
        }) => (Some(writer), Some(used_tokens), withdrawn, queues, cluster),
    };
    let waits_for_store_until = used_tokens
        .is_some()
        .then(|| std::time::Instant::now() + STORE_WAIT);

    let (sealed_sender, sealed) = mpsc::unbounded_channel();
    let (journal, writer) = JournalWriter::open(config, writer_parts, sealed_sender, writer_state)
        .context("the journal cannot be opened")?;
    log_recovered(&journal);
    log_declared_rules(config);

    let flush_stats = Arc::new(flush::FlushStats::default());
    let replica_options = replica_options(config);
    let counts: Vec<usize> = config.store.shards.iter().map(Vec::len).collect();
    let is_replicated = config.store.is_replicated();
    let (shards, replicas) = StoreShards::new(&counts, is_replicated);
    let shards = Arc::new(shards);
    let shard_of_each: Vec<usize> = replica_options
        .iter()
        .map(|options| options.shard.index())
        .collect();
    let removed = open_removed_segments(config, &journal, &replicas)?;
    let retention = Arc::new(RetentionJob::new(
        Arc::clone(&journal.folder),
        Arc::clone(&directory),
        clock.clone(),
        config.retention.ageing_limits(),
        &shard_of_each,
    ));
    let withdrawn = Arc::new(WithdrawnGrants::empty_since(Store::withdrawals_since(
        today_utc(&clock),
    )));
    let cluster = Cluster::open(&config.cluster, &clock, identity)?;
    let others = cluster.as_ref().map(|(cluster, _)| Arc::clone(cluster));
    let (dir, templates) = (&config.journal.dir, config.mail.templates.clone());
    let registry = Arc::new(Registry::open(
        Arc::clone(&directory),
        Arc::clone(&shards),
        dir,
        templates,
        Arc::clone(&withdrawn),
        others.clone(),
        queues,
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
    withdrawn.insert_inherited(inherited_withdrawals);

    let (stop, stopping) = watch::channel(false);
    let (end_streams, streams_ending) = watch::channel(false);
    let progress = Arc::new(SegmentProgress::new(replicas.len(), removed));
    let flush = FlushParts {
        journal: &journal,
        closed_segments: sealed,
        retention: &retention,
        progress: &progress,
        stats: &flush_stats,
        stopping: &stopping,
    };
    let (flushers, flushed) = build_flushers(replica_options, replicas, flush);

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
    let mut auth = AuthState::new(config, cookie_keys.open()?, Arc::clone(&rates))
        .context("platform.token_key: not a key of platform.token_algorithm")?;
    if let Some(used_tokens) = used_tokens {
        auth = auth.with_used_tokens(used_tokens);
    }
    let site = web::Data::new(pages::AppState {
        clock,
        registry: Arc::clone(&registry),
        mail: desk,
        auth,
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
        streams_ending,
        waits_for_store_until,
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
        end_streams,
        cluster,
        withdrawn,
    })
}

/// The record of segments that all replicas have. Each replica must have what the journal held at the
/// start before it is read.
fn open_removed_segments(
    config: &Config,
    journal: &Journal,
    replicas: &[ReplicaHandle],
) -> anyhow::Result<RemovedSegments> {
    let waiting = journal.folder.segment_numbers("sealed")?;
    let collector = journal.folder.collector_id();
    let removed = match config.store.is_replicated() {
        true => RemovedSegments::begin_run(&config.journal.dir, collector, &waiting)
            .context("the record of segments that replicas have")?,
        false => RemovedSegments::unrecorded(),
    };

    if let Some(last) = waiting.last() {
        let floor = ReplicaProgress::of_collector(removed.collector(), removed.place_of(*last));
        for replica in replicas {
            replica.set_floor(floor.clone());
        }
    }
    Ok(removed)
}

/// What the flushers of all replicas share.
struct FlushParts<'a> {
    journal: &'a Journal,
    closed_segments: mpsc::UnboundedReceiver<SealedSegment>,
    retention: &'a Arc<RetentionJob>,
    progress: &'a Arc<SegmentProgress>,
    stats: &'a Arc<flush::FlushStats>,
    stopping: &'a watch::Receiver<bool>,
}

/// A flusher for each replica, and the last segment that each of them has sent.
fn build_flushers(
    options: Vec<StoreOptions>,
    replicas: Vec<ReplicaHandle>,
    parts: FlushParts<'_>,
) -> (ReplicaFlushers, Vec<watch::Receiver<Option<u64>>>) {
    let mut flushed = Vec::new();
    let mut flushers = ReplicaFlushers {
        closed_segments: parts.closed_segments,
        flushers: Vec::new(),
        announcers: Vec::new(),
    };
    for (options, replica) in options.into_iter().zip(replicas) {
        let (done, of_replica) = watch::channel(None);
        let (announce, announced) = mpsc::unbounded_channel();
        flushed.push(of_replica);
        flushers.announcers.push(announce);
        flushers.flushers.push(SegmentFlusher {
            folder: Arc::clone(&parts.journal.folder),
            closed_segments: announced,
            replica,
            options,
            retention: Arc::clone(parts.retention),
            progress: Arc::clone(parts.progress),
            stats: Arc::clone(parts.stats),
            finished: done,
            stopping: parts.stopping.clone(),
            outage: Outage::default(),
            queue: flush::FlushQueue::default(),
        });
    }
    (flushers, flushed)
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

/// The current day in UTC.
pub(super) fn today_utc(clock: &Clock) -> Day {
    Day::from_utc(clock.now()).unwrap_or(Day::from_number(0))
}
