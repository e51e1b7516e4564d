//! `footfall upgrade`: one process continues from the state of another.
//!
//! The running collector, the predecessor, gives the new one, its successor, the sockets it listens
//! on, the state of the current days, and its open connections ([`crate::upgrade`]). So a connection
//! is never refused or cut, a visitor counts once, and visits end as if nothing had happened.
//! Requests wait from the moment the predecessor reads none any more until the successor has read
//! the state: tens of milliseconds, and more with millions of visitors.

mod gate;
mod leaving;
mod predecessor;
mod successor;

use std::net::SocketAddr;
use std::time::Duration;

pub(super) use predecessor::{Listeners, PredecessorParts, Successor};
pub(super) use successor::{InheritedPorts, Predecessor, wait_for_locks};

use crate::access::UsedTokens;
use crate::cluster::ClusterIdentity;
use crate::config::{Config, UpgradeStep};
use crate::consent::InheritedWithdrawals;
use crate::journal::WriterState;
use crate::registry::InheritedQueues;
use crate::upgrade::{FixedSettings, ListenAddresses};

/// Time for the other process to answer what needs no work.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the successor to read lists and patterns before it asks for the state.
const PREPARE_TIMEOUT: Duration = Duration::from_secs(120);
/// Time for the predecessor to finish requests, and to write the state.
const STATE_TIMEOUT: Duration = Duration::from_secs(60);
/// Time for the predecessor to close the journal and the ledger.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of the state that any machine reads in a second.
const READ_BYTES_PER_SEC: u64 = 20 << 20;

/// What a collector begins with that takes over from another one.
pub(super) struct InheritedState {
    pub(super) writer: WriterState,
    pub(super) used_tokens: UsedTokens,
    /// Grants that were withdrawn, also at other collectors.
    pub(super) withdrawn: InheritedWithdrawals,
    /// Audit entries and opened messages that wait for the store.
    pub(super) queues: InheritedQueues,
    pub(super) cluster: Option<ClusterIdentity>,
}

/// Stops this process if `stop` is this step: a test kills it then.
fn stop_at(stop: UpgradeStep, step: UpgradeStep) {
    if stop == step {
        let own = rustix::process::getpid();
        let _ = rustix::process::kill_process(own, rustix::process::Signal::STOP);
        // Another thread may be the one that takes the signal, and stops this one a little later.
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Time for the successor to read a state of this size.
fn read_timeout(bytes: u64) -> Duration {
    REPLY_TIMEOUT + Duration::from_secs(bytes / READ_BYTES_PER_SEC)
}

/// Where the configuration listens.
fn listen_addresses(config: &Config) -> ListenAddresses {
    let cluster = &config.cluster;
    ListenAddresses {
        http: config.server.listen,
        bi: config.bi_port.http_listen,
        cluster: cluster.listen.filter(|_: &SocketAddr| cluster.is_enabled()),
    }
}

/// What a takeover cannot change: the state depends on it, or the process would end at its first look
/// at the store, after the other one has ended.
fn fixed_settings(config: &Config) -> FixedSettings {
    let (store, cluster) = (&config.store, &config.cluster);
    let settings = [
        ("visitor.mode", config.visitor.mode.name().to_owned()),
        (
            "store.shards or store.replication",
            format!("{:?} {}", store.shards, store.replication),
        ),
        (
            "cluster.name or cluster.collectors",
            format!("{} {:?}", cluster.name, cluster.collectors),
        ),
    ];
    settings
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}

/// The control group of this process, as the kernel writes it.
fn control_group() -> String {
    std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default()
}
