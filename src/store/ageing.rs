//! Ageing: counts become coarser. Hours that are over their limit are dropped, because `daily`
//! holds their days. Days of `activity` that are over theirs become months, in `activity_months`.
//!
//! `daily` holds every count of the two tables, for as long as its site's limit says. So a month is
//! summed from `daily`, and whatever ends the process leads to the same sums:
//!
//! 1. The parts of the month in `activity` are listed. A segment reaches `daily` first, so `daily`
//!    holds all that they hold.
//! 2. The month is summed by slices of site ids, under a new revision. A row of site 0 ends it and
//!    names the parts. Queries ignore a revision without this row, and with it they ignore the
//!    month's rows in `activity`.
//! 3. A later run drops these parts, when no query can still read them. Counts that came in the
//!    meantime are in other parts: for them, the month is summed again from 1. Until then they are
//!    missing in queries over all sites, and in no other.
//!
//! Several collectors may do this at once: each has revisions of its own, and the latest counts.

use std::collections::BTreeMap;
use std::time::Duration;

use clickhouse::Row;
use serde::Deserialize;

use super::Store;
use super::error::{StoreError, error_during};
use super::marker::exclude_marker_sites;
use super::partition::{first_day_of_month, is_partition_expired};
use super::publication::SiteSlice;
use super::retention::ZONE_SLACK_DAYS;
use super::schema::CountsTable;
use crate::calendar::Day;
use crate::config::AgeingLimits;
use crate::event::{SiteId, Subject};
use crate::random::random_u64;

const STEP: &str = "the ageing of counts";

/// The approximate number of rows of `daily` that are summed by one statement. A site has at least
/// one of them, so this bounds the statement's memory too.
const ROWS_PER_STATEMENT: u64 = 1_000_000;

/// Revisions are microseconds with this many random bits after them.
const RANDOM_BITS: u32 = 12;

/// The time for which the rows of a revision that does not count are kept: longer than another
/// collector can still be writing them, and longer than any query.
const UNUSED_REVISION_SECS: u64 = 86_400;

/// ClickHouse's code for a part that was merged or dropped since it was listed.
const NO_SUCH_PART: u32 = 232;

/// What one run did.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct AgeingOutcome {
    /// Months, such as 202603, whose hours were dropped.
    pub hours_dropped: Vec<u32>,
    /// The month whose days were summed.
    pub month_summed: Option<u32>,
    /// Months whose days were dropped from `activity`.
    pub days_dropped: Vec<u32>,
}

/// A month that the next runs make coarser.
#[derive(PartialEq, Eq, Debug)]
pub struct AgeingMonth {
    /// The table: `hourly` or `activity`.
    pub table: &'static str,
    /// The month, such as 202603.
    pub month: u32,
    /// Its rows in the table.
    pub rows: u64,
}

/// The sums of a month that count.
struct SummedMonth {
    revision: u64,
    /// How long ago they were finished.
    age: Duration,
    /// The parts of `activity` that they contain, with the id of the table.
    parts: Vec<String>,
}

#[derive(Row, Deserialize)]
struct SummedRow {
    revision: u64,
    age_secs: u64,
    parts: Vec<String>,
}

/// A part of `activity`: its name, and the same with the id of the table.
#[derive(Row, Deserialize)]
struct ActivityPart {
    name: String,
    id: String,
}

impl Store {
    /// Makes old counts coarser: drops hours that are over their limit on `today`, and turns days of
    /// `activity` into months, at most one month in each call. Days are dropped once their month was
    /// summed `read_grace` ago. Safe to repeat at any time, also from several collectors at once.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses a statement. The next call
    /// continues.
    pub async fn age_counts(
        &self,
        today: Day,
        limits: &AgeingLimits,
        read_grace: Duration,
    ) -> Result<AgeingOutcome, StoreError> {
        let _open = self.write_gate.read().await;
        let today = today.min(self.latest_plausible_day().await?);
        let mut aged = AgeingOutcome::default();

        for month in self
            .months_to_age(CountsTable::Hourly, today, limits)
            .await?
        {
            self.drop_partition(CountsTable::Hourly.name(), month)
                .await?;
            aged.hours_dropped.push(month);
        }

        for month in self
            .months_to_age(CountsTable::Activity, today, limits)
            .await?
        {
            let parts = self.list_activity_parts(month).await?;
            let summed = self.read_summed_month(month).await?;
            let has_all =
                |summed: &SummedMonth| parts.iter().all(|part| summed.parts.contains(&part.id));
            if parts.is_empty() {
                continue;
            }
            match summed {
                Some(summed) if has_all(&summed) && summed.age >= read_grace => {
                    self.drop_activity_parts(&parts).await?;
                    aged.days_dropped.push(month);
                }
                // Queries that read its days may still run.
                Some(summed) if has_all(&summed) => {}
                summed if aged.month_summed.is_none() => {
                    self.sum_month(month, &parts, summed.map(|summed| summed.revision))
                        .await?;
                    aged.month_summed = Some(month);
                }
                _ => {}
            }
        }

        if aged != AgeingOutcome::default() {
            self.delete_unused_revisions().await?;
        }
        Ok(aged)
    }

