//! A disk whose power can be cut: ext4 on a loop device. A start after the cut finds what has
//! reached the device at that moment.
//!
//! The image is on a file system of its own (ext4 on a loop device in memory) that can be frozen.
//! Then no write reaches the device, nothing that the inner file system still holds in memory is
//! flushed, and the image can be copied as it is.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A file system of this size takes little memory, because the images are sparse.
const OUTER: u64 = 768 << 20;
const INNER: u64 = 512 << 20;

pub struct Disk {
    mounted_at: PathBuf,
    dir: TempDir,
    /// Each cut continues on a file of its own: the kernel may still have blocks of the former one
    /// in memory, if something else has its loop device open.
    cuts: Cell<usize>,
}

impl Disk {
    /// An empty disk, mounted at a new folder. Needs loop devices, and root or `sudo` without a
    /// password.
    pub fn mount(at: &Path) -> Disk {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder to mount at");
        let disk = Disk {
            mounted_at: at.to_owned(),
            dir,
            cuts: Cell::new(0),
        };
        root(&[
            "mount",
            "-t",
            "tmpfs",
            "-o",
            "size=1g,mode=0777",
            "tmpfs",
            text(disk.dir.path()),
        ]);
        fs::create_dir(disk.outer()).expect("a folder to mount at");
        fs::create_dir_all(at).expect("a folder to mount at");
        make(
            &disk.dir.path().join("outer.img"),
            OUTER,
            &["-O", "^has_journal"],
        );
        root(&[
            "mount",
            "-o",
            "loop",
            text(&disk.dir.path().join("outer.img")),
            text(&disk.outer()),
        ]);
        root(&["chmod", "0777", text(&disk.outer())]);
        make(&disk.image(), INNER, &[]);
        disk.mount_inner();
        disk
    }

    fn outer(&self) -> PathBuf {
        self.dir.path().join("outer")
    }

    fn image(&self) -> PathBuf {
        self.outer().join(format!("disk.{}.img", self.cuts.get()))
    }

    fn mount_inner(&self) {
        root(&[
            "mount",
            "-o",
            "loop",
            text(&self.image()),
            text(&self.mounted_at),
        ]);
        root(&["chmod", "0777", text(&self.mounted_at)]);
    }

    /// Cuts the power. `kill` sends SIGKILL to the process that uses the disk, which is then as it was
    /// at the moment of the cut.
    pub fn cut(&self, kill: impl FnOnce()) {
        let copy = self.dir.path().join("cut.img");
        root(&["fsfreeze", "--freeze", text(&self.outer())]);
        let copied = Command::new("cp")
            .arg("--sparse=always")
            .args([&self.image(), &copy])
            .status();
        // The process may wait in a write until the freeze is over, and must not continue from there.
        kill();
        root(&["fsfreeze", "--unfreeze", text(&self.outer())]);
        assert!(copied.expect("cp").success(), "the image is copied");

        // The embedded engine's process ends a moment after the collector's.
        let unmount = || {
            command(&["umount", text(&self.mounted_at)])
                .output()
                .is_ok_and(|done| done.status.success())
        };
        super::until(unmount, "nobody uses the disk");
        fs::remove_file(self.image()).expect("the former image is removed");
        self.cuts.set(self.cuts.get() + 1);
        let back = Command::new("cp")
            .arg("--sparse=always")
            .args([&copy, &self.image()])
            .status();
        assert!(back.expect("cp").success(), "the image is put back");
        self.mount_inner();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        for mounted in [
            self.mounted_at.clone(),
            self.outer(),
            self.dir.path().to_owned(),
        ] {
            let _ = command(&["umount", "-l", text(&mounted)]).status();
        }
    }
}

fn make(image: &Path, bytes: u64, options: &[&str]) {
    let file = fs::File::create(image).expect("a file for the image");
    file.set_len(bytes).expect("a sparse file");
    let mut arguments = vec!["-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,nodiscard"];
    arguments.extend(options);
    let made = Command::new("mkfs.ext4")
        .args(arguments)
        .arg(image)
        .status();
    assert!(
        made.expect("mkfs.ext4, of e2fsprogs").success(),
        "a file system is made"
    );
}

/// Runs a command as root.
fn root(words: &[&str]) {
    let done = command(words)
        .output()
        .unwrap_or_else(|error| panic!("{words:?}: {error}"));
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.success(),
        "a power cut needs root (or sudo without a password) and loop devices: {words:?}: {said}"
    );
}

fn command(words: &[&str]) -> Command {
    if rustix::process::geteuid().is_root() {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        return command;
    }
    let mut command = Command::new("sudo");
    command.arg("-n").args(words);
    command
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are text")
}
