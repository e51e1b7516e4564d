//! Several collectors of one platform: which of them counts a network, and how they call each
//! other.
//!
//! Each collector keeps a connection to each other one, with TLS on both sides, and sends a
//! heartbeat four times a second. A collector that is silent for a second
//! (`cluster.dead_after_millis`), or refuses connections, is dead: its networks move at once to the
//! others, and the visitors it had counted that day count again. `membership.rs` has the rules.
//!
//! A call that was not written to a connection goes back to the caller, who may try another
//! collector. A call that was written and not answered may have arrived, so it is never repeated.
//!
//! This module carries bytes and knows nothing of their meaning. `ingest/forward.rs` writes
//! requests into them; `server/cluster_calls.rs` answers.

mod buffer;
mod frame;
mod identity;
mod link;
mod membership;
mod port;
mod replacement;
mod tls;

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};

use crate::calendar::Millis;
use crate::clock::Clock;
use crate::config::{ClusterConfig, CollectorAddress};
use crate::outage::Outage;
pub use buffer::{BufferReader, CallBuffer};
pub use identity::ClusterIdentity;
use link::{MAX_QUEUED_CALLS, OutgoingCall, PeerLink};
use membership::{ClusterView, CollectorState};
pub use port::{CallHandler, ClusterPort, OpenClusterPort, ReplyFuture};
pub use replacement::ReplacementGuard;
use replacement::ReplacementTurn;
use tls::ClusterTls;
pub use tls::check_tls_files;

/// How often a collector may be found silent until a start no longer waits for it.
const FIRST_CONTACT_ATTEMPTS: u32 = 3;

/// Bits of a heartbeat.
const LEAVING_FLAG: u8 = 1;
const PAUSING_FLAG: u8 = 2;

/// One of the other collectors.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PeerId(usize);

/// What a call asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum CallKind {
    /// The state of the collector. Answered here.
    Heartbeat = 0,
    /// Count the hits of a request.
    Hits = 1,
    /// Count an opening or a click of a mail.
    Mail = 2,
    /// Read what changed in the registry, and reply when it is in force.
    Registry = 3,
    /// Drop hits of withdrawn grants, from now on.
    Withdrawals = 4,
    /// Mark handover tokens as used.
    UsedTokens = 5,
    /// The number of a site's visitors in the last five minutes.
    LiveVisitors = 6,
    /// The receipt of a grant that is on record there.
    Receipt = 7,
    /// What a view would add.
    Preview = 8,
    /// Let the caller be replaced by a new process. Answered here.
    Replacement = 9,
}

