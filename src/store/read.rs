//! Typed queries about one site. They always use `sum()` and `GROUP BY`, because rows of one key
//! may be in several parts.

use std::sync::atomic::{AtomicU64, Ordering};

use clickhouse::Row;
use serde::Deserialize;

use super::client::Client;
use super::error::{StoreError, failed};
use super::voids::{BOOKED, TOO_MUCH};
use crate::event::{Bucket, Counter, Day, SiteId, Subject};

/// The sums of all counters, in the order of [`Counter::ALL`].
pub type Totals = [u64; Counter::ALL.len()];

/// The queries about one site.
pub struct Read<'a> {
    pub(super) calls: &'a Client,
    pub(super) site: SiteId,
    /// How often a sum of money was reduced to the largest exact integer.
    pub(super) clamped: &'a AtomicU64,
}

#[derive(Row, Deserialize)]
struct Counted<K, S> {
    key: K,
    sums: S,
}

const STEP: &str = "a question";

impl Read<'_> {
    /// The totals of an item by day, ordered by day. Both days are inclusive; days without a hit
    /// are absent.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses the query.
    pub async fn days(
        &self,
        subject: Subject,
        item: &str,
        (from, to): (Day, Day),
    ) -> Result<Vec<(Day, Totals)>, StoreError> {
        let sql = format!(
            "SELECT toUInt16(day) AS key, {} AS sums FROM daily \
             WHERE site = ? AND subject = ? AND item = ? AND day BETWEEN toDate(?) AND toDate(?) \
             GROUP BY day ORDER BY day",
            sums()
        );

        let query = self.calls.query(&sql).bind(self.site.as_u128()).bind(subject.name()).bind(item);
        let rows = query
            .bind(from.number())
            .bind(to.number())
            .fetch_all::<Counted<u16, Totals>>()
            .await
            .map_err(failed(STEP))?;

        Ok(rows.into_iter().map(|row| (Day::from_number(row.key), row.sums)).collect())
    }

    /// The site's totals by hour, ordered by hour. `from` and `to` are the first seconds of the
    /// first and last hour, both inclusive. Exits and entries are 0.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses the query.
    pub async fn hours(&self, (from, to): (u32, u32)) -> Result<Vec<(u32, Totals)>, StoreError> {
        let sql = "SELECT toUInt32(hour) AS key, \
                   (sum(hits), sum(visitors), sum(visits), sum(bounces), sum(seconds), toUInt64(0), toUInt64(0)) AS sums FROM hourly \
                   WHERE site = ? AND hour BETWEEN toDateTime(?, 'UTC') AND toDateTime(?, 'UTC') GROUP BY hour ORDER BY hour";
        let query = self.calls.query(sql).bind(self.site.as_u128()).bind(from).bind(to);
        let rows = query.fetch_all::<Counted<u32, Totals>>().await.map_err(failed(STEP))?;
        Ok(rows.into_iter().map(|row| (row.key, row.sums)).collect())
    }

    /// Clicks of all links by day, ordered by day. Both days are inclusive; days without a click
    /// are absent.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses the query.
    pub async fn clicks(&self, (from, to): (Day, Day)) -> Result<Vec<(Day, u64)>, StoreError> {
        let sql = "SELECT toUInt16(day) AS key, sum(hits) AS sums FROM daily \
                   WHERE site = ? AND subject = 'link' AND day BETWEEN toDate(?) AND toDate(?) GROUP BY day ORDER BY day";
        let query = self.calls.query(sql).bind(self.site.as_u128()).bind(from.number()).bind(to.number());
        let rows = query.fetch_all::<Counted<u16, u64>>().await.map_err(failed(STEP))?;
        Ok(rows.into_iter().map(|row| (Day::from_number(row.key), row.sums)).collect())
    }

    /// The items of each subject with most hits, at most `limit` of each, grouped by subject. Both
    /// days are inclusive.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses the query.
    pub async fn tops(&self, (from, to): (Day, Day), limit: usize) -> Result<Vec<Top>, StoreError> {
        let sql = format!(
            "SELECT toString(subject) AS subject, item, sum(sum(hits)) OVER (PARTITION BY subject) AS of_subject, {} AS sums \
             FROM daily WHERE site = ? AND subject IN ('page', 'link', 'event') \
             AND day BETWEEN toDate(?) AND toDate(?) \
             GROUP BY subject, item ORDER BY subject, sum(hits) DESC, item LIMIT ? BY subject",
            sums()
        );
        let query = self.calls.query(&sql).bind(self.site.as_u128()).bind(from.number()).bind(to.number());
        query.bind(limit as u64).fetch_all().await.map_err(failed(STEP))
    }

    /// The items of [`tops`](Read::tops), each with its sums on the days of both sides of a comparison.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses the query.
    pub async fn compared_items(
        &self,
        (from, to): (Day, Day),
        (now, before): ((Day, Day), (Day, Day)),
        limit: usize,
    ) -> Result<Vec<(String, String, Totals, Totals)>, StoreError> {
        let scope = "site = ? AND subject IN ('page', 'link', 'event')";
        let side = |of: &str| {
            let sum = |counter: &Counter| format!("sumIf({}, day BETWEEN toDate(?) AND toDate(?))", counter.name());
            format!("({}) AS {of}", Counter::ALL.iter().map(sum).collect::<Vec<_>>().join(", "))
        };
        let sql = format!(
            "SELECT toString(subject) AS subject, item, {}, {} FROM daily WHERE {scope} \
             AND (day BETWEEN toDate(?) AND toDate(?) OR day BETWEEN toDate(?) AND toDate(?)) AND (subject, item) IN \
             (SELECT subject, item FROM daily WHERE {scope} AND day BETWEEN toDate(?) AND toDate(?) \
             GROUP BY subject, item ORDER BY subject, sum(hits) DESC, item LIMIT ? BY subject) GROUP BY subject, item",
            side("now"),
            side("before")
        );
        let mut query = self.calls.query(&sql);
        for (first, last) in [[now; Counter::ALL.len()], [before; Counter::ALL.len()]].concat() {
            query = query.bind(first.number()).bind(last.number());
        }
        query = query.bind(self.site.as_u128());
        for (first, last) in [now, before] {
            query = query.bind(first.number()).bind(last.number());
        }
        let query = query.bind(self.site.as_u128()).bind(from.number()).bind(to.number()).bind(limit as u64);
        let rows: Vec<OnBothSides> = query.fetch_all().await.map_err(failed(STEP))?;
        Ok(rows.into_iter().map(|row| (row.subject, row.item, row.now, row.before)).collect())
    }

    /// Revenue by event and currency, without voided amounts. Both days are inclusive.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses the query.
    pub async fn money(&self, (from, to): (Day, Day)) -> Result<Vec<Earned>, StoreError> {
        let sql = format!(
            "SELECT event, upper(code) AS currency, toUInt64(sumIf(n, code = upper(code))) AS hits, \
             toUInt64(sumIf(n, code != upper(code))) AS over, toUInt64(least(sum(m), toInt128({TOO_MUCH}))) AS minor FROM ({BOOKED}) \
             GROUP BY event, currency ORDER BY event, currency"
        );

        let range = [from.number(), to.number()];
        let query = self.calls.query(&sql).bind(self.site.as_u128()).bind(range[0]).bind(range[1]);
        let query = query.bind(self.site.as_u128()).bind(range[0]).bind(range[1]);

        let mut rows: Vec<Earned> = query.fetch_all().await.map_err(failed(STEP))?;

        for row in rows.iter_mut().filter(|row| row.minor >= TOO_MUCH) {
            row.minor = TOO_MUCH - 1;
            self.clamped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(rows)
    }

    /// The first day with a count; `None` if there is none.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses the query.
    pub async fn first_day(&self) -> Result<Option<Day>, StoreError> {
        let sql = "SELECT toUInt16(min(day)), count() FROM daily WHERE site = ? AND subject = 'site'";
        let query = self.calls.query(sql).bind(self.site.as_u128());
        let (day, rows): (u16, u64) = query.fetch_one().await.map_err(failed(STEP))?;
        Ok((rows > 0).then(|| Day::from_number(day)))
    }
}

