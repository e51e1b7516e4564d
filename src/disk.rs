//! Files that are there whole or not at all, also after a crash in the middle.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Puts a file in place: written beside, synced, renamed, and the name synced.
pub fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("writing");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}
