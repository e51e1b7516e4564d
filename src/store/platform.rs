//! Questions over all sites, for operators; and what sites are called.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::Store;
use super::error::{StoreError, failed};
use super::marker::{no_marker_site, no_marker_text};
use super::read::Faulted;
use crate::event::{Bucket, Day, Metric, SiteId};

const STEP: &str = "a question about the platform";

/// Ids that one statement names: its text has a bound.
pub(super) const MOST_IDS: usize = 2000;

#[derive(Row, Serialize)]
struct NameRow<'a> {
    site: u128,
    name: &'a str,
    revision: u64,
}

/// A site's totals in a range, and in the one before it.
#[derive(Row, Deserialize, Debug)]
pub struct Active {
    pub site: u128,
    /// Hits, visitors, visits.
    pub now: (u64, u64, u64),
    pub before: (u64, u64, u64),
    /// The same of the days of both that are over.
    pub days_now: (u64, u64, u64),
    pub days_before: (u64, u64, u64),
}

#[derive(Row, Deserialize, Debug)]
pub struct Dropped {
    pub reason: String,
    pub hits: u64,
}

#[derive(Row, Deserialize, Debug)]
pub struct SlowPage {
    pub site: u128,
    pub path: String,
    pub buckets: Vec<(Bucket, u64)>,
}

#[derive(Row, Deserialize, Debug)]
pub struct BrokenPage {
    pub site: u128,
    pub kind: String,
    pub fault: String,
    pub path: String,
    pub hits: u64,
}

impl BrokenPage {
    pub fn split(self) -> (u128, Faulted) {
        let BrokenPage { site, kind, fault, path, hits } = self;
        (site, Faulted { kind, fault, path, hits })
    }
}

impl Store {
    /// The sites with most visitors; with `among`, of those only. `days` are those of both ranges that are over.
    pub async fn active(
        &self,
        [(from, to), before]: [(Day, Day); 2],
        days: Option<((Day, Day), (Day, Day))>,
        among: Option<&[SiteId]>,
        limit: usize,
    ) -> Result<Vec<Active>, StoreError> {
        let sums = |first: Day, last: Day| {
            let within = format!("day BETWEEN toDate({}) AND toDate({})", first.number(), last.number());
            format!("(sumIf(hits, {within}), sumIf(visitors, {within}), sumIf(visits, {within}))")
        };
        let none = "(toUInt64(0), toUInt64(0), toUInt64(0))".to_owned();
        let sql = format!(
            "SELECT site, {now} AS now, {then} AS before, {days_now} AS days_now, {days_then} AS days_before FROM activity \
             WHERE (day BETWEEN toDate(?) AND toDate(?) OR day BETWEEN toDate(?) AND toDate(?)) AND {site} {among} \
             GROUP BY site HAVING now.1 + now.2 > 0 ORDER BY now.2 DESC, now.1 DESC, site LIMIT ?",
            now = sums(from, to),
            then = sums(before.0, before.1),
            days_now = days.map_or(none.clone(), |(now, _)| sums(now.0, now.1)),
            days_then = days.map_or(none.clone(), |(_, then)| sums(then.0, then.1)),
            site = no_marker_site(),
            among = among.map_or("", |_| "AND site IN ?"),
        );
        let days = [from, to, before.0, before.1].map(Day::number);
        let mut query = days.into_iter().fold(self.calls.query(&sql), |query, day| query.bind(day));
        if let Some(sites) = among {
            query = query.bind(sites.iter().map(|site| site.as_u128()).collect::<Vec<_>>());
        }
        query.bind(limit as u64).fetch_all().await.map_err(failed(STEP))
    }

    /// Hits that were not counted, by reason, on whole days of UTC.
    pub async fn dropped(&self, (from, to): (Day, Day)) -> Result<Vec<Dropped>, StoreError> {
        let sql = format!(
            "SELECT toString(reason) AS reason, sum(hits) AS hits FROM drops \
             WHERE toDate(hour, 'UTC') BETWEEN toDate(?) AND toDate(?) AND {} GROUP BY reason ORDER BY hits DESC, reason",
            no_marker_text("drops.reason")
        );
        let query = self.calls.query(&sql).bind(from.number()).bind(to.number());
        query.fetch_all().await.map_err(failed(STEP))
    }

