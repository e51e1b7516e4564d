//! Stage 2: the gate. The only maker of an [`AdmittedHit`], and the only reader of cookies.
//!
//! A hit is admitted or refused for one reason, the first of the table in `Refusal::ALL` that holds. A refusal raises one
//! process-wide counter and leaves nothing else: no site, no time finer than the hour.

mod choice;
mod gate;
mod id;
mod refusals;
mod register;
mod terms;
pub mod texts;
pub mod versions;
mod withdrawn;

pub use choice::{Stored, cookie, expired, grant, refusal};
pub use gate::{AdmittedHit, AdmittedMail, Gate, RawMail};
pub use id::ConsentId;
pub use refusals::Refusals;
pub use register::Register;
pub use terms::{Terms, Tier};
pub use withdrawn::Withdrawn;
