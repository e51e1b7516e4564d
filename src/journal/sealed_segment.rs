//! Closes an open segment: writes one frame with the canonical sums, which is sent to the store
//! byte for byte the same on each attempt.
//!
//! Its attributes are in clear, since they are of sites with enough visits or of days that are
//! over. The open file is removed; its frames are the last record of the hits that were committed
//! together.

use std::path::Path;

use super::frame::{self, FrameScanner, SegmentRegion};
use super::payload;
use super::segment_file::{HEADER_BYTES, JournalError, JournalFolder, SegmentId, read_file};
use crate::aggregate::SegmentSums;
use crate::disk;

/// A sealed segment that is waiting for the store.
#[derive(Debug)]
pub struct SealedSegment {
    /// Its number in the folder.
    pub number: u64,
    /// Whether it was closed by this process, so that it cannot have been sent yet.
    pub is_new: bool,
}

/// Writes `N.sealed` and removes `N.open`. For a segment without rows, only removes the file.
pub(super) fn close_segment(
    folder: &JournalFolder,
    id: SegmentId,
    sums: &SegmentSums,
) -> Result<(), JournalError> {
    let open = folder.segment_path(id.number, "open");
    if sums.row_count() > 0 {
        let mut bytes = id.to_header().to_vec();
        frame::write_frame(&mut bytes, |out| payload::write_sealed_payload(out, sums));
        let beside = folder.segment_path(id.number, "sealing");
        let sealed = folder.segment_path(id.number, "sealed");
        disk::write_atomic_through(&beside, &sealed, &bytes)
            .map_err(JournalError::from_io(&sealed))?;
    }
    match std::fs::remove_file(&open) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(JournalError::from_io(&open)(error))
        }
        _ => Ok(()),
    }
}

/// Reads a sealed segment. It must be exactly one whole frame.
///
/// # Errors
///
/// The file cannot be read, or is damaged; the error has the offset.
pub fn read_sealed_segment(path: &Path) -> Result<(SegmentId, SegmentSums), JournalError> {
    let file = read_file(path)?;
    parse_sealed_file(&file).map_err(|what| JournalError::Damaged {
        path: path.to_owned(),
        what,
    })
}

/// The content of a sealed segment's file, or what is wrong with it.
pub(super) fn parse_sealed_file(file: &[u8]) -> Result<(SegmentId, SegmentSums), String> {
    let (id, format) = SegmentId::parse_header(file).ok_or("the header is damaged")?;
    let mut frames = FrameScanner::new(file, HEADER_BYTES);
    let bytes = match frames.next() {
        Some(SegmentRegion::Frame(bytes)) => bytes,
        Some(SegmentRegion::Damage { at, .. } | SegmentRegion::Torn { at, .. }) => {
            return Err(format!("damaged at offset {at}"));
        }
        None => return Err("no frame follows the header".into()),
    };
    if frames.next().is_some() {
        return Err("more than one frame in a sealed segment".into());
    }

    let sums = payload::read_sealed_payload(bytes, format).map_err(|bad| bad.to_string())?;
    // An insert looks up each text by its number.
    if !sums.has_all_strings() {
        return Err("a row names a text that is not in the segment".into());
    }
    Ok((id, sums))
}
