//! The journal's folder: its lock and its files, and how a segment's file is named and extended.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

use crate::disk::{self, FileLock};
use crate::random::random_u64;

const MAGIC: [u8; 8] = *b"FFSEGM2\n";
/// The version before site ids had 128 bits.
const MAGIC_V1: [u8; 8] = *b"FFSEGM1\n";
/// Length of a segment file's header, in bytes.
pub const HEADER_BYTES: usize = 36;
const RESERVE_CHUNK_BYTES: u64 = 4 << 20;

/// Failures of the journal. `Append` says whether the failed frame was truncated away.
#[derive(thiserror::Error, Debug)]
pub enum JournalError {
    /// A file cannot be read or written.
    #[error("{path}: {error}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// Another process holds the lock of this folder.
    #[error("{path}: another collector uses this journal", path = .0.display())]
    InUse(PathBuf),
    /// A frame was not written. `undone` says whether it was truncated away.
    #[error("{path}: {error}; what was written last {}", if *undone { "was taken back" } else { "may be there or not" }, path = path.display())]
    Append {
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
        /// Whether the frame is certain not to be read at the next start.
        undone: bool,
    },
    /// A file is not a segment, or its content contradicts itself.
    #[error("{path}: {what}", path = path.display())]
    Damaged {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

impl JournalError {
    /// Whether the frame that failed is certain not to be read at the next start.
    pub(super) fn is_undone(&self) -> bool {
        matches!(self, JournalError::Append { undone: true, .. })
    }

    pub(super) fn from_io(path: &Path) -> impl FnOnce(io::Error) -> JournalError + '_ {
        move |error| JournalError::Io {
            path: path.to_owned(),
            error,
        }
    }
}

/// The version of a segment file's payloads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SegmentFormat {
    V2,
    /// A former version, which is read but never written.
    V1,
}

/// Identifies a segment across collectors and restarts; the deduplication token of its inserts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentId {
    /// Random id of the collector, created at its first start.
    pub collector: u64,
    /// Random id of the process.
    pub epoch: u64,
    /// Number of the segment, ascending in the folder.
    pub number: u64,
}

impl SegmentId {
    /// `<collector>-<epoch>-<segment>`; the store adds the table.
    pub fn dedup_token(&self) -> String {
        format!(
            "{:016x}-{:016x}-{}",
            self.collector, self.epoch, self.number
        )
    }

    pub(super) fn to_header(self) -> [u8; HEADER_BYTES] {
        self.header_with_magic(MAGIC)
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn to_header_of(self, format: SegmentFormat) -> [u8; HEADER_BYTES] {
        self.header_with_magic(match format {
            SegmentFormat::V1 => MAGIC_V1,
            SegmentFormat::V2 => MAGIC,
        })
    }

    fn header_with_magic(&self, magic: [u8; 8]) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(&magic);
        for (place, number) in [self.collector, self.epoch, self.number]
            .into_iter()
            .enumerate()
        {
            header[8 + place * 8..16 + place * 8].copy_from_slice(&number.to_le_bytes());
        }
        let checksum = crc32c::crc32c(&header[..HEADER_BYTES - 4]);
        header[HEADER_BYTES - 4..].copy_from_slice(&checksum.to_le_bytes());
        header
    }

    pub(super) fn parse_header(file: &[u8]) -> Option<(SegmentId, SegmentFormat)> {
        let header = file.get(..HEADER_BYTES)?;
        let number =
            |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("8 bytes are 8"));
        let id = SegmentId {
            collector: number(8),
            epoch: number(16),
            number: number(24),
        };
        let formats = [(MAGIC, SegmentFormat::V2), (MAGIC_V1, SegmentFormat::V1)];
        let (_, format) = formats
            .into_iter()
            .find(|(magic, _)| header == id.header_with_magic(*magic))?;
        Some((id, format))
    }
}

/// The journal's folder, locked for as long as this exists.
pub struct JournalFolder {
    path: PathBuf,
    collector: u64,
    lock: FileLock,
}

