//! Retention: counts older than their site's limit are deleted, whole months by dropping them.
//!
//! Reports do not read days that are over the limit (`report::ReportQuery`), so what this job has
//! not deleted yet is not shown either.

use clickhouse::Row;
use serde::Deserialize;

use super::Store;
use super::client::{MAX_IDS_PER_STATEMENT, MAX_SQL_BYTES};
use super::error::{StoreError, error_during};
use super::marker::{exclude_marker_sites, exclude_marker_texts};
use super::partition::{is_older_than, is_partition_expired};
use crate::calendar::Day;
use crate::config::RetentionPolicy;
use crate::event::SiteId;

/// Days that counts outlive their limit on disk: west of Greenwich a day ends after UTC's.
pub(super) const ZONE_SLACK_DAYS: u32 = 1;
/// `pending` has no days, but the Monday of the week from which on a cell waits.
const WEEK_SLACK_DAYS: u32 = 6;
/// A void outlives the amounts that it takes out, or they would be shown again.
const VOID_SLACK_DAYS: u32 = 7;

const STEP: &str = "deleting old counts";

/// A table whose rows are as old as a day.
struct DatedTable {
    name: &'static str,
    /// The day of a row, as an expression of type `Date`.
    day: &'static str,
    /// What tells whose limit applies.
    scope: RowScope,
    /// Days that a row outlives its limit.
    slack_days: u32,
    /// Whether partitions are months or days.
    has_partitions: bool,
}

/// What a row is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RowScope {
    /// A site, in the column `site`.
    Site,
    /// The platform. The column may hold the text of a segment's marker.
    Platform(&'static str),
}

const fn of_sites(name: &'static str, day: &'static str, slack_days: u32) -> DatedTable {
    DatedTable {
        name,
        day,
        scope: RowScope::Site,
        slack_days,
        has_partitions: slack_days == ZONE_SLACK_DAYS,
    }
}

const fn of_platform(
    name: &'static str,
    day: &'static str,
    marker_column: &'static str,
) -> DatedTable {
    DatedTable {
        name,
        day,
        scope: RowScope::Platform(marker_column),
        slack_days: ZONE_SLACK_DAYS,
        has_partitions: true,
    }
}

/// Every table with days whose rows are counts.
const DATED_TABLES: [DatedTable; 13] = [
    of_sites("daily", "day", ZONE_SLACK_DAYS),
    of_sites("unpublished", "day", ZONE_SLACK_DAYS),
    of_sites("hourly", "toDate(hour, 'UTC')", ZONE_SLACK_DAYS),
    of_sites("money", "day", ZONE_SLACK_DAYS),
    of_platform("drops", "toDate(hour, 'UTC')", "drops.reason"),
    of_sites("vitals", "day", ZONE_SLACK_DAYS),
    of_sites("faults", "day", ZONE_SLACK_DAYS),
    of_sites("activity", "day", ZONE_SLACK_DAYS),
    // A month goes with its first day; what is left of it is in `daily`. The row that ends its sums
    // is of no site, and goes with the partition.
    of_sites(
        "activity_months",
        "if(site = 0, toDate(65535), month)",
        ZONE_SLACK_DAYS,
    ),
    of_platform("mail", "day", "mail.template"),
    of_sites("published", "day", ZONE_SLACK_DAYS),
    of_sites("pending", "since", ZONE_SLACK_DAYS + WEEK_SLACK_DAYS),
    of_sites("money_voids", "last_day", ZONE_SLACK_DAYS + VOID_SLACK_DAYS),
];

