//! The registry's copy on this machine. It is replaced atomically: complete or absent.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use crate::config::RegisteredSites;
use crate::disk;

pub(super) fn read_snapshot(path: &Path) -> Result<Option<RegisteredSites>, String> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let registered: RegisteredSites =
        serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    // Entries of a later version or an edited file may break rules that the rest of the program
    // relies on.
    super::validation::check_registered(&registered).map(|()| Some(registered))
}

pub(super) fn write_snapshot(path: &Path, registered: &RegisteredSites) -> io::Result<()> {
    disk::write_atomic(path, &serde_json::to_vec(registered)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AliasRule, SiteRule};

    #[test]
    fn the_copy_reads_back_and_a_broken_one_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("registry.json");
        assert_eq!(read_snapshot(&path), Ok(None));
        let registered = RegisteredSites {
            sites: vec![SiteRule {
                id: "mia".into(),
                hosts: vec!["mia.example".into()],
                zone: "UTC".into(),
                embed: vec![],
                max_amount: Some(7),
                keep_days: Some(90),
            }],
            aliases: vec![AliasRule {
                alias: "mia-new".into(),
                site: "mia".into(),
            }],
        };
        write_snapshot(&path, &registered).unwrap();
        assert_eq!(read_snapshot(&path), Ok(Some(registered)));
        fs::write(
            &path,
            r#"{"sites":[{"id":"mia","hosts":["mia.example"],"zone":"Atlantis"}],"aliases":[]}"#,
        )
        .unwrap();
        assert!(
            read_snapshot(&path).unwrap_err().contains("zone"),
            "{:?}",
            read_snapshot(&path)
        );
        fs::write(&path, "{").unwrap();
        assert!(read_snapshot(&path).is_err());
    }
}
