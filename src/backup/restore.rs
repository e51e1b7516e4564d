//! Puts a backup in the place of the store.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::BackupProgress;
use super::create::{LEDGER_FOLDER, REGISTRY_FILE, SIGNED_MAILS_FILE, copy_if_there};
use super::folder::{self, BackupFolder};
use super::keys::{self, KEYS_FILE, KeyOutcome};
use super::manifest::{BackupManifest, JournalState};
use super::verify::{check_chain, restore_and_compare};
use crate::aggregate::SegmentSums;
use crate::calendar::Day;
use crate::config::{Config, Secret};
use crate::disk;
use crate::journal::{JournalFolder, SegmentId, read_sealed_segment, read_segment_id};
use crate::ledger::LedgerFolder;
use crate::store::archive::TableArchive;
use crate::store::{MARKER_GRACE_DAYS, Store, StoreOptions};

/// How to restore.
#[derive(Default)]
pub struct RestoreOptions {
    /// Put the backup in the place of a store that counted something.
    pub replace: bool,
    /// The passphrase of the keys; `None` to leave the keys alone.
    pub passphrase: Option<Secret>,
}

/// Restores a backup into the configured store. The collector must be stopped. A kill leaves the
/// former tables or the restored ones, and the same command again completes the rest.
///
/// # Errors
///
/// A collector runs, the backup is not as it was made, the store holds counts and
/// [`RestoreOptions::replace`] is not set, or a file or the store failed.
pub async fn restore_backup(
    config: &Config,
    store: &StoreOptions,
    name: &str,
    options: RestoreOptions,
    progress: &mut dyn BackupProgress,
) -> anyhow::Result<BackupManifest> {
    let journal = JournalFolder::open(&config.journal.dir)
        .context("the collector must be stopped for a restore")?;
    let backups = BackupFolder::open(&config.backup.dir)?;
    let archive = TableArchive::open(store, &config.backup.disk).await?;
    let found = archive.find_filled_table().await?;
    if let Some(table) = found.filter(|_| !options.replace) {
        archive.close().await;
        anyhow::bail!(
            "the database {} holds counts (table {table}): --replace puts the backup in its place",
            store.database
        );
    }

    let restored = restore_tables(&archive, &backups, name, progress).await;
    archive.close().await;
    let manifest = restored?;
    let path = backups.backup_path(&manifest.name);
    if let Some(passphrase) = &options.passphrase {
        restore_keys(config, &path, passphrase, progress)?;
    }
    restore_ledger(config, &path, progress)?;
    copy_if_there(
        &path.join(REGISTRY_FILE),
        &config.journal.dir.join(REGISTRY_FILE),
    )?;

    let signed = config.journal.dir.join(SIGNED_MAILS_FILE);
    if !signed.exists() {
        copy_if_there(&path.join(SIGNED_MAILS_FILE), &signed)?;
    }

    progress.show_step("the journal's segments are compared with the tables");
    let store = Store::connect(store).await?;
    let compared = set_counted_aside(&store, &journal, &manifest.journal, progress).await;
    std::sync::Arc::new(store).close().await;
    compared?;
    Ok(manifest)
}

async fn restore_tables(
    archive: &TableArchive,
    backups: &BackupFolder,
    name: &str,
    progress: &mut dyn BackupProgress,
) -> anyhow::Result<BackupManifest> {
    let manifest = check_chain(backups, name, progress)?;
    progress.show_step("the tables are restored beside the present ones, and compared");
    let target = archive.side_database();
    restore_and_compare(archive, &manifest, &target).await?;

    archive.replace_database(&target).await?;
    for name in archive.drop_side_databases().await? {
        progress.show_step(&format!("removed what was not finished: database {name}"));
    }
    Ok(manifest)
}

fn restore_keys(
    config: &Config,
    path: &Path,
    passphrase: &Secret,
    progress: &mut dyn BackupProgress,
) -> anyhow::Result<()> {
    let file = path.join(KEYS_FILE);
    let file = std::fs::read(&file)
        .with_context(|| format!("{}: a backup without keys", file.display()))?;
    let texts = keys::decrypt_keys(&file, passphrase)?;
    for (path, outcome) in keys::write_keys(config, &texts)? {
        let outcome = match outcome {
            KeyOutcome::Written => "restored",
            KeyOutcome::Same => "is the same",
            KeyOutcome::OtherKept => "another key is there, which was kept",
        };
        progress.show_step(&format!("{}: {outcome}", path.display()));
    }
    Ok(())
}

