//! Retention: old counts are dropped by month. Unpublished attributes are stored by day and dropped
//! by day.

use jiff::{Span, civil::Date};

use super::Store;
use super::error::{StoreError, error_during};
use super::schema::CountsTable;
use crate::calendar::Day;

/// The table of published attributes. It is not one of [`CountsTable::ALL`], because segments are
/// not sent to it.
const PUBLISHED_TABLE: &str = "published";

/// The result of one run.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct RetentionOutcome {
    /// The dropped partitions with their tables: months such as 202603, days such as 20260331.
    pub dropped: Vec<(&'static str, u32)>,
    /// The day that was used as today, if it is earlier than the clock's because the counts make no
    /// later day plausible.
    pub plausible_today: Option<Day>,
}

/// The number of distinct days with counts, at or after a day, that prove that this day has come. A
/// clock that was wrong for a day or two produces fewer.
const MIN_PROVING_DAYS: u64 = 3;

/// The number of days without counts after which the clock is assumed to be wrong.
const MAX_SILENCE_DAYS: u16 = 60;

impl Store {
    /// Drops what has expired on `today`: counts older than `keep_days`, and messages, withdrawals,
    /// publications and voids past their time. Safe to repeat at any time, also from several
    /// collectors at once.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects a statement. What was dropped
    /// stays dropped; the next run continues.
    pub async fn apply_retention(
        &self,
        today: Day,
        keep_days: u32,
    ) -> Result<RetentionOutcome, StoreError> {
        let _open = self.write_gate.read().await;
        let mut aged = RetentionOutcome::default();
        let latest = self.latest_plausible_day().await?;
        if today > latest {
            aged.plausible_today = Some(latest);
        }
        let today = today.min(latest);

        self.delete_expired_messages(today).await?;
        self.delete_expired_withdrawals(today).await?;
        self.delete_old_publications(today).await?;
        self.delete_expired_voids(today, keep_days).await?;

        for table in CountsTable::ALL
            .map(CountsTable::name)
            .into_iter()
            .chain([PUBLISHED_TABLE])
        {
            for partition in self.list_partitions(table).await? {
                if is_partition_expired(partition, today, keep_days) {
                    self.drop_partition(table, partition).await?;
                    aged.dropped.push((table, partition));
                }
            }
        }
        Ok(aged)
    }

    /// The latest plausible current day according to the counts, so that a wrong clock alone cannot
    /// cause counts to be dropped.
    async fn latest_plausible_day(&self) -> Result<Day, StoreError> {
        let sql = format!(
            "SELECT toUInt16(day) AS number FROM activity WHERE {} GROUP BY day ORDER BY day DESC LIMIT ?",
            super::marker::exclude_marker_sites()
        );
        let days: Vec<u16> = self
            .short_client
            .query(&sql)
            .bind(MIN_PROVING_DAYS)
            .fetch_all()
            .await
            .map_err(error_during("listing days"))?;
        // Without counts nothing can be lost.
        let believed = days
            .last()
            .map_or(u16::MAX, |day| day.saturating_add(MAX_SILENCE_DAYS));
        Ok(Day::from_number(believed))
    }

    /// The ids of the table's partitions with data.
    async fn list_partitions(&self, table: &str) -> Result<Vec<u32>, StoreError> {
        let sql = "SELECT DISTINCT partition_id FROM system.parts WHERE database = currentDatabase() AND table = ? \
                   AND active ORDER BY partition_id";
        let rows: Vec<String> = self
            .client
            .query(sql)
            .bind(table)
            .fetch_all()
            .await
            .map_err(error_during("listing months"))?;
        Ok(rows.iter().filter_map(|id| id.parse().ok()).collect())
    }

    async fn drop_partition(&self, table: &str, partition: u32) -> Result<(), StoreError> {
        let sql = format!("ALTER TABLE {table} DROP PARTITION ID '{partition}'");
        let query = self
            .client
            .query_raw(&sql)
            .with_setting("max_execution_time", "0");
        query
            .execute()
            .await
            .map_err(error_during("dropping old counts"))
    }
}

/// The last day of a partition: of a month such as 202603, or a day such as 20260331. `None` if the
/// number is no date.
fn last_day_of_partition(partition: u32) -> Option<Date> {
    let (year, month, day) = match partition {
        0..=999_999 => (partition / 100, partition % 100, 1),
        _ => (partition / 10_000, partition / 100 % 100, partition % 100),
    };
    let date = Date::new(
        i16::try_from(year).ok()?,
        i8::try_from(month).ok()?,
        i8::try_from(day).ok()?,
    )
    .ok()?;
    Some(if partition <= 999_999 {
        date.last_of_month()
    } else {
        date
    })
}

/// Whether a partition ended more than `days` before `today`.
pub(super) fn is_partition_expired(partition: u32, today: Day, days: u32) -> bool {
    last_day_of_partition(partition).is_some_and(|last| is_older_than(last, today, days))
}

/// Whether `date` is more than `days` before `today`.
fn is_older_than(date: Date, today: Day, days: u32) -> bool {
    // A limit beyond the calendar means no limit.
    let back = Span::new().try_days(days);
    back.and_then(|back| today.to_date().checked_sub(back))
        .is_ok_and(|limit| date < limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        Day::from_date(text.parse().unwrap()).unwrap()
    }

    #[test]
    fn a_month_goes_when_its_last_day_is_too_old() {
        let last = last_day_of_partition(202_402).unwrap();
        assert_eq!(last.to_string(), "2024-02-29");
        assert!(
            !is_older_than(last, day("2024-03-30"), 30)
                && is_older_than(last, day("2024-03-31"), 30)
        );
        assert!(!is_older_than(last, day("2024-03-30"), u32::MAX));
    }

    #[test]
    fn a_day_by_itself_goes_as_a_day() {
        assert_eq!(
            last_day_of_partition(20_240_229).unwrap().to_string(),
            "2024-02-29"
        );
        assert_eq!(
            (
                last_day_of_partition(20_230_229),
                last_day_of_partition(202_313)
            ),
            (None, None)
        );
    }
}
