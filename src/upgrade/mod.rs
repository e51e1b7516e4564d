//! `footfall upgrade`: a new process, the successor, continues where the running collector, its
//! predecessor, ends. This module has the socket, the messages and the file in memory that carries
//! the state; `server/upgrade.rs` says what the two processes do.
//!
//! ```text
//! successor                                  predecessor
//! Hello          what it would listen on ->
//!                                         <- Offer      the listening sockets; or Refused
//! Prepared       ready to take over      ->             reads no further requests, answers those
//!                                                       under way, suspends the writer
//!                                         <- State      the state, encrypted, and its key
//! Taken          the state is whole      ->             from here on the successor continues
//!                                         <- Connections open ones, some at a time
//!                                         <- Released   journal and ledger are free
//! ```
//!
//! Before `Taken`, the predecessor continues after any failure. After it, the successor continues as
//! soon as it can lock the journal, whether the predecessor says so or is dead. The lock decides:
//! two processes never have it.
//!
//! Nothing is written to a disk. The state is in a sealed file in memory, encrypted with a key that
//! exists in the two processes and, for a moment, in the socket between them. So nothing readable of
//! it can reach swap.

mod messages;
mod packet_socket;
mod state_file;

pub use messages::{
    FixedSettings, Hello, ListenAddresses, Offer, PredecessorMessage, SuccessorMessage, Supervisor,
};
pub use packet_socket::{ControlListener, MAX_DESCRIPTORS, Packet, PacketSocket};
pub use state_file::{SealedState, StateFile, StateFileKey};

/// The version of the state's format. A process that knows another one refuses to take over.
pub const STATE_FORMAT: u32 = 4;

crate::unprintable!(StateFileKey, StateFile);
