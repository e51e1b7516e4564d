//! The new process's side of an upgrade. Until it has the state, it changes nothing, and any failure
//! ends it.

use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::{
    RELEASE_TIMEOUT, REPLY_TIMEOUT, STATE_TIMEOUT, control_group, fixed_settings, listen_addresses,
    stop_at,
};
use crate::config::{Config, UpgradeStep};
use crate::disk::FileLock;
use crate::server::listener::raise_open_file_limit;
use crate::upgrade::{
    Hello, Packet, PacketSocket, PredecessorMessage, STATE_FORMAT, SealedState, StateFileKey,
    SuccessorMessage, Supervisor,
};

/// Time for the kernel to release the locks of a process that was killed.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
const LOCK_PAUSE: Duration = Duration::from_millis(5);
/// Files that a collector has open beside connections, with some in reserve.
const OWN_FILES: u64 = 128;

/// The running collector, as the process sees it that takes over from it.
pub(in crate::server) struct Predecessor {
    socket: PacketSocket,
    ports: InheritedPorts,
    stop: UpgradeStep,
}

/// Sockets of the predecessor.
pub(in crate::server) struct InheritedPorts {
    pub(in crate::server) http: TcpListener,
    pub(in crate::server) bi: Option<TcpListener>,
    pub(in crate::server) cluster: Option<TcpListener>,
    /// Open connections, each between two requests.
    pub(in crate::server) connections: Vec<TcpStream>,
}

impl Predecessor {
    /// Asks the collector that runs on the configured journal for its sockets.
    ///
    /// # Errors
    ///
    /// No collector runs there, or it refuses.
    pub(in crate::server) fn find(config: &Config) -> anyhow::Result<Predecessor> {
        let socket = PacketSocket::connect(&config.journal.dir)?;
        let supervisor = Supervisor::from_environment();
        let hello = Hello {
            format: STATE_FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            listen: listen_addresses(config),
            fixed_settings: fixed_settings(config),
            control_group: control_group(),
            notify_socket: supervisor.notify_socket,
        };
        socket.send(&SuccessorMessage::Hello(Box::new(hello)), &[])?;
        let packet = receive_message(&socket, REPLY_TIMEOUT)?;
        let PredecessorMessage::Offer(offer) = packet.message else {
            anyhow::bail!("the running collector said something unexpected");
        };
        tracing::info!(
            from = offer.version,
            "the running collector lets this one take over"
        );

        let mut sockets = packet.descriptors.into_iter().map(TcpListener::from);
        let http = sockets
            .next()
            .context("the running collector has no port")?;
        // Both have the same addresses.
        let listen = listen_addresses(config);
        let bi = listen.bi.and_then(|_| sockets.next());
        let cluster = listen.cluster.and_then(|_| sockets.next());
        Ok(Predecessor {
            socket,
            stop: config.test.upgrade_stop,
            ports: InheritedPorts {
                http,
                bi,
                cluster,
                connections: Vec::new(),
            },
        })
    }

    /// Asks for the state, and gives it to `read` with its length in bytes; what that returns is
    /// returned. Then this process is the one that continues.
    ///
    /// # Errors
    ///
    /// The running collector continues: it did not give the state, or this process cannot continue
    /// from it.
    pub(in crate::server) fn take_state<T>(
        &self,
        read: impl FnOnce(&mut dyn Read, u64) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        stop_at(self.stop, UpgradeStep::Offered);
        self.socket.send(&SuccessorMessage::Prepared, &[])?;
        let packet = receive_message(&self.socket, STATE_TIMEOUT)?;
        let PredecessorMessage::State { bytes, connections } = packet.message else {
            anyhow::bail!("the running collector said something unexpected");
        };
        let mut key = StateFileKey::zeroed();
        let (length, _) = self
            .socket
            .receive_bytes(key.as_bytes_mut(), REPLY_TIMEOUT)?;
        anyhow::ensure!(length == 32, "the key of the state did not arrive");
        let file = packet.descriptors.into_iter().next();
        let sealed = SealedState {
            file: file.context("the state did not arrive")?,
            key,
            bytes,
        };
        check_open_file_limit(connections)?;
        let taken = read(&mut sealed.open()?, bytes)?;
        stop_at(self.stop, UpgradeStep::Received);
        // If this cannot be said, the predecessor has died, or given up: its lock of the journal tells
        // which.
        if let Err(error) = self.socket.send(&SuccessorMessage::Taken, &[]) {
            tracing::warn!(
                error = format!("{error:#}"),
                "the former collector hears nothing"
            );
        }
        stop_at(self.stop, UpgradeStep::Taken);
        Ok(taken)
    }

