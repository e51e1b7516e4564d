//! `manifest.json` of a backup. It is written last, so a folder without one is no backup.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::disk;
use crate::store::archive::{GroupFolders, TableSums};

/// The version of the manifest and of the folder's layout.
const FORMAT: u32 = 1;
/// The manifest's name in the folder of a backup.
pub const MANIFEST_FILE: &str = "manifest.json";

/// What a backup contains.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct BackupManifest {
    /// Version of this form.
    pub format: u32,
    /// The folder's name.
    pub name: String,
    /// When the tables were copied, by the machine's clock.
    pub created: Timestamp,
    /// The program's version.
    pub version: String,
    /// The number of the newest schema change.
    pub schema: u32,
    /// `embedded` or `server`.
    pub store: String,
    /// The name of the database that was copied.
    pub database: String,
    /// The backup that holds the files that this one does not; `None` for a full backup.
    pub base: Option<String>,
    /// Which segments the tables hold.
    pub journal: JournalState,
    /// Where the tables are.
    pub folders: GroupFolders,
    /// The tables' sums at that moment.
    pub tables: TableSums,
    /// All files of this backup but the manifest, by path in its folder.
    pub files: BTreeMap<String, FileDigest>,
}

/// The journal at the moment of the copy: between two segments.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
pub struct JournalState {
    /// The collector's id, 16 hex digits.
    pub collector: String,
    /// The collector's day in UTC, in days since 1970-01-01.
    pub day: u16,
    /// The tokens of the segments that the tables do not hold.
    pub waiting: Vec<String>,
}

/// Length and BLAKE3 of a file.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct FileDigest {
    /// In bytes.
    pub bytes: u64,
    /// 64 hex digits.
    pub blake3: String,
}

impl BackupManifest {
    /// The version of the form that this program writes.
    pub const FORMAT: u32 = FORMAT;

    /// Reads the manifest of the backup in a folder; `None` if the folder has none.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is no manifest, or is of a later version.
    pub fn read_file(folder: &Path) -> anyhow::Result<Option<BackupManifest>> {
        let path = folder.join(MANIFEST_FILE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context(path.display().to_string()),
        };

        let manifest: BackupManifest =
            serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
        anyhow::ensure!(
            manifest.format <= FORMAT,
            "{}: a later version wrote this backup; use that one",
            path.display()
        );
        Ok(Some(manifest))
    }

    /// Writes the manifest: from then on the folder is a backup.
    ///
    /// # Errors
    ///
    /// The file cannot be written or synced.
    pub fn write_file(&self, folder: &Path) -> anyhow::Result<()> {
        let path = folder.join(MANIFEST_FILE);
        let text = serde_json::to_vec_pretty(self)?;
        disk::write_atomic(&path, &text).with_context(|| path.display().to_string())
    }

    /// The bytes of its files.
    pub fn total_bytes(&self) -> u64 {
        self.files.values().map(|file| file.bytes).sum()
    }
}
