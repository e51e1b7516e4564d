//! The folder of backups: one folder for each, whole if it has a manifest.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use jiff::Timestamp;

use super::ByteProgress;
use super::manifest::{BackupManifest, FileDigest, MANIFEST_FILE};
use crate::disk::{self, FileLock};

const CHUNK_BYTES: usize = 1 << 20;

/// The folder of backups, which one process at a time writes.
pub struct BackupFolder {
    path: PathBuf,
    _lock: FileLock,
}

impl BackupFolder {
    /// Creates the folder if needed and locks it.
    ///
    /// # Errors
    ///
    /// The folder cannot be created, or another `footfall backup` works in it.
    pub fn open(path: &Path) -> anyhow::Result<BackupFolder> {
        let shown = || path.display().to_string();
        disk::create_private_folder(path).with_context(shown)?;
        let lock = FileLock::try_lock(&path.join("lock")).with_context(shown)?;
        let lock = lock.with_context(|| format!("{}: another command uses it", shown()))?;
        Ok(BackupFolder {
            path: std::path::absolute(path).with_context(shown)?,
            _lock: lock,
        })
    }

    /// The folder of a backup.
    pub fn backup_path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The folder of all.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A name for a backup made now that no other has.
    pub fn free_name(&self, now: Timestamp) -> String {
        let name = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let mut free = name.clone();
        let mut taken = 1;
        while self.backup_path(&free).exists() {
            taken += 1;
            free = format!("{name}-{taken}");
        }
        free
    }

    /// Removes the folders of backups that were not finished, and of checks, and returns their
    /// names.
    ///
    /// # Errors
    ///
    /// A folder cannot be read or removed.
    pub fn remove_unfinished(&self) -> anyhow::Result<Vec<String>> {
        let mut removed = Vec::new();
        for name in folder_names(&self.path)? {
            let path = self.path.join(&name);
            let is_ours = is_backup_name(&name) || name.starts_with('.');
            if is_ours && !path.join(MANIFEST_FILE).exists() {
                fs::remove_dir_all(&path).with_context(|| path.display().to_string())?;
                removed.push(name);
            }
        }
        Ok(removed)
    }

    /// The manifest of a backup; `latest` is the newest one.
    ///
    /// # Errors
    ///
    /// There is no such backup, or its manifest cannot be read.
    pub fn read_manifest(&self, name: &str) -> anyhow::Result<BackupManifest> {
        let found = match name {
            "latest" => list_backups(&self.path)?.pop(),
            name if is_backup_name(name) => BackupManifest::read_file(&self.backup_path(name))?,
            _ => None,
        };
        found.with_context(|| format!("{}: no backup {name}", self.path.display()))
    }

    /// The manifests of a backup and of those that it builds on, the newest first.
    ///
    /// # Errors
    ///
    /// One of them is missing or cannot be read.
    pub fn read_chain(&self, name: &str) -> anyhow::Result<Vec<BackupManifest>> {
        let mut chain = vec![self.read_manifest(name)?];
        while let Some(base) = chain[chain.len() - 1].base.clone() {
            let next = self
                .read_manifest(&base)
                .with_context(|| format!("{name} builds on {base}"))?;
            anyhow::ensure!(chain.len() < 1000, "{name} builds on itself");
            chain.push(next);
        }
        Ok(chain)
    }
}

/// The whole backups in a folder, the oldest first. Needs no lock.
///
/// # Errors
///
/// The folder or a manifest cannot be read.
pub fn list_backups(path: &Path) -> anyhow::Result<Vec<BackupManifest>> {
    let mut found = Vec::new();
    for name in folder_names(path)?
        .iter()
        .filter(|name| is_backup_name(name))
    {
        found.extend(BackupManifest::read_file(&path.join(name))?);
    }
    found.sort_by(|one, other| (one.created, &one.name).cmp(&(other.created, &other.name)));
    Ok(found)
}

/// Whether it is a name that [`BackupFolder::free_name`] gives.
fn is_backup_name(name: &str) -> bool {
    let (day, rest) = name.split_at_checked(9).unwrap_or_default();
    let is_day = day.ends_with('T') && day[..8].bytes().all(|byte| byte.is_ascii_digit());
    is_day
        && rest.len() >= 7
        && rest.contains('Z')
        && rest
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'Z' || byte == b'-')
}

fn folder_names(path: &Path) -> anyhow::Result<Vec<String>> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| path.display().to_string())?,
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    Ok(names)
}