/// Restores the ledger where there is none. One that is there may have records that the backup does
/// not have, and is kept.
fn restore_ledger(
    config: &Config,
    path: &Path,
    progress: &mut dyn BackupProgress,
) -> anyhow::Result<()> {
    let (from, to) = (
        LedgerFolder::new(&path.join(LEDGER_FOLDER)),
        LedgerFolder::new(&config.ledger.dir),
    );
    if !from.acts_path().exists() {
        return Ok(());
    }
    if to.acts_path().exists() {
        let shown = config.ledger.dir.display();
        progress.show_step(&format!(
            "{shown}: there is a consent ledger, which is kept"
        ));
        return Ok(());
    }

    let checkpoints = to.checkpoints_path();
    disk::create_private_folder(&checkpoints).with_context(|| checkpoints.display().to_string())?;
    for size in from.checkpoint_sizes()? {
        copy_if_there(&from.checkpoint_path(size), &to.checkpoint_path(size))?;
    }
    // Last, under its own name at once: a kill leaves no ledger that seems to be whole.
    let half = to.cut_temp_path();
    copy_if_there(&from.acts_path(), &half)?;
    std::fs::rename(&half, to.acts_path()).with_context(|| to.acts_path().display().to_string())?;
    folder::sync_tree(&config.ledger.dir)?;
    progress.show_step(&format!("{}: restored", config.ledger.dir.display()));
    Ok(())
}

/// Moves the journal's segments that the restored tables hold to `quarantine/`. The collector would
/// recognise them by their markers, but markers of months that are over are removed.
async fn set_counted_aside(
    store: &Store,
    journal: &JournalFolder,
    backed_up: &JournalState,
    progress: &mut dyn BackupProgress,
) -> anyhow::Result<()> {
    if format!("{:016x}", journal.collector_id()) != backed_up.collector {
        return Ok(());
    }
    let mut waiting = 0;
    for state in ["open", "sealed"] {
        for number in journal.segment_numbers(state)? {
            let path = journal.segment_path(number, state);
            if !is_counted(store, &path, backed_up).await? {
                waiting += 1;
                continue;
            }
            let aside = set_aside(journal, &path)?;
            progress.show_step(&format!(
                "{}: the tables hold it; it is now {}",
                path.display(),
                aside.display()
            ));
        }
    }
    progress.show_step(&format!("{waiting} segments wait for the next start"));
    Ok(())
}

/// With an ending of its own, so that it is not taken for a segment that could be sent again.
fn set_aside(journal: &JournalFolder, path: &Path) -> anyhow::Result<PathBuf> {
    let aside = journal.quarantine_file(path)?;
    let named = PathBuf::from(format!("{}.counted", aside.display()));
    std::fs::rename(&aside, &named).with_context(|| aside.display().to_string())?;
    Ok(named)
}

/// Whether the tables held the segment when they were copied, between two segments.
async fn is_counted(store: &Store, path: &Path, backed_up: &JournalState) -> anyhow::Result<bool> {
    let Some(id) = read_segment_id(path) else {
        return Ok(false);
    };
    let token = id.dedup_token();
    if backed_up.waiting.contains(&token) {
        return Ok(false);
    }
    if is_before_waiting(id, &backed_up.waiting) || store.has_any_block(&token).await? {
        return Ok(true);
    }
    let newest = match path.extension().is_some_and(|state| state == "sealed") {
        true => read_sealed_segment(path)
            .ok()
            .and_then(|(_, sums)| newest_day(&sums)),
        false => None,
    };
    // Its markers may have been removed before the backup.
    Ok(newest.is_some_and(|day| day + MARKER_GRACE_DAYS < backed_up.day))
}

/// Whether a later segment of the same run was waiting: segments are numbered in order.
fn is_before_waiting(id: SegmentId, waiting: &[String]) -> bool {
    let run = id.dedup_token();
    let run = run.trim_end_matches(|c: char| c.is_ascii_digit());
    let numbers = waiting.iter().filter_map(|token| token.strip_prefix(run));
    numbers
        .filter_map(|number| number.parse::<u64>().ok())
        .any(|number| number > id.number)
}

/// The newest day of the segment's counts, in days since 1970-01-01.
fn newest_day(sums: &SegmentSums) -> Option<u16> {
    let days = sums.daily.iter().map(|(key, _)| key.day);
    let days = days.chain(sums.attributes.rows.iter().map(|(key, _)| key.day));
    let days = days.chain(sums.vitals.iter().map(|(key, _)| key.day));
    let days = days.chain(sums.faults.iter().map(|(key, _)| key.day));
    let days = days.chain(sums.mail.iter().map(|(key, _)| key.day));
    let hours = sums.hourly.iter().map(|(key, _)| key.hour);
    let hours = hours.chain(sums.drops.iter().map(|(key, _)| key.hour));
    let of_hours = hours.filter_map(|hour| u16::try_from(hour / 86_400).ok());
    days.map(Day::as_number).chain(of_hours).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_before_a_waiting_one_of_its_run_only() {
        let id = |epoch, number| SegmentId {
            collector: 1,
            epoch,
            number,
        };
        let waiting = [id(7, 12).dedup_token(), id(8, 100).dedup_token()];
        assert!(is_before_waiting(id(7, 11), &waiting));
        assert!(is_before_waiting(id(8, 13), &waiting));
        assert!(!is_before_waiting(id(7, 12), &waiting));
        assert!(!is_before_waiting(id(7, 13), &waiting));
        assert!(!is_before_waiting(id(9, 1), &waiting));
    }
}
