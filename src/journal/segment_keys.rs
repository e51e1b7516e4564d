//! The key that encrypts attributes in open segments.
//!
//! Invariant: the disk, or an image of it, is not enough to read them; a collector that was killed
//! can read them after its restart. So the key is random, new with each start, and kept in memory
//! and in one file on a tmpfs, outside the data folders. After a power cut it is lost, with the
//! attributes that are in no sealed segment; the totals are not encrypted.
//!
//! ```text
//! file  "FFKEYS1\n" (epoch:u64 key:32 bytes)*
//! ```
//!
//! The entries are of the running process and of those that still have open segments. A segment's
//! own key is BLAKE3 under its process's key over the segment's id. A nonce is the number of the
//! frame among all frames of the process, so none is used twice.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::{Zeroize, Zeroizing};

use super::segment_file::SegmentId;
use crate::random::fill_random;
use crate::state_codec::{StateError, StateReader, StateWriter};

const MAGIC: [u8; 8] = *b"FFKEYS1\n";
const ENTRY_BYTES: usize = 8 + 32;
/// Maximum number of keys in the file: more starts in a row that were each killed before closing
/// their segments are not expected.
const MAX_KEYS: usize = 64;

/// `f_type` of file systems in memory.
const TMPFS_MAGIC: u64 = 0x0102_1994;
const RAMFS_MAGIC: u64 = 0x8584_58f6;

pub(super) struct ProcessKey {
    epoch: u64,
    key: Box<Zeroizing<[u8; 32]>>,
}

/// The key of this process, and those of former ones that were found.
pub(super) struct SegmentKeys {
    epoch: u64,
    process_keys: Vec<ProcessKey>,
    /// `None` if the key is in memory only.
    file: Option<PathBuf>,
    last_nonce: u64,
}

/// The key of one segment.
pub(super) struct SegmentCipher(LessSafeKey);

impl SegmentKeys {
    /// Reads the keys of the collector's former processes, generates the key of this one, and adds
    /// it to the file.
    pub(super) fn open(dir: &Path, collector: u64, epoch: u64) -> SegmentKeys {
        let mut keys = SegmentKeys {
            epoch,
            process_keys: Vec::new(),
            file: None,
            last_nonce: 0,
        };
        match is_memory_filesystem(dir) {
            Ok(true) => keys.file = Some(dir.join(format!("footfall-{collector:016x}.key"))),
            Ok(false) => keys.warn_memory_only(dir, "it is no tmpfs"),
            Err(error) => keys.warn_memory_only(dir, &error.to_string()),
        }
        if let Some(path) = &keys.file {
            match read_keys(path) {
                Ok(former) => keys.process_keys = former,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::warn!(file = %path.display(), %error, "the key of open segments \
                        cannot be used");
                }
            }
        }
        keys.process_keys.retain(|key| key.epoch != epoch);
        keys.process_keys.push(ProcessKey::new_random(epoch));
        keys.write_key_file();
        keys
    }

    /// Adds the keys of a process that this one takes over from, for folders that cannot hold the
    /// file.
    pub(super) fn add_former_keys(&mut self, former: Vec<ProcessKey>) {
        for key in former {
            if self
                .process_keys
                .iter()
                .all(|known| known.epoch != key.epoch)
            {
                self.process_keys.push(key);
            }
        }
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn in_memory(epoch: u64) -> SegmentKeys {
        SegmentKeys {
            epoch,
            process_keys: vec![ProcessKey::new_random(epoch)],
            file: None,
            last_nonce: 0,
        }
    }

    /// The key of a segment; `None` if its process's key is not known.
    pub(super) fn segment_cipher(&self, id: SegmentId) -> Option<SegmentCipher> {
        let process = self.process_keys.iter().find(|key| key.epoch == id.epoch)?;
        let mut hasher = blake3::Hasher::new_keyed(&process.key);
        hasher.update(b"segment/v1");
        for number in [id.collector, id.epoch, id.number] {
            hasher.update(&number.to_le_bytes());
        }
        let mut derived = Zeroizing::new([0; 32]);
        hasher.finalize_xof().fill(&mut *derived);
        hasher.zeroize();
        let key = UnboundKey::new(&AES_256_GCM, &*derived).expect("32 bytes are a key of AES-256");
        Some(SegmentCipher(LessSafeKey::new(key)))
    }

    /// Writes the keys for the process that takes over. `out` must not lead to a disk.
    pub(super) fn write_state(&self, out: &mut StateWriter<'_>) {
        out.put_count(self.process_keys.len());
        for known in &self.process_keys {
            out.put_u64(known.epoch);
            out.put_bytes(&known.key[..]);
        }
    }

    /// Number of the next frame: its nonce.
    pub(super) fn next_nonce(&mut self) -> u64 {
        self.last_nonce += 1;
        self.last_nonce
    }

    /// Drops the keys of former processes, whose segments are closed.
    pub(super) fn forget_former_keys(&mut self) {
        if self.process_keys.len() > 1 {
            self.process_keys.retain(|key| key.epoch == self.epoch);
            self.write_key_file();
        }
    }

    /// Removes the file, once no encrypted segment remains.
    pub(super) fn remove_key_file(self) {
        if let Some(path) = &self.file
            && let Err(error) = overwrite_file(path).and_then(|()| fs::remove_file(path))
        {
            tracing::warn!(file = %path.display(), %error, "the key of open segments could not be \
                removed");
        }
    }

    fn write_key_file(&mut self) {
        let Some(path) = &self.file else { return };
        let first = self.process_keys.len().saturating_sub(MAX_KEYS);
        if let Err(error) = write_keys(path, &self.process_keys[first..]) {
            let error = format!("{}: {error}", path.display());
            let dir = path.parent().unwrap_or(Path::new("/")).to_owned();
            self.file = None;
            self.warn_memory_only(&dir, &error);
        }
    }

    fn warn_memory_only(&self, dir: &Path, reason: &str) {
        tracing::warn!(
            dir = %dir.display(), reason,
            "journal.key_dir cannot hold the key of open segments: it is kept in memory only, and \
             if the process is killed the attributes of segments that were not sealed are lost \
             (totals are not)"
        );
    }
}

