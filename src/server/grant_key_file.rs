//! The file of keys that sign grants: created if missing, reloaded when it changes. So a new key
//! needs no restart, which would lose the day's visitors.

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
    read_at: Mutex<Option<SystemTime>>,
}

impl GrantKeyFile {
    pub(super) fn from_config(config: &Config) -> GrantKeyFile {
        let own = || config.ledger.dir.join("consent.keys");
        let named = &config.consent.key_file;
        let path = if named.is_empty() {
            own()
        } else {
            PathBuf::from(named)
        };
        GrantKeyFile {
            path,
            site: config.consent.site.clone(),
            read_at: Mutex::default(),
        }
    }

    /// Reads the keys; creates a file with a first key if there is none.
    pub(super) fn open(&self) -> anyhow::Result<GrantKeys> {
        self.read_or_create()
            .with_context(|| format!("consent.key_file: {}", self.path.display()))
    }

    /// Checks that the keys can be read if the file exists; creates nothing.
    pub(super) fn check_readable(&self) -> anyhow::Result<()> {
        let read = || -> anyhow::Result<()> {
            if self.path.try_exists()? {
                self.read_keys().map(drop)
            } else {
                Ok(())
            }
        };
        read().with_context(|| self.path.display().to_string())
    }

    /// The keys, if the file changed since it was last read.
    pub(super) fn reload_if_changed(&self) -> anyhow::Result<Option<GrantKeys>> {
        let seen = *self.read_at.lock().unwrap_or_else(PoisonError::into_inner);
        if fs::metadata(&self.path)
            .and_then(|file| file.modified())
            .ok()
            == seen
        {
            return Ok(None);
        }
        self.read_keys()
            .with_context(|| format!("consent.key_file: {}", self.path.display()))
            .map(Some)
    }

    fn read_or_create(&self) -> anyhow::Result<GrantKeys> {
        if !self.path.try_exists()? {
            disk::create_private_folder(disk::parent_folder(&self.path))?;
            disk::create_secret_once(
                &self.path,
                GrantKeys::generate_line("k1").expose_secret().as_bytes(),
            )?;
            let file = self.path.display();
            tracing::info!(%file, "created a key that signs grants: every collector of the \
                platform needs a copy, and visitors who consented under another key see the prompt \
                again");
        }
        self.read_keys()
    }

    fn read_keys(&self) -> anyhow::Result<GrantKeys> {
        // Read before the text, so that a later change is noticed at the next check.
        let changed = fs::metadata(&self.path)
            .and_then(|file| file.modified())
            .ok();
        let text = match fs::read_to_string(&self.path) {
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                anyhow::bail!("it is not a text")
            }
            text => Secret::new(text?),
        };
        let keys = GrantKeys::parse_file(&text, &self.site);
        *self.read_at.lock().unwrap_or_else(PoisonError::into_inner) = changed;
        Ok(keys?)
    }
}

/// Signs grants for the demo's simulated visitors: from an id of 32 hex digits to the value of the
/// consent cookie.
///
/// # Errors
///
/// The key file cannot be read or created, or contains no valid keys.
pub fn demo_grant_signer(
    config: &Config,
) -> anyhow::Result<impl Fn(&str) -> String + Send + Sync + use<>> {
    let keys = GrantKeyFile::from_config(config).open()?;
    let (version, tier) = (
        config.consent.version,
        config.consent.analytics_tier.clone(),
    );
    Ok(move |id: &str| {
        keys.sign_grant_with_hex_id(version, &[&*tier], id)
            .expect("32 hex digits are an id")
    })
}
