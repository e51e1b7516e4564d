//! An open segment becomes a sealed one: one frame with the canonical sums, which is what the store is sent, byte for byte the same on
//! each try. Its attributes stand in clear: they are of sites with enough visits, or of days that are over. With the open file go the frames, and with them the last trace of which hits came in together.

use std::path::Path;

use super::file::{Folder, HEADER, JournalError, SegmentId, read_whole};
use super::frame::{self, Found, Frames};
use super::payload;
use crate::aggregate::Sums;
use crate::disk;

/// Writes `N.sealed` and removes `N.open`. A segment without rows only loses its file.
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

/// The sums of a sealed segment. Anything but one whole frame is damage, named with its place.
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
