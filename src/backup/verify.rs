//! Checks that a backup can be restored: by restoring it.

use anyhow::Context;

use super::BackupProgress;
use super::create::LEDGER_FOLDER;
use super::folder::{self, BackupFolder};
use super::manifest::BackupManifest;
use crate::config::Config;
use crate::ledger::{self, LedgerOptions, PublicKey};
use crate::store::archive::{TableArchive, TableGroup, differing_tables};
use crate::store::{NEWEST_SCHEMA, StoreOptions};

/// What is known of the ledger in a backup.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LedgerCheck {
    /// There was none.
    Absent,
    /// It has this many records, and every checkpoint agrees.
    Verified(u64),
    /// It has this many records, which agree with each other; the key of the checkpoints is not
    /// here.
    WithoutKey(u64),
}

/// Compares the files of a backup, and of those that it builds on, with the manifests; restores the
/// tables into a scratch database, and compares their sums; and verifies the ledger. With the
/// embedded engine, a second engine with a folder of its own does so: a running collector is not
/// touched.
///
/// # Errors
///
/// The backup is not as it was made, or the engine or the server failed.
pub async fn verify_backup(
    config: &Config,
    store: &StoreOptions,
    name: &str,
    progress: &mut dyn BackupProgress,
) -> anyhow::Result<(BackupManifest, LedgerCheck)> {
    let backups = BackupFolder::open(&config.backup.dir)?;
    for name in backups.remove_unfinished()? {
        progress.show_step(&format!("removed what was not finished: {name}"));
    }
    let manifest = check_chain(&backups, name, progress)?;

    progress.show_step("the tables are restored into a scratch database");
    let scratch = backups.path().join(format!(".verify-{}", manifest.name));
    let mut options = store.clone();
    options.data_dir = scratch.clone();
    let archive = TableArchive::open(&options, &config.backup.disk).await?;
    archive.stop_merges().await?;
    let target = archive.side_database();
    let restored = restore_and_compare(&archive, &manifest, &target).await;
    let dropped = archive.drop_database(&target).await;
    archive.close().await;
    if scratch.exists() {
        std::fs::remove_dir_all(&scratch).with_context(|| scratch.display().to_string())?;
    }
    restored?;
    dropped?;

    let ledger = check_ledger(config, &backups, &manifest, progress)?;
    Ok((manifest, ledger))
}

/// The manifest of a backup whose files, and those it builds on, are as they were written.
pub(super) fn check_chain(
    backups: &BackupFolder,
    name: &str,
    progress: &mut dyn BackupProgress,
) -> anyhow::Result<BackupManifest> {
    let chain = backups.read_chain(name)?;
    for manifest in &chain {
        progress.show_step(&format!("{}: the files are read", manifest.name));
        let path = backups.backup_path(&manifest.name);
        folder::check_files(&path, manifest, &mut |done, of| {
            progress.show_bytes(done, of)
        })?;
    }
    let manifest = chain.into_iter().next().context("a chain has a backup")?;
    anyhow::ensure!(
        manifest.schema <= NEWEST_SCHEMA,
        "{} has schema {} and this program knows schemas up to {NEWEST_SCHEMA}: use a later \
         version",
        manifest.name,
        manifest.schema
    );
    Ok(manifest)
}

/// Restores the tables into a database and compares their sums with the manifest's.
pub(super) async fn restore_and_compare(
    archive: &TableArchive,
    manifest: &BackupManifest,
    target: &str,
) -> anyhow::Result<()> {
    let tables = manifest.tables.keys().map(String::as_str);
    archive
        .restore_tables(&manifest.folders, &manifest.database, tables, target)
        .await?;

    let mut sums = archive.sum_tables(target, TableGroup::Counts).await?;
    sums.extend(archive.sum_tables(target, TableGroup::Registry).await?);
    let differing = differing_tables(&manifest.tables, &sums);
    anyhow::ensure!(
        differing.is_empty(),
        "{}: after a restore these tables are not as they were: {}",
        manifest.name,
        differing.join(", ")
    );
    Ok(())
}

fn check_ledger(
    config: &Config,
    backups: &BackupFolder,
    manifest: &BackupManifest,
    progress: &mut dyn BackupProgress,
) -> anyhow::Result<LedgerCheck> {
    let dir = backups.backup_path(&manifest.name).join(LEDGER_FOLDER);
    let own = LedgerOptions::from_config(config);
    let copy = LedgerOptions {
        dir: dir.clone(),
        ..own.clone()
    };
    if !ledger::LedgerFolder::new(&dir).acts_path().exists() {
        return Ok(LedgerCheck::Absent);
    }

    progress.show_step("the consent ledger is verified");
    let key: Option<PublicKey> = ledger::read_public_key(&own).ok();
    let (has_key, notes) = (
        key.is_some(),
        ledger::LedgerFolder::new(&dir).checkpoint_sizes()?,
    );
    if !has_key && !notes.is_empty() {
        return Ok(LedgerCheck::WithoutKey(ledger::count_records(&copy)?));
    }
    let verified = ledger::verify_ledger(&copy, &[], key, &mut |done, of| {
        progress.show_bytes(done, of)
    })?;
    Ok(LedgerCheck::Verified(verified.summary.counts.records))
}
