//! Which backups hold a site: an erasure does not change them.

use std::fs;
use std::path::Path;

use super::create::REGISTRY_FILE;
use super::folder::list_backups;
use super::manifest::BackupManifest;
use crate::calendar::Day;

/// A day begins and ends at other moments in the zones of sites.
const ZONE_SLACK_DAYS: u16 = 1;

/// The backups in a folder that may hold counts of a site or name it, the oldest first. `first_day`
/// is the site's first day with counts; without one, every backup may hold some.
///
/// # Errors
///
/// The folder, a manifest or a copy of the registry cannot be read.
pub fn find_backups_of_site(
    folder: &Path,
    names: &[String],
    first_day: Option<Day>,
) -> anyhow::Result<Vec<BackupManifest>> {
    let mut found = Vec::new();
    for manifest in list_backups(folder)? {
        let may_count = first_day.is_none_or(|first| {
            manifest.journal.day.saturating_add(ZONE_SLACK_DAYS) >= first.as_number()
        });
        let registry = folder.join(&manifest.name).join(REGISTRY_FILE);
        if may_count || names_site(&registry, names)? {
            found.push(manifest);
        }
    }
    Ok(found)
}

/// Whether a copy of the registry, which is JSON, has one of the names.
fn names_site(registry: &Path, names: &[String]) -> anyhow::Result<bool> {
    let text = match fs::read_to_string(registry) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        text => text?,
    };
    Ok(names
        .iter()
        .any(|name| text.contains(&format!("\"{name}\""))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::archive::GroupFolders;

    fn write_backup(folder: &Path, name: &str, day: u16, registry: &str) {
        let path = folder.join(name);
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join(REGISTRY_FILE), registry).unwrap();
        let manifest = BackupManifest {
            format: BackupManifest::FORMAT,
            name: name.to_owned(),
            created: jiff::Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_hours(day.into()),
            version: String::new(),
            schema: 1,
            store: "embedded".to_owned(),
            database: "footfall".to_owned(),
            base: None,
            journal: super::super::manifest::JournalState {
                collector: String::new(),
                day,
                waiting: Vec::new(),
            },
            folders: GroupFolders {
                counts: String::new(),
                registry: String::new(),
            },
            tables: Default::default(),
            files: Default::default(),
        };
        manifest.write_file(&path).unwrap();
    }

    #[test]
    fn a_backup_holds_a_site_from_its_first_day_on_or_where_its_registry_names_it() {
        let dir = tempfile::tempdir().unwrap();
        for (number, day, registry) in [
            (1, 98, r#"{"sites":{"tom":1}}"#),
            (2, 98, r#"{"sites":{"mia":1,"tom":2}}"#),
            (3, 99, "{}"),
            (4, 150, "{}"),
        ] {
            let name = format!("2026031{number}T120000Z");
            write_backup(dir.path(), &name, day, registry);
        }
        let found = |names: &[&str], first_day: Option<u16>| -> String {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let found = find_backups_of_site(dir.path(), &names, first_day.map(Day::from_number));
            let found = found.unwrap();
            found.iter().map(|one| &one.name[7..8]).collect()
        };
        assert_eq!(found(&["mia"], Some(100)), "234");
        assert_eq!(found(&["mi"], Some(100)), "34");
        assert_eq!(found(&["other", "tom"], Some(151)), "124");
        assert_eq!(found(&["other"], Some(152)), "");
        assert_eq!(found(&["other"], None), "1234");
    }
}
