//! Old counts lose their detail, then go.
//!
//! A month whose first day lies more than `fold_after_days` back is folded: rows with an attribute become rows of the month,
//! and a cell (site, subject, item, dimension, value) under five visitors joins `(other)`; so does a class of devices under five
//! measurements of a page. Totals stay by day.
//!
//! What must hold: a reader sees the month before or after, never between, and a crash leaves one of the two. So the month is
//! built in a side table, its sums are compared with the original's, and it takes the original's place in one statement.
//! Rows that arrive for the month while it is built change the original's sums; then it stays as it is until the next run. This
//! collector's own inserts wait meanwhile. **Another** collector's insert into the same month, in the milliseconds between the
//! comparison and the replacement, would be lost: it would have to bring counts that are at least five days late at that very moment.
//! The engine keeps the replaced parts on disk for some minutes before it deletes them.

use clickhouse::Client;
use jiff::{Span, civil::Date};

use super::Store;
use super::error::{StoreError, failed};
use super::schema::Table;
use crate::event::Day;
use folding::{FOLDED, Folding};

mod folding;

/// A cell with fewer visitors than this does not keep its value.
const SMALL: u32 = 5;

/// A side table this old was left by a crash, not by another collector at work.
const ABANDONED_AFTER_HOURS: u32 = 24;