    /// The pages where most loads were slower than a metric's second threshold, with all their measurements of it.
    pub async fn slow(
        &self,
        metric: Metric,
        (from, to): (Day, Day),
        limit: usize,
    ) -> Result<Vec<SlowPage>, StoreError> {
        // First which pages, then their histograms: all pages' histograms would be twenty times the work.
        let worst = "SELECT site, path, sum(hits) AS poor FROM vitals \
                     WHERE metric = ? AND day BETWEEN toDate(?) AND toDate(?) AND bucket > ? \
                     GROUP BY site, path ORDER BY poor DESC, site, path LIMIT ?";
        let query = self.calls.query(worst).bind(metric.name()).bind(from.number()).bind(to.number());
        let query = query.bind(metric.bucket(metric.thresholds().1)).bind(limit as u64);
        let worst: Vec<(u128, String, u64)> = query.fetch_all().await.map_err(failed(STEP))?;
        if worst.is_empty() {
            return Ok(Vec::new());
        }
        let (sites, pages): (Vec<u128>, Vec<(u128, &str)>) =
            worst.iter().map(|(site, path, _)| (*site, (*site, path.as_str()))).unzip();
        let sql = "SELECT site, path, arrayZip(b.1, b.2) AS buckets FROM ( \
                   SELECT site, path, sumMap([bucket], [hits]) AS b FROM vitals \
                   WHERE metric = ? AND day BETWEEN toDate(?) AND toDate(?) AND site IN ? AND (site, path) IN ? GROUP BY site, path)";
        let query = self.calls.query(sql).bind(metric.name()).bind(from.number()).bind(to.number());
        let mut slow: Vec<SlowPage> = query.bind(sites).bind(pages).fetch_all().await.map_err(failed(STEP))?;
        let place = |page: &SlowPage| worst.iter().position(|(site, path, _)| *site == page.site && *path == page.path);
        slow.sort_by_key(place);
        Ok(slow)
    }

    pub async fn broken(&self, (from, to): (Day, Day), limit: usize) -> Result<Vec<BrokenPage>, StoreError> {
        let sql = format!(
            "SELECT site, toString(kind) AS kind, fault, path, sum(hits) AS hits FROM faults \
             WHERE day BETWEEN toDate(?) AND toDate(?) AND {} GROUP BY site, kind, fault, path \
             ORDER BY hits DESC, site, kind, fault, path LIMIT ?",
            no_marker_site()
        );
        let query = self.calls.query(&sql).bind(from.number()).bind(to.number()).bind(limit as u64);
        query.fetch_all().await.map_err(failed(STEP))
    }

    /// Remembers what sites are called; again and again is the same as once. Answers the ids that have another name already: two names
    /// of one id are two sites' counts in one, which nobody must take for either's.
    pub async fn put_names(&self, names: &[(SiteId, String)]) -> Result<Vec<SiteId>, StoreError> {
        let mut insert = self.calls.insert::<NameRow<'_>>("names").await.map_err(failed(STEP))?;
        for (site, name) in names {
            insert.write(&NameRow { site: site.as_u128(), name, revision: 0 }).await.map_err(failed(STEP))?;
        }
        insert.end().await.map_err(failed(STEP))?;

        let mut clashes = Vec::new();
        for some in names.chunks(MOST_IDS) {
            let sql = "SELECT site FROM names WHERE site IN ? GROUP BY site HAVING uniqExact(name) > 1 ORDER BY site";
            let ids: Vec<u128> = some.iter().map(|(site, _)| site.as_u128()).collect();
            let found: Vec<u128> = self.calls.query(sql).bind(ids).fetch_all().await.map_err(failed(STEP))?;
            clashes.extend(found.into_iter().map(SiteId::from_u128));
        }
        Ok(clashes)
    }

    /// What the sites are called, of those that are known; an id with two names has none.
    pub async fn names(&self, sites: &[u128]) -> Result<Vec<(u128, String)>, StoreError> {
        let sql = "SELECT site, any(name) FROM names WHERE site IN ? GROUP BY site HAVING uniqExact(name) = 1";
        self.calls.query(sql).bind(sites).fetch_all().await.map_err(failed(STEP))
    }

    /// Sites made by profile rules whose name holds the text.
    pub async fn named_like(&self, text: &str, limit: usize) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT DISTINCT name FROM names WHERE positionCaseInsensitive(name, ?) > 0 ORDER BY name LIMIT ?";
        self.calls.query(sql).bind(text).bind(limit as u64).fetch_all().await.map_err(failed(STEP))
    }
}
