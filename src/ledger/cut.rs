//! Drops the oldest records once they no longer prove anything, and keeps the rest verifiable.

use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::chain::CutPoint;
use super::chain_head::ChainHead;
use super::checkpoint_files::{CheckpointVerifier, CheckpointWriter};
use super::error::LedgerError;
use super::folder::LedgerFolder;
use super::options::LedgerOptions;
use super::scan::{LedgerSummary, ProgressCallback, scan_ledger};
use super::signing_key::SigningKey;
use crate::calendar::Millis;
use crate::consent::WithdrawnGrants;
use crate::disk;
use crate::hex;

/// The result of a cut.
#[derive(PartialEq, Eq, Debug)]
pub struct CutSummary {
    /// The number of dropped records.
    pub records: u64,
    /// The position before the first remaining record.
    pub head: ChainHead,
}

/// Drops the records before a UTC day. A grant that may still be live must stay, because a
/// withdrawal refers to it: the cookie lives for `max_age_secs` seconds. The ledger must not be in
/// use by a collector.
///
/// # Errors
///
/// `before` is too recent; the ledger does not exist, is in use, is damaged or contradicts a
/// checkpoint; or a file cannot be written. Unless only the final sync failed, no records were
/// dropped; a checkpoint may have been added.
pub fn cut_ledger(
    options: &LedgerOptions,
    before: Date,
    now: Millis,
    max_age_secs: u64,
    progress: ProgressCallback<'_>,
) -> Result<CutSummary, LedgerError> {
    let youngest = latest_cut_day(now, max_age_secs);
    if before > youngest {
        return Err(LedgerError::CutTooRecent { day: youngest });
    }

    let folder = LedgerFolder::new(&options.dir);
    let file = folder.open_records()?;
    let _lock = folder.acquire_lock()?;
    let key = Arc::new(SigningKey::open(&folder, &options.key_file)?);

    let notes = folder
        .checkpoint_sizes()?
        .into_iter()
        .map(|size| folder.checkpoint_path(size));
    let mut watch = CheckpointVerifier::new(notes, &key.public_key())?;
    let before = before.to_string();

    let mut plan = CutPlan::default();
    let mut each = |entry: &super::chain::VerifiedRecord<'_>| {
        plan.add_record(entry, &before);
        Ok(())
    };
    let (_, found) = scan_ledger(
        &folder,
        file,
        &mut watch,
        Arc::<WithdrawnGrants>::default(),
        progress,
        &mut each,
    )?;

    let Some(head) = plan.head else {
        return Ok(CutSummary {
            records: 0,
            head: found.cut.map_or(ChainHead::EMPTY, |cut| cut.head),
        });
    };
    // The checkpoint is written first: a cut without a checkpoint would look like tampering, while
    // a checkpoint without the cut is harmless.
    let keeper = CheckpointWriter::new(
        folder.clone(),
        key,
        options.origin(),
        Duration::from_secs(options.checkpoint_secs),
    )?;
    keeper.write_checkpoint(head, Some(before.clone()))?;
    replace_ledger_file(
        &folder,
        &CutPoint { head, before },
        plan.kept_offset(&found),
        found.bytes,
    )?;
    Ok(CutSummary {
        records: plan.records,
        head,
    })
}

/// The latest day before which no grant can be live.
fn latest_cut_day(now: Millis, max_age_secs: u64) -> Date {
    let age = SignedDuration::from_secs(i64::try_from(max_age_secs).unwrap_or(i64::MAX));
    let oldest_live = Timestamp::from_millisecond(now)
        .ok()
        .and_then(|now| now.checked_sub(age).ok());
    oldest_live
        .unwrap_or(Timestamp::MIN)
        .to_zoned(TimeZone::UTC)
        .date()
}

/// The records to drop: those from the start up to the first record of the day or later. Clocks may
/// have been set back, but the chain has an order.
#[derive(Default)]
struct CutPlan {
    records: u64,
    head: Option<ChainHead>,
    kept_offset: Option<u64>,
}

impl CutPlan {
    fn add_record(&mut self, entry: &super::chain::VerifiedRecord<'_>, before: &str) {
        if self.kept_offset.is_some() {
            return;
        }
        if entry.fields.at < before {
            self.records += 1;
            self.head = Some(entry.head());
        } else {
            self.kept_offset = Some(entry.offset);
        }
    }

    fn kept_offset(&self, found: &LedgerSummary) -> u64 {
        self.kept_offset.unwrap_or(found.bytes)
    }
}

/// Writes the remaining records to a new file, syncs it and renames it. At each moment one complete
/// ledger exists.
fn replace_ledger_file(
    folder: &LedgerFolder,
    cut: &CutPoint,
    from: u64,
    to: u64,
) -> Result<(), LedgerError> {
    let (acts, beside) = (folder.acts_path(), folder.cut_temp_path());
    let mut old = folder.open_records()?;

    let write = || -> io::Result<()> {
        old.seek(SeekFrom::Start(from))?;
        let mut new = BufWriter::new(disk::create_private_file(&beside)?);
        let CutPoint {
            head: ChainHead { size, hash },
            before,
        } = cut;
        writeln!(
            new,
            r#"{{"cut":{{"seq":{size},"hash":"{}","before":"{before}"}}}}"#,
            hex::encode_lower(hash)
        )?;
        io::copy(&mut BufReader::new(old).take(to - from), &mut new)?;
        new.into_inner()?.sync_all()?;
        std::fs::rename(&beside, &acts)
    };

    write().map_err(LedgerError::from_io(&beside))?;
    // It has the ids of the dropped records. A start after a crash before this removes it too.
    folder.remove_index()?;
    folder.sync_folder()
}
