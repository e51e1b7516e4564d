//! Verifies and copies a ledger. Needs read access only and no lock, and works while a collector
//! writes.

use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::civil::Date;

use super::checkpoint_files::CheckpointVerifier;
use super::error::LedgerError;
use super::folder::LedgerFolder;
use super::line::{LedgerLine, MAX_LINE_BYTES};
use super::options::LedgerOptions;
use super::scan::{LedgerSummary, ProgressCallback, scan_ledger};
use super::signing_key::{PublicKey, SigningKey};
use crate::consent::{ConsentId, WithdrawnGrants};

/// The result of a successful verification.
pub struct LedgerVerification {
    /// What the ledger contains.
    pub summary: LedgerSummary,
    /// The number of checkpoints that the chain agrees with.
    pub matched_checkpoints: u64,
    /// The number of checkpoints for records that were dropped since; only their signatures could
    /// be verified.
    pub checkpoints_before_cut: u64,
}

/// Selects the records to copy.
pub enum RecordFilter<'a> {
    /// All records with this consent id.
    WithId(&'a ConsentId),
    /// From the first to the last UTC day, both inclusive; `None` for no bound.
    BetweenDays(Option<Date>, Option<Date>),
}

/// Verifies the whole ledger against itself, against every checkpoint in its folder, and against
/// those in `more`. `key` is for auditors, who have a copy without the private key; by default the
/// public half of the signing key is used.
///
/// # Errors
///
/// The ledger does not exist, cannot be read, is damaged, or contradicts a checkpoint; a checkpoint
/// has an invalid signature; or the key cannot be read.
pub fn verify_ledger(
    options: &LedgerOptions,
    more: &[PathBuf],
    key: Option<PublicKey>,
    progress: ProgressCallback<'_>,
) -> Result<LedgerVerification, LedgerError> {
    let folder = LedgerFolder::new(&options.dir);
    // Checkpoints are listed before the file is opened: a running collector may add to both, and no
    // checkpoint may be newer than the data that is read.
    let notes: Vec<PathBuf> = folder
        .checkpoint_sizes()?
        .into_iter()
        .map(|size| folder.checkpoint_path(size))
        .collect();
    let file = folder.open_records()?;

    let files: Vec<PathBuf> = notes.into_iter().chain(more.iter().cloned()).collect();
    let mut watch = match (key, files.is_empty()) {
        (Some(key), _) => CheckpointVerifier::new(files, &key)?,
        (None, true) => CheckpointVerifier::default(),
        (None, false) => CheckpointVerifier::new(
            files,
            &SigningKey::read_key_file(&folder, &options.key_file)?.public_key(),
        )?,
    };

    let withdrawn = Arc::new(WithdrawnGrants::default());
    let (_, found) = scan_ledger(&folder, file, &mut watch, withdrawn, progress, &mut |_| {
        Ok(())
    })?;
    Ok(LedgerVerification {
        summary: found,
        matched_checkpoints: watch.matched,
        checkpoints_before_cut: watch.before_cut,
    })
}

/// The public half of the key that signs checkpoints.
///
/// # Errors
///
/// The key cannot be read.
pub fn read_public_key(options: &LedgerOptions) -> Result<PublicKey, LedgerError> {
    let folder = LedgerFolder::new(&options.dir);
    Ok(SigningKey::read_key_file(&folder, &options.key_file)?.public_key())
}

/// Checks that the ledger exists, for commands that must not create one because of a wrong
/// configuration.
///
/// # Errors
///
/// There is no ledger in the folder, or it cannot be opened.
pub fn check_exists(options: &LedgerOptions) -> Result<(), LedgerError> {
    LedgerFolder::new(&options.dir).open_records().map(drop)
}

/// The total number of records ever written, taken from the last complete line without verifying
/// anything. 0 if that line cannot be parsed.
///
/// # Errors
///
/// There is no ledger in the folder, or it cannot be read.
pub fn count_records(options: &LedgerOptions) -> Result<u64, LedgerError> {
    let folder = LedgerFolder::new(&options.dir);
    let (mut file, path) = (folder.open_records()?, folder.acts_path());
    let mut tail = Vec::new();
    let mut read = || {
        let end = file.metadata()?.len();
        file.seek(SeekFrom::Start(
            end.saturating_sub(2 * MAX_LINE_BYTES as u64),
        ))?;
        file.read_to_end(&mut tail)
    };
    read().map_err(LedgerError::from_io(&path))?;

    let whole = tail
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(&[][..], |end| &tail[..end]);
    let last = whole
        .rsplit(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    Ok(serde_json::from_slice::<LedgerLine<'_>>(last).map_or(0, |fields| fields.seq))
}

/// Copies the selected records byte for byte and returns their number. Each record is verified
/// first.
///
/// # Errors
///
/// The ledger does not exist, cannot be read or is damaged, or `out` cannot be written. The records
/// before the error have been written.
pub fn copy_records(
    options: &LedgerOptions,
    choose: &RecordFilter<'_>,
    out: impl Write,
) -> Result<u64, LedgerError> {
    let folder = LedgerFolder::new(&options.dir);
    let mut out = BufWriter::new(out);
    let mut copied = 0;
    let mut each = |entry: &super::chain::VerifiedRecord<'_>| {
        if choose.matches_record(entry.id.as_ref(), entry.fields.at) {
            copied += 1;
            writeln!(out, "{}", entry.text)
                .map_err(LedgerError::from_io(Path::new("standard output")))?;
        }
        Ok(())
    };

    let withdrawn = Arc::new(WithdrawnGrants::default());
    let outcome = scan_ledger(
        &folder,
        folder.open_records()?,
        &mut CheckpointVerifier::accepting_unsigned_cuts(),
        withdrawn,
        &mut |_, _| (),
        &mut each,
    );
    out.flush()
        .map_err(LedgerError::from_io(Path::new("standard output")))?;
    outcome.map(|_| copied)
}

impl RecordFilter<'_> {
    fn matches_record(&self, id: Option<&ConsentId>, at: &str) -> bool {
        match self {
            RecordFilter::WithId(wanted) => id == Some(*wanted),
            RecordFilter::BetweenDays(from, to) => {
                // Both texts start with the year, so they compare like dates.
                let day = at.get(..10).unwrap_or_default();
                from.is_none_or(|from| day >= from.to_string().as_str())
                    && to.is_none_or(|to| day <= to.to_string().as_str())
            }
        }
    }
}
