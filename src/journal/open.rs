//! The open segment: its file, the sums of its batches, and since when it has counts.

use std::time::Instant;

use super::file::{Folder, JournalError, SegmentFile, SegmentId};
use super::frame;
use super::key::{Cipher, Keys};
use super::payload::{self, Kind};
use crate::aggregate::{AttributeSums, Delta, Segment, Sums};

pub(super) struct OpenSegment {
    pub(super) file: SegmentFile,
    pub(super) segment: Segment,
    /// When its first count came, carried attributes aside. By the machine's clock, not the one of
    /// hits: how long counts may stay in memory is not a rule of counting.
    pub(super) began: Option<Instant>,
    cipher: Cipher,
    frame: Vec<u8>,
}

impl OpenSegment {
    /// Creates a segment whose first frame holds what the one before did not release. The frame is
    /// on disk when this returns; only then may the one before be sealed. Returns `carried`.
    pub(super) fn create(
        folder: &Folder,
        id: SegmentId,
        keys: &mut Keys,
        carried: AttributeSums,
    ) -> Result<(OpenSegment, AttributeSums), JournalError> {
        let delta = Delta { base: 1, attribute_base: 0, sums: Sums { attributes: carried, ..Sums::default() } };
        let cipher = keys.cipher(id).expect("the key of the running process is known");
        let mut frame = Vec::new();
        let number = keys.next_frame();
        frame::write(&mut frame, |out| payload::write_open(out, Kind::Carried, &delta, &cipher, number));
        let file = SegmentFile::create(folder, id, &frame)?;
        let mut segment = Segment::default();
        segment.add(&delta);
        Ok((OpenSegment { file, segment, began: None, cipher, frame }, delta.sums.attributes))
    }

    /// Writes and syncs a batch, and returns its size in bytes. After an error the state of the
    /// disk is unknown and the caller must not go on.
    pub(super) fn append(&mut self, delta: &Delta, keys: &mut Keys) -> Result<u64, JournalError> {
        self.frame.clear();
        let (cipher, number) = (&self.cipher, keys.next_frame());
        frame::write(&mut self.frame, |out| payload::write_open(out, Kind::Batch, delta, cipher, number));
        self.file.append(&self.frame)?;
        self.segment.add(delta);
        self.began.get_or_insert_with(Instant::now);
        Ok(self.frame.len() as u64)
    }
}
