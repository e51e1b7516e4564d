//! The connection to another collector: calls with their replies, and heartbeats.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncWriteExt, BufReader, ReadHalf};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};
use tokio_rustls::client::TlsStream;

use super::frame::{HEARTBEAT_CALL, push_frame, read_frame};
use super::{CallBuffer, CallFailure, CallKind, Cluster, PeerId};
use crate::config::CollectorAddress;

/// Heartbeats in the time after which a silent collector is dead.
const HEARTBEATS_PER_SILENCE: u32 = 4;
/// Longest time between heartbeats, and between attempts to connect. A collector that stops is no
/// longer asked after it.
const MAX_PAUSE: Duration = Duration::from_millis(250);
/// Calls that wait to be written, also while a new process takes over from the other collector; each
/// has a request of a few KiB.
pub(super) const MAX_QUEUED_CALLS: usize = 8192;
/// Time for a new process to take over from the other collector and to accept the connection.
const TAKEOVER_TIMEOUT: Duration = Duration::from_secs(60);
/// Calls without a reply.
pub(super) const MAX_OPEN_CALLS: usize = 16_384;
/// Calls that are written at once.
const MAX_BATCH_BYTES: usize = 64 << 10;
/// How long calls wait for others to be written with them, while earlier ones have no reply. An
/// owner writes hits to its disk about as often. One record, and one wake-up of either side, for
/// each call costs several times what the call does.
const BATCH_INTERVAL: Duration = Duration::from_millis(1);

type CallReply = Result<CallBuffer, CallFailure>;
type ReplyReader = BufReader<ReadHalf<TlsStream<TcpStream>>>;

/// A call on its way to another collector.
pub(super) struct OutgoingCall {
    pub(super) kind: CallKind,
    pub(super) payload: CallBuffer,
    pub(super) reply: oneshot::Sender<CallReply>,
}

/// Keeps the connection to one collector.
pub(super) struct PeerLink {
    pub(super) cluster: Arc<Cluster>,
    pub(super) peer: PeerId,
    pub(super) address: CollectorAddress,
    pub(super) queue: mpsc::Receiver<OutgoingCall>,
}

/// How a connection ended.
enum ConnectionEnd {
    /// The other side is about to be replaced, and has answered everything.
    Paused,
    /// The other side closed it, or the network failed.
    Closed,
    /// The other side said nothing for too long.
    Silent,
    /// There was none, or the other side closed it before it said anything.
    Unusable(io::Error),
}

/// State of one connection, shared by the tasks that write and read.
struct OpenConnection {
    /// By the number of the call.
    calls: Mutex<HashMap<u64, oneshot::Sender<CallReply>>>,
    last_heard: Mutex<Instant>,
    was_heard: AtomicBool,
    /// The other side takes no further calls.
    is_paused: AtomicBool,
    /// The other side takes no further calls, or no call is without a reply any more.
    changed: Notify,
}

impl PeerLink {
    /// Connects again and again, for as long as the collector runs.
    pub(super) async fn run(mut self) {
        let mut patience = self.cluster.max_silence;
        loop {
            let end = match self.connect(patience).await {
                Ok(stream) => self.use_connection(stream).await,
                Err(error) => ConnectionEnd::Unusable(error),
            };
            patience = match end {
                ConnectionEnd::Paused => TAKEOVER_TIMEOUT,
                _ => self.cluster.max_silence,
            };
            match end {
                ConnectionEnd::Paused => {}
                // It may be there at once.
                ConnectionEnd::Closed => {}
                ConnectionEnd::Silent => self.cluster.record_death(self.peer),
                ConnectionEnd::Unusable(error) => {
                    self.cluster.record_death(self.peer);
                    self.cluster.record_connect_error(self.peer, &error);
                    self.pause().await;
                }
            }
        }
    }

    /// Calls to a collector that is dead are returned at once; others wait for the connection.
    async fn connect(&mut self, patience: Duration) -> io::Result<TlsStream<TcpStream>> {
        let connector = self.cluster.tls.connector.clone();
        let (name, address) = (self.address.name.clone(), self.address.address.clone());
        let connecting = async move {
            let stream = TcpStream::connect(&address).await?;
            stream.set_nodelay(true)?;
            let name = ServerName::try_from(name).map_err(io::Error::other)?;
            connector.connect(name, stream).await
        };
        let mut connecting = std::pin::pin!(timeout(patience, connecting));
        loop {
            let is_dead = !self.cluster.is_alive(self.peer);
            tokio::select! {
                connected = &mut connecting => return connected?,
                Some(call) = self.queue.recv(), if is_dead => return_call(call),
            }
        }
    }

    async fn pause(&mut self) {
        while let Ok(call) = self.queue.try_recv() {
            return_call(call);
        }
        let mut pause = std::pin::pin!(sleep(MAX_PAUSE));
        loop {
            tokio::select! {
                () = &mut pause => return,
                Some(call) = self.queue.recv() => return_call(call),
            }
        }
    }