/// The totals of one item.
#[derive(Row, Deserialize, Debug)]
pub struct Top {
    /// The name of the subject: page, link or event.
    pub subject: String,
    /// The path, link or event.
    pub item: String,
    /// The hits of all items of the subject.
    pub of_subject: u64,
    /// The item's totals.
    pub sums: Totals,
}

#[derive(Row, Deserialize)]
struct OnBothSides {
    subject: String,
    item: String,
    now: Totals,
    before: Totals,
}

/// The revenue of one event in one currency.
#[derive(Row, Deserialize, Debug)]
pub struct Earned {
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
pub struct Measured {
    /// The page's path; empty if the query was about all pages or about one.
    pub of: String,
    /// The name of a [`Metric`](crate::event::Metric).
    pub metric: String,
    /// The bucket of the histogram.
    pub bucket: Bucket,
    /// The number of measurements.
    pub hits: u64,
}

/// The measurements of one metric in one bucket, on one day and class of device.
#[derive(Row, Deserialize, Debug)]
pub struct OfClass {
    /// The day, in days since 1970-01-01.
    pub number: u16,
    /// The class of device.
    pub device: String,
    /// The name of a [`Metric`](crate::event::Metric).
    pub metric: String,
    /// The bucket of the histogram.
    pub bucket: Bucket,
    /// The number of measurements.
    pub hits: u64,
}

/// How often a fault happened on one page.
#[derive(Row, Deserialize, Debug)]
pub struct Faulted {
    /// The name of a [`FaultKind`](crate::event::FaultKind).
    pub kind: String,
    /// The error's class and place; empty for a missing page.
    pub fault: String,
    /// The cleaned path of the page.
    pub path: String,
    /// How often it was reported.
    pub hits: u64,
}

impl Read<'_> {
    /// The histograms of one page, or of all pages together, in no order. Both days are inclusive.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses the query.
    pub async fn vitals(&self, path: Option<&str>, (from, to): (Day, Day)) -> Result<Vec<Measured>, StoreError> {
        let sql = format!(
            "SELECT '' AS of, toString(metric) AS metric, bucket, sum(hits) AS hits FROM vitals \
             WHERE site = ? AND day BETWEEN toDate(?) AND toDate(?) {} GROUP BY metric, bucket",
            path.map_or("", |_| "AND path = ?")
        );

        let mut query = self.calls.query(&sql).bind(self.site.as_u128()).bind(from.number()).bind(to.number());
        if let Some(path) = path {
            query = query.bind(path);
        }
        query.fetch_all().await.map_err(failed(STEP))
    }

