//! The running collector's side of an upgrade. Until the successor says that it has the state, any
//! failure makes this process continue as if nothing had happened.

use std::io::{self, Write};
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_server::ServerHandle;
use actix_web::web;
use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use super::gate::UpgradeGate;
use super::{
    PREPARE_TIMEOUT, REPLY_TIMEOUT, control_group, fixed_settings, listen_addresses, read_timeout,
    stop_at,
};
use crate::calendar::Millis;
use crate::cluster::ClusterIdentity;
use crate::config::{Config, UpgradeStep};
use crate::consent::WithdrawnGrants;
use crate::http::OpenConnections;
use crate::journal::SuspendedWriter;
use crate::state_codec::StateWriter;
use crate::upgrade::{
    ControlListener, FixedSettings, Hello, ListenAddresses, MAX_DESCRIPTORS, Offer, PacketSocket,
    PredecessorMessage, STATE_FORMAT, SealedState, StateFile, SuccessorMessage, Supervisor,
};
use crate::web::AppState;

/// How much sooner than a connection gives up a request that it is not sent, the wait for requests
/// under way ends. What takes longer, such as a body that trickles in, is cut off.
const DRAIN_MARGIN: Duration = Duration::from_millis(500);
/// Time for connections that were just accepted to arrive at their worker.
const SETTLE_TIME: Duration = Duration::from_millis(20);
/// Pause between two looks at the connections.
const LOOK_PAUSE: Duration = Duration::from_millis(2);
/// Time for connections to copy their sockets.
const COPY_TIMEOUT: Duration = Duration::from_secs(2);

/// The parts of a running collector that go to a successor.
pub(in crate::server) struct PredecessorParts {
    site: web::Data<AppState>,
    door: ServerHandle,
    connections: Arc<OpenConnections>,
    end_streams: watch::Sender<bool>,
    http: TcpListener,
    bi: Option<TcpListener>,
    cluster: Option<TcpListener>,
    addresses: ListenAddresses,
    fixed_settings: FixedSettings,
    withdrawn: Arc<WithdrawnGrants>,
    stop: UpgradeStep,
    runtime: Handle,
    gate: Arc<UpgradeGate>,
}

/// Copies of the listening sockets.
pub(in crate::server) struct Listeners {
    pub(in crate::server) http: TcpListener,
    pub(in crate::server) bi: Option<TcpListener>,
    pub(in crate::server) cluster: Option<TcpListener>,
}

/// A process that has the state, and continues from it.
pub(in crate::server) struct Successor {
    socket: PacketSocket,
    writer: Option<SuspendedWriter>,
    stop: UpgradeStep,
}

impl PredecessorParts {
    /// Must be called within the runtime that serves. The listeners are copies of the listening
    /// sockets.
    pub(in crate::server) fn new(
        config: &Config,
        site: web::Data<AppState>,
        door: ServerHandle,
        connections: Arc<OpenConnections>,
        end_streams: watch::Sender<bool>,
        withdrawn: Arc<WithdrawnGrants>,
        listeners: Listeners,
    ) -> PredecessorParts {
        let Listeners { http, bi, cluster } = listeners;
        PredecessorParts {
            site,
            door,
            connections,
            end_streams,
            http,
            bi,
            cluster,
            addresses: listen_addresses(config),
            fixed_settings: fixed_settings(config),
            withdrawn,
            stop: config.test.upgrade_stop,
            runtime: Handle::current(),
            gate: Arc::default(),
        }
    }

    /// Decides whether a process may take over.
    pub(in crate::server) fn gate(&self) -> Arc<UpgradeGate> {
        Arc::clone(&self.gate)
    }

