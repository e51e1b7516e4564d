//! Which segments were removed from the journal, as a place that grows over restarts.
//!
//! Numbers of segments can begin again after a restart that finds no segment. So a place is the
//! number of the run, in the upper 32 bits, and that of the segment. A restart that finds segments
//! goes on with their numbers, and stays in the run: each keeps its place, at which a replica may
//! have it already.
//!
//! `replica-runs` in the journal's folder holds the number of the run, a space, and the place of
//! the last segment that was removed because every replica had it. A replica whose own record of
//! this collector is lower lacks something for good.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::disk;
use crate::journal::COLLECTOR_FILE;

const FILE_NAME: &str = "replica-runs";
const NUMBER_BITS: u32 = 32;

/// A collector's id, as replicas record it, and the place of the last segment that was removed from
/// its journal in `dir`; `None` if it has removed none. The collector may run.
///
/// # Errors
///
/// A file cannot be read, or holds something else.
pub fn read_last_removed(dir: &Path) -> io::Result<Option<(String, u64)>> {
    match read_record(&dir.join(FILE_NAME))? {
        None | Some((_, 0)) => Ok(None),
        Some((_, last)) => {
            let id = std::fs::read_to_string(dir.join(COLLECTOR_FILE))?;
            Ok(Some((id.trim().to_owned(), last)))
        }
    }
}

/// The record of removed segments. A collector of stores without replicas keeps none.
pub struct RemovedSegments {
    /// The collector's id in hex.
    collector: String,
    run: u64,
    last_removed: AtomicU64,
    /// Overwritten in place: a full disk is emptied by removing segments, which must not need room.
    file: Option<File>,
}

impl RemovedSegments {
    /// Keeps no record.
    pub fn unrecorded() -> RemovedSegments {
        RemovedSegments {
            collector: String::new(),
            run: 0,
            last_removed: AtomicU64::default(),
            file: None,
        }
    }

    /// Begins a run of the collector whose journal is in `dir`, or continues the last one, where
    /// segments of it are `waiting`: their numbers, in order.
    ///
    /// # Errors
    ///
    /// The file cannot be read or written, or it holds something else.
    pub fn begin_run(dir: &Path, collector: u64, waiting: &[u64]) -> io::Result<RemovedSegments> {
        let path = dir.join(FILE_NAME);
        let (former, last) = read_record(&path)?.unwrap_or_default();
        // One that was put back from quarantine has a number that was removed already.
        let first = waiting
            .first()
            .map_or(0, |number| place_in(former, *number));
        let run = match former > 0 && first > last {
            true => former,
            false => former + 1,
        };
        disk::write_atomic(&path, format_record(run, last).as_bytes())?;
        Ok(RemovedSegments {
            collector: format!("{collector:016x}"),
            run,
            last_removed: AtomicU64::new(last),
            file: Some(File::options().write(true).open(&path)?),
        })
    }

    /// The collector's id, as replicas record it.
    pub fn collector(&self) -> &str {
        &self.collector
    }

    /// The place of a segment that is in the journal, or was in this run.
    pub fn place_of(&self, number: u64) -> u64 {
        place_in(self.run, number)
    }

    /// The place of the last segment that was removed; 0 if none was.
    pub fn last_removed(&self) -> u64 {
        self.last_removed.load(Ordering::Acquire)
    }

    /// Records that a segment is about to be removed.
    ///
    /// # Errors
    ///
    /// The record cannot be written. The segment must stay.
    pub(super) fn note_removed(&self, number: u64) -> io::Result<()> {
        let place = self.place_of(number);
        let Some(file) = &self.file else {
            return Ok(());
        };
        if place <= self.last_removed() {
            return Ok(());
        }
        file.write_all_at(format_record(self.run, place).as_bytes(), 0)?;
        file.sync_data()?;
        self.last_removed.fetch_max(place, Ordering::AcqRel);
        Ok(())
    }
}

/// The run and the last place in the file; `None` if there is no file.
fn read_record(path: &Path) -> io::Result<Option<(u64, u64)>> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse_record(&text).map(Some).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} is not two numbers", path.display()),
            )
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn place_in(run: u64, number: u64) -> u64 {
    run << NUMBER_BITS | number & ((1 << NUMBER_BITS) - 1)
}

/// The file's content, always of the same length.
fn format_record(run: u64, last: u64) -> String {
    format!("{run:020} {last:020}\n")
}

fn parse_record(text: &str) -> Option<(u64, u64)> {
    let (run, last) = text.trim().split_once(' ')?;
    Some((run.parse().ok()?, last.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_grow_over_restarts_and_the_last_removed_one_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let first = RemovedSegments::begin_run(dir.path(), 7, &[]).unwrap();
        assert_eq!(
            (first.collector(), first.last_removed()),
            ("0000000000000007", 0)
        );
        assert_eq!(read_last_removed(dir.path()).unwrap(), None);
        first.note_removed(5).unwrap();
        first.note_removed(4).unwrap();
        assert_eq!(first.last_removed(), first.place_of(5));
        std::fs::write(dir.path().join(COLLECTOR_FILE), "0000000000000007\n").unwrap();
        let read = read_last_removed(dir.path()).unwrap();
        assert_eq!(
            read,
            Some((first.collector().to_owned(), first.place_of(5)))
        );

        let second = RemovedSegments::begin_run(dir.path(), 7, &[]).unwrap();
        assert_eq!(second.last_removed(), first.place_of(5));
        assert!(second.place_of(1) > first.place_of(5));

        std::fs::write(dir.path().join(FILE_NAME), "torn").unwrap();
        assert!(RemovedSegments::begin_run(dir.path(), 7, &[]).is_err());
    }

    #[test]
    fn segments_that_wait_keep_their_places_over_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let begin = |waiting: &[u64]| RemovedSegments::begin_run(dir.path(), 7, waiting).unwrap();
        // As it was written before it had a fixed width.
        std::fs::write(dir.path().join(FILE_NAME), "1 4294967300\n").unwrap();
        let first = begin(&[5, 6, 9]);
        assert_eq!(first.place_of(9), (1 << NUMBER_BITS) + 9);
        first.note_removed(5).unwrap();
        assert_eq!(begin(&[6, 9]).place_of(9), first.place_of(9));

        // Put back from quarantine, it has a number that was used.
        let later = begin(&[3, 9]);
        assert_eq!(later.place_of(3), (2 << NUMBER_BITS) + 3);
        assert_eq!(later.last_removed(), first.place_of(5));
    }

    #[test]
    fn a_removal_is_recorded_in_the_same_bytes_of_the_same_file() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let removed = RemovedSegments::begin_run(dir.path(), 7, &[]).unwrap();
        let file = || {
            let data = std::fs::metadata(dir.path().join(FILE_NAME)).unwrap();
            (data.ino(), data.len())
        };
        let before = file();
        removed.note_removed(u64::from(u32::MAX)).unwrap();
        assert_eq!(file(), before);
        let again = RemovedSegments::begin_run(dir.path(), 7, &[]).unwrap();
        assert_eq!(again.last_removed(), removed.last_removed());
    }
}
