//! Wires the parts, starts them in an order that loses nothing, and stops them in reverse.
//!
//! Start: recover the journal, start the writer, open the port. The store is opened concurrently,
//! because hits do not wait for it.
//!
//! Stop: report "not ready" for `server.drain_secs`, close the port, finish requests in progress,
//! close open visits, close the segment, and send the closed segments, within `server.shutdown_secs`.

use std::sync::Arc;
use std::time::Duration;

use actix_web::middleware::{Condition, from_fn};
use actix_web::{App, web};
use anyhow::Context;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::backup::control::BackupListener;
use crate::bi_port::BiPort;
use crate::config::Config;
use crate::disk::{self, RestrictOutcome};
use crate::http::{OpenConnections, RequestEraser, TrackRequests};
use crate::ingest::mail::{self, MailIngestService};
use crate::ingest::{self, IngestService};
use crate::journal::check_segment_room;
use crate::ledger::ProgressCallback;
use crate::pseudonym::harden_process;
use crate::upgrade::{ControlListener, SuccessorMessage};
use crate::web as pages;
use crate::web::consent::ConsentService;
use cluster_calls::ClusterCalls;
use listener::{ConnectionLimits, OpenPort};
use maintenance::{ReloadableFiles, run_maintenance};
use parts::{BaseParts, CollectorParts, build_parts};
use running::RunningCollector;
use signals::{SIGTERM, Signals};
use upgrade::{
    InheritedPorts, Listeners, Predecessor, PredecessorParts, Successor, wait_for_locks,
};

mod cluster_calls;
mod config_check;
mod consent_service;
mod data_files;
mod key_files;
mod listener;
mod mail_service;
mod maintenance;
mod parts;
mod running;
mod signals;
mod store_options;
mod systemd;
mod upgrade;

pub use config_check::check_config;
pub(crate) use data_files::open_countries;
pub use key_files::demo_grant_signer;
pub use mail_service::{build_link_signer, open_signed_values};
pub(crate) use store_options::{replica_options, store_options};

/// Runs the collector until a signal or a failure.
///
/// # Errors
///
/// A part cannot be opened, the journal or the store failed for good, or a stop could not write
/// everything. Acknowledged hits are in the journal in each case.
pub async fn run(config: Config, progress: ProgressCallback<'_>) -> anyhow::Result<()> {
    harden_process();
    restrict_folders(&config);
    let base = BaseParts::new(&config)?;
    run_collector(config, base, None, progress, || {}).await
}

/// Takes over from the collector that runs on the configured journal, and runs as [`run`] does.
/// `on_serving` is called once this process serves.
///
/// # Errors
///
/// No collector runs there, or it continues for the reason given; or as for [`run`].
pub async fn upgrade(
    config: Config,
    progress: ProgressCallback<'_>,
    on_serving: impl FnOnce(),
) -> anyhow::Result<()> {
    harden_process();
    restrict_folders(&config);
    let mut base = BaseParts::new(&config)?;
    let mut predecessor = Predecessor::find(&config)?;
    // Before requests wait.
    check_segment_room(&config.journal.dir).with_context(|| {
        let dir = config.journal.dir.display();
        format!("{dir}: no room for another segment of the journal")
    })?;
    let signals = predecessor.take_state(|state, bytes| {
        base.inherit(&config, state, bytes)?;
        // Once this process is the one that continues, a signal is an orderly stop.
        Ok(Signals::install_handlers()?)
    })?;
    predecessor.wait_for_release()?;
    wait_for_locks(&[&config.journal.dir, &config.ledger.dir])?;
    run_collector(
        config,
        base,
        Some((predecessor, signals)),
        progress,
        on_serving,
    )
    .await
}

/// Why a collector ends.
enum RunEnd {
    /// A signal, by its name.
    Stop(&'static str),
    /// A part that the collector cannot do without has ended.
    Failure(anyhow::Result<()>),
    /// Another process has taken over.
    Takeover(Successor),
}

async fn run_collector(
    config: Config,
    base: BaseParts,
    predecessor: Option<(Predecessor, Signals)>,
    progress: ProgressCallback<'_>,
    on_serving: impl FnOnce(),
) -> anyhow::Result<()> {
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
        end_streams,
        cluster,
        withdrawn,
    } = build_parts(&config, room, base, progress)?;

    let (ports, predecessor, signals) = match predecessor {
        None => (None, None, None),
        Some((predecessor, signals)) => {
            let (ports, socket) = predecessor.into_ports();
            (Some(ports), Some(socket), Some(signals))
        }
    };
    let (http, inherited_bi, inherited_cluster) = match ports {
        None => (None, None, None),
        Some(InheritedPorts {
            http,
            bi,
            cluster,
            connections,
        }) => (Some((http, connections)), bi, cluster),
    };

    let backups = BackupListener {
        journal: Arc::clone(&site.journal.folder),
        store: Arc::clone(&site.store),
        clock: site.clock.clone(),
        disk: config.backup.disk.clone(),
        stopping: site.stopping.clone(),
    };
    let ledger = consent_service.ledger.clone();
    let site_publisher = Arc::clone(&site.publisher);
    let files = ReloadableFiles {
        enricher,
        grant_keys,
        cookie_keys,
        terms: Arc::clone(&consent_service.consent_policy),
    };