impl JournalFolder {
    /// Creates the folder if needed and locks it.
    ///
    /// # Errors
    ///
    /// The folder cannot be created or read, another process holds its lock, or the file with the
    /// collector's id is damaged.
    pub fn open(path: &Path) -> Result<JournalFolder, JournalError> {
        std::fs::create_dir_all(path.join("quarantine")).map_err(JournalError::from_io(path))?;
        let lock_path = path.join("lock");
        let lock = FileLock::try_lock(&lock_path).map_err(JournalError::from_io(&lock_path))?;
        let lock = lock.ok_or_else(|| JournalError::InUse(path.to_owned()))?;
        let collector = read_or_create_collector_id(path)?;
        Ok(JournalFolder {
            path: path.to_owned(),
            collector,
            lock,
        })
    }

    /// Releases the lock for the process that takes over. This one may still read and remove
    /// sealed segments.
    pub fn release_lock(&self) {
        self.lock.release();
    }

    /// Path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Id of the collector, created at the first start.
    pub fn collector_id(&self) -> u64 {
        self.collector
    }

    /// Path of a segment's file in a state: `open`, `sealing` or `sealed`.
    pub fn segment_path(&self, number: u64, state: &str) -> PathBuf {
        self.path.join(format!("{number:016}.{state}"))
    }

