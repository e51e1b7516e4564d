//! What a crash left behind is sealed before the door opens.

use super::code;
use super::file::{Folder, HEADER, JournalError, SegmentId, read_whole};
use super::frame::{Found, Frames};
use super::seal::seal;
use crate::aggregate::Segment;

/// What recovery found, for the log and the metrics.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct Recovered {
    pub segments: usize,
    pub frames: usize,
    /// Damaged places; each was logged with its file and offset.
    pub damaged: usize,
    /// The next free segment number.
    pub next: u64,
}

pub(super) fn recover(folder: &Folder) -> Result<Recovered, JournalError> {
    let mut recovered = Recovered::default();
    for number in folder.numbers("sealing")? {
        let half = folder.file(number, "sealing");
        std::fs::remove_file(&half).map_err(JournalError::io(&half))?;
    }
    let sealed = folder.numbers("sealed")?;
    for number in folder.numbers("open")? {
        recovered.next = recovered.next.max(number + 1);
        let open = folder.file(number, "open");
        if sealed.contains(&number) {
            // Died between sealing and removing: the sealed file holds all of it.
            std::fs::remove_file(&open).map_err(JournalError::io(&open))?;
            continue;
        }
        recovered.segments += 1;
        replay(folder, number, &mut recovered)?;
    }
    recovered.next = recovered.next.max(sealed.last().map_or(0, |last| last + 1));
    Ok(recovered)
}

fn replay(folder: &Folder, number: u64, recovered: &mut Recovered) -> Result<(), JournalError> {
    let path = folder.file(number, "open");
    let file = read_whole(&path)?;
    let Some((id, format)) = SegmentId::read(&file) else {
        // Created, but the header never reached the disk: then nothing after it was answered either.
        if file.iter().all(|byte| *byte == 0) {
            return std::fs::remove_file(&path).map_err(JournalError::io(&path));
        }
        recovered.damaged += 1;
        let kept = folder.quarantine(&path)?;
        tracing::error!(file = %path.display(), offset = 0, kept = %kept.display(), "the header of a journal segment is damaged; none of it was counted");
        return Ok(());
    };
    let mut segment = Segment::default();
    let mut damage = false;
    let mut place = HEADER;
    for found in Frames::new(&file, HEADER) {
        match found {
            Found::Frame(payload) => match code::decode(payload, format) {
                Ok(delta) => {
                    segment.add(&delta);
                    recovered.frames += 1;
                    place += super::frame::OVERHEAD + payload.len();
                }
                Err(bad) => {
                    damage = true;
                    recovered.damaged += 1;
                    tracing::error!(file = %path.display(), offset = place, %bad, "a frame of a journal segment cannot be read");
                }
            },
            Found::Damage { at, next } => {
                damage = true;
                recovered.damaged += 1;
                place = next;
                tracing::error!(file = %path.display(), offset = at, bytes = next - at, "a journal segment is damaged; its counts in these bytes are lost, all others were recovered");
            }
            Found::Torn { at, bytes } => {
                tracing::warn!(file = %path.display(), offset = at, bytes, "the last write of a journal segment is incomplete; its hits were never answered");
            }
        }
    }
    if damage {
        let copy = folder.aside(&path);
        std::fs::copy(&path, &copy).map_err(JournalError::io(&copy))?;
        tracing::error!(file = %path.display(), kept = %copy.display(), "the damaged segment was kept");
    }
    seal(folder, id, &segment.seal())
}