    /// The months that [`Store::age_counts`] makes coarser, now or in its next calls.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses a query.
    pub async fn list_ageing_months(
        &self,
        today: Day,
        limits: &AgeingLimits,
    ) -> Result<Vec<AgeingMonth>, StoreError> {
        let today = today.min(self.latest_plausible_day().await?);
        let mut listed = Vec::new();
        for table in [CountsTable::Hourly, CountsTable::Activity] {
            for month in self.months_to_age(table, today, limits).await? {
                let sql = "SELECT sum(p.rows) FROM system.parts AS p \
                           WHERE p.database = currentDatabase() AND p.table = ? AND p.active \
                           AND p.partition_id = ?";
                let query = self.short_client.query(sql).bind(table.name());
                let query = query.bind(month.to_string());
                let rows: u64 = query.fetch_one().await.map_err(error_during(STEP))?;
                let month = AgeingMonth {
                    table: table.name(),
                    month,
                    rows,
                };
                listed.extend((rows > 0).then_some(month));
            }
        }
        Ok(listed)
    }

    /// The months whose days were summed, as the number of their first day, with the revision that
    /// counts.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses the query.
    pub(super) async fn list_summed_months(&self) -> Result<BTreeMap<u16, u64>, StoreError> {
        let sql = "SELECT toUInt16(month) AS first, max(revision) FROM activity_months \
                   WHERE site = 0 GROUP BY first";
        let rows: Vec<(u16, u64)> = self
            .short_client
            .query(sql)
            .fetch_all()
            .await
            .map_err(error_during(STEP))?;
        Ok(rows.into_iter().collect())
    }

    /// The months of a table that are over its limit, the oldest first.
    async fn months_to_age(
        &self,
        table: CountsTable,
        today: Day,
        limits: &AgeingLimits,
    ) -> Result<Vec<u32>, StoreError> {
        let days = match table {
            CountsTable::Hourly => limits.hourly_days,
            _ => limits.activity_days,
        };
        let mut months = self.list_partitions(table.name()).await?;
        months.retain(|month| {
            is_partition_expired(*month, today, days.saturating_add(ZONE_SLACK_DAYS))
        });
        Ok(months)
    }

    async fn list_activity_parts(&self, month: u32) -> Result<Vec<ActivityPart>, StoreError> {
        let sql = "SELECT p.name AS name, concat(assumeNotNull((SELECT toString(t.uuid) \
                   FROM system.tables AS t WHERE t.database = currentDatabase() \
                   AND t.name = 'activity')), '/', p.name) AS id FROM system.parts AS p \
                   WHERE p.database = currentDatabase() AND p.table = 'activity' AND p.active \
                   AND p.rows > 0 AND p.partition_id = ? ORDER BY p.name";
        let query = self.client.query(sql).bind(month.to_string());
        query.fetch_all().await.map_err(error_during(STEP))
    }

    async fn read_summed_month(&self, month: u32) -> Result<Option<SummedMonth>, StoreError> {
        let sql = "SELECT revision, toUInt64(greatest(dateDiff('second', finished, now('UTC')), 0)) \
                   AS age_secs, parts FROM activity_months WHERE site = 0 AND month = toDate(?) \
                   ORDER BY revision DESC LIMIT 1";
        let row: Option<SummedRow> = self
            .client
            .query(sql)
            .bind(first_day_of_month(month).as_number())
            .fetch_optional()
            .await
            .map_err(error_during(STEP))?;
        Ok(row.map(|row| SummedMonth {
            revision: row.revision,
            age: Duration::from_secs(row.age_secs),
            parts: row.parts,
        }))
    }

