//! The registry's copy on this machine: one JSON object a line, each a change. A change of the
//! registry appends a line; once the lines are far more than the entries, the file is replaced
//! atomically by one line for each entry.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::path::PathBuf;

use serde::Deserialize;

use crate::calendar::ZoneTable;
use crate::config::{AliasRule, RegistryChange, SiteRule};
use crate::disk;
use crate::sites::RegistryIndex;

/// Lines beyond twice the number of entries from which the file is replaced.
const MAX_SURPLUS_LINES: usize = 10_000;

/// The file, and how it stands.
pub(super) struct RegistryCopy {
    path: PathBuf,
    lines: usize,
    /// The file ends with a whole line. Otherwise nothing may be appended to it.
    is_whole: bool,
}

/// The content of the file in former versions.
#[derive(Deserialize)]
struct FormerCopy {
    sites: Vec<SiteRule>,
    aliases: Vec<AliasRule>,
}

impl RegistryCopy {
    /// A copy that was not read yet.
    pub(super) fn new(path: PathBuf) -> RegistryCopy {
        RegistryCopy {
            path,
            lines: 0,
            is_whole: false,
        }
    }

    /// Reads the file; `None` if there is none.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or a line of it is not a valid change. A last line without its end
    /// is ignored.
    pub(super) fn read_entries(
        &mut self,
        zones: &ZoneTable,
    ) -> Result<Option<RegistryIndex>, String> {
        let mut file = match File::open(&self.path) {
            Ok(file) => BufReader::new(file),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let mut entries = RegistryIndex::default();
        let (mut lines, mut line) = (0, Vec::new());
        loop {
            line.clear();
            file.read_until(b'\n', &mut line)
                .map_err(|error| error.to_string())?;
            if line.last() != Some(&b'\n') {
                break;
            }
            apply_checked(&mut entries, parse_line(&line)?, zones)?;
            lines += 1;
        }

        if lines == 0 && !line.is_empty() {
            read_former(&mut entries, &line, zones)?;
        }
        self.lines = lines;
        self.is_whole = lines > 0 && line.is_empty();
        Ok(Some(entries))
    }

    /// Stores changes. `entries` are all entries after them.
    ///
    /// # Errors
    ///
    /// The file cannot be written. It holds the entries before, or some of the changes.
    pub(super) fn store_changes(
        &mut self,
        changes: &[RegistryChange],
        entries: &RegistryIndex,
        zones: &ZoneTable,
    ) -> io::Result<()> {
        let most_lines = 2 * entries.entry_count() + MAX_SURPLUS_LINES;
        if !self.is_whole || self.lines + changes.len() > most_lines {
            return self.replace_entries(entries, zones);
        }
        let mut text = Vec::new();
        for change in changes {
            write_line(&mut text, change)?;
        }
        self.is_whole = false;
        disk::append_synced(&self.path, &text)?;
        self.is_whole = true;
        self.lines += changes.len();
        Ok(())
    }

    /// Replaces the file: it holds these entries and none of those before.
    ///
    /// # Errors
    ///
    /// The file cannot be written; the former one is in place.
    pub(super) fn replace_entries(
        &mut self,
        entries: &RegistryIndex,
        zones: &ZoneTable,
    ) -> io::Result<()> {
        let mut lines = 0;
        disk::write_atomic_with(&self.path, |file| {
            for entry in entries.all_entries(zones) {
                write_line(file, &entry)?;
                lines += 1;
            }
            Ok(())
        })?;
        self.lines = lines;
        self.is_whole = true;
        Ok(())
    }
}

fn write_line(file: &mut dyn Write, change: &RegistryChange) -> io::Result<()> {
    let mut line = serde_json::to_vec(change)?;
    line.push(b'\n');
    file.write_all(&line)
}

fn parse_line(line: &[u8]) -> Result<RegistryChange, String> {
    serde_json::from_slice(line).map_err(|error| error.to_string())
}

fn read_former(entries: &mut RegistryIndex, text: &[u8], zones: &ZoneTable) -> Result<(), String> {
    let former: FormerCopy = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let sites = former.sites.into_iter().zip(1..);
    let sites = sites.map(|(rule, revision)| RegistryChange::Site { rule, revision });
    let aliases = former.aliases.into_iter().zip(1..);
    let aliases = aliases.map(|(rule, revision)| RegistryChange::Alias { rule, revision });
    sites
        .chain(aliases)
        .try_for_each(|change| apply_checked(entries, change, zones))
}

/// Entries of a later version or an edited file may break rules that the rest of the program relies
/// on.
fn apply_checked(
    entries: &mut RegistryIndex,
    change: RegistryChange,
    zones: &ZoneTable,
) -> Result<(), String> {
    change.check_rule().map_err(|error| error.to_string())?;
    entries.apply_change(&change, zones);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn site(id: &str, revision: u64) -> RegistryChange {
        RegistryChange::Site {
            rule: SiteRule {
                id: id.into(),
                hosts: vec![format!("{id}.example")],
                zone: "UTC".into(),
                embed: vec![],
                max_amount: Some(7),
                keep_days: Some(90),
            },
            revision,
        }
    }

    fn alias(alias: &str, site: &str) -> RegistryChange {
        RegistryChange::Alias {
            rule: AliasRule {
                alias: alias.into(),
                site: site.into(),
            },
            revision: 0,
        }
    }

    /// What a copy holds, by the entries that it reads.
    fn held(path: &std::path::Path) -> Result<Option<Vec<RegistryChange>>, String> {
        let zones = ZoneTable::default();
        let entries = RegistryCopy::new(path.to_owned()).read_entries(&zones)?;
        Ok(entries.map(|entries| {
            let mut all: Vec<RegistryChange> = entries.all_entries(&zones).collect();
            all.sort_by_key(|change| serde_json::to_string(change).unwrap());
            all
        }))
    }

    #[test]
    fn a_change_is_appended_and_a_torn_line_or_many_lines_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("registry.json");
        assert_eq!(held(&path), Ok(None));

        let zones = ZoneTable::default();
        let (mut copy, mut entries) = (RegistryCopy::new(path.clone()), RegistryIndex::default());
        let mut store = |changes: &[RegistryChange]| {
            for change in changes {
                entries.apply_change(change, &zones);
            }
            copy.store_changes(changes, &entries, &zones).unwrap();
        };
        store(&[site("mia", 1)]);
        let first = fs::read(&path).unwrap();
        store(&[site("tom", 2), alias("mia-new", "mia")]);
        let second = fs::read(&path).unwrap();
        assert_eq!(second[..first.len()], first, "the change was appended");
        let all = vec![alias("mia-new", "mia"), site("mia", 1), site("tom", 2)];
        assert_eq!(held(&path), Ok(Some(all.clone())));

        // A crash in the middle of a line loses that line only, and the next change repairs it.
        fs::write(&path, [&second[..], b"{\"site\":{\"ru"].concat()).unwrap();
        let mut torn = RegistryCopy::new(path.clone());
        let mut read = torn.read_entries(&zones).unwrap().unwrap();
        read.apply_change(&site("ann", 3), &zones);
        torn.store_changes(&[site("ann", 3)], &read, &zones)
            .unwrap();
        assert_eq!(
            held(&path),
            Ok(Some(
                [&[all[0].clone(), site("ann", 3)], &all[1..]].concat()
            ))
        );

        // The same site again and again: the file has lines for each change, but not for ever.
        let mut most = 0;
        for revision in 0..3 * u64::try_from(MAX_SURPLUS_LINES).unwrap() {
            let changes = [site("tom", 10 + revision)];
            read.apply_change(&changes[0], &zones);
            // Not by way of the disk, which would sync each line.
            torn.lines += 1;
            if torn.lines.is_multiple_of(5000) {
                torn.store_changes(&changes, &read, &zones).unwrap();
            }
            most = most.max(torn.lines);
        }
        assert!(most <= MAX_SURPLUS_LINES + 5000, "{most} lines");
    }

    #[test]
    fn a_copy_of_a_former_version_is_read_and_a_broken_one_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("registry.json");
        let former = r#"{"sites":[{"id":"mia","hosts":["mia.example"],"zone":"UTC","embed":[],"max_amount":7,"keep_days":90}],"aliases":[{"alias":"mia-new","site":"mia"}]}"#;
        fs::write(&path, former).unwrap();
        let expected = vec![alias("mia-new", "mia"), site("mia", 1)];
        assert_eq!(held(&path), Ok(Some(expected)));

        for broken in [
            former.replace("UTC", "Atlantis"),
            serde_json::to_string(&site("mia", 1))
                .unwrap()
                .replace("UTC", "Atlantis")
                + "\n",
        ] {
            fs::write(&path, broken).unwrap();
            assert!(
                held(&path).unwrap_err().contains("zone"),
                "{:?}",
                held(&path)
            );
        }
        fs::write(&path, "{\n").unwrap();
        assert!(held(&path).is_err());
    }
}
