//! The copy of the registry on this machine: whole or not there.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use crate::config::Registered;

pub(super) fn read(path: &Path) -> Result<Option<Registered>, String> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let registered: Registered = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    // A name or zone that only a later version or another hand accepts must not reach what relies on checked rules.
    super::rules::all(&registered).map(|()| Some(registered))
}

pub(super) fn write(path: &Path, registered: &Registered) -> io::Result<()> {
    let beside = path.with_extension("writing");
    let mut file = File::create(&beside)?;
    file.write_all(&serde_json::to_vec(registered)?)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AliasRule, SiteRule};

    #[test]
    fn the_copy_reads_back_and_a_broken_one_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("registry.json");
        assert_eq!(read(&path), Ok(None));
        let registered = Registered {
            sites: vec![SiteRule { id: "mia".into(), hosts: vec!["mia.example".into()], zone: "UTC".into() }],
            aliases: vec![AliasRule { alias: "mia-new".into(), site: "mia".into() }],
        };
        write(&path, &registered).unwrap();
        assert_eq!(read(&path), Ok(Some(registered)));
        fs::write(&path, r#"{"sites":[{"id":"mia","hosts":["mia.example"],"zone":"Atlantis"}],"aliases":[]}"#).unwrap();
        assert!(read(&path).unwrap_err().contains("zone"), "{:?}", read(&path));
        fs::write(&path, "{").unwrap();
        assert!(read(&path).is_err());
    }
}