    /// Waits until the journal and the ledger are free, and takes the open connections. If the
    /// predecessor died meanwhile, its locks are free too.
    ///
    /// # Errors
    ///
    /// The predecessor says something unexpected.
    pub(in crate::server) fn wait_for_release(&mut self) -> anyhow::Result<()> {
        loop {
            // It may be stopped, or its disk may hang. Only one of both can continue, and it has said
            // that it does not.
            let received = self.socket.receive::<PredecessorMessage>(RELEASE_TIMEOUT);
            if let Err(error) = &received
                && is_timeout(error)
            {
                tracing::warn!("the former collector does not release its journal; waiting");
                continue;
            }
            let Some(Packet {
                message,
                descriptors,
            }) = received?
            else {
                tracing::warn!("the former collector has died; this one continues from its state");
                return Ok(());
            };
            match message {
                PredecessorMessage::Connections => self.add_connections(descriptors),
                PredecessorMessage::Released => {
                    stop_at(self.stop, UpgradeStep::Free);
                    return Ok(());
                }
                _ => anyhow::bail!("the former collector said something unexpected"),
            }
        }
    }

    fn add_connections(&mut self, descriptors: Vec<OwnedFd>) {
        let streams = descriptors.into_iter().map(TcpStream::from);
        self.ports.connections.extend(streams);
    }

    /// The sockets, and the connection to the predecessor: it closes when that has ended.
    pub(in crate::server) fn into_ports(self) -> (InheritedPorts, Arc<PacketSocket>) {
        (self.ports, Arc::new(self.socket))
    }
}

/// Waits until no other process holds the lock in each folder. The kernel closes the files of a
/// killed process one after the other.
///
/// # Errors
///
/// A lock is still held, or its file cannot be opened.
pub(in crate::server) fn wait_for_locks(folders: &[&Path]) -> anyhow::Result<()> {
    let deadline = Instant::now() + LOCK_TIMEOUT;
    for folder in folders {
        let path = folder.join("lock");
        loop {
            match FileLock::try_lock(&path) {
                Ok(Some(_)) => break,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Ok(None) if Instant::now() < deadline => std::thread::sleep(LOCK_PAUSE),
                Ok(None) => anyhow::bail!("{}: another process uses it", folder.display()),
                Err(error) => return Err(error).with_context(|| path.display().to_string()),
            }
        }
    }
    Ok(())
}

/// Checks that the process may have the predecessor's connections open beside its own files.
fn check_open_file_limit(connections: usize) -> anyhow::Result<()> {
    let limit = raise_open_file_limit();
    let needed = connections as u64 + OWN_FILES;
    anyhow::ensure!(
        needed <= limit,
        "the limit of open files (ulimit -n) is {limit}, and {connections} open connections need \
         {needed}"
    );
    Ok(())
}

fn is_timeout(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
}

fn receive_message(
    socket: &PacketSocket,
    patience: Duration,
) -> anyhow::Result<Packet<PredecessorMessage>> {
    let packet = socket
        .receive(patience)
        .context("the running collector does not answer")?
        .context("the running collector went away")?;
    match packet.message {
        PredecessorMessage::Refused { reason } => {
            anyhow::bail!("the running collector continues: {reason}")
        }
        _ => Ok(packet),
    }
}
