//! Typed queries about one site. They always use `sum()` and `GROUP BY`, because several parts may
//! contain rows of one key.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};

use clickhouse::{Row, RowOwned, RowRead};
use serde::Deserialize;

use super::client::{StoreClient, StoreQuery};
use super::error::{StoreError, error_during};
use super::voids::{BOOKED_QUERY, MIN_INEXACT_INTEGER};
use crate::calendar::{Day, DayRange, HourRange};
use crate::event::{CounterKind, SiteId, Subject, VitalBucket};

/// The sums of all counters, in the order of [`CounterKind::ALL`].
pub type CounterSums = [u64; CounterKind::ALL.len()];

/// The queries about one site.
pub struct SiteReader<'a> {
    /// Of the shards that hold the site's rows: one, or several for the platform.
    pub(super) clients: Vec<&'a StoreClient>,
    pub(super) site: SiteId,
    /// How often a sum of money was reduced to the largest exact integer.
    pub(super) clamped: &'a AtomicU64,
}

#[derive(Row, Deserialize)]
struct KeyedSums<K, S> {
    key: K,
    sums: S,
}

const STEP: &str = "a report query";

impl SiteReader<'_> {
    /// The totals of an item by day, ordered by day. Days without a hit
    /// are absent.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn totals_by_day(
        &self,
        subject: Subject,
        item: &str,
        days: DayRange,
    ) -> Result<Vec<(Day, CounterSums)>, StoreError> {
        let sql = format!(
            "SELECT toUInt16(day) AS key, {} AS sums FROM daily \
             WHERE site = ? AND subject = ? AND item = ? AND day BETWEEN toDate(?) AND toDate(?) \
             GROUP BY day ORDER BY day",
            sums_expression()
        );

        let rows = self.fetch_rows(STEP, |client| {
            let query = client.query(&sql).bind(self.site.as_u128());
            let query = query.bind(subject.name()).bind(item);
            query
                .bind(days.first().as_number())
                .bind(days.last().as_number())
        });

        let rows: Vec<KeyedSums<u16, CounterSums>> = rows.await?;
        Ok(self
            .merge_sums(rows, |sum, more| {
                sum.iter_mut().zip(more).for_each(|(sum, n)| *sum += n)
            })
            .into_iter()
            .map(|row| (Day::from_number(row.key), row.sums))
            .collect())
    }

    /// The site's totals by hour, as the Unix time in seconds at which the hour begins; ordered by
    /// hour. Exits and entries are 0.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn totals_by_hour(
        &self,
        hours: HourRange,
    ) -> Result<Vec<(u32, CounterSums)>, StoreError> {
        let sql = "SELECT toUInt32(hour) AS key, \
                   (sum(hits), sum(visitors), sum(visits), sum(bounces), sum(seconds), \
                   toUInt64(0), toUInt64(0)) AS sums FROM hourly \
                   WHERE site = ? AND hour >= toDateTime(?, 'UTC') \
                   AND hour < toDateTime(?, 'UTC') GROUP BY hour ORDER BY hour";
        let rows = self.fetch_rows(STEP, |client| {
            let query = client.query(sql).bind(self.site.as_u128());
            query.bind(hours.from).bind(hours.until)
        });

        let rows: Vec<KeyedSums<u32, CounterSums>> = rows.await?;
        Ok(self
            .merge_sums(rows, |sum, more| {
                sum.iter_mut().zip(more).for_each(|(sum, n)| *sum += n)
            })
            .into_iter()
            .map(|row| (row.key, row.sums))
            .collect())
    }

    /// Clicks of all links by day, ordered by day. Days without a click
    /// are absent.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn clicks_by_day(&self, days: DayRange) -> Result<Vec<(Day, u64)>, StoreError> {
        let sql = "SELECT toUInt16(day) AS key, sum(hits) AS sums FROM daily \
                   WHERE site = ? AND subject = 'link' \
                   AND day BETWEEN toDate(?) AND toDate(?) GROUP BY day ORDER BY day";
        let rows = self.fetch_rows(STEP, |client| self.bind_site_days(client.query(sql), days));
        let rows: Vec<KeyedSums<u16, u64>> = rows.await?;
        Ok(self
            .merge_sums(rows, |sum, more| *sum += more)
            .into_iter()
            .map(|row| (Day::from_number(row.key), row.sums))
            .collect())
    }

    /// The items of each subject with most hits, at most `limit` of each, grouped by subject.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn top_items(
        &self,
        days: DayRange,
        limit: usize,
    ) -> Result<Vec<TopItem>, StoreError> {
        let sql = format!(
            "SELECT toString(subject) AS subject, item, \
             sum(sum(hits)) OVER (PARTITION BY subject) AS of_subject, {} AS sums \
             FROM daily WHERE site = ? AND subject IN ('page', 'link', 'event') \
             AND day BETWEEN toDate(?) AND toDate(?) \
             GROUP BY subject, item ORDER BY subject, sum(hits) DESC, item LIMIT ? BY subject",
            sums_expression()
        );
        self.fetch_rows(STEP, |client| {
            let query = self.bind_site_days(client.query(&sql), days);
            query.bind(limit as u64)
        })
        .await
    }

    /// The items of [`top_items`](SiteReader::top_items), each with its sums on the days of both
    /// sides of a comparison.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn compare_items(
        &self,
        days: DayRange,
        (now, before): (DayRange, DayRange),
        limit: usize,
    ) -> Result<Vec<(String, String, CounterSums, CounterSums)>, StoreError> {
        let scope = "site = ? AND subject IN ('page', 'link', 'event')";
        let side = |of: &str| {
            let sum = |counter: &CounterKind| {
                format!(
                    "sumIf({}, day BETWEEN toDate(?) AND toDate(?))",
                    counter.name()
                )
            };
            format!(
                "({}) AS {of}",
                CounterKind::ALL
                    .iter()
                    .map(sum)
                    .collect::<Vec<_>>()
                    .join(", ")
            )
        };
        let sql = format!(
            "SELECT toString(subject) AS subject, item, {}, {} FROM daily WHERE {scope} \
             AND (day BETWEEN toDate(?) AND toDate(?) OR day BETWEEN toDate(?) AND toDate(?)) \
             AND (subject, item) IN \
             (SELECT subject, item FROM daily WHERE {scope} \
             AND day BETWEEN toDate(?) AND toDate(?) \
             GROUP BY subject, item ORDER BY subject, sum(hits) DESC, item \
             LIMIT ? BY subject) GROUP BY subject, item",
            side("now"),
            side("before")
        );
        let rows = self.fetch_rows(STEP, |client| {
            let mut query = client.query(&sql);
            for side in [
                [now; CounterKind::ALL.len()],
                [before; CounterKind::ALL.len()],
            ]
            .concat()
            {
                query = bind_days(query, side);
            }
            query = query.bind(self.site.as_u128());
            for side in [now, before] {
                query = bind_days(query, side);
            }
            self.bind_site_days(query, days).bind(limit as u64)
        });
        let rows: Vec<ComparedItemRow> = rows.await?;
        Ok(rows
            .into_iter()
            .map(|row| (row.subject, row.item, row.now, row.before))
            .collect())
    }

    /// Revenue by event and currency, without voided amounts.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn revenue_totals(&self, days: DayRange) -> Result<Vec<RevenueTotal>, StoreError> {
        let sql = format!(
            "SELECT event, upper(code) AS currency, \
             toUInt64(sumIf(n, code = upper(code))) AS hits, \
             toUInt64(sumIf(n, code != upper(code))) AS over, \
             toUInt64(least(sum(m), toInt128({MIN_INEXACT_INTEGER}))) AS minor \
             FROM ({BOOKED_QUERY}) \
             GROUP BY event, currency ORDER BY event, currency"
        );

        let rows = self.fetch_rows(STEP, |client| {
            let query = self.bind_site_days(client.query(&sql), days);
            self.bind_site_days(query, days)
        });
        let mut rows: Vec<RevenueTotal> = rows.await?;

        for row in rows
            .iter_mut()
            .filter(|row| row.minor >= MIN_INEXACT_INTEGER)
        {
            row.minor = MIN_INEXACT_INTEGER - 1;
            self.clamped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(rows)
    }

    /// The first day with a count; `None` if there is none.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn first_day(&self) -> Result<Option<Day>, StoreError> {
        let sql =
            "SELECT toUInt16(min(day)), count() FROM daily WHERE site = ? AND subject = 'site'";
        let first = self.fetch_rows(STEP, |client| client.query(sql).bind(self.site.as_u128()));
        let first: Vec<(u16, u64)> = first.await?;
        let first = first.into_iter().filter(|(_, rows)| *rows > 0);
        Ok(first.map(|(day, _)| Day::from_number(day)).min())
    }

    /// The rows that a statement has on each shard, one shard's after the other's.
    ///
    /// Beside its totals by day and hour, no two shards have rows of one key of the platform: its
    /// dimensions are whole, and the other tables have no rows of it.
    pub(super) async fn fetch_rows<T: RowOwned + RowRead>(
        &self,
        step: &'static str,
        statement: impl Fn(&StoreClient) -> StoreQuery,
    ) -> Result<Vec<T>, StoreError> {
        let calls = self
            .clients
            .iter()
            .map(|client| statement(client).fetch_all::<T>());
        let rows = futures_util::future::try_join_all(calls).await;
        Ok(rows
            .map_err(error_during(step))?
            .into_iter()
            .flatten()
            .collect())
    }

    /// One row for each key, in order of keys, where several shards have one.
    fn merge_sums<K: Ord, S>(
        &self,
        rows: Vec<KeyedSums<K, S>>,
        add: impl Fn(&mut S, S),
    ) -> Vec<KeyedSums<K, S>> {
        if self.clients.len() == 1 {
            return rows;
        }
        let mut merged: BTreeMap<K, S> = BTreeMap::new();
        for KeyedSums { key, sums } in rows {
            match merged.entry(key) {
                Entry::Occupied(mut known) => add(known.get_mut(), sums),
                Entry::Vacant(free) => {
                    free.insert(sums);
                }
            }
        }
        let merged = merged.into_iter();
        merged.map(|(key, sums)| KeyedSums { key, sums }).collect()
    }

    /// Binds the site, the first and the last day.
    pub(super) fn bind_site_days(&self, query: StoreQuery, days: DayRange) -> StoreQuery {
        bind_days(query.bind(self.site.as_u128()), days)
    }
}