    /// Writes calls and heartbeats until the connection ends.
    async fn use_connection(&mut self, stream: TlsStream<TcpStream>) -> ConnectionEnd {
        let (reader, mut writer) = tokio::io::split(stream);
        let open = Arc::new(OpenConnection {
            calls: Mutex::default(),
            last_heard: Mutex::new(Instant::now()),
            was_heard: AtomicBool::new(false),
            is_paused: AtomicBool::new(false),
            changed: Notify::new(),
        });
        let reading = read_replies(
            BufReader::new(reader),
            Arc::clone(&open),
            Arc::clone(&self.cluster),
            self.peer,
        );
        let mut reading = tokio::spawn(reading);
        let max_silence = self.cluster.max_silence;
        let tick_interval = (max_silence / HEARTBEATS_PER_SILENCE).min(MAX_PAUSE);
        let mut tick = interval(tick_interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_tick = Instant::now();
        let mut next_call = HEARTBEAT_CALL + 1;
        let mut batch = CallBuffer::with_capacity(MAX_BATCH_BYTES);
        let mut next_batch_at = Instant::now();

        let silent = loop {
            let (calls, is_paused) = (open.lock_calls().len(), open.is_paused());
            if is_paused && calls == 0 {
                let _ = timeout(max_silence, writer.shutdown()).await;
                reading.abort();
                return ConnectionEnd::Paused;
            }
            let has_room = calls < MAX_OPEN_CALLS && !is_paused;
            // As Nagle's algorithm does.
            let is_due = calls == 0 || Instant::now() >= next_batch_at;
            tokio::select! {
                biased;
                _ = &mut reading => break false,
                () = open.changed.notified() => continue,
                () = sleep_until(next_batch_at), if has_room && !is_due => continue,
                _ = tick.tick() => {
                    // A process that did not run for a while heard no heartbeat: it must not count and
                    // decide alone.
                    if last_tick.elapsed() > 2 * tick_interval {
                        open.restart_silence();
                    }
                    last_tick = Instant::now();
                    if open.silence() > max_silence {
                        break true;
                    }
                    push_frame(&mut batch, HEARTBEAT_CALL, CallKind::Heartbeat as u8, &[]);
                }
                Some(call) = self.queue.recv(), if has_room && is_due => {
                    next_batch_at = Instant::now() + BATCH_INTERVAL;
                    let mut waiting = Some(call);
                    while let Some(call) = waiting {
                        push_frame(&mut batch, next_call, call.kind as u8, call.payload.as_bytes());
                        open.lock_calls().insert(next_call, call.reply);
                        next_call += 1;
                        let is_full = batch.len() >= MAX_BATCH_BYTES;
                        waiting = if is_full { None } else { self.queue.try_recv().ok() };
                    }
                }
            }
            let written = timeout(max_silence, async {
                writer.write_all(batch.as_bytes()).await?;
                writer.flush().await
            });
            match written.await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => break false,
                Err(_) => break true,
            }
            batch.wipe();
        };

        reading.abort();
        // The senders are dropped: it is unknown whether these calls arrived.
        open.lock_calls().clear();
        match (silent, open.was_heard.load(Ordering::Relaxed)) {
            (true, _) => ConnectionEnd::Silent,
            (false, true) => ConnectionEnd::Closed,
            (false, false) => ConnectionEnd::Unusable(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "it closed the connection; it may not accept this collector's certificate",
            )),
        }
    }
}

/// The call was not sent, and its payload goes back.
fn return_call(call: OutgoingCall) {
    let _ = call.reply.send(Err(CallFailure::NotSent(call.payload)));
}

async fn read_replies(
    mut reader: ReplyReader,
    open: Arc<OpenConnection>,
    cluster: Arc<Cluster>,
    peer: PeerId,
) {
    while let Ok(frame) = read_frame(&mut reader).await {
        open.record_sign_of_life();
        if frame.call == HEARTBEAT_CALL {
            let is_paused = cluster.record_heartbeat(peer, &frame.payload);
            open.is_paused.store(is_paused, Ordering::Release);
            open.changed.notify_one();
        } else {
            if let Some(reply) = open.remove_call(frame.call) {
                let _ = reply.send(Ok(frame.payload));
            }
        }
    }
}

impl OpenConnection {
    fn lock_calls(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<CallReply>>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remove_call(&self, call: u64) -> Option<oneshot::Sender<CallReply>> {
        let mut calls = self.lock_calls();
        let reply = calls.remove(&call);
        if calls.is_empty() {
            self.changed.notify_one();
        }
        reply
    }

    fn is_paused(&self) -> bool {
        self.is_paused.load(Ordering::Acquire)
    }

    fn record_sign_of_life(&self) {
        self.was_heard.store(true, Ordering::Relaxed);
        self.restart_silence();
    }

    fn restart_silence(&self) {
        *self
            .last_heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn silence(&self) -> Duration {
        self.last_heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .elapsed()
    }
}
