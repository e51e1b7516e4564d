//! Logs and metrics. Both may be read by outsiders: they hold reasons, sizes and counts, never any
//! part of a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Unit, with_local_recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use tracing::Level;
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, registry};

use crate::calendar::{Millis, TimeSpan};
use crate::cluster::{Cluster, ClusterStats};
use crate::config::{LogConfig, LogFormat};
use crate::consent::DropCounters;
use crate::event::DropReason;
use crate::flush::{RetentionStats, SegmentBacklog};
use crate::http::ConnectionStats;
use crate::journal::Journal;

/// Starts logging to standard error.
///
/// # Errors
///
/// `log.filter` is not a filter, or logging was started before.
pub fn init_logging(log: &LogConfig) -> Result<(), String> {
    let filter = parse_log_filter(&log.filter).map_err(|error| format!("log.filter: {error}"))?;
    let filter = filter.and(filter_fn(|line| is_loggable(line.target(), *line.level())));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false);
    let set = match log.format {
        LogFormat::Text => registry()
            .with(lines.with_ansi(false).with_filter(filter))
            .try_init(),
        LogFormat::Json => registry().with(lines.json().with_filter(filter)).try_init(),
    };
    set.map_err(|error| error.to_string())
}

/// Parses `log.filter`.
///
/// # Errors
///
/// The text is not a filter; the error shows examples.
pub fn parse_log_filter(text: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(text)
        .map_err(|_| "must be a filter such as info or warn,footfall::flush=debug".to_owned())
}

/// Applied after `log.filter`: at debug levels, libraries quote their input, which is requests. The
/// HTTP library quotes them in errors too; instead, a metric counts the requests that it cannot
/// parse.
fn is_loggable(target: &str, level: Level) -> bool {
    let of = |name: &str| {
        target == name
            || target
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with("::"))
    };
    of("footfall")
        || (level <= Level::INFO
            && !crate::http::INPUT_QUOTING_TARGETS
                .iter()
                .any(|name| of(name)))
}

/// The sources of the metrics page.
pub struct MetricsRenderer {
    recorder: PrometheusRecorder,
    drop_counters: Arc<DropCounters>,
    flush_stats: Arc<crate::flush::FlushStats>,
    publisher_stats: Arc<crate::publisher::PublisherStats>,
    ledger_stats: Arc<crate::ledger::LedgerStats>,
    retention_stats: Arc<RetentionStats>,
    cluster: Option<Arc<Cluster>>,
}

