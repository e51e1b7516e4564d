//! Files of keys that collectors of a platform share: created if missing, reloaded when they change.
//! So a new key needs no restart.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::Context;

use crate::access::CookieKeys;
use crate::config::{Config, Secret};
use crate::consent::GrantKeys;
use crate::disk;

type KeyFileParser<K> = Box<dyn Fn(&Secret) -> anyhow::Result<K> + Send + Sync>;

/// A key file, and its modification time when it was last read.
pub(super) struct ReloadableKeys<K> {
    path: PathBuf,
    /// The key of the configuration that names the file.
    config_key: &'static str,
    parse: KeyFileParser<K>,
    generate_line: fn(&str) -> Secret,
    /// Logged when the file is created.
    created: &'static str,
    read_at: Mutex<Option<SystemTime>>,
}

/// The keys that sign grants.
pub(super) type GrantKeyFile = ReloadableKeys<GrantKeys>;

/// The keys that encrypt sessions and unlocked share links.
pub(super) type CookieKeyFile = ReloadableKeys<CookieKeys>;

impl GrantKeyFile {
    pub(super) fn from_config(config: &Config) -> GrantKeyFile {
        let site = config.consent.site.clone();
        ReloadableKeys {
            path: config.grant_key_path(),
            config_key: "consent.key_file",
            parse: Box::new(move |text| Ok(GrantKeys::parse_file(text, &site)?)),
            generate_line: GrantKeys::generate_line,
            created: "created a key that signs grants: every collector of the platform needs a \
                copy, and visitors who consented under another key see the prompt again",
            read_at: Mutex::default(),
        }
    }
}

impl CookieKeyFile {
    pub(super) fn from_config(config: &Config) -> CookieKeyFile {
        ReloadableKeys {
            path: config.cookie_key_path(),
            config_key: "access.key_file",
            parse: Box::new(|text| Ok(CookieKeys::parse_file(text)?)),
            generate_line: CookieKeys::generate_line,
            created: "created a key that encrypts sessions: collectors with a copy accept each \
                other's sessions",
            read_at: Mutex::default(),
        }
    }
}

impl<K> ReloadableKeys<K> {
    /// Reads the keys; creates a file with a first key if there is none.
    pub(super) fn open(&self) -> anyhow::Result<K> {
        self.read_or_create()
            .with_context(|| format!("{}: {}", self.config_key, self.path.display()))
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
    pub(super) fn reload_if_changed(&self) -> anyhow::Result<Option<K>> {
        let seen = *self.read_at.lock().unwrap_or_else(PoisonError::into_inner);
        if fs::metadata(&self.path)
            .and_then(|file| file.modified())
            .ok()
            == seen
        {
            return Ok(None);
        }
        self.read_keys()
            .with_context(|| format!("{}: {}", self.config_key, self.path.display()))
            .map(Some)
    }

    fn read_or_create(&self) -> anyhow::Result<K> {
        if !self.path.try_exists()? {
            disk::create_private_folder(disk::parent_folder(&self.path))?;
            let line = (self.generate_line)("k1");
            disk::create_secret_once(&self.path, line.expose_secret().as_bytes())?;
            let (file, created) = (self.path.display(), self.created);
            tracing::info!(%file, "{created}");
        }
        self.read_keys()
    }

    fn read_keys(&self) -> anyhow::Result<K> {
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
        let keys = (self.parse)(&text);
        *self.read_at.lock().unwrap_or_else(PoisonError::into_inner) = changed;
        keys
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
