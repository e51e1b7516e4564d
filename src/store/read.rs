//! Questions to the tables, typed. Always `sum()` and `GROUP BY`: rows of one key may lie in several parts.

use clickhouse::{Client, Row};
use serde::Deserialize;

use super::error::{StoreError, failed};
use crate::event::{Bucket, Counter, Day, Dimension, SiteId, Subject};

/// Sums of all counters, in the order of [`Counter::ALL`].
pub type Sums6 = [u64; Counter::ALL.len()];

/// Which attribute rows are asked for. `None` is every item, or every value.
pub struct Scope<'a> {
    pub subject: Subject,
    pub item: Option<&'a str>,
    pub dim: Dimension,
    pub value: Option<&'a str>,
}

/// The questions about one site.
pub struct Read<'a> {
    pub(super) client: &'a Client,
    pub(super) site: SiteId,
}

#[derive(Row, Deserialize)]
struct Counted<K, S> {
    key: K,
    sums: S,
}

const STEP: &str = "a question";

impl Read<'_> {
    /// A subject's totals by day; days without a hit are absent.
    pub async fn days(
        &self,
        subject: Subject,
        item: &str,
        (from, to): (Day, Day),
    ) -> Result<Vec<(Day, Sums6)>, StoreError> {
        let sql = format!(
            "SELECT toUInt16(day) AS key, {} AS sums FROM daily \
             WHERE site = ? AND subject = ? AND dim = '' AND item = ? AND day BETWEEN toDate(?) AND toDate(?) \
             GROUP BY day ORDER BY day",
            sums()
        );
        let query = self.client.query(&sql).bind(self.site.as_u64()).bind(subject.name()).bind(item);
        let rows = query
            .bind(from.number())
            .bind(to.number())
            .fetch_all::<Counted<u16, Sums6>>()
            .await
            .map_err(failed(STEP))?;
        Ok(rows.into_iter().map(|row| (Day::from_number(row.key), row.sums)).collect())
    }

    /// The site's totals by hour, between two hours' first seconds, both included.
    pub async fn hours(&self, (from, to): (u32, u32)) -> Result<Vec<(u32, Sums6)>, StoreError> {
        let sql = "SELECT toUInt32(hour) AS key, \
                   (sum(hits), sum(visitors), sum(visits), sum(bounces), sum(seconds), toUInt64(0)) AS sums FROM hourly \
                   WHERE site = ? AND hour BETWEEN toDateTime(?, 'UTC') AND toDateTime(?, 'UTC') GROUP BY hour ORDER BY hour";
        let query = self.client.query(sql).bind(self.site.as_u64()).bind(from).bind(to);
        let rows = query.fetch_all::<Counted<u32, Sums6>>().await.map_err(failed(STEP))?;
        Ok(rows.into_iter().map(|row| (row.key, row.sums)).collect())
    }

    /// A subject's items by hits, at most `limit`.
    pub async fn items(
        &self,
        subject: Subject,
        (from, to): (Day, Day),
        limit: usize,
    ) -> Result<Vec<(String, Sums6)>, StoreError> {
        let sql = format!(
            "SELECT toString(item) AS key, {} AS sums FROM daily \
             WHERE site = ? AND subject = ? AND dim = '' AND day BETWEEN toDate(?) AND toDate(?) \
             GROUP BY item ORDER BY sum(hits) DESC, item LIMIT ?",
            sums()
        );
        let query = self.client.query(&sql).bind(self.site.as_u64()).bind(subject.name());
        let query = query.bind(from.number()).bind(to.number()).bind(limit as u64);
        let rows = query.fetch_all::<Counted<String, Sums6>>().await.map_err(failed(STEP))?;
        Ok(rows.into_iter().map(|row| (row.key, row.sums)).collect())
    }

    /// (name, visitors, visits) of attribute rows: by value, or by item where the value is given and the item is not.
    pub async fn cells(&self, scope: Scope<'_>, (from, to): (Day, Day)) -> Result<Vec<(String, u64, u64)>, StoreError> {
        let by = if scope.item.is_none() { "item" } else { "value" };
        let only = |column: &str, text: Option<&str>| text.map_or(String::new(), |_| format!("AND {column} = ? "));
        let sql = format!(
            "SELECT toString({by}) AS key, (sum(visitors), sum(visits)) AS sums FROM daily \
             WHERE site = ? AND subject = ? AND dim = ? {}{}AND day BETWEEN toDate(?) AND toDate(?) GROUP BY {by}",
            only("item", scope.item),
            only("value", scope.value)
        );
        let mut query =
            self.client.query(&sql).bind(self.site.as_u64()).bind(scope.subject.name()).bind(scope.dim.name());
        for text in [scope.item, scope.value].into_iter().flatten() {
            query = query.bind(text);
        }
        let query = query.bind(from.number()).bind(to.number());
        let rows = query.fetch_all::<Counted<String, (u64, u64)>>().await.map_err(failed(STEP))?;
        Ok(rows.into_iter().map(|row| (row.key, row.sums.0, row.sums.1)).collect())
    }
}

