//! The open segment: its file, what its batches add up to, and since when something waits in it.

use std::time::Instant;

use super::file::{Folder, JournalError, SegmentFile, SegmentId};
use super::frame;
use super::key::{Cipher, Keys};
use super::payload::{self, Kind};
use crate::aggregate::{AttributeSums, Delta, Segment, Sums};

pub(super) struct OpenSegment {
    pub(super) file: SegmentFile,
    pub(super) segment: Segment,
    /// When the first of its counts came, by the machine's clock and not the one hits are counted by: how long counts may stay in memory
    /// is no rule of counting. Attributes that were carried into it are not among them.
    pub(super) began: Option<Instant>,
    cipher: Cipher,
    frame: Vec<u8>,
}

impl OpenSegment {
    /// A segment whose first frame, on disk when this returns, holds what the one before did not release. That one may be sealed from
    /// here on, and not earlier. Gives `carried` back.
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

    /// Writes and syncs a batch, and answers how many bytes it took. An error leaves open what is on disk: the caller must not go on.
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