impl CallKind {
    fn from_byte(byte: u8) -> Option<CallKind> {
        let all = [
            CallKind::Hits,
            CallKind::Mail,
            CallKind::Registry,
            CallKind::Withdrawals,
            CallKind::UsedTokens,
            CallKind::LiveVisitors,
            CallKind::Receipt,
            CallKind::Preview,
            CallKind::Replacement,
        ];
        all.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// Why a call has no reply.
pub enum CallFailure {
    /// It was not sent. This was its payload.
    NotSent(CallBuffer),
    /// Too many calls wait for the collector; this one was not sent.
    Busy,
    /// It was sent, and the connection ended before the reply: it may have arrived.
    Uncertain,
}

/// Figures for the metrics, since the start.
#[derive(Default)]
pub struct ClusterStats {
    /// Calls sent to other collectors with a reply.
    pub sent_calls: AtomicU64,
    /// Calls of other collectors.
    pub received_calls: AtomicU64,
    /// Calls whose outcome is unknown.
    pub uncertain_calls: AtomicU64,
    /// Visitors that dead collectors had in memory when they were last heard.
    pub lost_visitors: AtomicU64,
    /// Connections to the internal port that were not of another collector.
    pub refused_connections: AtomicU64,
}

/// This collector's view of all collectors, and its connections to them.
pub struct Cluster {
    own: usize,
    identity: ClusterIdentity,
    max_silence: Duration,
    is_leaving: AtomicBool,
    /// Whether another process is about to take over: no connection is accepted, and the other
    /// collectors end those that they have.
    is_pausing: watch::Sender<bool>,
    replacement: ReplacementTurn,
    /// Connections of other collectors, and their calls that have no reply yet.
    incoming_connections: Arc<AtomicUsize>,
    incoming_calls: Arc<AtomicUsize>,
    view: ArcSwap<ClusterView>,
    update_lock: Mutex<()>,
    /// By place in the view; `None` at this collector's own.
    queues: Vec<Option<mpsc::Sender<OutgoingCall>>>,
    tls: ClusterTls,
    /// Number of collectors that were reached, or found dead.
    contacts: watch::Sender<Vec<bool>>,
    /// Collectors that are here after they were away, or anew.
    arrivals: mpsc::UnboundedSender<PeerId>,
    refused: Outage,
    /// By place in the view.
    unreachable: Vec<Outage>,
    /// Figures for the metrics.
    pub stats: ClusterStats,
}

impl Cluster {
    /// Reads certificates and keys. `None` if the configuration has no cluster. Nothing is
    /// connected until [`ClusterPort::start`]. `inherited` is what the process that this one takes
    /// over from was to the others.
    ///
    /// # Errors
    ///
    /// A certificate or key cannot be read.
    pub fn open(
        config: &ClusterConfig,
        clock: &Clock,
        inherited: Option<ClusterIdentity>,
    ) -> anyhow::Result<Option<(Arc<Cluster>, ClusterPort)>> {
        let Some(listen) = config.listen.filter(|_| config.is_enabled()) else {
            return Ok(None);
        };
        let tls = tls::read_tls_files(config)
            .map_err(|(key, reason)| anyhow::anyhow!("{key}: {reason}"))?;
        let addresses = config.collector_addresses();
        let is_own = |one: &CollectorAddress| one.name == config.name;
        let own = addresses.iter().position(is_own).unwrap_or(0);

        let states = addresses
            .iter()
            .map(|one| CollectorState::unknown(&one.name));
        let mut view = ClusterView(states.collect());
        let identity = inherited.unwrap_or_else(|| ClusterIdentity::new(clock.now()));
        view.0[own].is_alive = true;
        view.0[own].joined_at = identity.joined_at;
        let (queues, receivers): (Vec<_>, Vec<_>) = (0..addresses.len())
            .map(|place| (place != own).then(|| mpsc::channel(MAX_QUEUED_CALLS)))
            .map(Option::unzip)
            .unzip();
        let contacts = (0..addresses.len()).map(|place| place == own).collect();
        let (arrivals, arrived) = mpsc::unbounded_channel();

        let cluster = Arc::new(Cluster {
            own,
            identity,
            max_silence: Duration::from_millis(config.dead_after_millis),
            is_leaving: AtomicBool::new(false),
            is_pausing: watch::Sender::new(false),
            replacement: ReplacementTurn::default(),
            incoming_connections: Arc::default(),
            incoming_calls: Arc::default(),
            view: ArcSwap::from_pointee(view),
            update_lock: Mutex::default(),
            queues,
            tls,
            contacts: watch::Sender::new(contacts),
            arrivals,
            refused: Outage::default(),
            unreachable: addresses.iter().map(|_| Outage::default()).collect(),
            stats: ClusterStats::default(),
        });
        let links = addresses.into_iter().zip(receivers).enumerate();
        let links = links.filter_map(|(place, (address, queue))| {
            Some(PeerLink {
                cluster: Arc::clone(&cluster),
                peer: PeerId(place),
                address,
                queue: queue?,
            })
        });
        let port = ClusterPort::new(listen, Arc::clone(&cluster), links.collect(), arrived);
        Ok(Some((cluster, port)))
    }

    /// Returns once each other collector was reached or found dead. A collector that accepted hits
    /// before would count those of the others.
    pub async fn wait_for_contact(&self) {
        let mut contacts = self.contacts.subscribe();
        let made = contacts.wait_for(|contacts| contacts.iter().all(|made| *made));
        let _ = timeout(self.max_silence * FIRST_CONTACT_ATTEMPTS, made).await;
    }

    /// Tells the others that this collector stops: it counts nothing new.
    pub fn start_leaving(&self) {
        self.is_leaving.store(true, Ordering::Release);
        self.update_state(self.own, |own| own.is_leaving = true);
    }

    /// How long a collector that is silent is taken for alive. No call to all others waits longer.
    pub fn max_silence(&self) -> Duration {
        self.max_silence
    }

    /// The name of this collector.
    fn name(&self) -> Arc<str> {
        Arc::clone(&self.view.load().0[self.own].name)
    }

    /// What this collector is to the others. A process that takes over is the same to them.
    pub fn identity(&self) -> ClusterIdentity {
        self.identity
    }

    /// The name of another collector that is being replaced by a new process at this moment.
    pub fn pausing_peer(&self) -> Option<Arc<str>> {
        let view = self.view.load();
        let pausing = view.0.iter().find(|one| one.is_alive && one.is_pausing);
        pausing.map(|one| Arc::clone(&one.name))
    }

    /// Takes no further calls: the others get the replies they wait for, end their connections, and
    /// connect again to the process that takes over, or to this one after [`Cluster::resume`]. Their
    /// calls wait meanwhile.
    pub fn pause(&self) {
        self.is_pausing.send_replace(true);
    }

    /// Takes calls again.
    pub fn resume(&self) {
        self.is_pausing.send_replace(false);
    }

    /// Whether no other collector waits for a reply, `since` the pause began. One that hangs keeps
    /// its connection; it is not waited for.
    pub fn is_quiet(&self, since: Instant) -> bool {
        let calls = self.incoming_calls.load(Ordering::Acquire);
        let connections = self.incoming_connections.load(Ordering::Acquire);
        calls == 0 && (connections == 0 || since.elapsed() > self.max_silence)
    }

    /// The other collector that counts this network, /24 or /48, on a day that began at
    /// `day_start`; `None` if it is this one.
    pub fn remote_owner(&self, network: IpAddr, day_start: Millis) -> Option<PeerId> {
        let owner = self.view.load().network_owner(network, day_start);
        owner.filter(|owner| *owner != self.own).map(PeerId)
    }

    /// The other collector that decides about this key; `None` if it is this one.
    pub fn remote_key_owner(&self, key: &[u8]) -> Option<PeerId> {
        let owner = self.view.load().key_owner(key);
        owner.filter(|owner| *owner != self.own).map(PeerId)
    }

    /// Sends the same call to all other collectors that are alive, and waits for
    /// `cluster.dead_after_millis` at most. `None` for each collector that did not reply, and
    /// nothing for one that died meanwhile.
    pub async fn call_others(&self, kind: CallKind, payload: &[u8]) -> Vec<Option<CallBuffer>> {
        self.call_others_but(None, kind, payload).await
    }

    /// The same without one of them.
    pub async fn call_others_but(
        &self,
        skipped: Option<PeerId>,
        kind: CallKind,
        payload: &[u8],
    ) -> Vec<Option<CallBuffer>> {
        let others = (0..self.queues.len())
            .map(PeerId)
            .filter(|peer| peer.0 != self.own && Some(*peer) != skipped && self.is_alive(*peer));
        let calls = others.map(|peer| async move {
            let mut copy = CallBuffer::with_capacity(payload.len());
            copy.push_bytes(payload);
            match timeout(self.max_silence, self.send_call(peer, kind, copy)).await {
                Ok(Ok(reply)) => Some(Some(reply)),
                _ if self.is_alive(peer) => Some(None),
                _ => None,
            }
        });
        join_all(calls).await.into_iter().flatten().collect()
    }

    /// Sends a call and waits for its reply.
    ///
    /// # Errors
    ///
    /// See [`CallFailure`].
    pub async fn send_call(
        &self,
        peer: PeerId,
        kind: CallKind,
        payload: CallBuffer,
    ) -> Result<CallBuffer, CallFailure> {
        let (reply, replied) = oneshot::channel();
        let call = OutgoingCall {
            kind,
            payload,
            reply,
        };
        let Some(Some(queue)) = self.queues.get(peer.0) else {
            return Err(CallFailure::NotSent(call.payload));
        };
        match queue.try_send(call) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return Err(CallFailure::Busy),
            Err(mpsc::error::TrySendError::Closed(call)) => {
                return Err(CallFailure::NotSent(call.payload));
            }
        }

        let reply = replied.await.unwrap_or(Err(CallFailure::Uncertain));
        let figure = match &reply {
            Ok(_) => Some(&self.stats.sent_calls),
            Err(CallFailure::Uncertain) => Some(&self.stats.uncertain_calls),
            Err(_) => None,
        };
        if let Some(figure) = figure {
            figure.fetch_add(1, Ordering::Relaxed);
        }
        reply
    }

    /// Number of collectors that are alive, this one included.
    pub fn alive_collectors(&self) -> usize {
        let view = self.view.load();
        view.0.iter().filter(|one| one.is_alive).count()
    }

    /// Number of collectors in the configuration.
    pub fn configured_collectors(&self) -> usize {
        self.queues.len()
    }

    /// Whether all collectors are alive.
    pub fn is_complete(&self) -> bool {
        self.alive_collectors() == self.configured_collectors()
    }

    /// Visitors that other living collectors have in memory, as they said last.
    pub fn remote_visitors(&self) -> u64 {
        let view = self.view.load();
        let others = view
            .0
            .iter()
            .enumerate()
            .filter(|(place, _)| *place != self.own);
        let alive = others.filter(|(_, one)| one.is_alive);
        alive.map(|(_, one)| one.visitors).sum()
    }

    fn is_alive(&self, peer: PeerId) -> bool {
        self.view.load().0[peer.0].is_alive
    }

    fn other_names(&self) -> impl Iterator<Item = Arc<str>> {
        let view = self.view.load_full();
        let own = self.own;
        (0..view.0.len())
            .filter(move |place| *place != own)
            .map(move |place| Arc::clone(&view.0[place].name))
    }

    /// This collector's reply to a heartbeat.
    fn own_heartbeat(&self, visitors: u64) -> CallBuffer {
        let mut state = CallBuffer::with_capacity(32);
        state.push_bytes(&self.identity.process.to_le_bytes());
        state.push_bytes(&self.identity.joined_at.to_le_bytes());
        state.push_bytes(&visitors.to_le_bytes());
        let is_leaving = u8::from(self.is_leaving.load(Ordering::Acquire));
        let is_pausing = u8::from(*self.is_pausing.borrow());
        state.push_byte((is_leaving * LEAVING_FLAG) | (is_pausing * PAUSING_FLAG));
        state
    }

    /// Records the state of another collector. `true` if it takes no further calls.
    fn record_heartbeat(&self, peer: PeerId, payload: &CallBuffer) -> bool {
        let mut read = BufferReader::new(payload.as_bytes());
        let mut read_state = || {
            Some((
                u64::from_le_bytes(read.read_array()?),
                Millis::from_le_bytes(read.read_array()?),
                u64::from_le_bytes(read.read_array()?),
                read.read_byte()?,
            ))
        };
        let Some((process_id, joined_at, visitors, flags)) = read_state() else {
            return false;
        };
        let is_leaving = flags & LEAVING_FLAG != 0;
        let is_pausing = flags & PAUSING_FLAG != 0;
        let mut before = None;
        self.update_state(peer.0, |state| {
            before = Some(state.clone());
            // One that leaves forgets its visitors before its last heartbeat.
            if !(is_leaving && state.is_leaving) {
                state.visitors = visitors;
            }
            (state.is_alive, state.is_leaving) = (true, is_leaving);
            state.is_pausing = is_pausing;
            (state.process_id, state.joined_at) = (process_id, joined_at);
        });
        self.record_contact(peer);

        if let Some(before) = before {
            let restarted = before.is_alive && before.process_id != process_id;
            if restarted {
                self.record_lost_visitors(&before);
            }
            if restarted || !before.is_alive {
                self.unreachable[peer.0].record_success();
                tracing::info!(collector = %before.name, "a collector of the cluster is here");
                let _ = self.arrivals.send(peer);
            }
        }
        is_pausing
    }

    fn record_death(&self, peer: PeerId) {
        let mut before = None;
        self.update_state(peer.0, |state| {
            before = Some(state.clone());
            state.is_alive = false;
        });
        self.record_contact(peer);
        if let Some(before) = before.filter(|before| before.is_alive) {
            self.record_lost_visitors(&before);
        }
    }

    fn record_lost_visitors(&self, lost: &CollectorState) {
        let (collector, visitors) = (&*lost.name, lost.visitors);
        self.stats
            .lost_visitors
            .fetch_add(visitors, Ordering::Relaxed);
        tracing::warn!(
            collector,
            visitors,
            "a collector of the cluster is gone; its networks are \
            counted by the others, and those of its visitors who return today count again"
        );
    }

    fn record_connect_error(&self, peer: PeerId, error: &io::Error) {
        if self.unreachable[peer.0].record_failure_reason(&error.kind().to_string()) {
            let view = self.view.load();
            let collector = &*view.0[peer.0].name;
            tracing::warn!(collector, %error, "a collector of the cluster cannot be reached");
        }
    }

    fn record_refused_connection(&self) {
        self.stats
            .refused_connections
            .fetch_add(1, Ordering::Relaxed);
        if self.refused.record_failure() {
            tracing::warn!(
                "a connection to cluster.listen was refused: its certificate is not \
                that of another collector"
            );
        }
    }

    fn record_contact(&self, peer: PeerId) {
        self.contacts
            .send_if_modified(|contacts| !std::mem::replace(&mut contacts[peer.0], true));
    }

    fn update_state(&self, place: usize, change: impl FnOnce(&mut CollectorState)) {
        let _one_at_a_time = self
            .update_lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut view = ClusterView::clone(&self.view.load());
        let before = view.0[place].clone();
        change(&mut view.0[place]);
        if view.0[place] != before {
            self.view.store(Arc::new(view));
        }
    }
}
