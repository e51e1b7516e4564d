//! Closes the segments that a crash left open, before the port is opened.
//!
//! A segment that is followed by another one was about to be closed; the rows that the later one
//! carries are not part of it. Of the last segment, the rows that may be released are released. The
//! others are carried into the first segment of the new process, which must be on disk before that
//! last one is closed. So each row counts in exactly one place at each moment.

use std::path::Path;

use super::frame::{FRAME_OVERHEAD_BYTES, FrameScanner, SegmentRegion};
use super::payload::{self, FrameKind, OpenPayload};
use super::sealed_segment::close_segment;
use super::segment_file::{
    HEADER_BYTES, JournalError, JournalFolder, SegmentFormat, SegmentId, read_file,
};
use super::segment_keys::{SegmentCipher, SegmentKeys};
use super::totals_codec::PayloadError;
#[cfg(any(test, feature = "fuzzing"))]
use crate::aggregate::SegmentSums;
use crate::aggregate::{AttributeSums, ReleasePolicy, ReleaseScope, SegmentBuilder};
use crate::calendar::Millis;

/// The result of recovery, for log and metrics.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct RecoverySummary {
    /// Open segments that were read.
    pub segments: usize,
    /// Batches that were read.
    pub frames: usize,
    /// Damaged places; each was logged with its file and offset.
    pub damaged: usize,
    /// Attribute rows whose key is lost, after a power cut or without `journal.key_dir`.
    pub lost_rows: u64,
    /// The next free segment number.
    pub next_number: u64,
}

/// A recovery that still has to close the last segment.
pub(super) struct SegmentRecovery {
    recovered: RecoverySummary,
    last: Option<ReplayedSegment>,
    /// Attributes that the first segment of this process must begin with.
    pub(super) carried: AttributeSums,
}

/// A segment that was read back.
pub(super) struct ReplayedSegment {
    id: SegmentId,
    segment: SegmentBuilder,
    /// Attributes that the segment before must not count. `None` if that frame is damaged: then
    /// they were not counted here either.
    carried: Option<AttributeSums>,
}

impl SegmentRecovery {
    /// Closes all open segments but the last.
    pub(super) fn replay_open_segments(
        folder: &JournalFolder,
        keys: &SegmentKeys,
        rule: ReleasePolicy,
        now: Millis,
    ) -> Result<SegmentRecovery, JournalError> {
        let mut recovered = RecoverySummary::default();
        for number in folder.segment_numbers("sealing")? {
            let half = folder.segment_path(number, "sealing");
            std::fs::remove_file(&half).map_err(JournalError::from_io(&half))?;
        }
        let sealed = folder.segment_numbers("sealed")?;
        let mut last: Option<ReplayedSegment> = None;
        for number in folder.segment_numbers("open")? {
            recovered.next_number = recovered.next_number.max(number + 1);
            let open = folder.segment_path(number, "open");
            if sealed.contains(&number) {
                // Killed between writing the sealed file and removing the open one: the sealed file
                // is complete.
                std::fs::remove_file(&open).map_err(JournalError::from_io(&open))?;
                continue;
            }
            let Some(replayed) = replay_segment(folder, number, keys, &mut recovered)? else {
                continue;
            };
            recovered.segments += 1;
            if let Some(before) = last.take() {
                let carried = replayed.carried.as_ref().unwrap_or(&NO_ATTRIBUTES);
                close_segment(folder, before.id, &before.segment.finish_segment(carried))?;
            }
            last = Some(replayed);
        }
        recovered.next_number = recovered
            .next_number
            .max(sealed.last().map_or(0, |last| last + 1));
        if recovered.lost_rows > 0 {
            tracing::error!(
                rows = recovered.lost_rows,
                "attribute rows of segments that were not sealed are lost: their key is gone; \
                 totals are complete"
            );
        }
        let carried = last.as_ref().map(|last| {
            last.segment
                .collect_carried(rule, ReleaseScope::EnoughVisits, now)
        });
        Ok(SegmentRecovery {
            recovered,
            carried: carried.unwrap_or_default(),
            last,
        })
    }

    pub(super) fn next_number(&self) -> u64 {
        self.recovered.next_number
    }

    /// Closes the last segment, once the rows it carries are on disk.
    pub(super) fn close_last_segment(
        self,
        folder: &JournalFolder,
        carried: &AttributeSums,
    ) -> Result<RecoverySummary, JournalError> {
        if let Some(last) = self.last {
            close_segment(folder, last.id, &last.segment.finish_segment(carried))?;
        }
        Ok(self.recovered)
    }
}

impl ReplayedSegment {
    fn add_frame(&mut self, frame: OpenPayload<'_>, recovered: &mut RecoverySummary) {
        self.segment.add_delta(&frame.delta);
        match frame.kind {
            FrameKind::Batch => recovered.frames += 1,
            FrameKind::Carried => self.carried = Some(frame.delta.sums.attributes),
        }
    }

    /// The sums without the rows that it carries itself, as if it were the segment before.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn into_sums(self) -> SegmentSums {
        let carried = self.carried.unwrap_or_default();
        self.segment.finish_segment(&carried)
    }
}

