//! Deletes what units have taken.
//!
//! ClickHouse deletes in the background, part by part. If renaming a part into place fails (an I/O
//! error), the part's temporary folder stays, and each retry of the same deletion fails because the
//! folder exists, until the engine is restarted. A new deletion uses other folders. So deletions
//! are awaited with a deadline, and failed ones are ended and issued again.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::STEP;
use super::units::{BegunUnit, UNIT_PARAMETERS, bind_units, repeat_in_list};
use crate::calendar::Day;
use crate::store::Store;
use crate::store::error::{StoreError, error_during};
use crate::store::marker::exclude_marker_sites;

/// Deadline for the response to a deletion, and after that for all deletions of the table.
const DELETION_TIMEOUT: Duration = Duration::from_secs(10);
const ALL_DELETIONS_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// How often a failing deletion is issued.
const MAX_ATTEMPTS: u32 = 3;

/// Pause between two checks for running deletions.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// ClickHouse's code for a deletion that failed and will be repeated.
const UNFINISHED_CODE: u32 = 341;

impl Store {
    /// Deletes the counts that the units have taken, by their segments' numbers. Later counts stay.
    ///
    /// # Errors
    ///
    /// The store cannot be reached, or every attempt of the deletion failed. The next run tries
    /// again.
    pub(super) async fn delete_taken_counts(
        &self,
        units: &[BegunUnit<'_>],
    ) -> Result<(), StoreError> {
        let units: Vec<&BegunUnit<'_>> =
            units.iter().filter(|unit| !unit.days.is_empty()).collect();
        if units.is_empty() {
            return Ok(());
        }

        // A deletion of the former run may still be running or have failed.
        let mut is_first = units.iter().all(|unit| !unit.is_resumed);
        for _ in 0..MAX_ATTEMPTS {
            if !is_first {
                self.settle_deletions().await?;
                if self.count_undeleted_rows(&units).await? == 0 {
                    return Ok(());
                }
            }
            is_first = false;
            match self.issue_deletion(&units).await {
                Err(StoreError::Unreachable { .. }) => {}
                Err(error) if error.error_code() == Some(UNFINISHED_CODE) => {}
                outcome => return outcome,
            }
        }
        Err(StoreError::Unreachable {
            step: STEP,
            kind: "counts that were published are not deleted",
        })
    }

    /// Deletes with one statement for all days.
    async fn issue_deletion(&self, units: &[&BegunUnit<'_>]) -> Result<(), StoreError> {
        let days: BTreeSet<Day> = units
            .iter()
            .flat_map(|unit| unit.days.iter().copied())
            .collect();
        let of_day = |day: &Day| {
            format!(
                "DELETE IN PARTITION ID '{}' WHERE {}",
                day.to_date().strftime("%Y%m%d"),
                taken_condition(units.len())
            )
        };

        let deletes: Vec<String> = days.iter().map(of_day).collect();
        let sql = format!("ALTER TABLE unpublished {}", deletes.join(", "));
        let query = days
            .iter()
            .fold(self.client.query(&sql), |query, _| bind_units(query, units));
        query
            .with_setting("mutations_sync", "2")
            .with_deadline(DELETION_TIMEOUT)
            .execute()
            .await
            .map_err(error_during(STEP))
    }

    /// The number of rows that the units took and that are not deleted yet.
    async fn count_undeleted_rows(&self, units: &[&BegunUnit<'_>]) -> Result<u64, StoreError> {
        let sql = format!(
            "SELECT count() FROM unpublished WHERE {}",
            taken_condition(units.len())
        );
        bind_units(self.client.query(&sql), units)
            .fetch_one()
            .await
            .map_err(error_during(STEP))
    }

    /// Ends failed deletions, and waits for running ones, of all collectors.
    async fn settle_deletions(&self) -> Result<(), StoreError> {
        const OPEN: &str = "database = currentDatabase() AND table = 'unpublished' AND NOT is_done";
        let sql = format!(
            "SELECT count(), countIf(latest_fail_reason != '') FROM system.mutations WHERE {OPEN}"
        );
        let kill = format!("KILL MUTATION WHERE {OPEN} AND latest_fail_reason != '' SYNC");

        let deadline = Instant::now() + ALL_DELETIONS_TIMEOUT;
        loop {
            let (open, failing): (u64, u64) = self
                .short_client
                .query(&sql)
                .fetch_one()
                .await
                .map_err(error_during(STEP))?;
            if open == 0 {
                return Ok(());
            }
            if failing > 0 {
                self.short_client
                    .query(&kill)
                    .execute()
                    .await
                    .map_err(error_during(STEP))?;
                continue;
            }
            if Instant::now() >= deadline {
                return Err(StoreError::Unreachable {
                    step: STEP,
                    kind: "a deletion is not finished",
                });
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

/// A condition for the rows that any of `units` units took.
fn taken_condition(units: usize) -> String {
    format!(
        "{} AND (zone, day, segment) IN (SELECT zone, taken.1, taken.2 FROM \
         (SELECT zone, arrayJoin(segments) AS taken FROM publications WHERE done = 0 \
         AND (zone, at, lot) IN ({})))",
        exclude_marker_sites(),
        repeat_in_list(UNIT_PARAMETERS, units)
    )
}