/// The result of one run.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct RetentionOutcome {
    /// The dropped partitions with their tables: months such as 202603, days such as 20260331.
    pub dropped: Vec<(&'static str, u32)>,
    /// The numbers of rows that were deleted beside those of dropped partitions, by table.
    pub deleted: Vec<(&'static str, u64)>,
    /// The day that was used as today, if it is earlier than the clock's, because the counts allow
    /// no later one.
    pub plausible_today: Option<Day>,
}

/// Rows of one table that are over their limit.
#[derive(PartialEq, Eq, Debug)]
pub struct ExpiredRows {
    /// The table.
    pub table: &'static str,
    /// The site they are about; `None` for the platform.
    pub site: Option<SiteId>,
    /// The number of rows.
    pub rows: u64,
    /// The oldest day among them.
    pub oldest: Day,
}

/// Since when the tables hold counts; days are in days since 1970-01-01, `None` without a row.
#[derive(Debug)]
pub struct HeldSince {
    /// The oldest day with counts.
    pub oldest_day: Option<u16>,
    /// The oldest day whose attributes are not published.
    pub oldest_unpublished: Option<u16>,
    /// The Monday of the week in which the oldest cell began to wait for its lot.
    pub oldest_pending: Option<u16>,
}

impl HeldSince {
    /// Since when any of the shards holds counts.
    pub fn of_shards(shards: &[HeldSince]) -> HeldSince {
        let oldest = |of: fn(&HeldSince) -> Option<u16>| shards.iter().filter_map(of).min();
        HeldSince {
            oldest_day: oldest(|held| held.oldest_day),
            oldest_unpublished: oldest(|held| held.oldest_unpublished),
            oldest_pending: oldest(|held| held.oldest_pending),
        }
    }
}

#[derive(Row, Deserialize)]
struct ExpiredRow {
    subject: u128,
    rows: u64,
    oldest: u16,
}

/// The number of distinct days with counts, at or after a day, that prove that the day has come. A
/// clock that was wrong for a day or two produces fewer.
const MIN_PROVING_DAYS: u64 = 3;

/// The number of days without counts after which the clock is assumed to be wrong.
const MAX_SILENCE_DAYS: u16 = 60;

impl DatedTable {
    /// The limit of partitions, which hold the rows of all sites.
    fn partition_days(&self, policy: &RetentionPolicy) -> u32 {
        let days = match self.scope {
            RowScope::Site => policy.max_days(),
            RowScope::Platform(_) => policy.default_days(),
        };
        days.saturating_add(self.slack_days)
    }

    /// A condition for the rows that are over their limit on `today`.
    fn expired_condition(&self, policy: &RetentionPolicy, today: Day) -> String {
        let slack = self.slack_days;
        let (min_days, first_day, no_marker) = match self.scope {
            RowScope::Site => (
                policy.min_days(),
                first_day_expression(policy, today, slack),
                exclude_marker_sites(),
            ),
            RowScope::Platform(column) => {
                let days = policy.default_days();
                let first = first_kept_day(today, days, slack);
                (days, first.to_string(), exclude_marker_texts(column))
            }
        };
        // The first condition says nothing new; it lets ClickHouse skip young parts.
        let newest = first_kept_day(today, min_days, slack);
        format!(
            "{day} < toDate({newest}) AND {no_marker} AND toUInt16({day}) < {first_day}",
            day = self.day,
        )
    }
}

/// The first day that is kept, in days since 1970-01-01.
fn first_kept_day(today: Day, keep_days: u32, slack_days: u32) -> u32 {
    u32::from(today.as_number())
        .saturating_sub(keep_days)
        .saturating_sub(slack_days)
}

/// The first day for which the counts of a row's `site` are kept, as an expression: a number.
///
/// The days are subtracted here: ClickHouse 26.7 rejects a condition with several sums of constants
/// as a logical error once it has compiled it, at its fourth run.
pub(super) fn first_day_expression(
    policy: &RetentionPolicy,
    today: Day,
    slack_days: u32,
) -> String {
    let first = |days| first_kept_day(today, days, slack_days);
    let sites = policy.sites_by_days().into_iter().map(|(days, sites)| {
        // Text, because ClickHouse reads a literal of more than 64 bits as a float.
        let ids: Vec<String> = sites
            .iter()
            .map(|site| format!("'{}'", site.as_u128()))
            .collect();
        format!("site IN ({}), {}", ids.join(", "), first(days))
    });
    // Prefix and suffix hold characters of site names only: no quotes.
    let profiles = policy.templates().iter().map(|rule| {
        format!(
            "site IN (SELECT site FROM names WHERE startsWith(name, '{}') AND endsWith(name, '{}') \
             AND length(name) > {}), {}",
            rule.prefix,
            rule.suffix,
            rule.prefix.len() + rule.suffix.len(),
            first(rule.days)
        )
    });
    let branches: Vec<String> = sites.chain(profiles).collect();
    let default = first(policy.default_days());
    if branches.is_empty() {
        default.to_string()
    } else {
        format!("multiIf({}, {default})", branches.join(", "))
    }
}

/// The first days that are kept on `today`, one for each limit.
pub(super) fn list_first_days(policy: &RetentionPolicy, today: Day) -> Vec<u32> {
    let own = policy.sites_by_days().into_keys();
    let of_rules = policy.templates().iter().map(|rule| rule.days);
    own.chain(of_rules)
        .chain([policy.default_days()])
        .map(|days| first_kept_day(today, days, 0))
        .collect()
}

/// A condition for rows with `site` and `day` that are within their limit on `today`, for queries
/// over several sites.
pub(super) fn kept_condition(policy: &RetentionPolicy, today: Day) -> String {
    format!(
        "toUInt16(day) >= {}",
        first_day_expression(policy, today, 0)
    )
}

impl Store {
    /// Deletes what has expired on `today`: counts over their site's limit, and messages,
    /// withdrawals, sign-outs, publications, voids and share links past their time. Safe to repeat at any
    /// time, also from several collectors at once.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses a statement. What was deleted
    /// stays deleted; the next run continues.
    pub async fn apply_retention(
        &self,
        today: Day,
        policy: &RetentionPolicy,
    ) -> Result<RetentionOutcome, StoreError> {
        let _open = self.write_gate.read().await;
        let mut aged = RetentionOutcome::default();
        let latest = self.latest_plausible_day().await?;
        if today > latest {
            aged.plausible_today = Some(latest);
        }
        let today = today.min(latest);

        self.delete_expired_messages(today).await?;
        self.delete_expired_digests(today).await?;
        self.delete_old_publications(today).await?;
        self.delete_expired_shares(today, policy).await?;

        for table in DATED_TABLES.iter().filter(|table| table.has_partitions) {
            for partition in self.list_partitions(table.name).await? {
                if is_partition_expired(partition, today, table.partition_days(policy)) {
                    self.drop_partition(table.name, partition).await?;
                    aged.dropped.push((table.name, partition));
                }
            }
        }

        for table in &DATED_TABLES {
            let condition = table.expired_condition(policy, today);
            let rows = self.delete_rows(table.name, &condition).await?;
            if rows > 0 {
                aged.deleted.push((table.name, rows));
            }
        }
        Ok(aged)
    }

    /// Counts the rows that [`Store::apply_retention`] would delete now, by table and site.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses a query.
    pub async fn count_expired_rows(
        &self,
        today: Day,
        policy: &RetentionPolicy,
    ) -> Result<Vec<ExpiredRows>, StoreError> {
        let today = today.min(self.latest_plausible_day().await?);
        let mut expired = Vec::new();
        for table in &DATED_TABLES {
            let subject = match table.scope {
                RowScope::Site => "site",
                RowScope::Platform(_) => "toUInt128(0)",
            };
            let sql = format!(
                "SELECT {subject} AS subject, count() AS rows, toUInt16(min({})) AS oldest FROM {} \
                 WHERE {} GROUP BY subject ORDER BY subject",
                table.day,
                table.name,
                table.expired_condition(policy, today)
            );
            let rows: Vec<ExpiredRow> = self
                .short_client
                .query_raw(&sql)
                .with_setting("max_query_size", MAX_SQL_BYTES)
                .fetch_all()
                .await
                .map_err(error_during(STEP))?;
            expired.extend(rows.into_iter().map(|row| ExpiredRows {
                table: table.name,
                site: (table.scope == RowScope::Site).then(|| SiteId::from_u128(row.subject)),
                rows: row.rows,
                oldest: Day::from_number(row.oldest),
            }));
        }
        Ok(expired)
    }

    /// Since when the tables hold counts, published or not.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses a query.
    pub async fn held_since(&self) -> Result<HeldSince, StoreError> {
        let oldest = async |table: &str, column: &str, condition: &str| {
            let sql =
                format!("SELECT toUInt16(min({column})), count() FROM {table} WHERE {condition}");
            let (day, rows): (u16, u64) = self
                .short_client
                .query(&sql)
                .fetch_one()
                .await
                .map_err(error_during("the age of counts"))?;
            Ok::<_, StoreError>((rows > 0).then_some(day))
        };
        let no_marker = exclude_marker_sites();
        let in_activity = oldest("activity", "day", &no_marker).await?;
        // The days of summed months are in `daily` only.
        let in_daily = match self.list_summed_months().await?.first_key_value() {
            Some((month, _)) => {
                let condition = format!("toStartOfMonth(day) = toDate({month}) AND {no_marker}");
                oldest("daily", "day", &condition).await?
            }
            None => None,
        };
        Ok(HeldSince {
            oldest_day: in_daily.into_iter().chain(in_activity).min(),
            oldest_unpublished: oldest("unpublished", "day", &no_marker).await?,
            oldest_pending: oldest("pending FINAL", "since", "visitors > 0").await?,
        })
    }

    /// Deletes the rows with this condition, and returns how many there were. Waits until they are
    /// in no active part; inactive parts are removed within minutes.
    pub(super) async fn delete_rows(
        &self,
        table: &str,
        condition: &str,
    ) -> Result<u64, StoreError> {
        self.mutate_rows(table, "DELETE", condition).await
    }

    /// Applies a mutation, `DELETE` or `UPDATE ...`, to the rows with this condition, if there are
    /// any, and returns how many there were. Waits until it is done.
    pub(super) async fn mutate_rows(
        &self,
        table: &str,
        mutation: &str,
        condition: &str,
    ) -> Result<u64, StoreError> {
        let sql = format!("SELECT count() FROM {table} WHERE {condition}");
        let rows: u64 = self
            .client
            .query_raw(&sql)
            .with_setting("max_query_size", MAX_SQL_BYTES)
            .fetch_one()
            .await
            .map_err(error_during(STEP))?;
        if rows == 0 {
            return Ok(0);
        }

        let sql = format!("ALTER TABLE {table} {mutation} WHERE {condition}");
        self.client
            .query_raw(&sql)
            .with_setting("max_query_size", MAX_SQL_BYTES)
            .with_setting("max_execution_time", "0")
            .with_setting("mutations_sync", "2")
            // A condition may look names up, in a table that every replica has.
            .with_setting("allow_nondeterministic_mutations", "1")
            .execute()
            .await
            .map_err(error_during(STEP))?;
        Ok(rows)
    }

    /// Deletes share links that show days over their site's limit, with what they show.
    async fn delete_expired_shares(
        &self,
        today: Day,
        policy: &RetentionPolicy,
    ) -> Result<(), StoreError> {
        let credentials = self.load_credentials().await?;
        let expired: Vec<String> = credentials
            .share_links_of(|_| true)
            .into_iter()
            .filter(|share| {
                let days = policy
                    .keep_days(&share.site)
                    .saturating_add(ZONE_SLACK_DAYS);
                is_older_than(share.from, today, days)
            })
            .map(|share| share.id.clone())
            .filter(|id| id.bytes().all(|byte| byte.is_ascii_alphanumeric()))
            .collect();
        for some in expired.chunks(MAX_IDS_PER_STATEMENT) {
            let condition = format!("id IN ('{}')", some.join("', '"));
            self.delete_rows("shares", &condition).await?;
        }
        Ok(())
    }

    /// The latest day that today can be according to the counts, so that the clock alone cannot
    /// cause counts to be dropped.
    pub(super) async fn latest_plausible_day(&self) -> Result<Day, StoreError> {
        let sql = format!(
            "SELECT toUInt16(day) AS number FROM activity WHERE {} GROUP BY day \
             ORDER BY day DESC LIMIT ?",
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
    pub(super) async fn list_partitions(&self, table: &str) -> Result<Vec<u32>, StoreError> {
        let sql = "SELECT DISTINCT partition_id FROM system.parts \
                   WHERE database = currentDatabase() AND table = ? \
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

    pub(super) async fn drop_partition(
        &self,
        table: &str,
        partition: u32,
    ) -> Result<(), StoreError> {
        let sql = format!("ALTER TABLE {table} DROP PARTITION ID '{partition}'");
        let query = self
            .client
            .query_raw(&sql)
            .with_setting("max_execution_time", "0")
            // The server's limit guards against mistakes; a month may be larger.
            .with_setting("max_partition_size_to_drop", "0");
        query
            .execute()
            .await
            .map_err(error_during("dropping old counts"))
    }
}