/// So many measurements of a metric lie in a bucket.
#[derive(Row, Deserialize, Debug)]
pub struct Measured {
    /// The page, or the class of devices.
    pub of: String,
    pub metric: String,
    pub bucket: Bucket,
    pub hits: u64,
}

#[derive(Row, Deserialize, Debug)]
pub struct Faulted {
    pub kind: String,
    pub fault: String,
    pub path: String,
    pub hits: u64,
}

impl Read<'_> {
    /// Measurements by class of devices, of one page or of all.
    pub async fn vitals(&self, path: Option<&str>, (from, to): (Day, Day)) -> Result<Vec<Measured>, StoreError> {
        let sql = format!(
            "SELECT toString(device) AS of, toString(metric) AS metric, bucket, sum(hits) AS hits FROM vitals \
             WHERE site = ? AND day BETWEEN toDate(?) AND toDate(?) {} GROUP BY of, metric, bucket",
            path.map_or("", |_| "AND path = ?")
        );
        let mut query = self.client.query(&sql).bind(self.site.as_u64()).bind(from.number()).bind(to.number());
        if let Some(path) = path {
            query = query.bind(path);
        }
        query.fetch_all().await.map_err(failed(STEP))
    }

    /// Measurements by page, of the pages with most of them.
    pub async fn vitals_of_pages(&self, (from, to): (Day, Day), limit: usize) -> Result<Vec<Measured>, StoreError> {
        let scope = "site = ? AND day BETWEEN toDate(?) AND toDate(?)";
        let sql = format!(
            "SELECT path AS of, toString(metric) AS metric, bucket, sum(hits) AS hits FROM vitals WHERE {scope} AND path IN \
             (SELECT path FROM vitals WHERE {scope} GROUP BY path ORDER BY sum(hits) DESC, path LIMIT ?) \
             GROUP BY of, metric, bucket"
        );
        let mut query = self.client.query(&sql);
        for _ in 0..2 {
            query = query.bind(self.site.as_u64()).bind(from.number()).bind(to.number());
        }
        query.bind(limit as u64).fetch_all().await.map_err(failed(STEP))
    }

    /// Faults by how often they happened, at most `limit`.
    pub async fn faults(&self, (from, to): (Day, Day), limit: usize) -> Result<Vec<Faulted>, StoreError> {
        let sql = "SELECT toString(kind) AS kind, fault, path, sum(hits) AS hits FROM faults \
                   WHERE site = ? AND day BETWEEN toDate(?) AND toDate(?) GROUP BY kind, fault, path \
                   ORDER BY hits DESC, kind, fault, path LIMIT ?";
        let query = self.client.query(sql).bind(self.site.as_u64()).bind(from.number()).bind(to.number());
        query.bind(limit as u64).fetch_all().await.map_err(failed(STEP))
    }
}

fn sums() -> String {
    let sums: Vec<String> = Counter::ALL.iter().map(|counter| format!("sum({})", counter.name())).collect();
    format!("({})", sums.join(", "))
}
