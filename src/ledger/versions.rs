//! `versions.json`: every version of the question that was put, with its whole register, beside the acts that name its digest.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::error::LedgerError;
use crate::consent::versions::Version;
use crate::disk;

pub struct Versions {
    path: PathBuf,
    pub known: Vec<Version>,
}

impl Versions {
    /// `dir` is the ledger's, and must be there.
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

    /// Puts a version on record, before anybody is asked it.
    pub fn add(&mut self, version: Version) -> Result<(), LedgerError> {
        self.known.push(version);
        let text = serde_json::to_vec_pretty(&self.known).expect("structs of text and numbers are always JSON");
        disk::put(&self.path, &text).map_err(LedgerError::io(&self.path))
    }
}
