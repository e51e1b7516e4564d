//! The internal port: calls of other collectors.

use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncWriteExt, BufReader, ReadHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::frame::{HEARTBEAT_CALL, push_frame, read_frame};
use super::link::{MAX_OPEN_CALLS, PeerLink};
use super::tls::names_collector;
use super::{CallBuffer, CallKind, Cluster, PeerId};

/// Handshakes at the same time; further connections wait to be accepted.
const MAX_HANDSHAKES: usize = 64;
/// A connection is closed after this many times `cluster.dead_after_millis` without a byte. The other
/// side sends a heartbeat four times a second.
const SILENT_PERIODS: u32 = 10;
/// Time for a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause after a connection that could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections that are not accepted yet.
const BACKLOG: u32 = 128;
/// Threads that answer calls.
const MAX_THREADS: usize = 4;
/// Calls of one collector that have no reply yet. Twice what it may have open: a heartbeat that
/// waited for other replies would look like a death.
const MAX_QUEUED_REPLIES: usize = 2 * MAX_OPEN_CALLS;
/// Replies that are written at once.
const MAX_BATCH_BYTES: usize = 64 << 10;

/// A reply to a call.
pub type ReplyFuture = Pin<Box<dyn Future<Output = CallBuffer>>>;

/// What answers the calls of other collectors.
pub trait CallHandler: Send + Sync {
    /// Answers a call. It is called, and its future runs, on a thread with a local set of tasks.
    fn answer_call(self: Arc<Self>, kind: CallKind, payload: CallBuffer) -> ReplyFuture;

    /// The number of visitors in this collector's memory.
    fn visitors_in_memory(&self) -> u64;
}

/// The internal port and the connections to other collectors, before they are opened.
pub struct ClusterPort {
    address: SocketAddr,
    cluster: Arc<Cluster>,
    links: Vec<PeerLink>,
    arrivals: mpsc::UnboundedReceiver<PeerId>,
}

/// The open internal port.
pub struct OpenClusterPort {
    /// The listening socket, for the process that takes over.
    pub listener: std::net::TcpListener,
    /// The collectors that are here after they were away, or anew.
    pub arrivals: mpsc::UnboundedReceiver<PeerId>,
}

type Handler = Arc<dyn CallHandler>;

/// A connection without a handshake yet.
struct NewStream {
    stream: std::net::TcpStream,
    counted: Counted,
    /// Its place among those.
    handshake: OwnedSemaphorePermit,
}

impl ClusterPort {
    pub(super) fn new(
        address: SocketAddr,
        cluster: Arc<Cluster>,
        links: Vec<PeerLink>,
        arrivals: mpsc::UnboundedReceiver<PeerId>,
    ) -> ClusterPort {
        ClusterPort {
            address,
            cluster,
            links,
            arrivals,
        }
    }

    /// Opens the port, or continues with that of a predecessor, starts the threads that answer, and
    /// connects to the other collectors. All run as long as the process. Must be called within a
    /// runtime.
    ///
    /// # Errors
    ///
    /// The address cannot be used, or a thread cannot be started.
    pub fn start(
        self,
        handler: Handler,
        inherited: Option<std::net::TcpListener>,
    ) -> anyhow::Result<OpenClusterPort> {
        let address = self.address;
        let listener = match inherited {
            Some(listener) => listener,
            None => listen(address)
                .with_context(|| format!("cluster.listen: {address} cannot be used"))?,
        };
        let accepting = TcpListener::from_std(listener.try_clone()?)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut threads = Vec::new();
        for number in 0..cores.min(MAX_THREADS) {
            let (sender, streams) = mpsc::unbounded_channel();
            let (cluster, handler) = (Arc::clone(&self.cluster), Arc::clone(&handler));
            std::thread::Builder::new()
                .name(format!("cluster-{number}"))
                .spawn(move || answer_streams(streams, &cluster, &handler))?;
            threads.push(sender);
        }
        tokio::spawn(accept_streams(
            accepting,
            threads,
            Arc::clone(&self.cluster),
        ));
        for link in self.links {
            tokio::spawn(link.run());
        }
        Ok(OpenClusterPort {
            listener,
            arrivals: self.arrivals,
        })
    }
}

