//! Stage 6: counts are on disk before their hits are acknowledged.
//!
//! Constraints:
//! - *Acknowledged means on disk.* A batch is written and `fdatasync`ed, then all of its hits are
//!   acknowledged. While one batch syncs the next one gathers, so durability costs latency (a
//!   sync), not throughput.
//! - *No personal data.* A frame contains the sums of a few milliseconds, sorted; a sealed segment
//!   those of some seconds. Neither has a field for anything that identifies a person.
//! - *No log of visits.* The attributes of a frame are encrypted with a key that is not on the disk
//!   (segment_keys.rs). They are in clear in sealed segments only, and there only those of a site
//!   with at least k visits, or of a day that is over. The others are carried from segment to
//!   segment.
//! - *All or nothing.* Space for a batch is reserved before its hits are counted. Without space
//!   the response is 503, and nothing was counted, in memory or on disk.
//! - *A failed sync ends the process.* The kernel may have dropped the pages, so the result of a
//!   later sync would mean nothing.
//!
//! Life of a segment file: `N.open` (frames are appended) -> `N+1.open` (its first frame has the
//! attributes that N does not release) -> `N.sealed` (one frame, the canonical sums; written to
//! another name, synced, renamed) -> sent to the store -> deleted. While N is open and N+1 has its
//! first frame, N counts without the sites and days in that frame. Files that cannot be read, and
//! those that a store rejects while it accepts others, are moved to `quarantine/`.
//!
//! ```text
//! file    header frame*  (zeros up to the reserved end)
//! header  "FFSEGM2\n" collector:u64 epoch:u64 number:u64 crc32c:u32
//! frame   "FFR1" length:u32 crc32c(length, payload):u32 payload
//! ```
//!
//! All numbers are little endian. payload.rs describes the payload. Files that begin with
//! "FFSEGM1\n" are of a former version: they are read (format_v1.rs) and sent, but never written.

mod attribute_codec;
mod completion;
mod format_v1;
mod frame;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz_target;
mod handle;
mod heartbeat;
mod hit_queue;
mod journal_stats;
mod open_segment;
mod payload;
mod recovery;
mod sealed_segment;
mod segment_closer;
mod segment_file;
mod segment_keys;
mod suspension;
mod totals_codec;
mod writer;

pub use completion::{CommitError, CommitTicket};
pub use handle::Journal;
pub use hit_queue::HitQueue;
pub use journal_stats::JournalStats;
pub use sealed_segment::{SealedSegment, read_sealed_segment};
pub use segment_file::{
    COLLECTOR_FILE, JournalError, JournalFolder, SegmentFile, SegmentId, check_segment_room,
    read_segment_id,
};
pub use suspension::{SuspendedWriter, WriterState};
pub use writer::{JournalWriter, WriterParts};

#[cfg(test)]
mod tests;
