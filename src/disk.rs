//! Files that are there whole or not at all, also after a crash in the middle; folders that one process holds.

mod private;

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

pub use private::{Mended, for_the_owner_alone, mend};

/// A file locked for as long as this lives. The system lets go of it when the process dies, however it dies.
pub struct Lock(File);

impl Lock {
    /// `None` if somebody else holds it.
    pub fn take(path: &Path) -> io::Result<Option<Lock>> {
        let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for whoever holds it. Not for threads that must not stand still.
    pub fn wait(path: &Path) -> io::Result<Lock> {
        let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(Lock(file))
    }
}

impl Drop for Lock {
    /// Closing is not enough: a child that another thread is just starting has a copy of every open file until it becomes
    /// the other program.
    fn drop(&mut self) {
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// Puts a file in place: written beside, synced, renamed, and the name synced. Where it fails what was there before still is.
pub fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    put_through(&path.with_extension("writing"), path, bytes)
}

/// The same, with a name of the caller's for the file while it is written.
pub fn put_through(beside: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_beside(beside, bytes)?;
    if let Err(error) = fs::rename(beside, path) {
        let _ = fs::remove_file(beside);
        return Err(error);
    }
    sync(folder_of(path))
}

/// A file that is whole and synced when this returns, or gone: half of one would take the room that is missing.
fn write_beside(beside: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = create_private(beside)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = fs::remove_file(beside);
    }
    written
}

/// A new file, or an emptied one, that its owner alone can read.
pub fn create_private(path: &Path) -> io::Result<File> {
    File::options().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Takes the rights of others from what is there. What somebody else owns stays as it is: its owner decides.
pub fn close_to_others(path: &Path, mode: u32) -> io::Result<()> {
    if fs::metadata(path)?.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    match fs::set_permissions(path, Permissions::from_mode(mode)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        set => set,
    }
}

/// Puts a secret in place where there is none: whole or not at all, and for its owner alone from its first byte on. Of several who do so at
/// the same moment one wins, and all read what is there then.
pub fn make_once(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    let beside = path.with_extension(format!("new-{}", std::process::id()));
    write_beside(&beside, bytes)?;
    // Unlike a rename a link replaces nothing.
    let linked = fs::hard_link(&beside, path);
    fs::remove_file(&beside)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // It is relied on from here on: a power cut must not take the name.
        linked => linked.and_then(|()| sync(folder)),
    }
}

/// Makes a folder and those above it; what is made is its owner's alone.
pub fn private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes names that were created, renamed or removed in a folder survive a power cut.
pub fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The folder a file lies in: a bare name lies in the one that is worked in.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_once_and_ends_with_its_holder_though_a_child_has_a_copy_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = Lock::take(&path).unwrap().unwrap();
        assert!(Lock::take(&path).unwrap().is_none());
        let copy = lock.0.try_clone().unwrap();
        drop(lock);
        assert!(Lock::take(&path).unwrap().is_some());
        drop(copy);
    }

    #[test]
    fn a_lock_that_cannot_be_made_is_an_error_and_not_somebody_elses() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Lock::take(&dir.path().join("no/lock")).err().unwrap().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_file_that_cannot_be_put_leaves_the_former_one_and_no_half_of_itself() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        put(&path, b"first").unwrap();
        // Nothing can be written to the name beside it.
        fs::create_dir(path.with_extension("writing")).unwrap();
        assert!(put(&path, b"second").is_err());
        fs::remove_dir(path.with_extension("writing")).unwrap();
        // Nor renamed over a folder.
        let folder = dir.path().join("folder");
        fs::create_dir(&folder).unwrap();
        assert!(put(&folder, b"third").is_err());

        let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["folder", "key.pem"]);
        assert_eq!(fs::read(&path).unwrap(), b"first");
    }
}