/// Name, whether it is a counter (or else a gauge), and help text. The page and
/// docs/operate/OPERATING.md follow this list.
const METRIC_DESCRIPTIONS: [(&str, bool, &str); 56] = [
    (
        "footfall_hits_total",
        true,
        "Hits answered 202 after their counts were on disk, including repeated ones",
    ),
    (
        "footfall_write_batches_total",
        true,
        "Batches written and synced",
    ),
    (
        "footfall_journal_bytes_total",
        true,
        "Bytes written to the journal",
    ),
    (
        "footfall_journal_full",
        false,
        "1 while hits are answered 503 because the journal is full",
    ),
    (
        "footfall_journal_waiting_bytes",
        false,
        "Bytes of segments on disk, including the reserved space of the open one",
    ),
    (
        "footfall_journal_damaged_frames_total",
        true,
        "Damaged frames found in the journal at the last start",
    ),
    (
        "footfall_attribute_rows_lost_total",
        true,
        "Attribute rows of open segments whose key was lost at the last start, after a power cut",
    ),
    (
        "footfall_attribute_rows_held",
        false,
        "Attribute rows that wait for more visits of their site, or for its day to be over",
    ),
    (
        "footfall_segments_waiting",
        false,
        "Closed segments that wait for the store",
    ),
    (
        "footfall_segments_inserted_total",
        true,
        "Segments the store acknowledged",
    ),
    (
        "footfall_rows_inserted_total",
        true,
        "Rows the store acknowledged",
    ),
    (
        "footfall_insert_failures_total",
        true,
        "Failed attempts to send a segment; each is retried",
    ),
    (
        "footfall_segments_quarantined_total",
        true,
        "Quarantined segments: damaged, or rejected by the store while it took others",
    ),
    (
        "footfall_segment_overdue_seconds",
        false,
        "Age of the oldest segment that waits for the store, once that is more than a day, else 0",
    ),
    (
        "footfall_visitors_in_memory",
        false,
        "Visitors of the current days",
    ),
    (
        "footfall_over_limit_visitors_total",
        true,
        "Hits counted without their visitor, because limits.visitors is reached",
    ),
    (
        "footfall_over_limit_grants_total",
        true,
        "Hits counted without their visitor, because their grant reached limits.visitors_per_grant",
    ),
    (
        "footfall_over_limit_values_total",
        true,
        "Texts counted as (other), because a limit of distinct values is reached",
    ),
    (
        "footfall_over_limit_sites_total",
        true,
        "Hits counted under the site (other), because limits.sites is reached",
    ),
    (
        "footfall_over_limit_new_sites_total",
        true,
        "Hits counted under the site (other), because of limits.network_new_sites_per_day",
    ),
    (
        "footfall_over_limit_ids_total",
        true,
        "Hit ids not recorded, because limits.hit_ids is reached",
    ),
    (
        "footfall_mail_actions_total",
        true,
        "Openings and clicks of mails whose counts are on disk",
    ),
    (
        "footfall_mail_actions_lost_total",
        true,
        "Openings and clicks that were answered but not counted, because the journal or the store \
         did not take them",
    ),
    (
        "footfall_publications_total",
        true,
        "Days and hours of a time zone whose attributes were published",
    ),
    (
        "footfall_published_lots_total",
        true,
        "Lots of attribute counts that were published",
    ),
    (
        "footfall_publication_failures_total",
        true,
        "Publications that failed; each is retried",
    ),
    (
        "footfall_publication_last_success_timestamp_seconds",
        false,
        "Unix time of the last publication, 0 before the first",
    ),
    (
        "footfall_publication_overdue_seconds",
        false,
        "Seconds that the oldest day or hour that is due has waited, else 0",
    ),
    (
        "footfall_retention_failures_total",
        true,
        "Deletions of old counts that failed; each is retried within the hour",
    ),
    (
        "footfall_retention_last_success_timestamp_seconds",
        false,
        "Unix time of the last deletion of old counts, 0 before the first since the start",
    ),
    (
        "footfall_retention_overdue_seconds",
        false,
        "Seconds for which a deletion of old counts has been due, else 0; one is due every hour",
    ),
    (
        "footfall_ledger_records_total",
        true,
        "Consent choices that were recorded",
    ),
    (
        "footfall_ledger_rejected_total",
        true,
        "Consent choices that were rejected, because ledger.acts_per_hour is reached",
    ),
    (
        "footfall_ledger_unverified_records",
        false,
        "Records of the ledger from before the start that are still to be verified",
    ),
    (
        "footfall_ledger_damaged",
        false,
        "1 if a record of the ledger was found damaged since the start, else 0",
    ),
    (
        "footfall_invalid_tokens_total",
        true,
        "Invalid bearer tokens, share links and handovers",
    ),
    (
        "footfall_tokens_unverified_total",
        true,
        "Tokens answered 429 without verification, because their network sent too many invalid \
         ones",
    ),
    (
        "footfall_streams",
        false,
        "Open event streams of dashboards",
    ),
    (
        "footfall_streams_rejected_total",
        true,
        "Event streams rejected, because server.max_streams, limits.streams_per_session or \
         limits.streams_per_network is reached",
    ),
    ("footfall_connections", false, "Open connections"),
    (
        "footfall_connections_rejected_total",
        true,
        "Connections closed at once, because server.connections_per_network is reached",
    ),
    (
        "footfall_malformed_requests_total",
        true,
        "Connections that ended with a malformed request",
    ),
    (
        "footfall_money_clamped_total",
        true,
        "Sums of money reported as 2^53 - 1 because they are larger",
    ),
    (
        STORE_AWAY_METRIC,
        false,
        "Seconds since the store last responded, 0 while it responds; by shard where there are several",
    ),
    (
        "footfall_replicas_unavailable",
        false,
        "Replicas of shards that do not respond; nothing new is published while it is not 0",
    ),
    (
        "footfall_engine_restarts_total",
        true,
        "Restarts of the embedded engine since the start, after a crash or a hang; absent with a server",
    ),
    (
        "footfall_store_bytes",
        false,
        "Bytes of the tables, as the store reports them",
    ),
    (
        "footfall_cluster_collectors",
        false,
        "Collectors of the cluster that this one reaches, itself included",
    ),
    (
        "footfall_cluster_configured_collectors",
        false,
        "Collectors of the cluster in the configuration, this one included",
    ),
    (
        "footfall_cluster_sent_calls_total",
        true,
        "Requests that other collectors of the cluster counted or answered for this one",
    ),
    (
        "footfall_cluster_received_calls_total",
        true,
        "Requests that this collector counted or answered for others",
    ),
    (
        "footfall_cluster_uncertain_calls_total",
        true,
        "Requests passed on to a collector that went away before it replied; they may be counted",
    ),
    (
        "footfall_cluster_remote_visitors",
        false,
        "Visitors of current days in the memory of the other collectors of the cluster",
    ),
    (
        "footfall_cluster_lost_visitors_total",
        true,
        "Visitors of current days that collectors had in memory when they went away; those who \
         return that day count again",
    ),
    (
        "footfall_cluster_refused_connections_total",
        true,
        "Connections to cluster.listen without the certificate of another collector",
    ),
    ("footfall_drops_total", true, "Hits dropped, by reason"),
];

