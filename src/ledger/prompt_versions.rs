//! `versions.json`: every version of the consent prompt that was in use, with its complete
//! register. Records contain only the register's digest.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::error::LedgerError;
use crate::consent::versions::PromptVersion;
use crate::disk;

/// The file, and the versions in it.
pub struct PromptVersions {
    path: PathBuf,
    /// The versions, oldest first.
    pub versions: Vec<PromptVersion>,
}

impl PromptVersions {
    /// Reads the file in the ledger's folder `dir`, which must exist. A missing file has no
    /// versions.
    ///
    /// # Errors
    ///
    /// The file cannot be read or is malformed.
    pub fn open(dir: &Path) -> Result<PromptVersions, LedgerError> {
        let path = dir.join("versions.json");
        let known = match fs::read(&path) {
            Ok(text) => {
                serde_json::from_slice(&text).map_err(|error| LedgerError::InvalidVersions {
                    path: path.clone(),
                    what: error.to_string(),
                })?
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(LedgerError::from_io(&path)(error)),
        };
        Ok(PromptVersions {
            path,
            versions: known,
        })
    }

    /// Records a version. Must be called before the version is shown to visitors.
    ///
    /// # Errors
    ///
    /// The file cannot be written; its former content is unchanged.
    pub fn add_version(&mut self, version: PromptVersion) -> Result<(), LedgerError> {
        self.versions.push(version);
        let text = serde_json::to_vec_pretty(&self.versions)
            .expect("structs of text and numbers are always JSON");
        disk::write_atomic(&self.path, &text).map_err(LedgerError::from_io(&self.path))
    }
}