    /// The histograms of each day by class of device, in no order. Both days are inclusive.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses the query.
    pub async fn vitals_of_devices(&self, (from, to): (Day, Day)) -> Result<Vec<OfClass>, StoreError> {
        let sql = "SELECT toUInt16(day) AS number, toString(device) AS device, toString(metric) AS metric, bucket, sum(hits) AS hits \
                   FROM vitals WHERE site = ? AND day BETWEEN toDate(?) AND toDate(?) GROUP BY number, device, metric, bucket";
        let query = self.calls.query(sql).bind(self.site.as_u128()).bind(from.number()).bind(to.number());
        query.fetch_all().await.map_err(failed(STEP))
    }

    /// The histograms of the `limit` pages with most measurements, in no order. Both days are
    /// inclusive.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses the query.
    pub async fn vitals_of_pages(&self, (from, to): (Day, Day), limit: usize) -> Result<Vec<Measured>, StoreError> {
        let scope = "site = ? AND day BETWEEN toDate(?) AND toDate(?)";
        let sql = format!(
            "SELECT path AS of, toString(metric) AS metric, bucket, sum(hits) AS hits FROM vitals WHERE {scope} AND path IN \
             (SELECT path FROM vitals WHERE {scope} GROUP BY path ORDER BY sum(hits) DESC, path LIMIT ?) \
             GROUP BY of, metric, bucket"
        );
        let mut query = self.calls.query(&sql);
        for _ in 0..2 {
            query = query.bind(self.site.as_u128()).bind(from.number()).bind(to.number());
        }
        query.bind(limit as u64).fetch_all().await.map_err(failed(STEP))
    }

    /// The `limit` most frequent faults, most frequent first. Both days are inclusive.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse refuses the query.
    pub async fn faults(&self, (from, to): (Day, Day), limit: usize) -> Result<Vec<Faulted>, StoreError> {
        let sql = "SELECT toString(kind) AS kind, fault, path, sum(hits) AS hits FROM faults \
                   WHERE site = ? AND day BETWEEN toDate(?) AND toDate(?) GROUP BY kind, fault, path \
                   ORDER BY hits DESC, kind, fault, path LIMIT ?";
        let query = self.calls.query(sql).bind(self.site.as_u128()).bind(from.number()).bind(to.number());
        query.bind(limit as u64).fetch_all().await.map_err(failed(STEP))
    }
}

/// The expression of [`Totals`]: a tuple of the sums of all counters.
fn sums() -> String {
    let sums: Vec<String> = Counter::ALL.iter().map(|counter| format!("sum({})", counter.name())).collect();
    format!("({})", sums.join(", "))
}
