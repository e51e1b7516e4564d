//! Repairs the engine's directory after a full disk or a machine that stopped.
//!
//! The engine writes some of its small files in place. An empty one keeps it from ever opening the
//! directory. So such files are found before each start. A side table, which was only filled to
//! replace another one, is moved aside; if nothing was counted yet, the whole directory is.
//! Otherwise the error names the file, because its contents cannot be restored.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::EngineError;

/// Where files are moved, inside the directory, because it may be a mount of its own.
const ASIDE_FOLDER: &str = "aside";

/// Files that are never empty if complete; also all `.sql` files.
const NEVER_EMPTY_FILES: [&str; 2] = ["uuid", "format_version.txt"];

/// Makes a damaged directory usable for the engine again.
///
/// # Errors
/// An empty file belongs to a table with counts, or the directory cannot be read.
pub(super) fn repair_directory(dir: &Path) -> Result<(), EngineError> {
    let unusable = |reason| EngineError::Directory {
        path: dir.to_owned(),
        reason,
    };
    let (side, rest): (Vec<PathBuf>, Vec<PathBuf>) = empty_files(dir)
        .map_err(unusable)?
        .into_iter()
        .partition(|path| is_side_table(path));

    for path in side {
        let aside = move_aside(dir, &path).map_err(unusable)?;
        tracing::warn!(file = %path.display(), aside = %aside.display(), "a side table was left \
            empty; it is moved aside and rewritten");
    }
    let Some(first) = rest.into_iter().next() else {
        return Ok(());
    };
    if has_counts(dir).map_err(unusable)? {
        return Err(EngineError::EmptyFile(first));
    }

    for entry in fs::read_dir(dir)
        .map_err(unusable)?
        .flatten()
        .filter(|entry| entry.file_name() != ASIDE_FOLDER)
    {
        move_aside(dir, &entry.path()).map_err(unusable)?;
    }
    let aside = dir.join(ASIDE_FOLDER);
    tracing::warn!(file = %first.display(), aside = %aside.display(), "a first start did not \
        finish and left an empty file; nothing was counted yet, so its directory is moved aside \
        and created again");
    Ok(())
}

/// Searches the directory, `metadata` and the folders of databases and tables; not those of parts,
/// whose checksums the engine verifies itself.
fn empty_files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in [
        vec![dir.to_owned()],
        list_folders(&dir.join("metadata"), 1)?,
        list_folders(&dir.join("store"), 2)?,
    ]
    .concat()
    {
        for entry in list_entries(&folder)? {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let matters = name.ends_with(".sql") || NEVER_EMPTY_FILES.contains(&&*name);
            if matters && entry.metadata()?.is_file() && entry.metadata()?.len() == 0 {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The folder and its subfolders up to `levels` deep; empty if it does not exist.
fn list_folders(folder: &Path, levels: usize) -> io::Result<Vec<PathBuf>> {
    let mut found = vec![folder.to_owned()];
    if levels > 0 {
        for entry in list_entries(folder)?
            .into_iter()
            .filter(|entry| entry.path().is_dir())
        {
            found.extend(list_folders(&entry.path(), levels - 1)?);
        }
    }
    Ok(found)
}

fn list_entries(folder: &Path) -> io::Result<Vec<fs::DirEntry>> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.collect(),
    }
}

/// Whether the file is of a side table, such as `daily_side_0123456789abcdef.sql`: a table that is
/// filled and then renamed into place.
fn is_side_table(path: &Path) -> bool {
    let stem = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    let Some((table, number)) = stem.rsplit_once('_') else {
        return false;
    };
    number.len() == 16
        && number.bytes().all(|byte| byte.is_ascii_hexdigit())
        && (table.ends_with("_side") || table.ends_with("_fold"))
}

/// Whether a table of counts has parts. These tables are partitioned by month or day, and their
/// parts are named so; tables of the schema and the registry are not partitioned.
fn has_counts(dir: &Path) -> io::Result<bool> {
    for folder in list_folders(&dir.join("store"), 2)? {
        for entry in list_entries(&folder)? {
            let name = entry.file_name();
            let digits = name
                .to_string_lossy()
                .bytes()
                .take_while(u8::is_ascii_digit)
                .count();
            if (digits == 6 || digits == 8)
                && name.to_string_lossy().as_bytes().get(digits) == Some(&b'_')
            {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn move_aside(dir: &Path, path: &Path) -> io::Result<PathBuf> {
    let aside = dir.join(ASIDE_FOLDER);
    fs::create_dir_all(&aside)?;
    let name = path.file_name().unwrap_or_default();
    let mut free = aside.join(name);
    let mut taken = 1;
    while free.exists() {
        taken += 1;
        free.set_file_name(format!("{}.{taken}", name.display()));
    }
    fs::rename(path, &free)?;
    Ok(free)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(dir: &Path, path: &str, bytes: &[u8]) {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn a_folder_in_which_nothing_was_counted_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path(), "metadata/footfall.sql", b"");
        make(dir.path(), "uuid", b"1");
        make(
            dir.path(),
            "store/abc/abc1/all_1_1_0/data.bin",
            b"a migration",
        );
        repair_directory(dir.path()).unwrap();
        let left: Vec<_> = list_entries(dir.path())
            .unwrap()
            .iter()
            .map(fs::DirEntry::file_name)
            .collect();
        assert_eq!(left, [ASIDE_FOLDER]);
        assert!(dir.path().join("aside/metadata/footfall.sql").exists());
        assert!(
            dir.path()
                .join("aside/store/abc/abc1/all_1_1_0/data.bin")
                .exists()
        );
        repair_directory(dir.path()).unwrap();
    }

    #[test]
    fn an_empty_file_beside_counts_is_named_and_nothing_is_moved() {
        for empty in [
            "metadata/default.sql",
            "metadata/footfall/daily.sql",
            "store/abc/abc0/daily.sql",
            "uuid",
        ] {
            let dir = tempfile::tempdir().unwrap();
            make(
                dir.path(),
                "store/abc/abc1/202603_1_1_0/data.bin",
                b"counts",
            );
            make(dir.path(), empty, b"");
            let error = repair_directory(dir.path()).unwrap_err().to_string();
            assert!(
                error.contains(&dir.path().join(empty).display().to_string()),
                "{error}"
            );
            assert!(dir.path().join(empty).exists() && !dir.path().join(ASIDE_FOLDER).exists());
        }
    }

    #[test]
    fn a_table_that_was_being_rewritten_goes_aside_alone() {
        let dir = tempfile::tempdir().unwrap();
        make(
            dir.path(),
            "store/abc/abc0/daily_side_0123456789abcdef.sql",
            b"",
        );
        make(dir.path(), "store/abc/abc0/daily.sql", b"ATTACH TABLE");
        make(
            dir.path(),
            "store/abc/abc1/202603_1_1_0/data.bin",
            b"counts",
        );
        make(dir.path(), "store/abc/abc1/202603_1_1_0/empty.sql", b"");
        repair_directory(dir.path()).unwrap();
        assert!(dir.path().join("store/abc/abc0/daily.sql").exists());
        assert!(
            dir.path()
                .join("aside/daily_side_0123456789abcdef.sql")
                .exists()
        );
    }
}
