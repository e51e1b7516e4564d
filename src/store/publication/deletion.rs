//! Deletion of the counts that units have taken.
//!
//! ClickHouse deletes in the background. If a deletion fails at its last step (an I/O error when
//! the part is renamed into place), the failure is not recorded, and the deletion is repeated when
//! the table's background work is next scheduled, which can be minutes later. So a deletion is
//! waited for with a deadline, and then the background work is started explicitly.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::STEP;
use super::units::{BegunUnit, UNIT, bind_units, list};
use crate::event::Day;
use crate::store::Store;
use crate::store::error::{StoreError, failed};
use crate::store::marker::no_marker_site;

/// The deadline of the statement that deletes.
const DELETION: Duration = Duration::from_secs(10);
/// The time to wait for deletions in total. What is not done then is done by the next run.
const DELETIONS: Duration = Duration::from_secs(5 * 60);

/// Pause between two checks for running deletions.
const PAUSE: Duration = Duration::from_millis(250);

/// ClickHouse's code for a deletion that failed and is repeated.
const UNFINISHED: u32 = 341;

impl Store {
    /// Deletes the counts that the units have taken. They are identified by their segments'
    /// numbers, so later counts stay. Only the partitions of their days are touched.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, ClickHouse refuses the deletion, or it is not finished
    /// within five minutes. The next run continues.
    pub(super) async fn delete_taken(&self, units: &[BegunUnit<'_>]) -> Result<(), StoreError> {
        let units: Vec<&BegunUnit<'_>> = units.iter().filter(|unit| !unit.days.is_empty()).collect();
        if units.is_empty() {
            return Ok(());
        }

        // A deletion of an earlier run may be in progress: a second one would only wait for it.
        if units.iter().any(|unit| unit.is_resumed) {
            self.wait_for_deletions().await?;
            if self.taken_left(&units).await? == 0 {
                return Ok(());
            }
        }

        match self.delete(&units).await {
            Err(StoreError::Unreachable { .. }) => {}
            Err(error) if error.code() == Some(UNFINISHED) => {}
            outcome => return outcome,
        }
        self.wait_for_deletions().await?;

        match self.taken_left(&units).await? {
            0 => Ok(()),
            _ => Err(StoreError::Unreachable { step: STEP, kind: "counts that were taken are not deleted" }),
        }
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

    /// Waits until no deletion is running, of any collector.
    async fn wait_for_deletions(&self) -> Result<(), StoreError> {
        let sql = "SELECT count() FROM system.mutations WHERE database = currentDatabase() AND table = 'unpublished' AND NOT is_done";

        let deadline = Instant::now() + DELETIONS;
        while self.client.query(sql).fetch_one::<u64>().await.map_err(failed(STEP))? > 0 {
            if Instant::now() >= deadline {
                return Err(StoreError::Unreachable { step: STEP, kind: "a deletion is not finished" });
            }
            // Schedules the table's background work. Without the permission for this statement, the
            // deletion only takes longer.
            let _ = self.client.query("SYSTEM START MERGES unpublished").execute().await;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
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
