//! What anybody can do who may read the ledger: verify it, and copy lines out of it. Needs no lock, and works beside a collector.

use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::civil::Date;

use super::checkpoints::{Watch, sizes};
use super::error::LedgerError;
use super::folder::Folder;
use super::key::{PublicKey, SigningKey};
use super::line::{Fields, LONGEST};
use super::open::Options;
use super::scan::{Found, Progress, scan};
use crate::consent::{ConsentId, Withdrawn};

pub struct Verified {
    pub found: Found,
    /// Checkpoints the chain agrees with.
    pub checkpoints: u64,
    /// Checkpoints of records that were cut since: only their signatures could be checked.
    pub cut_off: u64,
}

/// Which records to copy.
pub enum Choose<'a> {
    Of(&'a ConsentId),
    /// Days of UTC, both of them included.
    Between(Option<Date>, Option<Date>),
}

/// Reads all of it, and every checkpoint that lies there or is given in `more`. `key`: for an auditor, who has a copy without the private
/// key.
pub fn verify(
    options: &Options,
    more: &[PathBuf],
    key: Option<PublicKey>,
    progress: Progress<'_>,
) -> Result<Verified, LedgerError> {
    let folder = Folder::new(&options.dir);
    // Before the file is opened: a collector may add to both, and no checkpoint must be newer than what is read.
    let notes: Vec<PathBuf> = sizes(&folder)?.into_iter().map(|size| folder.note(size)).collect();
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

/// For who must not begin a ledger by a slip of the configuration.
pub fn must_exist(options: &Options) -> Result<(), LedgerError> {
    Folder::new(&options.dir).open_acts().map(drop)
}

/// How many records there ever were, by the last whole line: a look, not a proof.
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

/// Writes the chosen lines as they lie there, and says how many. Each was verified; the first that is damaged ends it with an error.
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
                // Both sides are written year first, so that texts compare as days do.
                let day = at.get(..10).unwrap_or_default();
                from.is_none_or(|from| day >= from.to_string().as_str())
                    && to.is_none_or(|to| day <= to.to_string().as_str())
            }
        }
    }
}
