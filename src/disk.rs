//! Atomic and durable file operations: a file is either whole or absent, even after a crash. Also
//! locks that give one process a folder.

mod permissions;

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

pub use permissions::{RestrictOutcome, restrict_tree, set_private_umask};

/// An exclusive lock on a file, held as long as this value lives. The operating system releases it
/// when the process ends for any reason.
pub struct FileLock(File);

impl FileLock {
    /// Takes the lock without waiting; `None` if it is held elsewhere, also by this process. The
    /// file is created if it is missing.
    ///
    /// # Errors
    ///
    /// The file cannot be opened or created, or the file system does not support locks.
    pub fn try_lock(path: &Path) -> io::Result<Option<FileLock>> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(FileLock(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until the lock is free. Blocks the thread, so it must not be called from async code.
    ///
    /// # Errors
    ///
    /// The file cannot be opened or created, or the wait was interrupted.
    pub fn lock_blocking(path: &Path) -> io::Result<FileLock> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)?;
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(FileLock(file))
    }
}

impl FileLock {
    /// Releases the lock for another process. The file stays open, and this value locks nothing
    /// any more.
    pub fn release(&self) {
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

impl Drop for FileLock {
    /// Closing the file would not be enough: a child process that another thread is starting holds
    /// a copy of every open file until it executes its own program.
    fn drop(&mut self) {
        self.release();
    }
}

/// Replaces a file atomically: writes a temporary file in the same folder, syncs, renames, and
/// syncs the folder.
///
/// # Errors
///
/// The temporary file cannot be written or renamed; the former file is unchanged and the temporary
/// one removed. If only the sync of the folder fails, the new file is in place but may not survive
/// a power cut.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_atomic_through(&path.with_extension("writing"), path, bytes)
}

/// [`write_atomic`] with a temporary file chosen by the caller, on the same file system.
///
/// # Errors
///
/// As for [`write_atomic`].
pub fn write_atomic_through(beside: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_synced(beside, bytes)?;
    rename_synced(beside, path)
}

/// [`write_atomic`] of what `write` writes, for content that is not in memory as a whole.
///
/// # Errors
///
/// As for [`write_atomic`], or the error of `write`.
pub fn write_atomic_with(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let beside = path.with_extension("writing");
    write_synced_with(&beside, write)?;
    rename_synced(&beside, path)
}

/// Appends to an existing file and syncs it.
///
/// # Errors
///
/// The file is missing or cannot be written. Some of the bytes may be in it.
pub fn append_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::options().append(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_data()
}

/// Writes bytes after the first `length` of a file, cuts off what was there, and syncs. With a length
/// of 0, the file need not exist.
///
/// # Errors
///
/// The file is shorter or cannot be written. Some of the bytes may be in it.
pub fn write_after(path: &Path, length: u64, bytes: &[u8]) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create(length == 0).mode(0o600);
    let mut file = options.truncate(false).open(path)?;
    if file.metadata()?.len() < length {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    }
    file.set_len(length)?;
    file.seek(SeekFrom::End(0))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    match length {
        0 => sync_folder(parent_folder(path)),
        _ => Ok(()),
    }
}

fn rename_synced(beside: &Path, path: &Path) -> io::Result<()> {
    if let Err(error) = fs::rename(beside, path) {
        let _ = fs::remove_file(beside);
        return Err(error);
    }
    sync_folder(parent_folder(path))
}

/// Writes and syncs a file. Removes it on failure: the remains of a file would occupy the space
/// that is missing on a full disk.
fn write_synced(beside: &Path, bytes: &[u8]) -> io::Result<()> {
    write_synced_with(beside, |file| file.write_all(bytes))
}

fn write_synced_with(
    beside: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = BufWriter::new(create_private_file(beside)?);
    let written = write(&mut file)
        .and_then(|()| file.flush())
        .and_then(|()| file.get_ref().sync_all());
    if written.is_err() {
        let _ = fs::remove_file(beside);
    }
    written
}

/// Creates a file, or truncates an existing one. A new file has mode 0600; an existing one keeps
/// its mode.
///
/// # Errors
///
/// The file cannot be created or opened.
pub fn create_private_file(path: &Path) -> io::Result<File> {
    File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

/// Sets `mode` on a path that group or others can access. A path that belongs to another user is
/// left unchanged, as only its owner may decide about it.
///
/// # Errors
///
/// The path does not exist, or its mode can be neither read nor set for a reason other than missing
/// permission.
pub fn restrict_to_owner(path: &Path, mode: u32) -> io::Result<()> {
    if fs::metadata(path)?.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    match fs::set_permissions(path, Permissions::from_mode(mode)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        set => set,
    }
}

/// Creates a secret file if there is none, atomically and with mode 0600 from the first byte. If
/// several processes do so at once, one of them wins, and all find its content afterwards.
///
/// # Errors
///
/// The file cannot be written or linked; nothing is left at `path`. If only the sync of the folder
/// fails, the file is in place but may not survive a power cut. An existing file is not an error.
pub fn create_secret_once(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = parent_folder(path);
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    write_synced(&beside, bytes)?;
    // Unlike a rename, a link never replaces an existing file.
    let linked = fs::hard_link(&beside, path);
    fs::remove_file(&beside)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // The secret is used from now on, so the name must survive a power cut.
        linked => linked.and_then(|()| sync_folder(folder)),
    }
}

/// Creates a folder and its missing parents. Those that are created have mode 0700.
///
/// # Errors
///
/// A folder cannot be created, or a file is in the way.
pub fn create_private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// Syncs a folder, so that created, renamed and removed names in it survive a power cut.
///
/// # Errors
///
/// The folder cannot be opened or synced.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The parent directory of a path; the current directory for a bare file name.
pub fn parent_folder(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_once_and_ends_with_its_holder_though_a_child_has_a_copy_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = FileLock::try_lock(&path).unwrap().unwrap();
        assert!(FileLock::try_lock(&path).unwrap().is_none());
        let copy = lock.0.try_clone().unwrap();
        drop(lock);
        assert!(FileLock::try_lock(&path).unwrap().is_some());
        drop(copy);
    }

    #[test]
    fn a_lock_that_cannot_be_made_is_an_error_and_not_somebody_elses() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(
            FileLock::try_lock(&dir.path().join("no/lock"))
                .err()
                .unwrap()
                .kind(),
            io::ErrorKind::NotFound
        );
    }

    #[test]
    fn a_file_that_cannot_be_put_leaves_the_former_one_and_no_half_of_itself() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        write_atomic(&path, b"first").unwrap();
        // The temporary file cannot be written.
        fs::create_dir(path.with_extension("writing")).unwrap();
        assert!(write_atomic(&path, b"second").is_err());
        fs::remove_dir(path.with_extension("writing")).unwrap();
        // A file cannot be renamed over a folder.
        let folder = dir.path().join("folder");
        fs::create_dir(&folder).unwrap();
        assert!(write_atomic(&folder, b"third").is_err());

        let mut left: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["folder", "key.pem"]);
        assert_eq!(fs::read(&path).unwrap(), b"first");
    }
}
