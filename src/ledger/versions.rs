//! `versions.json`: every version of the consent prompt that was in use, with its whole register.
//! It is kept beside the records, which contain the register's digest.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::error::LedgerError;
use crate::consent::versions::Version;
use crate::disk;

/// The file, and the versions in it.
pub struct Versions {
    path: PathBuf,
    /// The versions, oldest first.
    pub known: Vec<Version>,
}

impl Versions {
    /// Reads the file in the ledger's folder `dir`, which must exist. A missing file has no
    /// versions.
    ///
    /// # Errors
    ///
    /// The file cannot be read or is malformed.
    pub fn open(dir: &Path) -> Result<Versions, LedgerError> {
        let path = dir.join("versions.json");
        let known = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|error| LedgerError::Versions { path: path.clone(), what: error.to_string() })?,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(LedgerError::io(&path)(error)),
        };
        Ok(Versions { path, known })
    }

    /// Records a version. To be called before visitors are asked about it.
    ///
    /// # Errors
    ///
    /// The file cannot be written; its former content is unchanged.
    pub fn add(&mut self, version: Version) -> Result<(), LedgerError> {
        self.known.push(version);
        let text = serde_json::to_vec_pretty(&self.known).expect("structs of text and numbers are always JSON");
        disk::put(&self.path, &text).map_err(LedgerError::io(&self.path))
    }
}
