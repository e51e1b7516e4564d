//! Digests that the collectors of a database share: of grants that were withdrawn, and of sessions
//! that were signed out. A row is a digest and a day, and nothing else about the person.

use clickhouse::Row;
use serde::Deserialize;

use super::Store;
use super::client::StoreClient;
use super::error::{StoreError, error_during};
use crate::calendar::Day;
use crate::hex;

/// Days that the digest of a withdrawn grant is kept.
///
/// One day more than the largest value of `consent.cookie.max_age_secs`: no cookie is kept longer,
/// and a cookie that the browser dropped need not be rejected. The configured value is not used,
/// because it may have been larger when the cookie was set.
pub const WITHDRAWAL_RETENTION_DAYS: u16 = 396;

/// Days that a sign-out is kept after its cookie has ended.
const SIGN_OUT_MARGIN_DAYS: u16 = 60;

string_enum! {
    /// A table of shared digests.
    pub enum DigestTable {
        /// SHA-256 of the ids of withdrawn grants, with the UTC day of the withdrawal.
        Withdrawals = "withdrawals",
        /// Digests of signed-out sessions, with the last UTC day on which the cookie could be valid.
        SignOuts = "sign_outs",
    }
}

impl DigestTable {
    /// The first day whose rows are kept.
    pub fn oldest_kept_day(self, today: Day) -> Day {
        match self {
            DigestTable::Withdrawals => {
                Day::from_number(today.as_number().saturating_sub(WITHDRAWAL_RETENTION_DAYS))
            }
            // Some days more, so that a clock that was ahead for a while brings no session back.
            DigestTable::SignOuts => {
                Day::from_number(today.as_number().saturating_sub(SIGN_OUT_MARGIN_DAYS))
            }
        }
    }

    /// The step in messages of errors.
    fn step(self) -> &'static str {
        match self {
            DigestTable::Withdrawals => "the withdrawals",
            DigestTable::SignOuts => "the signed-out sessions",
        }
    }
}

/// A summary of a day's rows. It changes with every new row of the day, in whatever order the rows
/// of several collectors become visible.
#[derive(Row, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub struct DigestDaySummary {
    /// The day, in days since 1970-01-01.
    pub day_number: u16,
    rows: u64,
    newest: u64,
}

#[derive(Row, Deserialize)]
struct DigestRow {
    digest: [u8; 32],
    day_number: u16,
}

impl Store {
    /// The first day whose withdrawals are kept.
    pub fn withdrawals_since(today: Day) -> Day {
        DigestTable::Withdrawals.oldest_kept_day(today)
    }

    /// A summary of each day with rows, in no order.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn digest_days(
        &self,
        table: DigestTable,
    ) -> Result<Vec<DigestDaySummary>, StoreError> {
        let sql = format!(
            "SELECT toUInt16(day) AS day_number, count() AS rows, max(revision) AS newest \
             FROM {} GROUP BY day",
            table.name()
        );
        self.short_client
            .query(&sql)
            .fetch_all()
            .await
            .map_err(error_during(table.step()))
    }

    /// The digests of a day that came after `known` was read, up to `now`. `None` if the
    /// revisions do not show it: then the whole day must be read.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn read_new_digests(
        &self,
        table: DigestTable,
        known: &DigestDaySummary,
        now: &DigestDaySummary,
    ) -> Result<Option<Vec<([u8; 32], Day)>>, StoreError> {
        let sql = format!(
            "SELECT digest, toUInt16(day) AS day_number FROM {} \
             WHERE day = toDate(?) AND revision > ? AND revision <= ?",
            table.name()
        );
        let rows = self
            .short_client
            .query(&sql)
            .bind(now.day_number)
            .bind(known.newest)
            .bind(now.newest)
            .fetch_all::<DigestRow>()
            .await
            .map_err(error_during(table.step()))?;
        // Rows of several collectors may become visible out of order, and equal rows be merged.
        let is_all = known.rows + rows.len() as u64 == now.rows;
        let pairs = rows
            .into_iter()
            .map(|row| (row.digest, Day::from_number(row.day_number)));
        Ok(is_all.then(|| pairs.collect()))
    }

    /// The digests of these days, given in days since 1970-01-01, each with its day. A digest may
    /// appear twice.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn read_digests(
        &self,
        table: DigestTable,
        days: &[u16],
    ) -> Result<Vec<([u8; 32], Day)>, StoreError> {
        let sql = format!(
            "SELECT digest, toUInt16(day) AS day_number FROM {} WHERE has(?, toUInt16(day))",
            table.name()
        );
        let rows = self
            .short_client
            .query(&sql)
            .bind(days)
            .fetch_all::<DigestRow>()
            .await
            .map_err(error_during(table.step()))?;
        let pairs = rows
            .into_iter()
            .map(|row| (row.digest, Day::from_number(row.day_number)));
        Ok(pairs.collect())
    }

    /// Stores digests with their days. Storing one again is harmless.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the insert. Some of them may be
    /// stored.
    pub async fn insert_digests(
        &self,
        table: DigestTable,
        digests: &[([u8; 32], Day)],
    ) -> Result<(), StoreError> {
        let texts: Vec<String> = digests
            .iter()
            .map(|(digest, _)| hex::encode_lower(digest))
            .collect();
        let days: Vec<u16> = digests.iter().map(|(_, day)| day.as_number()).collect();
        let next = self.next_revision(table.name(), table.step()).await?;
        let name = table.name();
        let sql = format!(
            "INSERT INTO {name} (digest, day, revision) \
             SELECT toFixedString(unhex(w.1), 32), toDate(w.2), {next} \
             FROM (SELECT arrayJoin(arrayZip(?, ?)) AS w)"
        );
        let build = |client: &StoreClient| client.query(&sql).bind(&texts).bind(&days);
        self.execute_on_present(build, table.step()).await
    }

    /// Deletes the digests of cookies that no browser can have any more, or that are no longer
    /// valid.
    pub(super) async fn delete_expired_digests(&self, today: Day) -> Result<(), StoreError> {
        for table in DigestTable::ALL {
            let since = table.oldest_kept_day(today).as_number();
            let (name, step) = (table.name(), table.step());
            let over = format!("SELECT count() FROM {name} WHERE day < toDate(?)");
            let over: u64 = self
                .short_client
                .query(&over)
                .bind(since)
                .fetch_one()
                .await
                .map_err(error_during(step))?;
            if over == 0 {
                continue;
            }
            let sql = format!("ALTER TABLE {name} DELETE WHERE day < toDate(?)");
            self.short_client
                .query(&sql)
                .bind(since)
                .execute()
                .await
                .map_err(error_during(step))?;
        }
        Ok(())
    }
}