fn listen(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let socket = match address.is_ipv4() {
        true => TcpSocket::new_v4()?,
        false => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

/// A connection or a call, counted as long as it exists.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(figure: &Arc<AtomicUsize>) -> Counted {
        figure.fetch_add(1, Ordering::AcqRel);
        Counted(Arc::clone(figure))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

async fn accept_streams(
    listener: TcpListener,
    threads: Vec<mpsc::UnboundedSender<NewStream>>,
    cluster: Arc<Cluster>,
) {
    let handshakes = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    let mut pausing = cluster.is_pausing.subscribe();
    for thread in threads.iter().cycle() {
        let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await else {
            return;
        };
        let accepted = loop {
            let _ = pausing.wait_for(|pausing| !*pausing).await;
            tokio::select! {
                biased;
                _ = pausing.changed() => {}
                accepted = listener.accept() => break accepted,
            }
        };
        let Ok(stream) = accepted.and_then(|(stream, _)| stream.into_std()) else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let counted = Counted::new(&cluster.incoming_connections);
        let _ = thread.send(NewStream {
            stream,
            counted,
            handshake: permit,
        });
    }
}

/// One thread: commits of hits are awaited where they were submitted.
fn answer_streams(
    mut streams: mpsc::UnboundedReceiver<NewStream>,
    cluster: &Arc<Cluster>,
    handler: &Handler,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime needs only file descriptors");
    LocalSet::new().block_on(&runtime, async {
        while let Some(new) = streams.recv().await {
            let (cluster, handler) = (Arc::clone(cluster), Arc::clone(handler));
            spawn_local(async move {
                let _counted = new.counted;
                let accepted = accept_collector(new.stream, &cluster).await;
                drop(new.handshake);
                if let Some(stream) = accepted {
                    answer_calls(stream, &cluster, &handler).await;
                }
            });
        }
    });
}

/// The connection, if the other side is one of the other collectors.
async fn accept_collector(
    stream: std::net::TcpStream,
    cluster: &Cluster,
) -> Option<TlsStream<TcpStream>> {
    let stream = TcpStream::from_std(stream).ok()?;
    stream.set_nodelay(true).ok()?;
    let accepting = cluster.tls.acceptor.accept(stream);
    let stream = match timeout(HANDSHAKE_TIMEOUT, accepting).await.ok()? {
        Ok(stream) => stream,
        Err(error) => {
            // Anything else is a connection that ended.
            if error.kind() == ErrorKind::InvalidData {
                cluster.record_refused_connection();
            }
            return None;
        }
    };

    let certificates = stream.get_ref().1.peer_certificates();
    let certificate = certificates.and_then(<[_]>::first);
    let is_collector = certificate.is_some_and(|certificate| {
        let mut names = cluster.other_names();
        names.any(|name| names_collector(certificate, &name))
    });
    if !is_collector {
        cluster.record_refused_connection();
    }
    is_collector.then_some(stream)
}

async fn answer_calls(stream: TlsStream<TcpStream>, cluster: &Arc<Cluster>, handler: &Handler) {
    let (reader, mut writer) = tokio::io::split(stream);
    let (sender, mut replies) = mpsc::channel::<(u64, u8, CallBuffer)>(MAX_QUEUED_REPLIES);
    spawn_local(async move {
        let mut batch = CallBuffer::with_capacity(MAX_BATCH_BYTES);
        while let Some(reply) = replies.recv().await {
            let mut waiting = Some(reply);
            while let Some((call, kind, payload)) = waiting {
                push_frame(&mut batch, call, kind, payload.as_bytes());
                let is_full = batch.len() >= MAX_BATCH_BYTES;
                waiting = if is_full {
                    None
                } else {
                    replies.try_recv().ok()
                };
            }
            let written = async {
                writer.write_all(batch.as_bytes()).await?;
                writer.flush().await
            };
            if written.await.is_err() {
                return;
            }
            batch.wipe();
        }
    });

    let (paused, pausing) = (sender.clone(), Arc::clone(cluster));
    let visitors = Arc::clone(handler);
    let telling = spawn_local(async move {
        let mut changes = pausing.is_pausing.subscribe();
        if changes.wait_for(|pausing| *pausing).await.is_ok() {
            let state = pausing.own_heartbeat(visitors.visitors_in_memory());
            let kind = CallKind::Heartbeat as u8;
            let _ = paused.send((HEARTBEAT_CALL, kind, state)).await;
        }
    });
    read_calls(BufReader::new(reader), sender, cluster, handler).await;
    telling.abort();
}

/// Reads calls until the connection ends.
async fn read_calls(
    mut reader: BufReader<ReadHalf<TlsStream<TcpStream>>>,
    sender: mpsc::Sender<(u64, u8, CallBuffer)>,
    cluster: &Arc<Cluster>,
    handler: &Handler,
) {
    let max_silence = cluster.max_silence * SILENT_PERIODS;
    while let Ok(Ok(frame)) = timeout(max_silence, read_frame(&mut reader)).await {
        let Ok(permit) = sender.clone().reserve_owned().await else {
            return;
        };
        if frame.call == HEARTBEAT_CALL {
            let state = cluster.own_heartbeat(handler.visitors_in_memory());
            permit.send((frame.call, frame.kind, state));
            continue;
        }
        let Some(kind) = CallKind::from_byte(frame.kind) else {
            return;
        };
        cluster.stats.received_calls.fetch_add(1, Ordering::Relaxed);
        if kind == CallKind::Replacement {
            let reply = cluster.answer_replacement(&frame.payload);
            permit.send((frame.call, frame.kind, reply));
            continue;
        }
        let counted = Counted::new(&cluster.incoming_calls);
        let answered = Arc::clone(handler).answer_call(kind, frame.payload);
        spawn_local(async move {
            permit.send((frame.call, frame.kind, answered.await));
            drop(counted);
        });
    }
}
