//! Stage 6: counts reach the disk before the answer goes out.
//!
//! Constraints:
//! - *Answered means on disk.* A batch is written and `fdatasync`ed, then all of its hits are answered. While one batch syncs the
//!   next one gathers, so durability costs latency (a sync), not throughput.
//! - *Nobody in it.* A frame holds sums of a few milliseconds, sorted; a sealed segment holds the sums of some seconds. Neither has a
//!   field for anything of a person.
//! - *No visit log.* The attributes of a frame are encrypted with a key that is not on the disk (key.rs). In clear they stand in sealed
//!   segments only, and there with those of at least k visits of their site, or of a day that is over: the rest is carried from segment
//!   to segment.
//! - *All or nothing.* Space for a batch is reserved before its hits are counted. Without it they are answered 503 and nothing was
//!   counted, in memory or on disk.
//! - *A failed sync ends the process.* The kernel may have dropped the pages; what the next sync would promise is not known.
//!
//! Life of a segment file: `N.open` (frames are appended) -> `N+1.open` (its first frame holds the attributes N does not release) ->
//! `N.sealed` (one frame, the canonical sums; written beside, synced, renamed) -> sent to the store -> deleted. Where N is open and N+1
//! has its first frame, N counts without the sites and days that stand in it. What cannot be read or is too old to retry goes to `quarantine/`.
//!
//! ```text
//! file    header frame*  (zeros up to the reserved end)
//! header  "FFSEGM2\n" collector:u64 epoch:u64 number:u64 crc32c:u32        little endian, as all numbers
//! frame   "FFR1" length:u32 crc32c(length, payload):u32 payload            see payload.rs for the payload
//! ```
//!
//! Files that begin with "FFSEGM1\n" are a former version's: they are read (former.rs) and sent, and never written.

mod attributes;
mod bell;
mod code;
mod file;
mod former;
mod frame;
mod inbox;
mod key;
mod open;
mod payload;
mod recover;
mod seal;
mod sealer;
mod writer;

pub use bell::Ticket;
pub use file::{Folder, JournalError, SegmentFile, SegmentId};
pub use inbox::{Inbox, Unavailable};
pub use seal::read_sealed;
pub use writer::{Journal, Parts, Sealed, Stats, Writer};

#[cfg(test)]
mod tests;