/// What one run did.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct Aged {
    /// Months folded, as 202603, with their table.
    pub folded: Vec<(&'static str, u32)>,
    /// Months left for the next run because rows arrived meanwhile.
    pub postponed: Vec<(&'static str, u32)>,
    /// Months dropped, with their table.
    pub dropped: Vec<(&'static str, u32)>,
}

impl Store {
    /// Folds and drops what is due on `today`. Safe to run again, at any time, and from several collectors.
    pub async fn age(&self, today: Day, fold_after_days: u32, keep_days: u32) -> Result<Aged, StoreError> {
        let mut aged = Aged::default();
        self.drop_abandoned().await?;
        self.forget_messages(today).await?;
        for table in Table::ALL {
            for month in months(self.client(), table).await? {
                if last_day(month.number).is_some_and(|last| is_before(last, today, keep_days)) {
                    let sql = format!("ALTER TABLE {} DROP PARTITION ID '{}'", table.name(), month.number);
                    run(self.client(), &sql, "dropping an old month").await?;
                    aged.dropped.push((table.name(), month.number));
                } else if first_day(month.number).is_some_and(|first| is_before(first, today, fold_after_days))
                    && let Some(folding) = FOLDED.iter().find(|folding| folding.table == table)
                {
                    self.fold_if_changed(folding, month, &mut aged).await?;
                }
            }
        }
        Ok(aged)
    }

    async fn fold_if_changed(&self, folding: &Folding, month: Month, aged: &mut Aged) -> Result<(), StoreError> {
        let client = self.client();
        let table = folding.table.name();
        let folded: i64 = client
            .query("SELECT max(block) FROM folds WHERE month = ? AND counts = ?")
            .bind(month.number)
            .bind(table)
            .fetch_one()
            .await
            .map_err(failed("reading what was folded"))?;
        if folded == month.block {
            return Ok(());
        }
        // Our own inserts wait; another collector's are seen by the comparison of sums.
        let _no_inserts = self.inserting.write().await;
        match fold(client, folding, month.number).await {
            Ok(()) => {}
            Err(StoreError::Moving { month }) => {
                aged.postponed.push((table, month));
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        let months = months(client, folding.table).await?;
        if let Some(block) = months.into_iter().find(|m| m.number == month.number).map(|m| m.block) {
            let done = client.query("INSERT INTO folds (month, block, counts) SELECT ?, ?, ?");
            let done = done.bind(month.number).bind(block).bind(table);
            done.execute().await.map_err(failed("recording a fold"))?;
        }
        aged.folded.push((table, month.number));
        Ok(())
    }

    async fn drop_abandoned(&self) -> Result<(), StoreError> {
        // In a database of this process alone, whatever is there was left by a crash.
        let hours = if self.is_embedded() { 0 } else { ABANDONED_AFTER_HOURS };
        let names: Vec<String> = self
            .client()
            .query(
                "SELECT name FROM system.tables WHERE database = currentDatabase() AND (startsWith(name, 'daily_fold_') OR startsWith(name, 'vitals_fold_')) \
                 AND metadata_modification_time <= now() - toIntervalHour(?)",
            )
            .bind(hours)
            .fetch_all()
            .await
            .map_err(failed("looking for side tables"))?;
        for name in names {
            drop_table(self.client(), &name).await?;
        }
        Ok(())
    }
}

async fn fold(client: &Client, folding: &Folding, month: u32) -> Result<(), StoreError> {
    let side = side_name(folding.table);
    let result = fold_through(client, folding, month, &side).await;
    let dropped = drop_table(client, &side).await;
    result.and(dropped)
}

async fn fold_through(client: &Client, folding: &Folding, month: u32, side: &str) -> Result<(), StoreError> {
    let table = folding.table.name();
    // Not replicated: a partition may come from a plain table, and only this node needs it for these moments.
    let create = format!(
        "CREATE TABLE {side} AS {table} ENGINE = {} PARTITION BY toYYYYMM(day) ORDER BY ({})",
        folding.table.engine(),
        folding.order
    );
    run(client, &create, "making the side table").await?;
    for statement in (folding.statements)(month, side) {
        run(client, &statement, "folding a month").await?;
    }
    if sums(client, &(folding.sums)(table, month)).await? != sums(client, &(folding.sums)(side, month)).await? {
        return Err(StoreError::Moving { month });
    }
    let replace = format!("ALTER TABLE {table} REPLACE PARTITION ID '{month}' FROM {side}");
    run(client, &replace, "putting a folded month in place").await
}

/// Everything that folding must not change, as one text.
async fn sums(client: &Client, sql: &str) -> Result<String, StoreError> {
    client.query_raw(sql).fetch_one().await.map_err(failed("comparing a folded month"))
}

async fn drop_table(client: &Client, name: &str) -> Result<(), StoreError> {
    run(client, &format!("DROP TABLE IF EXISTS {name} SYNC"), "dropping a side table").await
}

async fn run(client: &Client, sql: &str, step: &'static str) -> Result<(), StoreError> {
    // A month of a large platform takes its time, and more keys than memory may hold: aggregate in the table's order, then
    // on disk.
    let query = client
        .query_raw(sql)
        .with_setting("max_execution_time", "0")
        .with_setting("optimize_aggregation_in_order", "1")
        .with_setting("max_bytes_before_external_group_by", "134217728");
    query.execute().await.map_err(failed(step))
}

/// No two runs share a side table: one would put the other's half into place.
fn side_name(table: Table) -> String {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    format!("{}_fold_{:016x}", table.name(), u64::from_le_bytes(bytes))
}

/// A month of a table and how far its parts have got: an insert raises `block`, a merge does not.
struct Month {
    number: u32,
    block: i64,
}

async fn months(client: &Client, table: Table) -> Result<Vec<Month>, StoreError> {
    let rows: Vec<(String, i64)> = client
        .query(
            "SELECT partition_id, max(max_block_number) FROM system.parts WHERE database = currentDatabase() \
             AND table = ? AND active GROUP BY partition_id ORDER BY partition_id",
        )
        .bind(table.name())
        .fetch_all()
        .await
        .map_err(failed("listing months"))?;
    Ok(rows.into_iter().filter_map(|(id, block)| Some(Month { number: id.parse().ok()?, block })).collect())
}

fn first_day(month: u32) -> Option<Date> {
    let year = i16::try_from(month / 100).ok()?;
    Date::new(year, i8::try_from(month % 100).ok()?, 1).ok()
}

fn last_day(month: u32) -> Option<Date> {
    first_day(month).map(Date::last_of_month)
}

/// Whether `date` lies more than `days` before `today`.
fn is_before(date: Date, today: Day, days: u32) -> bool {
    // More days than the calendar has are no limit at all.
    let back = Span::new().try_days(days);
    back.and_then(|back| today.date().checked_sub(back)).is_ok_and(|limit| date < limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        Day::from_date(text.parse().unwrap()).unwrap()
    }

    #[test]
    fn a_month_is_due_on_the_thirty_sixth_day_after_its_first() {
        let first = first_day(202_601).unwrap();
        assert!(!is_before(first, day("2026-02-05"), 35));
        assert!(is_before(first, day("2026-02-06"), 35));
    }

    #[test]
    fn a_month_goes_when_its_last_day_is_too_old() {
        let last = last_day(202_402).unwrap();
        assert_eq!(last.to_string(), "2024-02-29");
        assert!(!is_before(last, day("2024-03-30"), 30) && is_before(last, day("2024-03-31"), 30));
        assert!(!is_before(last, day("2024-03-30"), u32::MAX));
    }
}