/// Binds the first and the last day.
fn bind_days(query: StoreQuery, days: DayRange) -> StoreQuery {
    query
        .bind(days.first().as_number())
        .bind(days.last().as_number())
}

/// The totals of one item.
#[derive(Row, Deserialize, Debug)]
pub struct TopItem {
    /// The name of the subject: page, link or event.
    pub subject: String,
    /// The path, link or event.
    pub item: String,
    /// The hits of all items of the subject.
    pub of_subject: u64,
    /// The item's totals.
    pub sums: CounterSums,
}

#[derive(Row, Deserialize)]
struct ComparedItemRow {
    subject: String,
    item: String,
    now: CounterSums,
    before: CounterSums,
}

/// The revenue of one event in one currency.
#[derive(Row, Deserialize, Debug)]
pub struct RevenueTotal {
    /// The event's name.
    pub event: String,
    /// The currency's ISO 4217 code, in capitals.
    pub currency: String,
    /// Events whose amount was booked.
    pub hits: u64,
    /// Events whose amount was above the site's limit and was not booked.
    pub over: u64,
    /// The sum in the currency's minor unit. At most 2^53 - 1, the largest integer that all readers
    /// of JSON represent exactly.
    pub minor: u64,
}

/// The measurements of one metric in one bucket.
#[derive(Row, Deserialize, Debug)]
pub struct VitalBucketCount {
    /// The page's path; empty if the query was about all pages or about one.
    pub of: String,
    /// The name of a [`WebVital`](crate::event::WebVital).
    pub metric: String,
    /// The bucket of the histogram.
    pub bucket: VitalBucket,
    /// The number of measurements.
    pub hits: u64,
}

