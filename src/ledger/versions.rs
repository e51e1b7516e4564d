//! `versions.json`: every version of the question that was put, with its whole register, beside the acts that name its digest.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::error::LedgerError;
use crate::consent::versions::Version;

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
        let beside = self.path.with_extension("writing");
        let write = || {
            let mut file = File::create(&beside)?;
            file.write_all(&serde_json::to_vec_pretty(&self.known)?)?;
            file.sync_all()?;
            fs::rename(&beside, &self.path)?;
            File::open(self.path.parent().unwrap_or(Path::new(".")))?.sync_all()
        };
        write().map_err(LedgerError::io(&self.path))
    }
}