    /// Sums a month of `daily` under a new revision, which is later than `former`.
    async fn sum_month(
        &self,
        month: u32,
        parts: &[ActivityPart],
        former: Option<u64>,
    ) -> Result<(), StoreError> {
        if self.cluster.is_some() {
            // Another replica may have received counts that `activity` has here.
            self.execute_ageing("SYSTEM SYNC REPLICA daily").await?;
        }
        let sql = "SELECT toUInt64(toUnixTimestamp64Micro(now64(6))), sum(p.rows) \
                   FROM system.parts AS p WHERE p.database = currentDatabase() \
                   AND p.table = 'daily' AND p.active AND p.partition_id = ?";
        let query = self.client.query(sql).bind(month.to_string());
        let (now, rows): (u64, u64) = query.fetch_one().await.map_err(error_during(STEP))?;
        let revision = now << RANDOM_BITS | random_u64() >> (u64::BITS - RANDOM_BITS);
        let revision = revision.max(former.map_or(0, |former| former + 1));

        let first = first_day_of_month(month).as_number();
        let counters = CountsTable::Activity.counter_columns();
        let sums: Vec<String> = counters.iter().map(|name| format!("sum({name})")).collect();
        for slice in SiteSlice::all_slices(SiteSlice::count_for(rows, ROWS_PER_STATEMENT)) {
            let sql = format!(
                "INSERT INTO activity_months (month, site, revision, {}) \
                 SELECT toDate({first}), site, {revision}, {} FROM daily \
                 WHERE toYYYYMM(day) = {month} AND subject = '{}' AND site != 0 AND {} \
                 AND site BETWEEN toUInt128('{}') AND toUInt128('{}') GROUP BY site",
                counters.join(", "),
                sums.join(", "),
                Subject::Site.name(),
                exclude_marker_sites(),
                slice.first,
                slice.last,
            );
            // An erasure removes a site from `activity_months` before it does from `daily`.
            let _no_erasure = self.erasure_lock.lock().await;
            self.execute_ageing(&sql).await?;
        }

        let names: Vec<&str> = parts.iter().map(|part| part.id.as_str()).collect();
        let sql = "INSERT INTO activity_months (month, site, revision, finished, parts) \
                   SELECT toDate(?), toUInt128(?), ?, now('UTC'), ?";
        let query = self.client.query(sql).bind(first);
        let query = query.bind(SiteId::PLATFORM.as_u128()).bind(revision);
        let query = query.bind(names).with_setting("async_insert", "0");
        query
            .with_setting("insert_deduplicate", "0")
            .execute()
            .await
            .map_err(error_during(STEP))
    }

    /// Drops parts; one that was merged since it was listed stays.
    async fn drop_activity_parts(&self, parts: &[ActivityPart]) -> Result<(), StoreError> {
        for part in parts {
            let sql = format!("ALTER TABLE activity DROP PART '{}'", part.name);
            match self.execute_ageing(&sql).await {
                Err(error) if error.error_code() == Some(NO_SUCH_PART) => {}
                outcome => outcome?,
            }
        }
        Ok(())
    }

    /// Deletes the rows of revisions that do not count: of runs that were interrupted, and of months
    /// that were summed again.
    async fn delete_unused_revisions(&self) -> Result<(), StoreError> {
        let sql = format!(
            "SELECT DISTINCT toUInt16(month), revision FROM activity_months WHERE revision < \
             bitShiftLeft(toUInt64(toUnixTimestamp64Micro(now64(6))) - {UNUSED_REVISION_SECS} * \
             1000000, {RANDOM_BITS}) AND (month, revision) NOT IN (SELECT month, max(revision) \
             FROM activity_months WHERE site = 0 GROUP BY month)"
        );
        let unused: Vec<(u16, u64)> = self
            .client
            .query(&sql)
            .fetch_all()
            .await
            .map_err(error_during(STEP))?;
        for (first, revision) in unused {
            let condition = format!("month = toDate({first}) AND revision = {revision}");
            self.delete_rows("activity_months", &condition).await?;
        }
        Ok(())
    }

    async fn execute_ageing(&self, sql: &str) -> Result<(), StoreError> {
        self.client
            .query_raw(sql)
            .with_setting("max_execution_time", "0")
            .with_setting("max_partition_size_to_drop", "0")
            .with_setting("async_insert", "0")
            .with_setting("insert_deduplicate", "0")
            .execute()
            .await
            .map_err(error_during(STEP))
    }
}
