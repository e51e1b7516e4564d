//! Stage 2: the gate. It is the only maker of an [`AdmittedHit`]. [`Terms::stored`] is the only
//! reader of stored choices, for hits, the consent prompt, the visitor's page and the gate of the
//! BI tool alike.
//!
//! A hit is admitted, or dropped for the first reason in `Refusal::ALL` that applies. A drop
//! increments one process-wide counter and leaves nothing else: no site, and no time finer than the
//! hour.

mod choice;
mod drop_counters;
mod gate;
mod id;
mod keys;
mod policy;
mod register;
pub mod texts;
pub mod versions;
mod withdrawn;

pub use choice::{StoredChoice, expired_cookie};
pub use drop_counters::DropCounters;
pub use gate::{AdmittedHit, AdmittedMail, Gate, RawMail};
pub use id::ConsentId;
pub use keys::{GrantKeys, GrantKeysError, is_key_id};
pub use policy::{ConsentPolicy, ConsentTier, GrantEvidence, GrantLookup};
pub use register::ConsentRegister;
pub use withdrawn::{ConsentIdDigest, WithdrawnGrants};
