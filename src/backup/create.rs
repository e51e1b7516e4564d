//! Makes a backup.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use anyhow::Context;
use jiff::Timestamp;

use super::BackupProgress;
use super::control::CopyRequest;
use super::folder::{self, BackupFolder};
use super::keys::{self, KEYS_FILE};
use super::manifest::BackupManifest;
use super::session::BackupSession;
use crate::config::{Config, Secret};
use crate::disk;
use crate::ledger::LedgerFolder;
use crate::store::StoreOptions;

/// The folder of the consent ledger in a backup.
pub(super) const LEDGER_FOLDER: &str = "ledger";
/// The registry's copy, in a backup and in the journal's folder.
pub(super) const REGISTRY_FILE: &str = "registry.json";
/// What was signed for mails, likewise.
pub(super) const SIGNED_MAILS_FILE: &str = "mails-signed.json";

/// What a backup is to contain.
#[derive(Default)]
pub struct CreateOptions {
    /// Copy only what the newest backup does not have, and build on that.
    pub incremental: bool,
    /// The passphrase of the keys; `None` for a backup without keys.
    pub passphrase: Option<Secret>,
}

/// Makes a backup in `backup.dir` and returns its manifest. A backup that was not finished is
/// removed first.
///
/// # Errors
///
/// The folder is in use or cannot be written, a running collector does not answer, or the store
/// failed. There is no new backup then.
pub async fn create_backup(
    config: &Config,
    store: &StoreOptions,
    options: CreateOptions,
    progress: &mut dyn BackupProgress,
) -> anyhow::Result<BackupManifest> {
    let backups = BackupFolder::open(&config.backup.dir)?;
    let session = BackupSession::open(config, store).await?;
    for name in backups.remove_unfinished()? {
        progress.show_step(&format!("removed what was not finished: {name}"));
    }

    let newest = folder::list_backups(backups.path())?.pop();
    let base = newest.filter(|_| options.incremental);
    let now = Timestamp::now();
    let name = backups.free_name(now);
    let path = backups.backup_path(&name);
    disk::create_private_folder(&path).with_context(|| path.display().to_string())?;

    let by = match session.is_collector() {
        true => "the running collector copies its tables",
        false => "no collector runs on this journal; its tables are copied",
    };
    progress.show_step(&format!("{name}: {by}"));
    let request = CopyRequest {
        name: name.clone(),
        base: base.as_ref().map(|base| base.folders.clone()),
    };
    let copied = session.copy_tables(&request).await?;

    progress.show_step("the registry and the consent ledger are copied");
    copy_files(config, &path)?;
    if let Some(passphrase) = &options.passphrase {
        let encrypted = keys::encrypt_keys(&keys::read_keys(config)?, passphrase)?;
        fs::write(path.join(KEYS_FILE), encrypted).context(KEYS_FILE)?;
    }

    progress.show_step("the digests of all files are computed");
    let files = folder::digest_files(&path, &mut |done, of| progress.show_bytes(done, of))?;
    folder::sync_tree(&path)?;
    let manifest = BackupManifest {
        format: BackupManifest::FORMAT,
        name,
        created: now,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        schema: copied.schema,
        store: copied.store,
        database: copied.database,
        base: base.map(|base| base.name),
        journal: copied.journal,
        folders: copied.folders,
        tables: copied.tables,
        files,
    };
    manifest.write_file(&path)?;
    Ok(manifest)
}

/// Copies the registry's copy and the ledger without its key. A collector may append to the ledger
/// meanwhile: checkpoints are copied first, so that none is newer than the records.
fn copy_files(config: &Config, path: &Path) -> anyhow::Result<()> {
    for file in [REGISTRY_FILE, SIGNED_MAILS_FILE] {
        copy_if_there(&config.journal.dir.join(file), &path.join(file))?;
    }

    let (from, to) = (
        LedgerFolder::new(&config.ledger.dir),
        LedgerFolder::new(&path.join(LEDGER_FOLDER)),
    );
    let checkpoints = to.checkpoints_path();
    disk::create_private_folder(&checkpoints).with_context(|| checkpoints.display().to_string())?;
    for size in from.checkpoint_sizes()? {
        copy_if_there(&from.checkpoint_path(size), &to.checkpoint_path(size))?;
    }
    copy_if_there(&from.acts_path(), &to.acts_path())
}

pub(super) fn copy_if_there(from: &Path, to: &Path) -> anyhow::Result<()> {
    match copy_private(from, to) {
        Err(error) if error.kind() == ErrorKind::NotFound && !from.exists() => Ok(()),
        copied => copied.with_context(|| format!("{} to {}", from.display(), to.display())),
    }
}

fn copy_private(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = fs::File::open(from)?;
    let mut target = disk::create_private_file(to)?;
    io::copy(&mut source, &mut target)?;
    target.sync_all()
}