static NO_ATTRIBUTES: AttributeSums = AttributeSums {
    strings: Vec::new(),
    rows: Vec::new(),
};

/// Reads an open segment's file. `None` if nothing in it was ever acknowledged, or nothing can be
/// read.
fn replay_segment(
    folder: &JournalFolder,
    number: u64,
    keys: &SegmentKeys,
    recovered: &mut RecoverySummary,
) -> Result<Option<ReplayedSegment>, JournalError> {
    let path = folder.segment_path(number, "open");
    let file = read_file(&path)?;
    let remove = || std::fs::remove_file(&path).map_err(JournalError::from_io(&path));
    // A block that the disk kept from a removed segment has a whole header with another number. Its
    // token would make the store skip these counts as sent.
    let header = SegmentId::parse_header(&file).filter(|(id, _)| id.number == number);
    let Some((id, format)) = header else {
        // Created, but its header never reached the disk, so nothing after it was acknowledged
        // either.
        if file.iter().all(|byte| *byte == 0) {
            return remove().map(|()| None);
        }
        recovered.damaged += 1;
        let kept = folder.quarantine_file(&path)?;
        tracing::error!(file = %path.display(), offset = 0, kept = %kept.display(), "the header of \
            a journal segment is damaged; none of it was counted");
        return Ok(None);
    };

    let cipher = keys.segment_cipher(id);
    let (replayed, frames, damage) =
        replay_frames(&file, &path, (id, format), cipher.as_ref(), recovered);
    if frames == 0 && !damage {
        // Killed while it was created: the segment before was still the open one and still has the
        // rows that would have been carried.
        return remove().map(|()| None);
    }
    if damage {
        let copy = folder.free_quarantine_path(&path);
        std::fs::copy(&path, &copy).map_err(JournalError::from_io(&copy))?;
        tracing::error!(file = %path.display(), kept = %copy.display(), "the damaged segment was \
            kept");
    }
    Ok(Some(replayed))
}

/// Reads the frames of an open segment's file. Returns the segment, the number of frames that were
/// read, and whether a part of the file is damaged. `path` is used in the log only.
pub(super) fn replay_frames(
    file: &[u8],
    path: &Path,
    (id, format): (SegmentId, SegmentFormat),
    cipher: Option<&SegmentCipher>,
    recovered: &mut RecoverySummary,
) -> (ReplayedSegment, usize, bool) {
    let mut replayed = ReplayedSegment {
        id,
        segment: SegmentBuilder::default(),
        carried: None,
    };
    let (mut frames, mut damage) = (0, false);
    let mut place = HEADER_BYTES;

    for found in FrameScanner::new(file, HEADER_BYTES) {
        match found {
            SegmentRegion::Frame(payload) => {
                let read = read_frame(payload, format, cipher, file.len(), recovered);
                match read.map(|read| replayed.add_frame(read, recovered)) {
                    Ok(()) => frames += 1,
                    Err(bad) => {
                        damage = true;
                        recovered.damaged += 1;
                        tracing::error!(file = %path.display(), offset = place, %bad, "a frame of a journal segment cannot be read");
                    }
                }
                place += FRAME_OVERHEAD_BYTES + payload.len();
            }
            SegmentRegion::Damage { at, next } => {
                damage = true;
                recovered.damaged += 1;
                place = next;
                tracing::error!(file = %path.display(), offset = at, bytes = next - at, "a journal segment is damaged; its counts in these bytes are lost, all others were recovered");
            }
            SegmentRegion::Torn { at, bytes } => {
                tracing::warn!(file = %path.display(), offset = at, bytes, "the last write of a \
                    journal segment is incomplete; its hits were never acknowledged");
            }
        }
    }
    (replayed, frames, damage)
}

/// Reads a frame and decrypts its attributes. `file_bytes` is the length of its file.
fn read_frame<'a>(
    payload: &'a [u8],
    format: SegmentFormat,
    cipher: Option<&SegmentCipher>,
    file_bytes: usize,
    recovered: &mut RecoverySummary,
) -> Result<OpenPayload<'a>, PayloadError> {
    let mut read = payload::read_open_payload(payload, format)?;
    if let Some(hidden) = &read.encrypted {
        match cipher.and_then(|cipher| hidden.decrypt_rows(cipher)) {
            Some((base, attributes)) => {
                (
                    read.delta.first_attribute_string_id,
                    read.delta.sums.attributes,
                ) = (base, attributes)
            }
            None => recovered.lost_rows += hidden.rows,
        }
    }

    // The strings before a frame's own are in earlier frames of its file, at least a byte each. A
    // larger number is damage, and must not make room for that many strings.
    let (totals, attributes) = (
        read.delta.first_string_id as usize,
        read.delta.first_attribute_string_id as usize,
    );
    // Carried rows are compared with those of the segment before by their texts.
    let whole = read.kind == FrameKind::Batch || read.delta.sums.attributes.has_all_strings();
    if totals > file_bytes || attributes > file_bytes || !whole {
        return Err(PayloadError(0));
    }
    Ok(read)
}
