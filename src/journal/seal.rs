//! Turns an open segment into a sealed one: one frame with the canonical sums, which is sent to the
//! store byte for byte the same on each try.
//!
//! Its attributes are in clear, since they are of sites with enough visits or of days that are
//! over. The open file is removed with its frames, the last trace of which hits were committed
//! together.

use std::path::Path;

use super::file::{Folder, HEADER, JournalError, SegmentId, read_whole};
use super::frame::{self, Found, Frames};
use super::payload;
use crate::aggregate::Sums;
use crate::disk;

/// Writes `N.sealed` and removes `N.open`. For a segment without rows, only removes the file.
pub(super) fn seal(folder: &Folder, id: SegmentId, sums: &Sums) -> Result<(), JournalError> {
    let open = folder.file(id.number, "open");
    if sums.rows() > 0 {
        let mut bytes = id.header().to_vec();
        frame::write(&mut bytes, |out| payload::write_sealed(out, sums));
        let beside = folder.file(id.number, "sealing");
        let sealed = folder.file(id.number, "sealed");
        disk::put_through(&beside, &sealed, &bytes).map_err(JournalError::io(&sealed))?;
    }
    match std::fs::remove_file(&open) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(JournalError::io(&open)(error)),
        _ => Ok(()),
    }
}

/// Reads a sealed segment. It must be exactly one whole frame.
///
/// # Errors
///
/// The file cannot be read, or is damaged; the error has the offset.
pub fn read_sealed(path: &Path) -> Result<(SegmentId, Sums), JournalError> {
    let file = read_whole(path)?;
    let damaged = |what: String| JournalError::Damaged { path: path.to_owned(), what };
    let (id, format) = SegmentId::read(&file).ok_or_else(|| damaged("the header is damaged".into()))?;
    let mut frames = Frames::new(&file, HEADER);
    let bytes = match frames.next() {
        Some(Found::Frame(bytes)) => bytes,
        Some(Found::Damage { at, .. } | Found::Torn { at, .. }) => {
            return Err(damaged(format!("damaged at offset {at}")));
        }
        None => return Err(damaged("no frame follows the header".into())),
    };
    if frames.next().is_some() {
        return Err(damaged("more than one frame in a sealed segment".into()));
    }
    let sums = payload::read_sealed(bytes, format).map_err(|bad| damaged(bad.to_string()))?;
    Ok((id, sums))
}
