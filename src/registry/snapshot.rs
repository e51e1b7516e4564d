//! The registry's copy on this machine: one JSON object a line, each a change. A change of the
//! registry appends a line; once the lines are far more than the entries, the file is replaced
//! atomically by one line for each entry. That takes seconds with a million sites, and changes do
//! not wait for it: they go to the file that is there, and at the end to the new one as well.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;

use crate::calendar::ZoneTable;
use crate::config::{AliasRule, RegistryChange, SiteRule};
use crate::disk;
use crate::sites::RegistryIndex;

/// Lines beyond twice the number of entries from which the file is replaced.
const MAX_SURPLUS_LINES: usize = 10_000;

/// The most changes that are kept in memory for a file that is being written.
const MAX_ADDED_CHANGES: usize = 50_000;

/// The file, and how it stands.
pub(super) struct RegistryCopy {
    path: PathBuf,
    file: Mutex<CopyFile>,
    /// Held while the file is replaced.
    replacing: Mutex<()>,
    /// Nothing is written any more.
    is_closed: AtomicBool,
}

struct CopyFile {
    lines: usize,
    /// Bytes of whole lines. The rest of a line may follow them.
    bytes: u64,
    /// All entries in force follow from the lines. Otherwise the file must be replaced.
    is_complete: bool,
    /// The number of the last replacement that began; the others are abandoned.
    replacement: u64,
    /// While the file is being replaced, the changes since the replacement began.
    added: Option<Vec<RegistryChange>>,
}

impl CopyFile {
    /// What is being written does not become the file.
    fn abandon_replacement(&mut self) {
        self.replacement += 1;
        self.added = None;
    }
}

