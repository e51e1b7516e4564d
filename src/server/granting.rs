//! The file of keys that sign grants: made if missing, read again when it changes. So a new key
//! needs no restart, which would forget the day's visitors.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::Context;

use crate::config::{Config, Secret};
use crate::consent::GrantKeys;
use crate::disk;

/// The key file, and its modification time when it was last read.
pub(super) struct GrantKeyFile {
    path: PathBuf,
    site: String,
    read: Mutex<Option<SystemTime>>,
}

impl GrantKeyFile {
    pub(super) fn of(config: &Config) -> GrantKeyFile {
        let own = || config.ledger.dir.join("consent.keys");
        let named = &config.consent.key_file;
        let path = if named.is_empty() { own() } else { PathBuf::from(named) };
        GrantKeyFile { path, site: config.consent.site.clone(), read: Mutex::default() }
    }

    /// Reads the keys; makes a file with a first key if there is none.
    pub(super) fn open(&self) -> anyhow::Result<GrantKeys> {
        self.open_or_make().with_context(|| format!("consent.key_file: {}", self.path.display()))
    }

    /// Checks that the keys can be read if the file exists; creates nothing.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let read = || -> anyhow::Result<()> { if self.path.try_exists()? { self.read().map(drop) } else { Ok(()) } };
        read().with_context(|| self.path.display().to_string())
    }

    /// The keys, if the file changed since it was last read.
    pub(super) fn changed(&self) -> anyhow::Result<Option<GrantKeys>> {
        let seen = *self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if fs::metadata(&self.path).and_then(|file| file.modified()).ok() == seen {
            return Ok(None);
        }
        self.read().with_context(|| format!("consent.key_file: {}", self.path.display())).map(Some)
    }

    fn open_or_make(&self) -> anyhow::Result<GrantKeys> {
        if !self.path.try_exists()? {
            disk::private_folder(disk::folder_of(&self.path))?;
            disk::make_once(&self.path, GrantKeys::new_line("k1").expose().as_bytes())?;
            let file = self.path.display();
            tracing::info!(%file, "a key that signs grants was made: every collector of the platform needs a copy of it, and who agreed under another is asked again");
        }
        self.read()
    }

    fn read(&self) -> anyhow::Result<GrantKeys> {
        // Read before the text, so that a change in between is noticed later.
        let changed = fs::metadata(&self.path).and_then(|file| file.modified()).ok();
        let text = match fs::read_to_string(&self.path) {
            Err(error) if error.kind() == ErrorKind::InvalidData => anyhow::bail!("it is no text"),
            text => Secret::new(text?),
        };
        let keys = GrantKeys::read(&text, &self.site);
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = changed;
        Ok(keys?)
    }
}

/// Signs grants for the demo's made-up visitors: from an id of 32 hex digits to the value of the
/// consent cookie.
///
/// # Errors
///
/// The key file cannot be read or made, or holds no valid keys.
pub fn signer(config: &Config) -> anyhow::Result<impl Fn(&str) -> String + Send + Sync + use<>> {
    let keys = GrantKeyFile::of(config).open()?;
    let (version, tier) = (config.consent.version, config.consent.analytics_tier.clone());
    Ok(move |id: &str| keys.grant_as(version, &[&*tier], id).expect("32 hex digits are an id"))
}
