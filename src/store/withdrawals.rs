//! Withdrawals of consent, for the other collectors of the database: the SHA-256 of the grant's id
//! and the day, and nothing else about the visitor.

use clickhouse::Row;
use serde::Deserialize;

use super::Store;
use super::error::{StoreError, error_during};
use super::registry::next_revision_expression;
use crate::calendar::Day;
use crate::hex;

const STEP: &str = "the withdrawals";

/// Days that the digest of a withdrawn grant is kept.
///
/// One day more than the largest value of `consent.cookie.max_age_secs`: no cookie is kept longer,
/// and a cookie that the browser dropped need not be rejected. The configured value is not used,
/// because it may have been larger when the cookie was set.
pub const WITHDRAWAL_RETENTION_DAYS: u16 = 396;

/// A summary of a day's withdrawals. It changes with every new row of the day, in whatever order
/// the rows of several collectors become visible.
#[derive(Row, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub struct WithdrawalDaySummary {
    /// The day, in days since 1970-01-01.
    pub day_number: u16,
    rows: u64,
    newest: u64,
}

#[derive(Row, Deserialize)]
struct DigestRow {
    digest: [u8; 32],
}

impl Store {
    /// The first day whose withdrawals are kept.
    pub fn withdrawals_since(today: Day) -> Day {
        Day::from_number(today.as_number().saturating_sub(WITHDRAWAL_RETENTION_DAYS))
    }

    /// A summary of each day with withdrawals, in no order.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn withdrawal_days(&self) -> Result<Vec<WithdrawalDaySummary>, StoreError> {
        let sql = "SELECT toUInt16(day) AS day_number, count() AS rows, \
            max(revision) AS newest FROM withdrawals GROUP BY day";
        self.short_client
            .query(sql)
            .fetch_all()
            .await
            .map_err(error_during(STEP))
    }

    /// The digests of the withdrawals on these days, given in days since 1970-01-01. A digest may
    /// appear twice.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn read_withdrawals(&self, days: &[u16]) -> Result<Vec<[u8; 32]>, StoreError> {
        let sql = "SELECT digest FROM withdrawals WHERE has(?, toUInt16(day))";
        let rows = self
            .short_client
            .query(sql)
            .bind(days)
            .fetch_all::<DigestRow>()
            .await
            .map_err(error_during(STEP))?;
        Ok(rows.into_iter().map(|row| row.digest).collect())
    }

    /// Stores withdrawals as pairs of the digest and the UTC day. Storing one again is harmless.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the insert. Some of them may be
    /// stored.
    pub async fn insert_withdrawals(
        &self,
        withdrawals: &[([u8; 32], Day)],
    ) -> Result<(), StoreError> {
        let digests: Vec<String> = withdrawals
            .iter()
            .map(|(digest, _)| hex::encode_lower(digest))
            .collect();
        let days: Vec<u16> = withdrawals.iter().map(|(_, day)| day.as_number()).collect();
        let next = next_revision_expression("withdrawals");
        let sql = format!(
            "INSERT INTO withdrawals (digest, day, revision) \
             SELECT toFixedString(unhex(w.1), 32), toDate(w.2), {next} \
             FROM (SELECT arrayJoin(arrayZip(?, ?)) AS w)"
        );
        self.short_client
            .query(&sql)
            .bind(digests)
            .bind(days)
            .execute()
            .await
            .map_err(error_during(STEP))
    }

    /// Deletes the withdrawals of grants whose cookie no browser can have any more.
    pub(super) async fn delete_expired_withdrawals(&self, today: Day) -> Result<(), StoreError> {
        let since = Store::withdrawals_since(today).as_number();
        let over = "SELECT count() FROM withdrawals WHERE day < toDate(?)";
        let over: u64 = self
            .short_client
            .query(over)
            .bind(since)
            .fetch_one()
            .await
            .map_err(error_during(STEP))?;
        if over == 0 {
            return Ok(());
        }
        let sql = "ALTER TABLE withdrawals DELETE WHERE day < toDate(?)";
        self.short_client
            .query(sql)
            .bind(since)
            .execute()
            .await
            .map_err(error_during(STEP))
    }
}
