//! Stage 2: the gate. The only maker of an [`AdmittedHit`], and the only reader of choices: [`Terms::stored`], for hits, the question, the
//! visitor's page and the gate of the BI tool alike.
//!
//! A hit is admitted or refused for one reason, the first of the table in `Refusal::ALL` that holds. A refusal raises one
//! process-wide counter and leaves nothing else: no site, no time finer than the hour.

mod choice;
mod gate;
mod id;
mod keys;
mod refusals;
mod register;
mod terms;
pub mod texts;
pub mod versions;
mod withdrawn;

pub use choice::{Stored, expired};
pub use gate::{AdmittedHit, AdmittedMail, Gate, RawMail};
pub use id::ConsentId;
pub use keys::{BadGrantKeys, GrantKeys, is_key_id};
pub use refusals::Refusals;
pub use register::Register;
pub use terms::{OnRecord, Proofs, Terms, Tier};
pub use withdrawn::{IdDigest, Withdrawn};
