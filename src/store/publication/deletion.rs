//! Deletes what units have taken.
//!
//! ClickHouse deletes in the background, part by part. If that fails where a part is renamed into
//! place (an I/O error), the part's temporary folder stays, and each later try of the same deletion
//! fails because the folder exists, until the engine is started again. A new deletion has folders of
//! its own. So deletions are waited for with a deadline, and those that failed are ended and issued
//! again.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::STEP;
use super::units::{BegunUnit, UNIT, bind_units, list};
use crate::event::Day;
use crate::store::Store;
use crate::store::error::{StoreError, failed};
use crate::store::marker::no_marker_site;

/// How long the answer to a deletion is waited for, and after that all deletions of the table.
const DELETION: Duration = Duration::from_secs(10);
const DELETIONS: Duration = Duration::from_secs(5 * 60);

/// How often a deletion that fails is issued.
const TRIES: u32 = 3;

/// Pause between two checks for running deletions.
const PAUSE: Duration = Duration::from_millis(250);

/// ClickHouse's code for a deletion that failed and is repeated.
const UNFINISHED: u32 = 341;

impl Store {
    /// Deletes the counts that the units have taken, by their segments' numbers: later counts stay.
    ///
    /// # Errors
    ///
    /// The store cannot be reached, or the deletion failed again and again. The next run tries again.
    pub(super) async fn delete_taken(&self, units: &[BegunUnit<'_>]) -> Result<(), StoreError> {
        let units: Vec<&BegunUnit<'_>> = units.iter().filter(|unit| !unit.days.is_empty()).collect();
        if units.is_empty() {
            return Ok(());
        }

        // A deletion of the former run may still be running or have failed.
        let mut is_first = units.iter().all(|unit| !unit.is_resumed);
        for _ in 0..TRIES {
            if !is_first {
                self.settle_deletions().await?;
                if self.taken_left(&units).await? == 0 {
                    return Ok(());
                }
            }
            is_first = false;
            match self.delete(&units).await {
                Err(StoreError::Unreachable { .. }) => {}
                Err(error) if error.code() == Some(UNFINISHED) => {}
                outcome => return outcome,
            }
        }
        Err(StoreError::Unreachable { step: STEP, kind: "counts that were published are not deleted" })
    }

    /// Deletes with one statement for all days.
    async fn delete(&self, units: &[&BegunUnit<'_>]) -> Result<(), StoreError> {
        let days: BTreeSet<Day> = units.iter().flat_map(|unit| unit.days.iter().copied()).collect();
        let of_day = |day: &Day| {
            format!("DELETE IN PARTITION ID '{}' WHERE {}", day.date().strftime("%Y%m%d"), taken(units.len()))
        };

        let deletes: Vec<String> = days.iter().map(of_day).collect();
        let sql = format!("ALTER TABLE unpublished {}", deletes.join(", "));
        let query = days.iter().fold(self.client.query(&sql), |query, _| bind_units(query, units));
        query.with_setting("mutations_sync", "2").within(DELETION).execute().await.map_err(failed(STEP))
    }

    /// The number of rows that the units took and that are not deleted.
    async fn taken_left(&self, units: &[&BegunUnit<'_>]) -> Result<u64, StoreError> {
        let sql = format!("SELECT count() FROM unpublished WHERE {}", taken(units.len()));
        bind_units(self.client.query(&sql), units).fetch_one().await.map_err(failed(STEP))
    }

    /// Ends the deletions that failed, and waits for those that are running, of all collectors.
    async fn settle_deletions(&self) -> Result<(), StoreError> {
        const OPEN: &str = "database = currentDatabase() AND table = 'unpublished' AND NOT is_done";
        let sql = format!("SELECT count(), countIf(latest_fail_reason != '') FROM system.mutations WHERE {OPEN}");
        let kill = format!("KILL MUTATION WHERE {OPEN} AND latest_fail_reason != '' SYNC");

        let deadline = Instant::now() + DELETIONS;
        loop {
            let (open, failing): (u64, u64) = self.calls.query(&sql).fetch_one().await.map_err(failed(STEP))?;
            if open == 0 {
                return Ok(());
            }
            if failing > 0 {
                self.calls.query(&kill).execute().await.map_err(failed(STEP))?;
                continue;
            }
            if Instant::now() >= deadline {
                return Err(StoreError::Unreachable { step: STEP, kind: "a deletion is not finished" });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// A condition for the rows that one of this number of units took.
fn taken(units: usize) -> String {
    format!(
        "{} AND (zone, day, segment) IN (SELECT zone, taken.1, taken.2 FROM \
         (SELECT zone, arrayJoin(segments) AS taken FROM publications WHERE done = 0 AND (zone, at, lot) IN ({})))",
        no_marker_site(),
        list(UNIT, units)
    )
}
