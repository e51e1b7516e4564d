//! Stage 2: the gate. Only the gate makes an [`AdmittedHit`]. Only [`ConsentPolicy::stored_choice`]
//! reads stored choices: for hits, the consent prompt, the visitor's page and the gate of the BI
//! tool.
//!
//! A hit is admitted, or dropped for the first reason in `DropReason::ALL` that applies. A drop
//! increments one process-wide counter and leaves nothing else: no site, and no time finer than the
//! hour.

mod choice;
mod drop_counters;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz_target;
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
pub use gate::{AdmittedHit, AdmittedMail, Gate, HitCaller, RawHit, RawMail};
pub use id::ConsentId;
pub use keys::{GrantKeys, GrantKeysError};
pub use policy::{ConsentPolicy, ConsentTier, GrantEvidence, GrantLookup};
pub use register::ConsentRegister;
pub use withdrawn::{ConsentIdDigest, InheritedWithdrawals, WithdrawnGrants};

// A hit until it is pseudonymised, and the id that links a grant in a browser to its records. Each
// copy is made by `ConsentId::duplicate_id`.
crate::unprintable!(
    AdmittedHit<'static>,
    ConsentId,
    HitCaller<'static>,
    RawHit<'static>,
    StoredChoice<'static>,
);
