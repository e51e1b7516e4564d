//! Errors of a configuration, and the place where each key was written.

use std::collections::BTreeMap;
use std::fmt;

/// One error. It never contains a value, which may be a secret.
#[derive(PartialEq, Eq, Clone, Debug)]
pub struct ConfigError {
    /// `footfall.toml:12`, `FOOTFALL__SERVER__WORKERS`, `--set server.workers`; empty for a
    /// default.
    pub place: String,
    /// Dotted name of the key, such as `server.workers`; empty if it does not concern one key.
    pub key: String,
    /// The reason, which ends with what is accepted.
    pub reason: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.place, &self.key] {
            if !part.is_empty() {
                write!(f, "{part}: ")?;
            }
        }
        f.write_str(&self.reason)
    }
}

/// The line, from 1, of the byte at offset `at`.
pub fn line_of(text: &str, at: usize) -> usize {
    text.get(..at)
        .map_or(1, |before| before.matches('\n').count() + 1)
}

/// All errors at once; never empty.
#[derive(Debug)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

/// The place where each key was written. The last layer with the key wins.
#[derive(Default, Debug)]
pub struct KeyLocations {
    file: String,
    by_key: BTreeMap<String, String>,
}

impl KeyLocations {
    /// Errors of keys that were not written are reported for the file.
    pub(super) fn for_file(file: &str) -> KeyLocations {
        KeyLocations {
            file: file.to_owned(),
            by_key: BTreeMap::new(),
        }
    }

    pub(super) fn insert(&mut self, key: &str, place: String) {
        self.by_key.insert(key.to_owned(), place);
    }

    /// Removes a key and all below it, because a later layer replaces them.
    pub(super) fn remove_key(&mut self, key: &str) {
        self.by_key.retain(|known, _| !is_within(known, key));
    }

    /// The place of the key, or of the nearest enclosing table that was written.
    pub fn location_of(&self, key: &str) -> &str {
        let mut around = key;
        loop {
            if let Some(place) = self.by_key.get(around) {
                return place;
            }
            match around.rfind(['.', '[']) {
                Some(end) => around = &around[..end],
                None => return &self.file,
            }
        }
    }

    /// An error about `key`, with the place where it was written.
    pub fn key_error(&self, key: impl Into<String>, reason: impl Into<String>) -> ConfigError {
        let key = key.into();
        ConfigError {
            place: self.location_of(&key).to_owned(),
            key,
            reason: reason.into(),
        }
    }
}

/// Whether `key` equals `around` or is below it.
pub(super) fn is_within(key: &str, around: &str) -> bool {
    key.strip_prefix(around)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_nobody_wrote_is_where_its_table_is() {
        let mut places = KeyLocations::for_file("a.toml");
        places.insert("sites[1]", "a.toml:7".into());
        places.insert("sites[1].id", "a.toml:8".into());
        places.insert("sites[10].id", "a.toml:90".into());
        for (key, place) in [
            ("sites[1].id", "a.toml:8"),
            ("sites[1].zone", "a.toml:7"),
            ("sites[1].hosts[3]", "a.toml:7"),
            ("sites[2]", "a.toml"),
            ("bi.secret", "a.toml"),
        ] {
            assert_eq!(places.location_of(key), place, "{key}");
        }
        places.remove_key("sites[1]");
        assert_eq!(
            (
                places.location_of("sites[1].id"),
                places.location_of("sites[10].id")
            ),
            ("a.toml", "a.toml:90")
        );
    }
}
