//! Verifying and copying a ledger. Needs read access only and no lock, and works while a collector
//! writes.

use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::civil::Date;

use super::checkpoints::Watch;
use super::error::LedgerError;
use super::folder::Folder;
use super::key::{PublicKey, SigningKey};
use super::line::{Fields, LONGEST};
use super::options::Options;
use super::scan::{Found, Progress, scan};
use crate::consent::{ConsentId, Withdrawn};

/// The result of a successful verification.
pub struct Verified {
    /// What the ledger contains.
    pub found: Found,
    /// The number of checkpoints that the chain agrees with.
    pub checkpoints: u64,
    /// The number of checkpoints for records that were dropped since: only their signatures could
    /// be checked.
    pub cut_off: u64,
}

/// Selects the records to copy.
pub enum Choose<'a> {
    /// All records with this consent id.
    Of(&'a ConsentId),
    /// From the first to the last UTC day, both inclusive; `None` for no bound.
    Between(Option<Date>, Option<Date>),
}

/// Verifies the whole ledger against itself, against every checkpoint in its folder, and against
/// those in `more`. `key` is for auditors, who have a copy without the private key; by default the
/// public half of the signing key is used.
///
/// # Errors
///
/// The ledger does not exist, cannot be read, is damaged, or contradicts a checkpoint; a checkpoint
/// has an invalid signature; or the key cannot be read.
pub fn verify(
    options: &Options,
    more: &[PathBuf],
    key: Option<PublicKey>,
    progress: Progress<'_>,
) -> Result<Verified, LedgerError> {
    let folder = Folder::new(&options.dir);
    // Checkpoints are listed before the file is opened: a running collector may add to both, and no
    // checkpoint may be newer than the data that is read.
    let notes: Vec<PathBuf> = folder.checkpoint_sizes()?.into_iter().map(|size| folder.note(size)).collect();
    let file = folder.open_acts()?;

    let files: Vec<PathBuf> = notes.into_iter().chain(more.iter().cloned()).collect();
    let mut watch = match (key, files.is_empty()) {
        (Some(key), _) => Watch::new(files, &key)?,
        (None, true) => Watch::default(),
        (None, false) => Watch::new(files, &SigningKey::read(&folder, &options.key_file)?.public())?,
    };

    let withdrawn = Arc::new(Withdrawn::default());
    let (_, found) = scan(&folder, file, &mut watch, withdrawn, progress, &mut |_| Ok(()))?;
    Ok(Verified { found, checkpoints: watch.met, cut_off: watch.cut_off })
}

/// Checks that the ledger exists, for commands that must not create one because of a wrong
/// configuration.
///
/// # Errors
///
/// There is no ledger in the folder, or it cannot be opened.
pub fn must_exist(options: &Options) -> Result<(), LedgerError> {
    Folder::new(&options.dir).open_acts().map(drop)
}

/// The total number of records ever written, taken from the last complete line without verifying
/// anything. 0 if that line cannot be parsed.
///
/// # Errors
///
/// There is no ledger in the folder, or it cannot be read.
pub fn records(options: &Options) -> Result<u64, LedgerError> {
    let folder = Folder::new(&options.dir);
    let (mut file, path) = (folder.open_acts()?, folder.acts());
    let mut tail = Vec::new();
    let mut read = || {
        let end = file.metadata()?.len();
        file.seek(SeekFrom::Start(end.saturating_sub(2 * LONGEST as u64)))?;
        file.read_to_end(&mut tail)
    };
    read().map_err(LedgerError::io(&path))?;

    let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(&[][..], |end| &tail[..end]);
    let last = whole.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(serde_json::from_slice::<Fields<'_>>(last).map_or(0, |fields| fields.seq))
}

/// Copies the selected records byte for byte and returns their number. Each record is verified
/// first.
///
/// # Errors
///
/// The ledger does not exist, cannot be read or is damaged, or `out` cannot be written. The records
/// before the error have been written.
pub fn copy(options: &Options, choose: &Choose<'_>, out: impl Write) -> Result<u64, LedgerError> {
    let folder = Folder::new(&options.dir);
    let mut out = BufWriter::new(out);
    let mut copied = 0;
    let mut each = |entry: &super::chain::Entry<'_>| {
        if choose.takes(entry.id.as_ref(), entry.fields.at) {
            copied += 1;
            writeln!(out, "{}", entry.text).map_err(LedgerError::io(Path::new("standard output")))?;
        }
        Ok(())
    };

    let withdrawn = Arc::new(Withdrawn::default());
    let outcome = scan(&folder, folder.open_acts()?, &mut Watch::trusting(), withdrawn, &mut |_, _| (), &mut each);
    out.flush().map_err(LedgerError::io(Path::new("standard output")))?;
    outcome.map(|_| copied)
}

impl Choose<'_> {
    fn takes(&self, id: Option<&ConsentId>, at: &str) -> bool {
        match self {
            Choose::Of(wanted) => id == Some(*wanted),
            Choose::Between(from, to) => {
                // Both texts start with the year, so they compare like dates.
                let day = at.get(..10).unwrap_or_default();
                from.is_none_or(|from| day >= from.to_string().as_str())
                    && to.is_none_or(|to| day <= to.to_string().as_str())
            }
        }
    }
}
