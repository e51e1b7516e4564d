//! Seals what a crash left behind, before the port is opened.
//!
//! A segment that another one follows was about to be sealed; what the later one carries is not
//! part of it. Of the last segment, what may be released is released. The rest is carried into the
//! first segment of the new process, which must be on disk before that last one is sealed. So at
//! each moment each row counts in exactly one place.

use super::code::BadPayload;
use super::file::{Folder, Format, HEADER, JournalError, SegmentId, read_whole};
use super::frame::{Found, Frames, OVERHEAD};
use super::key::{Cipher, Keys};
use super::payload::{self, Kind};
use super::seal::seal;
use crate::aggregate::{AttributeSums, Release, Segment, Wanted};
use crate::event::Millis;

/// The result of recovery, for log and metrics.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct Recovered {
    /// Open segments that were read.
    pub segments: usize,
    /// Batches that were read.
    pub frames: usize,
    /// Damaged places; each was logged with its file and offset.
    pub damaged: usize,
    /// Attribute rows whose key is gone, after a power cut or without `journal.key_dir`.
    pub lost_rows: u64,
    /// The next free segment number.
    pub next: u64,
}

/// A recovery that still has to seal the last segment.
pub(super) struct Recovery {
    recovered: Recovered,
    last: Option<Replayed>,
    /// Attributes that the first segment of this process must begin with.
    pub(super) carried: AttributeSums,
}

/// A segment that was read back.
struct Replayed {
    id: SegmentId,
    segment: Segment,
    /// Attributes that the segment before must not count. `None` if that frame is damaged: then
    /// they were not counted here either.
    carried: Option<AttributeSums>,
}

impl Recovery {
    /// Seals all open segments but the last.
    pub(super) fn start(folder: &Folder, keys: &Keys, rule: Release, now: Millis) -> Result<Recovery, JournalError> {
        let mut recovered = Recovered::default();
        for number in folder.numbers("sealing")? {
            let half = folder.file(number, "sealing");
            std::fs::remove_file(&half).map_err(JournalError::io(&half))?;
        }
        let sealed = folder.numbers("sealed")?;
        let mut last: Option<Replayed> = None;
        for number in folder.numbers("open")? {
            recovered.next = recovered.next.max(number + 1);
            let open = folder.file(number, "open");
            if sealed.contains(&number) {
                // Killed between sealing and removing: the sealed file is complete.
                std::fs::remove_file(&open).map_err(JournalError::io(&open))?;
                continue;
            }
            let Some(replayed) = replay(folder, number, keys, &mut recovered)? else { continue };
            recovered.segments += 1;
            if let Some(before) = last.take() {
                let carried = replayed.carried.as_ref().unwrap_or(&NOTHING);
                seal(folder, before.id, &before.segment.seal(carried))?;
            }
            last = Some(replayed);
        }
        recovered.next = recovered.next.max(sealed.last().map_or(0, |last| last + 1));
        if recovered.lost_rows > 0 {
            tracing::error!(
                rows = recovered.lost_rows,
                "attribute rows of segments that were not sealed are lost: the key they were encrypted with is gone; no total is"
            );
        }
        let carried = last.as_ref().map(|last| last.segment.carried(rule, Wanted::Enough, now));
        Ok(Recovery { recovered, carried: carried.unwrap_or_default(), last })
    }

    pub(super) fn next(&self) -> u64 {
        self.recovered.next
    }

    /// Seals the last segment, once what it carries is on disk.
    pub(super) fn finish(self, folder: &Folder, carried: &AttributeSums) -> Result<Recovered, JournalError> {
        if let Some(last) = self.last {
            seal(folder, last.id, &last.segment.seal(carried))?;
        }
        Ok(self.recovered)
    }
}

static NOTHING: AttributeSums = AttributeSums { strings: Vec::new(), rows: Vec::new() };

/// Reads an open segment's file. `None` if nothing in it was ever answered, or nothing can be read.
fn replay(
    folder: &Folder,
    number: u64,
    keys: &Keys,
    recovered: &mut Recovered,
) -> Result<Option<Replayed>, JournalError> {
    let path = folder.file(number, "open");
    let file = read_whole(&path)?;
    let remove = || std::fs::remove_file(&path).map_err(JournalError::io(&path));
    let Some((id, format)) = SegmentId::read(&file) else {
        // Created, but its header never reached the disk, so nothing after it was answered either.
        if file.iter().all(|byte| *byte == 0) {
            return remove().map(|()| None);
        }
        recovered.damaged += 1;
        let kept = folder.quarantine(&path)?;
        tracing::error!(file = %path.display(), offset = 0, kept = %kept.display(), "the header of a journal segment is damaged; none of it was counted");
        return Ok(None);
    };
    let mut replayed = Replayed { id, segment: Segment::default(), carried: None };
    let cipher = keys.cipher(id);
    let (mut frames, mut damage) = (0, false);
    let mut place = HEADER;
    for found in Frames::new(&file, HEADER) {
        match found {
            Found::Frame(payload) => {
                match add(&mut replayed, payload, format, cipher.as_ref(), recovered) {
                    Ok(()) => frames += 1,
                    Err(bad) => {
                        damage = true;
                        recovered.damaged += 1;
                        tracing::error!(file = %path.display(), offset = place, %bad, "a frame of a journal segment cannot be read");
                    }
                }
                place += OVERHEAD + payload.len();
            }
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
    if frames == 0 && !damage {
        // Killed while it was created: the segment before was still the open one and still has what
        // would have been carried.
        return remove().map(|()| None);
    }
    if damage {
        let copy = folder.aside(&path);
        std::fs::copy(&path, &copy).map_err(JournalError::io(&copy))?;
        tracing::error!(file = %path.display(), kept = %copy.display(), "the damaged segment was kept");
    }
    Ok(Some(replayed))
}

fn add(
    replayed: &mut Replayed,
    payload: &[u8],
    format: Format,
    cipher: Option<&Cipher>,
    recovered: &mut Recovered,
) -> Result<(), BadPayload> {
    let mut read = payload::read_open(payload, format)?;
    if let Some(hidden) = &read.hidden {
        match cipher.and_then(|cipher| hidden.decrypt(cipher)) {
            Some((base, attributes)) => (read.delta.attribute_base, read.delta.sums.attributes) = (base, attributes),
            None => recovered.lost_rows += hidden.rows,
        }
    }

    replayed.segment.add(&read.delta);
    match read.kind {
        Kind::Batch => recovered.frames += 1,
        Kind::Carried => replayed.carried = Some(read.delta.sums.attributes),
    }
    Ok(())
}