/// A replacement of the file that has begun.
pub(super) struct Replacement {
    number: u64,
    entries: RegistryIndex,
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
        let file = CopyFile {
            lines: 0,
            bytes: 0,
            is_complete: true,
            replacement: 0,
            added: None,
        };
        RegistryCopy {
            path,
            file: Mutex::new(file),
            replacing: Mutex::default(),
            is_closed: AtomicBool::new(false),
        }
    }

    /// Where the file is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file; `None` if there is none.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or a line of it is not a valid change. A last line without its end
    /// is ignored.
    pub(super) fn read_entries(&self, zones: &ZoneTable) -> Result<Option<RegistryIndex>, String> {
        let mut reader = match File::open(&self.path) {
            Ok(file) => BufReader::new(file),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let mut entries = RegistryIndex::default();
        let (mut lines, mut bytes, mut line) = (0, 0, Vec::new());
        loop {
            line.clear();
            reader
                .read_until(b'\n', &mut line)
                .map_err(|error| error.to_string())?;
            if line.last() != Some(&b'\n') {
                break;
            }
            apply_checked(&mut entries, parse_line(&line)?, zones)?;
            lines += 1;
            bytes += line.len() as u64;
        }

        let is_former = lines == 0 && !line.is_empty();
        if is_former {
            read_former(&mut entries, &line, zones)?;
        }
        let mut file = lock(&self.file);
        (file.lines, file.bytes, file.is_complete) = (lines, bytes, !is_former);
        Ok(Some(entries))
    }

    /// Appends changes. `false` if the file lacks others: it must be replaced, and these are not in it.
    ///
    /// # Errors
    ///
    /// The file cannot be written, or the copy was closed. The file may hold some of the changes.
    pub(super) fn append_changes(&self, changes: &[RegistryChange]) -> io::Result<bool> {
        let mut text = Vec::new();
        for change in changes {
            write_line(&mut text, change)?;
        }

        let mut file = lock(&self.file);
        self.check_open()?;
        if let Some(added) = &mut file.added {
            added.extend_from_slice(changes);
            if added.len() > MAX_ADDED_CHANGES {
                file.abandon_replacement();
            }
        }
        if !file.is_complete {
            return Ok(false);
        }
        file.is_complete = false;
        disk::write_after(&self.path, file.bytes, &text)?;
        file.is_complete = true;
        file.lines += changes.len();
        file.bytes += text.len() as u64;
        Ok(true)
    }

    /// Whether the file has far more lines than there are entries, and is not being replaced.
    pub(super) fn is_too_long(&self, entry_count: usize) -> bool {
        let file = lock(&self.file);
        file.lines > 2 * entry_count + MAX_SURPLUS_LINES && file.added.is_none()
    }

    /// Begins to replace the file: it will hold these entries, what is stored from now on, and nothing
    /// else. What was stored before must be in the entries.
    pub(super) fn begin_replacing(&self, entries: RegistryIndex) -> Replacement {
        let mut file = lock(&self.file);
        file.abandon_replacement();
        file.added = Some(Vec::new());
        Replacement {
            number: file.replacement,
            entries,
        }
    }

    /// Replaces the file, unless another replacement began later or too much was changed.
    ///
    /// # Errors
    ///
    /// The file cannot be written, or the copy was closed; the former file is in place.
    pub(super) fn finish_replacing(
        &self,
        replacement: &Replacement,
        zones: &ZoneTable,
    ) -> io::Result<()> {
        let _one_at_a_time = lock(&self.replacing);
        let is_latest = || lock(&self.file).replacement == replacement.number;
        if !is_latest() {
            return Ok(());
        }

        let (mut lines, mut bytes) = (0, 0);
        let mut locked = None;
        let replaced = disk::write_atomic_with(&self.path, |new| {
            for entry in replacement.entries.all_entries(zones) {
                self.check_open()?;
                bytes += write_line(new, &entry)?;
                lines += 1;
            }
            // Changes wait from here on: most bytes must be on the disk before.
            new.flush()?;
            new.get_ref().sync_data()?;
            let file = locked.insert(lock(&self.file));
            self.check_open()?;
            if file.replacement != replacement.number {
                return Err(io::Error::other("it was abandoned"));
            }
            for change in file.added.iter().flatten() {
                bytes += write_line(new, change)?;
                lines += 1;
            }
            Ok(())
        });

        let mut file = locked.unwrap_or_else(|| lock(&self.file));
        if file.replacement != replacement.number {
            return Ok(());
        }
        file.added = None;
        if replaced.is_ok() {
            (file.lines, file.bytes, file.is_complete) = (lines, bytes, true);
        }
        replaced
    }

    /// Ends writing: from now on, the file is another process's. Abandons a replacement that is
    /// under way.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        drop(lock(&self.replacing));
        drop(lock(&self.file));
    }

    /// Whether nothing is written any more.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    fn check_open(&self) -> io::Result<()> {
        match self.is_closed() {
            true => Err(io::Error::other("the collector is stopping")),
            false => Ok(()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes a change; the number of bytes.
fn write_line(file: &mut dyn Write, change: &RegistryChange) -> io::Result<u64> {
    let mut line = serde_json::to_vec(change)?;
    line.push(b'\n');
    file.write_all(&line)?;
    Ok(line.len() as u64)
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
        let copy = RegistryCopy::new(path.clone());
        assert!(copy.append_changes(&[site("mia", 1)]).unwrap());
        let first = fs::read(&path).unwrap();
        let changes = [site("tom", 2), alias("mia-new", "mia")];
        assert!(copy.append_changes(&changes).unwrap());
        let second = fs::read(&path).unwrap();
        assert_eq!(second[..first.len()], first, "the change was appended");
        let all = vec![alias("mia-new", "mia"), site("mia", 1), site("tom", 2)];
        assert_eq!(held(&path), Ok(Some(all.clone())));

        // A crash in the middle of a line loses that line only, and the next change replaces it.
        fs::write(&path, [&second[..], b"{\"site\":{\"ru"].concat()).unwrap();
        let torn = RegistryCopy::new(path.clone());
        assert_eq!(torn.read_entries(&zones).unwrap().unwrap().entry_count(), 3);
        assert!(torn.append_changes(&[site("ann", 3)]).unwrap());
        let with_ann = [&all[..1], &[site("ann", 3)], &all[1..]].concat();
        assert_eq!(held(&path), Ok(Some(with_ann)));

        // The same site again and again: the file has lines for each change, but not for ever.
        let many: Vec<RegistryChange> = (0..MAX_SURPLUS_LINES)
            .map(|revision| site("tom", 10 + revision as u64))
            .collect();
        for is_too_long in [false, true] {
            assert!(torn.append_changes(&many).unwrap());
            assert_eq!(torn.is_too_long(4), is_too_long);
        }
        let entries = torn.read_entries(&zones).unwrap().unwrap();
        let replacement = torn.begin_replacing(entries);
        assert!(!torn.is_too_long(4), "it is being replaced");
        torn.finish_replacing(&replacement, &zones).unwrap();
        let lines = fs::read(&path).unwrap();
        assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), 4);
    }

    /// As a file does that was cut, or that could not be written.
    #[test]
    fn a_file_that_lacks_changes_takes_no_others_until_it_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("registry.json");
        let zones = ZoneTable::default();
        let copy = RegistryCopy::new(path.clone());
        assert!(copy.append_changes(&[site("mia", 1)]).unwrap());
        fs::write(&path, "").unwrap();
        assert!(copy.append_changes(&[site("tom", 2)]).is_err());
        assert!(!copy.append_changes(&[site("ann", 3)]).unwrap());

        let all = [site("ann", 3), site("mia", 1), site("tom", 2)];
        let mut entries = RegistryIndex::default();
        for change in &all {
            entries.apply_change(change, &zones);
        }
        let replacement = copy.begin_replacing(entries);
        copy.finish_replacing(&replacement, &zones).unwrap();
        assert_eq!(held(&path), Ok(Some(all.to_vec())));
        assert!(copy.append_changes(&[site("mia", 4)]).unwrap());
    }

    #[test]
    fn a_change_during_a_replacement_is_in_both_files_and_a_closed_copy_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("registry.json");
        let zones = ZoneTable::default();
        let copy = RegistryCopy::new(path.clone());
        assert!(copy.append_changes(&[site("mia", 1)]).unwrap());
        let mut entries = RegistryIndex::default();
        entries.apply_change(&site("mia", 1), &zones);

        let earlier = copy.begin_replacing(RegistryIndex::default());
        let replacement = copy.begin_replacing(entries);
        assert!(copy.append_changes(&[site("tom", 2)]).unwrap());
        let both = Ok(Some(vec![site("mia", 1), site("tom", 2)]));
        assert_eq!(held(&path), both, "in the former file");
        copy.finish_replacing(&replacement, &zones).unwrap();
        assert_eq!(held(&path), both, "in the new file");
        copy.finish_replacing(&earlier, &zones).unwrap();
        assert_eq!(held(&path), both, "it was abandoned");

        let replacement = copy.begin_replacing(RegistryIndex::default());
        copy.close();
        assert!(copy.finish_replacing(&replacement, &zones).is_err());
        assert!(copy.append_changes(&[site("ann", 3)]).is_err());
        assert_eq!(held(&path), both);
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
