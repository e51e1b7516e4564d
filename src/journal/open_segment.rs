//! The open segment: its file, the sums of its batches, and the time of its first count.

use std::time::Instant;

use super::frame;
use super::payload::{self, FrameKind};
use super::segment_file::{JournalError, JournalFolder, SegmentFile, SegmentId};
use super::segment_keys::{SegmentCipher, SegmentKeys};
use crate::aggregate::{AttributeSums, SegmentBuilder, SegmentDelta, SegmentSums};

pub(super) struct OpenSegment {
    pub(super) file: SegmentFile,
    pub(super) segment: SegmentBuilder,
    /// Time of its first count, not including carried attributes. By the machine's clock, not that
    /// of hits, because how long counts may stay in memory is not a rule of counting.
    pub(super) first_count_at: Option<Instant>,
    cipher: SegmentCipher,
    frame: Vec<u8>,
}

impl OpenSegment {
    /// Creates a segment whose first frame has the rows that the segment before did not release.
    /// The frame is on disk when this returns; only then may the segment before be closed. Returns
    /// `carried`.
    pub(super) fn create_segment(
        folder: &JournalFolder,
        id: SegmentId,
        keys: &mut SegmentKeys,
        carried: AttributeSums,
    ) -> Result<(OpenSegment, AttributeSums), JournalError> {
        OpenSegment::create_with_buffer(folder, id, keys, carried, Vec::new())
    }

    /// Creates the segment after this one, in the same way.
    ///
    /// It takes over the buffer of frames: the frame of carried rows has megabytes, and hits wait
    /// while it is written, so its pages should not be new.
    pub(super) fn create_next(
        &mut self,
        folder: &JournalFolder,
        id: SegmentId,
        keys: &mut SegmentKeys,
        carried: AttributeSums,
    ) -> Result<(OpenSegment, AttributeSums), JournalError> {
        let frame = std::mem::take(&mut self.frame);
        OpenSegment::create_with_buffer(folder, id, keys, carried, frame)
    }

    fn create_with_buffer(
        folder: &JournalFolder,
        id: SegmentId,
        keys: &mut SegmentKeys,
        carried: AttributeSums,
        mut frame: Vec<u8>,
    ) -> Result<(OpenSegment, AttributeSums), JournalError> {
        let delta = SegmentDelta {
            first_string_id: 1,
            first_attribute_string_id: 0,
            sums: SegmentSums {
                attributes: carried,
                ..SegmentSums::default()
            },
        };
        let cipher = keys
            .segment_cipher(id)
            .expect("the key of the running process is known");
        frame.clear();
        let number = keys.next_nonce();
        frame::write_frame(&mut frame, |out| {
            payload::write_open_payload(out, FrameKind::Carried, &delta, &cipher, number)
        });
        let file = SegmentFile::create_file(folder, id, &frame)?;
        let mut segment = SegmentBuilder::default();
        segment.add_delta(&delta);
        Ok((
            OpenSegment {
                file,
                segment,
                first_count_at: None,
                cipher,
                frame,
            },
            delta.sums.attributes,
        ))
    }

    /// Writes and syncs a batch, and returns its size in bytes. After an error the state of the
    /// disk is unknown and the caller must stop.
    pub(super) fn append_batch(
        &mut self,
        delta: &SegmentDelta,
        keys: &mut SegmentKeys,
    ) -> Result<u64, JournalError> {
        self.frame.clear();
        let (cipher, number) = (&self.cipher, keys.next_nonce());
        frame::write_frame(&mut self.frame, |out| {
            payload::write_open_payload(out, FrameKind::Batch, delta, cipher, number)
        });
        self.file.append_frame(&self.frame)?;
        self.segment.add_delta(delta);
        self.first_count_at.get_or_insert_with(Instant::now);
        Ok(self.frame.len() as u64)
    }
}