/// Has the label `shard` where the store has several.
const STORE_AWAY_METRIC: &str = "footfall_store_unavailable_seconds";

/// The only gauge that can be negative; in seconds.
const CLOCK_AHEAD_METRIC: &str = "footfall_clock_ahead_seconds";

/// Counts of the limits that apply to people who read reports. Totals since the start, except
/// `streams`.
pub struct AccessCounts {
    /// Tokens, share links and handovers that were not valid.
    pub invalid_tokens: u64,
    /// Attempts answered 429 unverified, because their network had sent too many invalid ones.
    pub tokens_unverified: u64,
    /// Open event streams.
    pub streams: u64,
    /// Event streams rejected by a limit.
    pub streams_rejected: u64,
    /// Open and rejected connections, and malformed requests.
    pub connections: ConnectionStats,
}

/// The clock's part of the metrics page.
pub struct ClockReadings {
    /// The collector's time, to be compared with modification times of files.
    pub file_time: std::time::SystemTime,
    /// How far the system clock is ahead of the collector's; negative where it is behind.
    pub ahead: TimeSpan,
    /// The collector's time.
    pub now: Millis,
}

/// The store's part of the metrics page.
pub struct StoreReadings {
    /// Size of the tables in bytes, if known.
    pub table_bytes: Option<u64>,
    /// Sums of money that were clamped since the start.
    pub clamped_sums: u64,
    /// Seconds since the last response of each shard; 0 while it responds.
    pub away_secs: Vec<u64>,
    /// Replicas that do not respond.
    pub replicas_away: u64,
    /// Restarts of the embedded engine since the start; `None` without one.
    pub engine_restarts: Option<u64>,
}

impl MetricsRenderer {
    /// Registers the descriptions of all metrics.
    pub fn new(
        refusals: Arc<DropCounters>,
        flush: Arc<crate::flush::FlushStats>,
        publication: Arc<crate::publisher::PublisherStats>,
        ledger: Arc<crate::ledger::LedgerStats>,
        retention: Arc<RetentionStats>,
        cluster: Option<Arc<Cluster>>,
    ) -> MetricsRenderer {
        let recorder = PrometheusBuilder::new().build_recorder();
        with_local_recorder(&recorder, || {
            metrics::describe_gauge!(
                CLOCK_AHEAD_METRIC,
                "Seconds by which the system's clock is ahead of the collector's, after a jump"
            );
            for (name, grows, meaning) in METRIC_DESCRIPTIONS {
                match grows {
                    true => metrics::describe_counter!(name, Unit::Count, meaning),
                    false => metrics::describe_gauge!(name, meaning),
                }
            }
        });

        MetricsRenderer {
            recorder,
            drop_counters: refusals,
            flush_stats: flush,
            publisher_stats: publication,
            ledger_stats: ledger,
            retention_stats: retention,
            cluster,
        }
    }