    /// Numbers of the segments in a state, in ascending order.
    ///
    /// # Errors
    ///
    /// The folder cannot be read.
    pub fn segment_numbers(&self, state: &str) -> Result<Vec<u64>, JournalError> {
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(JournalError::from_io(&self.path))? {
            let name = entry
                .map_err(JournalError::from_io(&self.path))?
                .file_name();
            let name = name.to_string_lossy();
            let Some((number, ending)) = name.split_once('.') else {
                continue;
            };
            if let (true, Ok(number)) = (ending == state, number.parse()) {
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Whether files could be created here: the folder exists and its file system is writable.
    /// Creates none.
    pub fn is_writable(&self) -> bool {
        use rustix::fs::{Access, access};
        access(&self.path, Access::WRITE_OK | Access::EXEC_OK).is_ok()
    }

    /// Size of all segment files in bytes, reserved space included.
    pub fn total_bytes(&self) -> u64 {
        let entries = std::fs::read_dir(&self.path)
            .into_iter()
            .flatten()
            .flatten();
        entries
            .filter_map(|entry| entry.metadata().ok())
            .filter(|meta| meta.is_file())
            .map(|meta| meta.len())
            .sum()
    }

    /// Syncs the folder, so that created, renamed and removed names survive a power cut.
    ///
    /// # Errors
    ///
    /// The sync failed: the names may or may not survive.
    pub fn sync_folder(&self) -> Result<(), JournalError> {
        disk::sync_folder(&self.path).map_err(JournalError::from_io(&self.path))
    }

    /// A free name in `quarantine/` for a file.
    pub(super) fn free_quarantine_path(&self, file: &Path) -> PathBuf {
        let name = file.file_name().unwrap_or_default();
        let mut free = self.path.join("quarantine").join(name);
        let mut taken = 1;
        while free.exists() {
            taken += 1;
            free.set_file_name(format!("{}.{taken}", name.display()));
        }
        free
    }

    /// The sealed segments in `quarantine/`.
    ///
    /// # Errors
    ///
    /// The folder cannot be read.
    pub fn quarantined_segments(&self) -> Result<Vec<PathBuf>, JournalError> {
        let folder = self.path.join("quarantine");
        let entries = std::fs::read_dir(&folder).map_err(JournalError::from_io(&folder))?;
        let paths = entries.flatten().map(|entry| entry.path());
        Ok(paths
            .filter(|path| path.extension().is_some_and(|ending| ending == "sealed"))
            .collect())
    }

    /// The tokens of all segments that are not in the store: in the folder in any state, and in
    /// `quarantine/`. Files whose header is damaged are left out.
    ///
    /// # Errors
    ///
    /// The folder cannot be read.
    pub fn waiting_tokens(&self) -> Result<Vec<String>, JournalError> {
        let mut numbers = Vec::new();
        for state in ["open", "sealed"] {
            numbers.extend(self.segment_numbers(state)?);
        }
        numbers.sort_unstable();
        numbers.dedup();
        // A segment may be closed meanwhile, and one without rows is removed then.
        let headers = numbers.iter().filter_map(|number| {
            let mut states = ["open", "sealed"].into_iter();
            states.find_map(|state| read_segment_id(&self.segment_path(*number, state)))
        });

        let mut tokens: Vec<String> = headers.map(|id| id.dedup_token()).collect();
        let aside = self.quarantined_segments()?;
        tokens.extend(
            aside
                .iter()
                .filter_map(|path| read_segment_id(path))
                .map(|id| id.dedup_token()),
        );
        Ok(tokens)
    }

    /// The names of all files in `quarantine/`, readable or not.
    ///
    /// # Errors
    ///
    /// The folder cannot be read.
    pub fn quarantined_files(&self) -> Result<Vec<String>, JournalError> {
        let folder = self.path.join("quarantine");
        let entries = std::fs::read_dir(&folder).map_err(JournalError::from_io(&folder))?;
        let mut names: Vec<String> = entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        Ok(names)
    }

    /// Moves a file to `quarantine/` and returns its new path.
    ///
    /// # Errors
    ///
    /// The file cannot be renamed, or the folder cannot be synced.
    pub fn quarantine_file(&self, file: &Path) -> Result<PathBuf, JournalError> {
        let to = self.free_quarantine_path(file);
        std::fs::rename(file, &to).map_err(JournalError::from_io(file))?;
        self.sync_folder()?;
        Ok(to)
    }
}

/// The id in the header of a segment's file; `None` if it cannot be read.
pub fn read_segment_id(path: &Path) -> Option<SegmentId> {
    let mut header = [0; HEADER_BYTES];
    File::open(path)
        .and_then(|mut file| file.read_exact(&mut header))
        .ok()?;
    SegmentId::parse_header(&header).map(|(id, _)| id)
}

/// The file of the collector's id in the journal's folder.
pub const COLLECTOR_FILE: &str = "collector";

/// Reads the collector's id, or creates one at the first start.
fn read_or_create_collector_id(folder: &Path) -> Result<u64, JournalError> {
    let path = &folder.join(COLLECTOR_FILE);
    match std::fs::read_to_string(path) {
        // A full disk could leave it empty at the first start of a former version. Segments, if
        // there are any, contain the id.
        Ok(text) if text.is_empty() => {
            let aside = folder.join("quarantine/collector.empty");
            std::fs::rename(path, &aside).map_err(JournalError::from_io(path))?;
            tracing::warn!(file = %path.display(), aside = %aside.display(), "the file of this \
                collector's id is empty; it is created again");
            write_collector_id(
                path,
                collector_id_from_segments(folder).unwrap_or_else(random_u64),
            )
        }
        Ok(text) => u64::from_str_radix(text.trim(), 16).map_err(|_| JournalError::Damaged {
            path: path.to_owned(),
            what: "must hold this collector's id, 16 hex digits".into(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            write_collector_id(path, random_u64())
        }
        Err(error) => Err(JournalError::from_io(path)(error)),
    }
}

fn write_collector_id(path: &Path, id: u64) -> Result<u64, JournalError> {
    disk::write_atomic(path, format!("{id:016x}\n").as_bytes())
        .map_err(JournalError::from_io(path))?;
    Ok(id)
}

fn collector_id_from_segments(folder: &Path) -> Option<u64> {
    let is_segment = |path: &PathBuf| {
        path.extension()
            .is_some_and(|state| state == "open" || state == "sealed")
    };
    let mut segments = std::fs::read_dir(folder)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .filter(is_segment);
    segments.find_map(|path| read_segment_id(&path).map(|id| id.collector))
}

/// An open segment's file. Space is reserved ahead, so that a full disk is noticed before a hit is
/// counted, not while it is written.
pub struct SegmentFile {
    /// The segment's id, as in the header.
    pub id: SegmentId,
    path: PathBuf,
    file: File,
    end_offset: u64,
    reserved: u64,
}

impl SegmentFile {
    /// Creates a file with its header and its first frame; both are on disk when this returns.
    ///
    /// # Errors
    ///
    /// The disk is full or failed. The file is removed again: nothing in it was acknowledged.
    pub fn create_file(
        folder: &JournalFolder,
        id: SegmentId,
        frame: &[u8],
    ) -> Result<SegmentFile, JournalError> {
        let path = folder.segment_path(id.number, "open");
        let end = (HEADER_BYTES + frame.len()) as u64;
        let reserved = RESERVE_CHUNK_BYTES.max(end.next_multiple_of(RESERVE_CHUNK_BYTES));
        let write = || {
            let file = OpenOptions::new()
                .create_new(true)
                .read(true)
                .write(true)
                .open(&path)?;
            allocate_range(&file, 0, reserved)?;
            file.write_all_at(&id.to_header(), 0)?;
            file.write_all_at(frame, HEADER_BYTES as u64)?;
            file.sync_all()?;
            Ok(file)
        };
        let written = write().map_err(JournalError::from_io(&path));
        let created = written.and_then(|file| folder.sync_folder().map(|()| file));
        let file = created.inspect_err(|_| {
            // The file must not remain: nothing in it was acknowledged, and the rows carried into
            // it are still counted in the segment before.
            let _ = std::fs::remove_file(&path);
            let _ = folder.sync_folder();
        })?;
        Ok(SegmentFile {
            id,
            path,
            file,
            end_offset: end,
            reserved,
        })
    }

    /// Reserves space for `bytes` more bytes.
    ///
    /// # Errors
    ///
    /// The disk is full. Nothing was written.
    pub fn reserve_space(&mut self, bytes: u64) -> Result<(), JournalError> {
        if self.end_offset + bytes > self.reserved {
            let more = (self.end_offset + bytes - self.reserved).max(RESERVE_CHUNK_BYTES);
            allocate_range(&self.file, self.reserved, more)
                .map_err(JournalError::from_io(&self.path))?;
            self.reserved += more;
        }
        Ok(())
    }

    /// Appends a frame and syncs it.
    ///
    /// # Errors
    ///
    /// The write or the sync failed. The content of the disk after the former frames is unknown, so
    /// the caller must not append again.
    pub fn append_frame(&mut self, frame: &[u8]) -> Result<(), JournalError> {
        let append = || {
            self.file.write_all_at(frame, self.end_offset)?;
            rustix::fs::fdatasync(&self.file).map_err(io::Error::from)
        };
        append().map_err(|error| JournalError::Append {
            path: self.path.clone(),
            error,
            undone: self.undo_append(),
        })?;
        self.end_offset += frame.len() as u64;
        Ok(())
    }

    /// Truncates the frame that was written last; `false` if that fails too.
    fn undo_append(&self) -> bool {
        self.file
            .set_len(self.end_offset)
            .and_then(|()| self.file.sync_all())
            .is_ok()
    }

    /// A file that fails where a real one does not.
    #[cfg(test)]
    pub(super) fn replace_file(&mut self, of_size: impl FnOnce(u64) -> File) {
        self.file = of_size(self.end_offset);
    }

    /// Frees reserved space that was not needed.
    pub fn truncate_reserved(&self) {
        if let Err(error) = self.file.set_len(self.end_offset) {
            tracing::debug!(%error, "reserved space of a segment stays reserved until it is sent");
        }
    }
}

/// Checks that a process that takes over can open a segment beside the one that is open now.
///
/// # Errors
///
/// The disk is full or failed.
pub fn check_segment_room(folder: &Path) -> io::Result<()> {
    let path = folder.join("room-for-a-segment");
    let file = File::create(&path)?;
    // It is freed when the file is closed.
    std::fs::remove_file(&path)?;
    allocate_range(&file, 0, RESERVE_CHUNK_BYTES + RESERVE_CHUNK_BYTES / 4)
}

fn allocate_range(file: &File, from: u64, bytes: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), from, bytes) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
            let zeros = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
            file.write_all_at(&zeros, from)
        }
        done => done.map_err(io::Error::from),
    }
}

pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, JournalError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(JournalError::from_io(path))?;
    Ok(bytes)
}