    // Before the port is open, so that from the first hit on a signal causes an orderly stop.
    let Signals {
        stop: mut ends,
        other: other_signals,
    } = match signals {
        Some(signals) => signals,
        None => Signals::install_handlers()?,
    };
    let tend = run_maintenance(
        site.clone(),
        rates,
        files,
        Duration::from_secs(config.data.reload_secs),
        other_signals,
    );
    let bi_port = BiPort::open(
        &config,
        site.clock.clone(),
        Arc::clone(&registry),
        Arc::clone(&site.store),
        inherited_bi,
    )?;
    let (cluster, cluster_listener) = match cluster {
        None => (None, None),
        Some((cluster, port)) => {
            let calls = ClusterCalls {
                ingest: ingest.clone().into_inner(),
                mail: mail.clone().into_inner(),
                site: site.clone().into_inner(),
                consent_service: consent_service.clone().into_inner(),
                withdrawn: Arc::clone(&withdrawn),
            };
            let port = port.start(Arc::new(calls), inherited_cluster)?;
            let telling = site.clone().into_inner().tell_arrivals(port.arrivals);
            tokio::spawn(telling);
            cluster.wait_for_contact().await;
            (Some(cluster), Some(port.listener))
        }
    };

    let connections = Arc::new(OpenConnections::default());
    let services = (ingest, mail, site.clone(), consent_service);
    let OpenPort { server, listener } =
        start_server(&config, (room, &connections), http, services)?;
    let door = server.handle();
    let health = Arc::clone(&site.health);

    let (ended, writer_ended) = oneshot::channel();
    std::thread::Builder::new()
        .name("writer".into())
        .spawn(move || ended.send(writer.run()))?;
    let predecessor_end = predecessor.clone();
    let flushing = tokio::spawn(async move {
        // The store is the predecessor's until it has ended.
        if let Some(socket) = predecessor_end {
            let _ = tokio::task::spawn_blocking(move || socket.wait_for_end()).await;
        }
        flushers.run().await
    });
    let serving = tokio::spawn(server);
    let tending = tokio::spawn(tend);
    let publishing = tokio::spawn(Arc::clone(&site_publisher).run());
    let following = tokio::spawn(
        Arc::clone(&registry).poll_changes(Duration::from_secs(config.registry.refresh_secs)),
    );

    let (offer_successors, mut successors) = mpsc::unbounded_channel();
    let listeners = Listeners {
        http: listener,
        bi: bi_port.as_ref().map(BiPort::copy_listener).transpose()?,
        cluster: cluster_listener,
    };
    let parts = PredecessorParts::new(
        &config,
        site.clone(),
        door.clone(),
        Arc::clone(&connections),
        end_streams.clone(),
        withdrawn,
        listeners,
    );

    let gate = parts.gate();
    let offered = ControlListener::bind(&config.journal.dir)
        .and_then(|listener| Ok(parts.listen(listener, offer_successors.clone())?));
    if let Err(error) = offered {
        let error = format!("{error:#}");
        tracing::warn!(
            error,
            "no other process can take over from this one: restart it instead"
        );
    }

    let bi_serving = bi_port.map(|port| tokio::spawn(port.run()));
    tokio::spawn(backups.run());
    tokio::spawn(Arc::clone(&health).poll_store());
    tokio::spawn(Arc::clone(&site.shards).watch_replicas());
    tokio::spawn(systemd::run_watchdog(Arc::clone(&health)));
    systemd::send_ready();
    if let Some(socket) = predecessor {
        // It may have died.
        let _ = socket.send(&SuccessorMessage::Serving, &[]);
    }
    on_serving();

    let mut running = RunningCollector {
        site,
        ledger,
        door,
        serving,
        bi_serving,
        connections,
        stop,
        end_streams,
        writer_ended,
        flushing,
        background: vec![tending, publishing, following],
        limit: Duration::from_secs(config.server.shutdown_secs),
    };

    let end = tokio::select! {
        signal = ends.next_signal() => {
            tracing::info!(signal, "stopping");
            tokio::select! {
                () = gate.close() => RunEnd::Stop(signal),
                Some(successor) = successors.recv() => {
                    successor.stop_process();
                    RunEnd::Takeover(successor)
                }
            }
        }
        ended = &mut running.writer_ended => {
            RunEnd::Failure(ended.context("the writer stopped")?.context("the journal failed"))
        }
        ended = &mut running.flushing => {
            let ended = ended.context("the flusher stopped")?.context("the store failed");
            // In an orderly stop, the flusher ends only after the writer.
            RunEnd::Failure(ended.and_then(|()| Err(anyhow::anyhow!("the writer or the closer stopped"))))
        }
        Some(successor) = successors.recv() => RunEnd::Takeover(successor),
    };

    match end {
        RunEnd::Stop(signal) => {
            systemd::send_stopping();
            health.start_draining();
            if let Some(cluster) = &cluster {
                cluster.start_leaving();
            }
            // A user who presses Ctrl-C waits for the end; a supervisor has a load balancer that
            // needs the time.
            if signal == SIGTERM {
                let drain = Duration::from_secs(config.server.drain_secs);
                let _ = timeout(drain, ends.next_signal()).await;
            }
            running.stop().await
        }
        RunEnd::Failure(failure) => running.abandon(failure).await,
        RunEnd::Takeover(successor) => running.leave_to(successor).await,
    }
}

/// What requests are served with.
type Services = (
    web::Data<IngestService>,
    web::Data<MailIngestService>,
    web::Data<pages::AppState>,
    web::Data<ConsentService>,
);

/// Opens the port, or continues with that of a predecessor and its open connections. Hits are
/// accepted from here on; they wait until the writer runs.
fn start_server(
    config: &Config,
    (room, connections): (ConnectionLimits, &Arc<OpenConnections>),
    inherited: Option<(std::net::TcpListener, Vec<std::net::TcpStream>)>,
    (ingest, mail, site, consent_service): Services,
) -> anyhow::Result<OpenPort> {
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
            .wrap(TrackRequests)
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
    listener::open_port(config, room, (&crowd, connections), inherited, factory)
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