    /// The metrics page in Prometheus' text format.
    pub fn render_metrics(
        &self,
        journal: &Journal,
        doors: &AccessCounts,
        times: &ClockReadings,
        store: &StoreReadings,
    ) -> String {
        let (hits, flush) = (&journal.stats, &self.flush_stats);
        let read = |figure: &AtomicU64| Some(figure.load(Ordering::Relaxed));
        let cluster = self.cluster.as_deref();
        let of_cluster = |figure: fn(&ClusterStats) -> &AtomicU64| {
            cluster.map_or(Some(0), |cluster| read(figure(&cluster.stats)))
        };
        let waiting = SegmentBacklog::from_folder(&journal.folder, times.file_time);
        let figures: [Option<u64>; METRIC_DESCRIPTIONS.len() - 1] = [
            read(&hits.hits),
            read(&hits.batches),
            read(&hits.bytes),
            read(&hits.full),
            Some(journal.folder.total_bytes()),
            Some(journal.recovered.damaged as u64),
            Some(journal.recovered.lost_rows),
            read(&hits.held_rows),
            waiting.as_ref().map(|waiting| waiting.segments),
            read(&flush.segments),
            read(&flush.rows),
            read(&flush.failures),
            read(&flush.quarantined),
            Some(waiting.map_or(0, |waiting| waiting.overdue_secs)),
            read(&hits.visitors),
            read(&hits.overflow_visitors),
            read(&hits.overflow_grants),
            read(&hits.overflow_texts),
            read(&hits.overflow_sites),
            read(&hits.overflow_new_sites),
            read(&hits.overflow_ids),
            read(&hits.mails),
            read(&hits.mails_lost),
            read(&self.publisher_stats.units),
            read(&self.publisher_stats.lots),
            read(&self.publisher_stats.failures),
            read(&self.publisher_stats.last_success_secs),
            Some(self.publisher_stats.overdue_secs(times.now)),
            read(&self.retention_stats.failures),
            Some(self.retention_stats.last_success_secs()),
            Some(self.retention_stats.overdue_secs(times.now)),
            read(&self.ledger_stats.recorded_acts),
            read(&self.ledger_stats.rejected_acts),
            read(&self.ledger_stats.unverified_records),
            Some(self.ledger_stats.is_damaged().into()),
            Some(doors.invalid_tokens),
            Some(doors.tokens_unverified),
            Some(doors.streams),
            Some(doors.streams_rejected),
            Some(doors.connections.open),
            Some(doors.connections.rejected),
            Some(doors.connections.malformed),
            Some(store.clamped_sums),
            store
                .away_secs
                .first()
                .copied()
                .filter(|_| store.away_secs.len() == 1),
            Some(store.replicas_away),
            store.engine_restarts,
            store.table_bytes,
            Some(cluster.map_or(1, |cluster| cluster.alive_collectors() as u64)),
            Some(cluster.map_or(1, |cluster| cluster.configured_collectors() as u64)),
            of_cluster(|stats| &stats.sent_calls),
            of_cluster(|stats| &stats.received_calls),
            of_cluster(|stats| &stats.uncertain_calls),
            Some(cluster.map_or(0, Cluster::remote_visitors)),
            of_cluster(|stats| &stats.lost_visitors),
            of_cluster(|stats| &stats.refused_connections),
        ];
        with_local_recorder(&self.recorder, || {
            for ((name, grows, _), figure) in METRIC_DESCRIPTIONS.into_iter().zip(figures) {
                match (grows, figure) {
                    (true, Some(figure)) => metrics::counter!(name).absolute(figure),
                    (false, Some(figure)) => metrics::gauge!(name).set(figure as f64),
                    (_, None) => {}
                }
            }
            if store.away_secs.len() > 1 {
                for (shard, secs) in (1_u32..).zip(&store.away_secs) {
                    metrics::gauge!(STORE_AWAY_METRIC, "shard" => shard.to_string())
                        .set(*secs as f64);
                }
            }
            metrics::gauge!(CLOCK_AHEAD_METRIC).set(times.ahead.as_millis() as f64 / 1000.0);
            for (reason, total) in DropReason::ALL.into_iter().zip(self.drop_counters.totals()) {
                metrics::counter!("footfall_drops_total", "reason" => reason.name())
                    .absolute(total);
            }
        });
        self.recorder.handle().render()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_tell_no_details_and_the_http_library_nothing() {
        let lines = [
            ("footfall", Level::TRACE, true),
            ("footfall::ingest::edge", Level::TRACE, true),
            ("footfall_plugin", Level::DEBUG, false),
            ("hyper::proto", Level::INFO, true),
            ("hyper::proto", Level::DEBUG, false),
            ("tokio", Level::WARN, true),
            (crate::http::INPUT_QUOTING_TARGETS[0], Level::ERROR, false),
            ("h2", Level::TRACE, false),
        ];
        for (target, level, told) in lines {
            assert_eq!(is_loggable(target, level), told, "{target} {level}");
        }
    }
}