/// The measurements of one metric in one bucket, on one day and class of device.
#[derive(Row, Deserialize, Debug)]
pub struct DeviceBucketCount {
    /// The day, in days since 1970-01-01.
    pub number: u16,
    /// The class of device.
    pub device: String,
    /// The name of a [`WebVital`](crate::event::WebVital).
    pub metric: String,
    /// The bucket of the histogram.
    pub bucket: VitalBucket,
    /// The number of measurements.
    pub hits: u64,
}

/// How often a fault happened on one page.
#[derive(Row, Deserialize, Debug)]
pub struct FaultTotal {
    /// The name of a [`FaultKind`](crate::event::FaultKind).
    pub kind: String,
    /// The error's class and place; empty for a missing page.
    pub fault: String,
    /// The cleaned path of the page.
    pub path: String,
    /// How often it was reported.
    pub hits: u64,
}

impl SiteReader<'_> {
    /// The histograms of one page, or of all pages together, in no order.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn vitals_histogram(
        &self,
        path: Option<&str>,
        days: DayRange,
    ) -> Result<Vec<VitalBucketCount>, StoreError> {
        let sql = format!(
            "SELECT '' AS of, toString(metric) AS metric, bucket, sum(hits) AS hits FROM vitals \
             WHERE site = ? AND day BETWEEN toDate(?) AND toDate(?) {} GROUP BY metric, bucket",
            path.map_or("", |_| "AND path = ?")
        );

        self.fetch_rows(STEP, |client| {
            let query = self.bind_site_days(client.query(&sql), days);
            match path {
                Some(path) => query.bind(path),
                None => query,
            }
        })
        .await
    }

    /// The histograms of each day by class of device, in no order.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn vitals_by_device(
        &self,
        days: DayRange,
    ) -> Result<Vec<DeviceBucketCount>, StoreError> {
        let sql = "SELECT toUInt16(day) AS number, toString(device) AS device, \
                   toString(metric) AS metric, bucket, sum(hits) AS hits \
                   FROM vitals WHERE site = ? AND day BETWEEN toDate(?) AND toDate(?) \
                   GROUP BY number, device, metric, bucket";
        self.fetch_rows(STEP, |client| self.bind_site_days(client.query(sql), days))
            .await
    }

    /// The histograms of the `limit` pages with most measurements, in no order.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn vitals_by_page(
        &self,
        days: DayRange,
        limit: usize,
    ) -> Result<Vec<VitalBucketCount>, StoreError> {
        let scope = "site = ? AND day BETWEEN toDate(?) AND toDate(?)";
        let sql = format!(
            "SELECT path AS of, toString(metric) AS metric, bucket, sum(hits) AS hits \
             FROM vitals WHERE {scope} AND path IN \
             (SELECT path FROM vitals WHERE {scope} GROUP BY path \
             ORDER BY sum(hits) DESC, path LIMIT ?) \
             GROUP BY of, metric, bucket"
        );
        self.fetch_rows(STEP, |client| {
            let query = self.bind_site_days(client.query(&sql), days);
            self.bind_site_days(query, days).bind(limit as u64)
        })
        .await
    }

    /// The `limit` most frequent faults, most frequent first.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn top_faults(
        &self,
        days: DayRange,
        limit: usize,
    ) -> Result<Vec<FaultTotal>, StoreError> {
        let sql = "SELECT toString(kind) AS kind, fault, path, sum(hits) AS hits FROM faults \
                   WHERE site = ? AND day BETWEEN toDate(?) AND toDate(?) \
                   GROUP BY kind, fault, path \
                   ORDER BY hits DESC, kind, fault, path LIMIT ?";
        self.fetch_rows(STEP, |client| {
            let query = self.bind_site_days(client.query(sql), days);
            query.bind(limit as u64)
        })
        .await
    }
}

/// The expression of [`CounterSums`]: a tuple of the sums of all counters.
fn sums_expression() -> String {
    let sums: Vec<String> = CounterKind::ALL
        .iter()
        .map(|counter| format!("sum({})", counter.name()))
        .collect();
    format!("({})", sums.join(", "))
}
