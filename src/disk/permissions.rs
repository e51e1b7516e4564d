//! Access rights of the data folders. Only the collector's own user can read what it writes: files
//! have mode 0600, folders 0700.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::Mode;

const GROUP_AND_OTHERS_MODE: u32 = 0o077;

/// Sets the umask of the process, so that all files and folders it creates, including those of the
/// embedded engine, are accessible to its own user only. Applies to all threads and is called first
/// in `main`.
pub fn set_private_umask() {
    rustix::process::umask(Mode::from_raw_mode(GROUP_AND_OTHERS_MODE));
}

/// What [`restrict_tree`] changed in a folder.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct RestrictOutcome {
    /// Files and folders that others could access and now cannot.
    pub restricted: u64,
    /// Files and folders whose access rights could not be changed, because they belong to another
    /// user.
    pub failed: u64,
}

/// Removes the access rights of group and others from a path, if it exists, and from everything
/// below it. Symbolic links are not followed.
///
/// # Errors
///
/// The path or something below it cannot be read. Paths that were visited before stay restricted.
pub fn restrict_tree(path: &Path) -> io::Result<RestrictOutcome> {
    let mut mended = RestrictOutcome::default();
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(mended),
        found => found?,
    };
    // The folder comes first, so that other users can no longer change its contents.
    restrict_entry(path, &found, &mut mended);
    if found.is_dir() {
        for entry in fs::read_dir(path)? {
            let below = restrict_tree(&entry?.path())?;
            mended.restricted += below.restricted;
            mended.failed += below.failed;
        }
    }
    Ok(mended)
}

fn restrict_entry(path: &Path, found: &Metadata, mended: &mut RestrictOutcome) {
    let mode = found.permissions().mode();
    if found.is_symlink() || mode & GROUP_AND_OTHERS_MODE == 0 {
        return;
    }
    match fs::set_permissions(path, Permissions::from_mode(mode & 0o700)) {
        Ok(()) => mended.restricted += 1,
        Err(_) => mended.failed += 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_could_read_is_closed_and_what_a_link_leads_to_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let (open, elsewhere) = (dir.path().join("open"), dir.path().join("elsewhere"));
        fs::create_dir_all(open.join("deep")).unwrap();
        fs::write(open.join("deep/file"), b"x").unwrap();
        fs::write(open.join("run"), b"x").unwrap();
        fs::write(&elsewhere, b"x").unwrap();
        std::os::unix::fs::symlink(&elsewhere, open.join("link")).unwrap();
        let set =
            |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        set(&open, 0o755);
        set(&open.join("deep"), 0o2775);
        set(&open.join("deep/file"), 0o644);
        set(&open.join("run"), 0o700);
        set(&elsewhere, 0o644);

        assert_eq!(
            restrict_tree(&open).unwrap(),
            RestrictOutcome {
                restricted: 3,
                failed: 0
            }
        );
        let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777;
        let modes = [
            &open,
            &open.join("deep"),
            &open.join("deep/file"),
            &open.join("run"),
            &elsewhere,
        ]
        .map(|path| mode(path));
        assert_eq!(modes, [0o700, 0o700, 0o600, 0o700, 0o644]);
        assert_eq!(restrict_tree(&open).unwrap(), RestrictOutcome::default());
        assert_eq!(
            restrict_tree(&dir.path().join("nothing")).unwrap(),
            RestrictOutcome::default()
        );
    }
}
