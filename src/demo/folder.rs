//! The demo's folder. It must be empty or left by an earlier demo, whose data are deleted. Nothing
//! else is ever deleted.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::disk::FileLock;

/// The file that marks a folder as a demo's, and that is locked while the demo runs.
const MARKER_FILE: &str = "footfall-demo";
const DATA_FOLDERS: [&str; 3] = ["journal", "ledger", "store"];

pub(super) struct DemoFolder {
    path: PathBuf,
    _lock: FileLock,
}

impl DemoFolder {
    pub(super) fn claim_folder(path: &Path) -> anyhow::Result<DemoFolder> {
        let shown = path.display();
        fs::create_dir_all(path).with_context(|| format!("{shown} cannot be created"))?;

        let mark = path.join(MARKER_FILE);
        let empty = fs::read_dir(path)
            .with_context(|| format!("{shown} cannot be read"))?
            .next()
            .is_none();
        if !empty && !mark.is_file() {
            bail!(
                "{shown} is not empty, and no demo made it: empty it, or name another folder with \
                 --dir"
            );
        }

        let Some(lock) = FileLock::try_lock(&mark)
            .with_context(|| format!("{} cannot be locked", mark.display()))?
        else {
            bail!("another demo runs in {shown}: stop it, or name another folder with --dir");
        };

        for part in DATA_FOLDERS
            .map(|part| path.join(part))
            .iter()
            .filter(|part| part.exists())
        {
            fs::remove_dir_all(part)
                .with_context(|| format!("{} cannot be emptied", part.display()))?;
        }

        Ok(DemoFolder {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// The settings that keep all data in the folder.
    pub(super) fn dir_settings(&self) -> impl Iterator<Item = (String, String)> {
        DATA_FOLDERS.into_iter().map(|part| {
            (
                format!("{part}.dir"),
                self.path.join(part).display().to_string(),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(path: &Path) -> String {
        DemoFolder::claim_folder(path)
            .err()
            .expect("a refusal")
            .to_string()
    }

    #[test]
    fn an_empty_folder_is_taken_and_one_of_an_earlier_demo_is_emptied() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/demo");
        let folder = DemoFolder::claim_folder(&path).unwrap();
        assert!(refused(&path).contains("another demo runs"));
        fs::create_dir(path.join("store")).unwrap();
        fs::write(path.join("store/old"), b"").unwrap();
        fs::write(path.join("notes"), b"of somebody").unwrap();
        drop(folder);
        DemoFolder::claim_folder(&path).unwrap();
        assert!(!path.join("store").exists() && path.join("notes").exists());
    }

    #[test]
    fn somebody_elses_folder_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("store")).unwrap();
        assert!(refused(dir.path()).contains("no demo made it"));
        assert!(dir.path().join("store").exists() && !dir.path().join(MARKER_FILE).exists());
    }
}
