//! What the two processes say to each other, as JSON. File descriptors and the key of the state
//! accompany some messages; see each.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The messages of the process that takes over.
#[derive(Serialize, Deserialize, Debug)]
#[serde(rename_all = "snake_case")]
pub enum SuccessorMessage {
    /// Asks for [`PredecessorMessage::Supervisor`]; nothing else follows.
    AskSupervisor,
    /// Asks for the listening sockets.
    Hello(Box<Hello>),
    /// All that can be prepared is prepared: the state may come.
    Prepared,
    /// The state was read and is whole.
    Taken,
    /// The port is served.
    Serving,
}

/// The messages of the running collector.
#[derive(Serialize, Deserialize, Debug)]
#[serde(rename_all = "snake_case")]
pub enum PredecessorMessage {
    /// What supervises the collector.
    Supervisor(Supervisor),
    /// With the listening sockets, in the order of [`ListenAddresses::all`].
    Offer(Offer),
    /// Why there is no takeover. The collector continues.
    Refused {
        /// A sentence for the operator.
        reason: String,
    },
    /// With the sealed file. A packet with its key follows.
    State {
        /// Bytes of the state before encryption.
        bytes: u64,
        /// Open connections that will be handed over.
        connections: usize,
    },
    /// With the sockets of open connections.
    Connections,
    /// The journal and the ledger are free.
    Released,
}

/// Settings by what they are called to the operator, and their values.
pub type FixedSettings = BTreeMap<String, String>;

/// What a successor says of itself.
#[derive(Serialize, Deserialize, Debug)]
pub struct Hello {
    /// [`super::STATE_FORMAT`] of its build.
    pub format: u32,
    /// Its version.
    pub version: String,
    /// Where it would listen.
    pub listen: ListenAddresses,
    /// The values of settings that a takeover cannot change, by what they are called to the operator.
    pub fixed_settings: FixedSettings,
    /// Its control group, as `/proc/self/cgroup` has it.
    pub control_group: String,
    /// Its `NOTIFY_SOCKET`.
    pub notify_socket: Option<String>,
}

/// The addresses of a configuration. A process can only be given sockets of the addresses that it
/// would listen on itself.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct ListenAddresses {
    /// `server.listen`.
    pub http: SocketAddr,
    /// `bi_port.http_listen`.
    pub bi: Option<SocketAddr>,
    /// `cluster.listen`.
    pub cluster: Option<SocketAddr>,
}

impl ListenAddresses {
    /// The addresses with their keys in the configuration, in the order of the sockets.
    pub fn all(&self) -> [(&'static str, Option<SocketAddr>); 3] {
        [
            ("server.listen", Some(self.http)),
            ("bi_port.http_listen", self.bi),
            ("cluster.listen", self.cluster),
        ]
    }
}

/// What a successor needs to know of its predecessor.
#[derive(Serialize, Deserialize, Debug)]
pub struct Offer {
    /// The version of the running collector.
    pub version: String,
}

/// What supervises the running collector; both are `None` without systemd.
#[derive(Serialize, Deserialize, PartialEq, Eq, Debug)]
pub struct Supervisor {
    /// `NOTIFY_SOCKET`.
    pub notify_socket: Option<String>,
    /// `WATCHDOG_USEC`.
    pub watchdog_usec: Option<String>,
}

impl Supervisor {
    /// Reads the environment of this process.
    pub fn from_environment() -> Supervisor {
        Supervisor {
            notify_socket: std::env::var("NOTIFY_SOCKET").ok(),
            watchdog_usec: std::env::var("WATCHDOG_USEC").ok(),
        }
    }
}
