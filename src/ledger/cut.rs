//! Drops the oldest records, so that they are not kept longer than they prove anything, and leaves
//! the rest verifiable.

use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::chain::Cut;
use super::checkpoints::{Keeper, Watch};
use super::error::LedgerError;
use super::folder::Folder;
use super::head::Head;
use super::key::SigningKey;
use super::options::Options;
use super::scan::{Found, Progress, scan};
use crate::consent::Withdrawn;
use crate::disk;
use crate::event::Millis;
use crate::hex;

/// The result of a cut.
#[derive(PartialEq, Eq, Debug)]
pub struct Dropped {
    /// The number of dropped records.
    pub records: u64,
    /// The position before the first remaining record.
    pub head: Head,
}

/// Drops the records before a UTC day. A grant that could still be live must stay, because a
/// withdrawal refers to it: the cookie lives for `max_age_secs` seconds. The ledger must not be in
/// use by a collector.
///
/// # Errors
///
/// `before` is too recent; the ledger does not exist, is in use, is damaged or contradicts a
/// checkpoint; or a file cannot be written. Unless only the final sync failed, no records were
/// dropped; a checkpoint may have been added.
pub fn cut(
    options: &Options,
    before: Date,
    now: Millis,
    max_age_secs: u64,
    progress: Progress<'_>,
) -> Result<Dropped, LedgerError> {
    let youngest = youngest(now, max_age_secs);
    if before > youngest {
        return Err(LedgerError::TooYoung { day: youngest });
    }

    let folder = Folder::new(&options.dir);
    let file = folder.open_acts()?;
    let _lock = folder.lock()?;
    let key = Arc::new(SigningKey::open(&folder, &options.key_file)?);

    let notes = folder.checkpoint_sizes()?.into_iter().map(|size| folder.note(size));
    let mut watch = Watch::new(notes, &key.public())?;
    let before = before.to_string();

    let mut plan = Plan::default();
    let mut each = |entry: &super::chain::Entry<'_>| {
        plan.look(entry, &before);
        Ok(())
    };
    let (_, found) = scan(&folder, file, &mut watch, Arc::<Withdrawn>::default(), progress, &mut each)?;

    let Some(head) = plan.head else {
        return Ok(Dropped { records: 0, head: found.cut.map_or(Head::EMPTY, |cut| cut.head) });
    };
    // The checkpoint comes first: a cut without a checkpoint would look like tampering, while a
    // checkpoint without the cut is harmless.
    let keeper = Keeper::new(folder.clone(), key, options.origin(), Duration::from_secs(options.checkpoint_secs))?;
    keeper.write(head, Some(before.clone()))?;
    replace(&folder, &Cut { head, before }, plan.kept_from(&found), found.bytes)?;
    Ok(Dropped { records: plan.records, head })
}

/// The latest day before which no grant can be live.
fn youngest(now: Millis, max_age_secs: u64) -> Date {
    let age = SignedDuration::from_secs(i64::try_from(max_age_secs).unwrap_or(i64::MAX));
    let oldest_live = Timestamp::from_millisecond(now).ok().and_then(|now| now.checked_sub(age).ok());
    oldest_live.unwrap_or(Timestamp::MIN).to_zoned(TimeZone::UTC).date()
}

/// The records to drop: those from the start up to the first record of the day or later. Clocks may
/// have stepped back, but the chain has an order.
#[derive(Default)]
struct Plan {
    records: u64,
    head: Option<Head>,
    kept: Option<u64>,
}

impl Plan {
    fn look(&mut self, entry: &super::chain::Entry<'_>, before: &str) {
        if self.kept.is_some() {
            return;
        }
        if entry.fields.at < before {
            self.records += 1;
            self.head = Some(entry.head());
        } else {
            self.kept = Some(entry.offset);
        }
    }

    fn kept_from(&self, found: &Found) -> u64 {
        self.kept.unwrap_or(found.bytes)
    }
}

/// Writes the remaining records to a new file, syncs it and renames it. At each moment one complete
/// ledger exists.
fn replace(folder: &Folder, cut: &Cut, from: u64, to: u64) -> Result<(), LedgerError> {
    let (acts, beside) = (folder.acts(), folder.cutting());
    let mut old = folder.open_acts()?;

    let write = || -> io::Result<()> {
        old.seek(SeekFrom::Start(from))?;
        let mut new = BufWriter::new(disk::create_private(&beside)?);
        let Cut { head: Head { size, hash }, before } = cut;
        writeln!(new, r#"{{"cut":{{"seq":{size},"hash":"{}","before":"{before}"}}}}"#, hex::text(hash))?;
        io::copy(&mut BufReader::new(old).take(to - from), &mut new)?;
        new.into_inner()?.sync_all()?;
        std::fs::rename(&beside, &acts)
    };

    write().map_err(LedgerError::io(&beside))?;
    folder.sync()
}