/// The files below a folder, by relative path, with their lengths. Without the manifest.
pub fn list_files(folder: &Path) -> io::Result<BTreeMap<String, u64>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(below) = folders.pop() {
        for entry in fs::read_dir(folder.join(&below))? {
            let entry = entry?;
            let path = below.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if path != Path::new(MANIFEST_FILE) {
                files.insert(path.to_string_lossy().into_owned(), entry.metadata()?.len());
            }
        }
    }
    Ok(files)
}

/// Digests of all files of a backup.
///
/// # Errors
///
/// A file cannot be read.
pub fn digest_files(
    folder: &Path,
    progress: ByteProgress<'_>,
) -> anyhow::Result<BTreeMap<String, FileDigest>> {
    let files = list_files(folder).with_context(|| folder.display().to_string())?;
    let (mut done, total) = (0, files.values().sum());
    let mut digests = BTreeMap::new();
    for name in files.into_keys() {
        let path = folder.join(&name);
        let digest = digest_file(&path, &mut |bytes| {
            done += bytes;
            progress(done, total);
        });
        digests.insert(name, digest.with_context(|| path.display().to_string())?);
    }
    Ok(digests)
}

fn digest_file(path: &Path, read: &mut dyn FnMut(u64)) -> io::Result<FileDigest> {
    let mut file = File::open(path)?;
    let (mut hasher, mut bytes) = (blake3::Hasher::new(), 0);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = file.read(&mut chunk)?;
        if length == 0 {
            let blake3 = hasher.finalize().to_hex().to_string();
            return Ok(FileDigest { bytes, blake3 });
        }
        hasher.update(&chunk[..length]);
        bytes += length as u64;
        read(length as u64);
    }
}

/// Compares the files of a backup with its manifest.
///
/// # Errors
///
/// A file is missing, changed or unknown; the error names up to ten.
pub fn check_files(
    folder: &Path,
    manifest: &BackupManifest,
    progress: ByteProgress<'_>,
) -> anyhow::Result<()> {
    let found = digest_files(folder, progress)?;
    let wrong = |name: &&String| manifest.files.get(*name) != found.get(*name);
    let mut names: Vec<&String> = manifest.files.keys().chain(found.keys()).collect();
    names.sort();
    names.dedup();
    let differing: Vec<&str> = names
        .into_iter()
        .filter(wrong)
        .map(String::as_str)
        .collect();
    anyhow::ensure!(
        differing.is_empty(),
        "{}: {} files are not as they were written: {}",
        folder.display(),
        differing.len(),
        differing[..differing.len().min(10)].join(", ")
    );
    Ok(())
}

/// Writes everything below a folder to the disk.
///
/// # Errors
///
/// The folder cannot be opened, or the sync failed.
pub fn sync_tree(folder: &Path) -> anyhow::Result<()> {
    let shown = || folder.display().to_string();
    let file = File::open(folder).with_context(shown)?;
    rustix::fs::syncfs(&file).with_context(shown)?;
    disk::sync_folder(disk::parent_folder(folder)).with_context(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_backups_and_of_nothing_else_are_recognised() {
        for name in ["20261129T090000Z", "20261129T090000Z-2"] {
            assert!(is_backup_name(name), "{name}");
        }
        for name in [
            "",
            "lost+found",
            "20261129",
            "20261129T/../Z00",
            "2026112éT090000Z",
            "x.tar",
        ] {
            assert!(!is_backup_name(name), "{name}");
        }
    }

    #[test]
    fn a_changed_a_missing_and_an_unknown_file_are_named() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["changed", "missing", "same"] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        let files = digest_files(dir.path(), &mut |_, _| ()).unwrap();
        assert_eq!(files["same"].bytes, 4);
        let manifest: BackupManifest = serde_json::from_value(serde_json::json!({
            "format": 1, "name": "n", "created": "2026-11-29T09:00:00Z", "version": "0", "schema": 1, "store": "embedded",
            "database": "d", "base": null, "journal": {"collector": "", "day": 0, "waiting": []}, "folders": {"counts": "n/counts", "registry": "n/registry"},
            "tables": {}, "files": files,
        }))
        .unwrap();
        assert!(check_files(dir.path(), &manifest, &mut |_, _| ()).is_ok());

        fs::write(dir.path().join("changed"), "Changed").unwrap();
        fs::remove_file(dir.path().join("missing")).unwrap();
        fs::write(dir.path().join("unknown"), "").unwrap();
        let error = check_files(dir.path(), &manifest, &mut |_, _| ()).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("3 files are not as they were written: changed, missing, unknown"),
            "{error}"
        );
    }
}