impl ProcessKey {
    /// Reads the keys of the process before.
    pub(super) fn read_state(input: &mut StateReader<'_>) -> Result<Vec<ProcessKey>, StateError> {
        let mut keys = Vec::new();
        for _ in 0..input.read_count(ENTRY_BYTES)? {
            let epoch = input.read_u64()?;
            let mut key = Box::new(Zeroizing::new([0; 32]));
            input.read_into(&mut **key)?;
            keys.push(ProcessKey { epoch, key });
        }
        Ok(keys)
    }

    fn new_random(epoch: u64) -> ProcessKey {
        let mut key = Box::new(Zeroizing::new([0; 32]));
        fill_random(&mut **key);
        ProcessKey { epoch, key }
    }
}

impl SegmentCipher {
    /// Encrypts `out` from offset `from` on, in place, and appends the tag.
    pub(super) fn encrypt(&self, number: u64, out: &mut Vec<u8>, from: usize) {
        let tag =
            self.0
                .seal_in_place_separate_tag(frame_nonce(number), Aad::empty(), &mut out[from..]);
        out.extend_from_slice(
            tag.expect("a frame is far below what AES-GCM takes")
                .as_ref(),
        );
    }

    /// `None` if it was encrypted with another key, or is damaged.
    pub(super) fn decrypt(&self, number: u64, encrypted: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut bytes = Zeroizing::new(encrypted.to_vec());
        let length = self
            .0
            .open_in_place(frame_nonce(number), Aad::empty(), &mut bytes)
            .ok()?
            .len();
        bytes.truncate(length);
        Some(bytes)
    }
}

fn frame_nonce(number: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    Nonce::assume_unique_for_key(nonce)
}

fn is_memory_filesystem(dir: &Path) -> io::Result<bool> {
    let kind = rustix::fs::statfs(dir)?.f_type as u64 & 0xffff_ffff;
    Ok(kind == TMPFS_MAGIC || kind == RAMFS_MAGIC)
}

/// The folder may be writable by all users (`/dev/shm`), so the file is only trusted if no other
/// user can have written or read it.
fn read_keys(path: &Path) -> io::Result<Vec<ProcessKey>> {
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(nofollow_flag())
        .open(path)?;
    let meta = file.metadata()?;
    let refuse = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidData, what));
    if !meta.is_file()
        || meta.uid() != rustix::process::geteuid().as_raw()
        || meta.mode() & 0o077 != 0
    {
        return refuse("it is not a file that this user alone may read and write");
    }
    if meta.len() > (MAGIC.len() + MAX_KEYS * ENTRY_BYTES) as u64 {
        return refuse("it is longer than such files are");
    }
    let mut bytes = Zeroizing::new(vec![0; meta.len() as usize]);
    file.read_exact(&mut bytes)?;
    let Some(entries) = bytes.strip_prefix(&MAGIC) else {
        return refuse("it is not a file of keys");
    };
    let entries = entries.chunks_exact(ENTRY_BYTES).map(|entry| {
        let mut key = Box::new(Zeroizing::new([0; 32]));
        key.copy_from_slice(&entry[8..]);
        ProcessKey {
            epoch: u64::from_le_bytes(entry[..8].try_into().expect("8 bytes are 8")),
            key,
        }
    });
    Ok(entries.collect())
}