    /// Waits for successors on a thread of its own, and sends the one that took over.
    pub(in crate::server) fn listen(
        self,
        listener: ControlListener,
        successors: mpsc::UnboundedSender<Successor>,
    ) -> io::Result<()> {
        let parts = Arc::new(self);
        let accept = move || {
            loop {
                let Ok(socket) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(100));
                    continue;
                };
                let (parts, successors) = (Arc::clone(&parts), successors.clone());
                let serve = move || match parts.serve(socket) {
                    Ok(None) => {}
                    Ok(Some(successor)) => drop(successors.send(successor)),
                    Err(error) => tracing::warn!(
                        error = format!("{error:#}"),
                        "no other process took over; this one continues"
                    ),
                };
                let thread = std::thread::Builder::new().name("upgrade".into());
                if let Err(error) = thread.spawn(serve) {
                    tracing::warn!(%error, "an upgrade was not served");
                }
            }
        };
        std::thread::Builder::new()
            .name("upgrade-accept".into())
            .spawn(accept)
            .map(drop)
    }

    /// Serves one connection. `None` if it took nothing over.
    fn serve(&self, socket: PacketSocket) -> anyhow::Result<Option<Successor>> {
        let Some(first) = socket.receive(REPLY_TIMEOUT)? else {
            return Ok(None);
        };
        let hello = match first.message {
            SuccessorMessage::Hello(hello) => hello,
            SuccessorMessage::AskSupervisor => {
                let supervisor = Supervisor::from_environment();
                socket.send(&PredecessorMessage::Supervisor(supervisor), &[])?;
                return Ok(None);
            }
            _ => anyhow::bail!("an upgrade did not begin with its first message"),
        };
        if let Err(reason) = self.check(&hello) {
            socket.send(&PredecessorMessage::Refused { reason }, &[])?;
            return Ok(None);
        }
        if let Err(reason) = self.gate.begin() {
            let reason = reason.to_owned();
            socket.send(&PredecessorMessage::Refused { reason }, &[])?;
            return Ok(None);
        }

        let given = self.offer(&socket, &hello);
        match given {
            Ok(writer) => Ok(Some(Successor {
                socket,
                writer: Some(writer),
                stop: self.stop,
            })),
            Err(error) => {
                self.gate.end();
                let reason = format!("{error:#}");
                let _ = socket.send(&PredecessorMessage::Refused { reason }, &[]);
                Err(error)
            }
        }
    }

    /// Why the process cannot take over. Nothing was changed yet.
    fn check(&self, hello: &Hello) -> Result<(), String> {
        if hello.format != STATE_FORMAT {
            return Err(format!(
                "the new build reads another format of the state ({}, not {STATE_FORMAT}): \
                 restart the collector instead",
                hello.format
            ));
        }
        let cluster = self.site.cluster.as_ref();
        if let Some(name) = cluster.and_then(|cluster| cluster.pausing_peer()) {
            return Err(refuse_during_replacement(&name));
        }
        for ((key, own), (_, other)) in self.addresses.all().into_iter().zip(hello.listen.all()) {
            if own != other {
                return Err(format!("{key} differs, which needs a restart"));
            }
        }
        for (name, own) in &self.fixed_settings {
            if hello.fixed_settings.get(name) != Some(own) {
                return Err(format!("{name} differs, which needs a restart"));
            }
        }
        if rustix::process::getpid().as_raw_nonzero().get() == 1 {
            return Err(
                "the collector is the first process of its container, which ends with it: \
                        start another container instead"
                    .to_owned(),
            );
        }
        let supervisor = Supervisor::from_environment();
        let is_supervised = supervisor.notify_socket.is_some();
        if is_supervised && hello.notify_socket != supervisor.notify_socket {
            return Err(
                "the collector is supervised by systemd: use `systemctl reload`, or \
                        --background in its unit"
                    .to_owned(),
            );
        }
        if is_supervised && hello.control_group != control_group() {
            return Err(
                "the collector is supervised by systemd, and the new process is not in its \
                        unit: use `systemctl reload`"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// Offers everything, step by step, up to the moment at which the successor has the state.
    fn offer(&self, socket: &PacketSocket, hello: &Hello) -> anyhow::Result<SuspendedWriter> {
        tracing::info!(
            version = hello.version,
            "another process prepares to take over"
        );
        let offer = Offer {
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let listeners = std::iter::once(&self.http)
            .chain(&self.bi)
            .chain(&self.cluster);
        let listeners: Vec<BorrowedFd<'_>> = listeners.map(AsFd::as_fd).collect();
        socket.send(&PredecessorMessage::Offer(offer), &listeners)?;
        expect_message(socket, PREPARE_TIMEOUT, |message| {
            matches!(message, SuccessorMessage::Prepared)
        })?;

        // Shortly after another upgrade, requests wait for the store: they are answered first.
        self.runtime.block_on(self.site.wait_for_store());
        let cluster = self.site.cluster.as_ref();
        let _turn = cluster
            .map(|cluster| self.runtime.block_on(cluster.reserve_replacement()))
            .transpose()
            .map_err(|name| anyhow::anyhow!(refuse_during_replacement(&name)))?;
        let began = Instant::now();
        let freeze = Freeze::begin(self);
        stop_at(self.stop, UpgradeStep::Frozen);
        let cut = freeze.wait_until_quiet();
        let (sealed, writer) = self.write_state()?;
        stop_at(self.stop, UpgradeStep::Written);
        let (bytes, file) = (sealed.bytes, sealed.file.as_fd());
        let connections = self.connections.counts().idle;
        socket.send(&PredecessorMessage::State { bytes, connections }, &[file])?;
        socket.send_bytes(sealed.key.as_bytes(), &[])?;
        drop(sealed);
        stop_at(self.stop, UpgradeStep::Sent);
        expect_message(socket, read_timeout(bytes), |message| {
            matches!(message, SuccessorMessage::Taken)
        })?;

        freeze.keep();
        let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(bytes, millis, "another process has the state of this one");
        if cut > 0 {
            tracing::warn!(requests = cut, "requests that took too long are cut off");
        }
        Ok(writer)
    }

    /// Suspends the writer, and writes the state of all parts.
    fn write_state(&self) -> anyhow::Result<(SealedState, SuspendedWriter)> {
        self.site.release_clicks(Millis::MAX);
        let mut file = StateFile::create().context("no memory for the state")?;
        let mut out = StateWriter::new(&mut file);
        self.site.clock.write_state(&mut out);
        self.site.auth.write_used_tokens(&mut out);
        self.withdrawn.write_state(&mut out);
        self.site.registry.write_state(&mut out);
        let cluster = self.site.cluster.as_ref();
        ClusterIdentity::write_state(cluster.map(|cluster| cluster.identity()), &mut out);
        out.finish()?;

        let file = Arc::new(Mutex::new(file));
        let sink = SharedFile(Arc::clone(&file));
        let writer = self
            .runtime
            .block_on(self.site.journal.suspend_writer(Box::new(sink)))
            .context("the writer has stopped")?
            .context("no memory for the state")?;
        // The writer has dropped its copy.
        let file = Arc::into_inner(file).context("the state is still being written")?;
        let sealed = file
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
            .seal()
            .context("no memory for the state")?;
        Ok((sealed, writer))
    }
}

/// A file that this thread and the writer share.
struct SharedFile(Arc<Mutex<StateFile>>);

impl Write for SharedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// While it exists, no connection is accepted and no request is read.
struct Freeze<'a> {
    parts: &'a PredecessorParts,
    ends: bool,
}

impl<'a> Freeze<'a> {
    fn begin(parts: &'a PredecessorParts) -> Freeze<'a> {
        parts.runtime.block_on(parts.door.pause());
        parts.end_streams.send_replace(true);
        parts.connections.freeze();
        if let Some(cluster) = &parts.site.cluster {
            cluster.pause();
        }
        Freeze { parts, ends: true }
    }

    /// Waits for the responses to all requests under way. Returns how many have none at the end.
    fn wait_until_quiet(&self) -> usize {
        let (began, connections) = (Instant::now(), &self.parts.connections);
        let patience = self.parts.site.body_deadline.saturating_sub(DRAIN_MARGIN);
        let mut last_change = Instant::now();
        let mut before = connections.counts();
        loop {
            std::thread::sleep(LOOK_PAUSE);
            let counts = connections.counts();
            if counts != before {
                (before, last_change) = (counts, Instant::now());
            }
            let is_quiet = counts.busy == 0
                && self.parts.site.streams.open_streams() == 0
                && self.is_cluster_quiet(began);
            if is_quiet && last_change.elapsed() >= SETTLE_TIME {
                return 0;
            }
            if began.elapsed() >= patience {
                return counts.busy;
            }
        }
    }

    fn is_cluster_quiet(&self, since: Instant) -> bool {
        let cluster = self.parts.site.cluster.as_ref();
        cluster.is_none_or(|cluster| cluster.is_quiet(since.into()))
    }

    /// Leaves everything frozen: another process continues.
    fn keep(mut self) {
        self.ends = false;
    }
}

impl Drop for Freeze<'_> {
    fn drop(&mut self) {
        if self.ends {
            self.parts.end_streams.send_replace(false);
            self.parts.connections.thaw();
            if let Some(cluster) = &self.parts.site.cluster {
                cluster.resume();
            }
            self.parts.runtime.block_on(self.parts.door.resume());
        }
    }
}

/// Gives the successor the journal, the ledger and the open connections. The caller has closed the
/// ledger and released both locks; this process has only to end.
///
/// # Errors
///
/// The successor is gone.
pub(in crate::server) fn give_away(
    successor: &Successor,
    connections: &OpenConnections,
) -> anyhow::Result<()> {
    let mut given = 0;
    loop {
        let asked = connections.request_copies(MAX_DESCRIPTORS);
        let deadline = Instant::now() + COPY_TIMEOUT;
        while connections.awaits_copies() && Instant::now() < deadline {
            std::thread::sleep(LOOK_PAUSE);
        }
        let copies = connections.take_copies();
        if !copies.is_empty() {
            let descriptors: Vec<BorrowedFd<'_>> = copies.iter().map(AsFd::as_fd).collect();
            successor
                .socket
                .send(&PredecessorMessage::Connections, &descriptors)?;
            given += copies.len();
        }
        if asked == 0 {
            break;
        }
    }
    successor.socket.send(&PredecessorMessage::Released, &[])?;
    tracing::info!(connections = given, "another process has taken over");
    Ok(())
}

impl Successor {
    /// The writer that waits; only once.
    pub(in crate::server) fn take_writer(&mut self) -> Option<SuspendedWriter> {
        self.writer.take()
    }

    /// Stops this process at a step, for tests.
    pub(in crate::server) fn stop_at(&self, step: UpgradeStep) {
        stop_at(self.stop, step);
    }

    /// The process id.
    pub(in crate::server) fn process_id(&self) -> io::Result<i32> {
        self.socket.peer_process()
    }

    /// Stops the process in order: this one was told to stop when it had taken over.
    pub(in crate::server) fn stop_process(&self) {
        let process = self.process_id().ok().and_then(Pid::from_raw);
        let sent = process.map(|process| kill_process(process, Signal::TERM));
        if !matches!(sent, Some(Ok(()))) {
            tracing::warn!("the process that took over could not be told to stop");
        }
    }

    /// Waits until the process serves.
    ///
    /// # Errors
    ///
    /// It has ended, or does not serve in time.
    pub(in crate::server) fn wait_until_serving(&self, patience: Duration) -> anyhow::Result<()> {
        expect_message(&self.socket, patience, |message| {
            matches!(message, SuccessorMessage::Serving)
        })
    }
}

fn refuse_during_replacement(name: &str) -> String {
    format!("another process takes over from {name} at this moment: try again")
}

fn expect_message(
    socket: &PacketSocket,
    patience: Duration,
    is_expected: impl FnOnce(&SuccessorMessage) -> bool,
) -> anyhow::Result<()> {
    let packet = socket
        .receive(patience)
        .context("the new process does not answer")?;
    let packet = packet.context("the new process went away")?;
    anyhow::ensure!(
        is_expected(&packet.message),
        "the new process said something unexpected"
    );
    Ok(())
}