/// Replaces the file atomically. The former one is overwritten: on a tmpfs, this is the memory
/// itself.
fn write_keys(path: &Path, keys: &[ProcessKey]) -> io::Result<()> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAGIC.len() + keys.len() * ENTRY_BYTES));
    bytes.extend_from_slice(&MAGIC);
    for key in keys {
        bytes.extend_from_slice(&key.epoch.to_le_bytes());
        bytes.extend_from_slice(&key.key[..]);
    }
    let beside = path.with_extension("key.new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(&bytes)?;
    let former = open_for_writing(path).ok();
    fs::rename(&beside, path)?;
    if let Some(former) = former {
        fill_with_zeros(&former)?;
    }
    Ok(())
}

fn overwrite_file(path: &Path) -> io::Result<()> {
    fill_with_zeros(&open_for_writing(path)?)
}

/// Does not follow links, which another user could have created.
fn open_for_writing(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .custom_flags(nofollow_flag())
        .open(path)
}

fn nofollow_flag() -> i32 {
    rustix::fs::OFlags::NOFOLLOW.bits() as i32
}

fn fill_with_zeros(file: &File) -> io::Result<()> {
    file.write_all_at(&vec![0; file.metadata()?.len() as usize], 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const ID: SegmentId = SegmentId {
        collector: 7,
        epoch: 1,
        number: 1,
    };

    /// A folder on a tmpfs.
    fn memory() -> tempfile::TempDir {
        tempfile::tempdir_in("/dev/shm").unwrap()
    }

    fn reads(keys: &SegmentKeys, number: u64, encrypted: &[u8]) -> bool {
        keys.segment_cipher(ID)
            .is_some_and(|cipher| cipher.decrypt(number, encrypted).is_some())
    }

    fn encrypted(keys: &mut SegmentKeys) -> (u64, Vec<u8>) {
        let number = keys.next_nonce();
        let mut bytes = b"head who came from where".to_vec();
        keys.segment_cipher(ID)
            .unwrap()
            .encrypt(number, &mut bytes, 5);
        assert!(bytes.starts_with(b"head ") && !bytes.ends_with(b"where"));
        (number, bytes.split_off(5))
    }

    #[test]
    fn the_next_start_reads_what_this_one_wrote_until_it_forgets() {
        let dir = memory();
        let mut first = SegmentKeys::open(dir.path(), 7, 1);
        let (number, bytes) = encrypted(&mut first);
        assert!(reads(&first, number, &bytes));
        assert!(
            !reads(&first, number + 1, &bytes),
            "a nonce is for one frame"
        );
        drop(first);

        let mut second = SegmentKeys::open(dir.path(), 7, 2);
        assert!(reads(&second, number, &bytes));
        assert!(
            reads(&SegmentKeys::open(dir.path(), 7, 3), number, &bytes),
            "a second start that was killed early"
        );
        second.forget_former_keys();
        assert!(!reads(&second, number, &bytes));
        assert!(!reads(&SegmentKeys::open(dir.path(), 7, 4), number, &bytes));
    }

    #[test]
    fn the_file_is_its_owners_alone_is_overwritten_when_it_goes_and_each_collector_has_its_own() {
        let dir = memory();
        let keys = SegmentKeys::open(dir.path(), 7, 1);
        let path = dir.path().join("footfall-0000000000000007.key");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let other = SegmentKeys::open(dir.path(), 8, 1);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        let held_open = File::open(&path).unwrap();
        keys.remove_key_file();
        other.remove_key_file();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let mut left = vec![1; 48];
        held_open.read_exact_at(&mut left, 0).unwrap();
        assert_eq!(left, [0; 48]);
    }

    #[test]
    fn a_file_that_others_may_read_or_that_is_a_link_is_not_believed() {
        let dir = memory();
        let (number, bytes) = encrypted(&mut SegmentKeys::open(dir.path(), 7, 1));
        let path = dir.path().join("footfall-0000000000000007.key");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(!reads(&SegmentKeys::open(dir.path(), 7, 2), number, &bytes));
        let elsewhere = dir.path().join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        let keys = SegmentKeys::open(dir.path(), 7, 4);
        assert!(keys.segment_cipher(SegmentId { epoch: 2, ..ID }).is_none());
        assert!(
            fs::symlink_metadata(&path).unwrap().is_file(),
            "the link was replaced"
        );
    }

    #[test]
    fn on_a_disk_the_key_is_in_memory_only() {
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let mut keys = SegmentKeys::open(dir.path(), 7, 1);
        let (number, bytes) = encrypted(&mut keys);
        assert!(reads(&keys, number, &bytes));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
