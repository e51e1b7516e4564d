//! Queries over all sites, for operators, and the names of sites.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::Store;
use super::activity_source::ActivitySource;
use super::client::{MAX_IDS_PER_STATEMENT, MAX_SQL_BYTES};
use super::error::{StoreError, error_during};
use super::marker::{exclude_marker_sites, exclude_marker_texts};
use super::retention::kept_condition;
use super::shard::ShardPlace;
use super::site_reader::FaultTotal;
use crate::calendar::{Day, DayRange};
use crate::config::RetentionPolicy;
use crate::event::{SiteId, VitalBucket, WebVital};

const STEP: &str = "a platform query";

#[derive(Row, Serialize)]
struct SiteNameRow<'a> {
    site: u128,
    name: &'a str,
    revision: u64,
}

/// The totals of a site in a range and in the range before it. Each is hits, visitors and visits.
#[derive(Row, Deserialize, Debug)]
pub struct ActivityRow {
    /// The site's id.
    pub site: u128,
    /// The requested range.
    pub now: (u64, u64, u64),
    /// The range before it.
    pub before: (u64, u64, u64),
    /// The part of `now` that is over; zeroes if it was not requested.
    pub days_now: (u64, u64, u64),
    /// The part of `before` that `days_now` is compared with; zeroes if it was not requested.
    pub days_before: (u64, u64, u64),
}

/// Hits that were not counted for one reason.
#[derive(Row, Deserialize, Debug)]
pub struct DropTotal {
    /// The name of the drop reason.
    pub reason: String,
    /// The number of hits.
    pub hits: u64,
}

/// The measurements of one metric on one page.
#[derive(Row, Deserialize, Debug)]
pub struct PageHistogram {
    /// The site's id.
    pub site: u128,
    /// The cleaned path.
    pub path: String,
    /// The histogram: buckets with measurements, and the number of measurements in each.
    pub buckets: Vec<(VitalBucket, u64)>,
}

/// How often a fault happened on a page.
#[derive(Row, Deserialize, Debug)]
pub struct SiteFaultTotal {
    /// The site's id.
    pub site: u128,
    /// The name of a [`FaultKind`](crate::event::FaultKind).
    pub kind: String,
    /// The error's class and place; empty for a missing page.
    pub fault: String,
    /// The cleaned path of the page.
    pub path: String,
    /// How often it was reported.
    pub hits: u64,
}

impl SiteFaultTotal {
    /// The site's id, and the fault without it.
    pub fn into_site_and_fault(self) -> (u128, FaultTotal) {
        let SiteFaultTotal {
            site,
            kind,
            fault,
            path,
            hits,
        } = self;
        (
            site,
            FaultTotal {
                kind,
                fault,
                path,
                hits,
            },
        )
    }
}

impl Store {
    /// The sites with most visitors in the first of two ranges, at most `limit`; only those of
    /// `among` if it is given. `days` are the parts of the two ranges that are over.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn most_active_sites(
        &self,
        [range, before]: [DayRange; 2],
        days: Option<(DayRange, DayRange)>,
        among: Option<&[SiteId]>,
        limit: usize,
        kept: (&RetentionPolicy, Day),
    ) -> Result<Vec<ActivityRow>, StoreError> {
        let sums = |days: DayRange| {
            let within = format!(
                "day BETWEEN toDate({}) AND toDate({})",
                days.first().as_number(),
                days.last().as_number()
            );
            format!("(sumIf(hits, {within}), sumIf(visitors, {within}), sumIf(visits, {within}))")
        };
        let none = "(toUInt64(0), toUInt64(0), toUInt64(0))".to_owned();

        let ranges: Vec<DayRange> = [range, before]
            .into_iter()
            .chain(days.into_iter().flat_map(|(now, then)| [now, then]))
            .collect();
        let summed = self.list_summed_months().await?;
        let source = ActivitySource::new(&ranges, &summed, kept);
        let sql = format!(
            "SELECT site, {now} AS now, {then} AS before, {days_now} AS days_now, \
             {days_then} AS days_before FROM ({rows}) \
             GROUP BY site HAVING now.1 + now.2 > 0 ORDER BY now.2 DESC, now.1 DESC, site LIMIT ?",
            now = sums(range),
            then = sums(before),
            days_now = days.map_or(none.clone(), |(now, _)| sums(now)),
            days_then = days.map_or(none.clone(), |(_, then)| sums(then)),
            rows = source.render_rows(among),
        );

        self.short_client
            .query(&sql)
            .with_setting("max_query_size", MAX_SQL_BYTES)
            .bind(limit as u64)
            .fetch_all()
            .await
            .map_err(error_during(STEP))
    }

    /// Hits that were not counted, by reason, most frequent first, in whole UTC days.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn drop_totals(&self, days: DayRange) -> Result<Vec<DropTotal>, StoreError> {
        let sql = format!(
            "SELECT toString(reason) AS reason, sum(hits) AS hits FROM drops \
             WHERE toDate(hour, 'UTC') BETWEEN toDate(?) AND toDate(?) AND {} \
             GROUP BY reason ORDER BY hits DESC, reason",
            exclude_marker_texts("drops.reason")
        );
        let query = self
            .short_client
            .query(&sql)
            .bind(days.first().as_number())
            .bind(days.last().as_number());
        query.fetch_all().await.map_err(error_during(STEP))
    }

    /// The `limit` pages with the most loads above a metric's second threshold, worst first, each
    /// with all its measurements of the metric.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects a query.
    pub async fn slowest_pages(
        &self,
        metric: WebVital,
        days: DayRange,
        limit: usize,
        kept: (&RetentionPolicy, Day),
    ) -> Result<Vec<PageHistogram>, StoreError> {
        // Two queries: histograms of all pages would take twenty times the work.
        let kept = kept_condition(kept.0, kept.1);
        let worst = format!(
            "SELECT site, path, sum(hits) AS poor FROM vitals \
             WHERE metric = ? AND day BETWEEN toDate(?) AND toDate(?) AND bucket > ? AND {kept} \
             GROUP BY site, path ORDER BY poor DESC, site, path LIMIT ?"
        );
        let query = self
            .short_client
            .query(&worst)
            .with_setting("max_query_size", MAX_SQL_BYTES)
            .bind(metric.name())
            .bind(days.first().as_number())
            .bind(days.last().as_number());
        let query = query
            .bind(metric.bucket_for(metric.thresholds().1))
            .bind(limit as u64);
        let worst: Vec<(u128, String, u64)> =
            query.fetch_all().await.map_err(error_during(STEP))?;
        if worst.is_empty() {
            return Ok(Vec::new());
        }

        let (sites, pages): (Vec<u128>, Vec<(u128, &str)>) = worst
            .iter()
            .map(|(site, path, _)| (*site, (*site, path.as_str())))
            .unzip();
        let sql = format!(
            "SELECT site, path, arrayZip(b.1, b.2) AS buckets FROM ( \
             SELECT site, path, sumMap([bucket], [hits]) AS b FROM vitals \
             WHERE metric = ? AND day BETWEEN toDate(?) AND toDate(?) AND site IN ? \
             AND (site, path) IN ? AND {kept} GROUP BY site, path)"
        );
        let query = self
            .short_client
            .query(&sql)
            .with_setting("max_query_size", MAX_SQL_BYTES)
            .bind(metric.name())
            .bind(days.first().as_number())
            .bind(days.last().as_number());
        let mut slow: Vec<PageHistogram> = query
            .bind(sites)
            .bind(pages)
            .fetch_all()
            .await
            .map_err(error_during(STEP))?;

        let place = |page: &PageHistogram| {
            worst
                .iter()
                .position(|(site, path, _)| *site == page.site && *path == page.path)
        };
        slow.sort_by_key(place);
        Ok(slow)
    }

    /// The `limit` most frequent faults by page, most frequent first.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn most_frequent_faults(
        &self,
        days: DayRange,
        limit: usize,
        kept: (&RetentionPolicy, Day),
    ) -> Result<Vec<SiteFaultTotal>, StoreError> {
        let sql = format!(
            "SELECT site, toString(kind) AS kind, fault, path, sum(hits) AS hits FROM faults \
             WHERE day BETWEEN toDate(?) AND toDate(?) AND {} AND {} \
             GROUP BY site, kind, fault, path \
             ORDER BY hits DESC, site, kind, fault, path LIMIT ?",
            exclude_marker_sites(),
            kept_condition(kept.0, kept.1)
        );
        let query = self
            .short_client
            .query(&sql)
            .with_setting("max_query_size", MAX_SQL_BYTES)
            .bind(days.first().as_number())
            .bind(days.last().as_number())
            .bind(limit as u64);
        query.fetch_all().await.map_err(error_during(STEP))
    }

    /// Stores the names of sites; repeating it changes nothing. Returns the ids with two names:
    /// their counts are the sum of two sites and must not be shown as either's.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects a statement. The names may be
    /// stored.
    pub async fn insert_site_names(
        &self,
        names: &[(SiteId, String)],
    ) -> Result<Vec<SiteId>, StoreError> {
        self.insert_known_names(names).await?;

        let mut clashes = Vec::new();
        for some in names.chunks(MAX_IDS_PER_STATEMENT) {
            let sql = "SELECT site FROM names WHERE site IN ? GROUP BY site \
                HAVING uniqExact(name) > 1 ORDER BY site";
            let ids: Vec<u128> = some.iter().map(|(site, _)| site.as_u128()).collect();
            let found: Vec<u128> = self
                .short_client
                .query(sql)
                .bind(ids)
                .fetch_all()
                .await
                .map_err(error_during(STEP))?;
            clashes.extend(found.into_iter().map(SiteId::from_u128));
        }
        Ok(clashes)
    }

    /// Stores the names of sites whose ids are known to be of one name each; repeating it changes
    /// nothing.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the insert. The names may be
    /// stored.
    pub async fn insert_known_names(&self, names: &[(SiteId, String)]) -> Result<(), StoreError> {
        let write = self.replica().begin_write();
        self.insert_names_here(names).await?;
        for sibling in self.note_present_siblings() {
            if sibling.insert_names_here(names).await.is_err() {
                self.replica().note_difference();
            }
        }
        write.finish();
        Ok(())
    }

    async fn insert_names_here(&self, names: &[(SiteId, String)]) -> Result<(), StoreError> {
        let permit = self.short_client.permit_write().await;
        let _permit = permit.map_err(error_during(STEP))?;
        let mut insert = self
            .short_client
            .begin_insert::<SiteNameRow<'_>>("names")
            .await
            .map_err(error_during(STEP))?;
        for (site, name) in names {
            insert
                .write(&SiteNameRow {
                    site: site.as_u128(),
                    name,
                    revision: 0,
                })
                .await
                .map_err(error_during(STEP))?;
        }
        insert.end().await.map_err(error_during(STEP))
    }

    /// The number of sites of a shard whose names are here.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn count_shard_names(&self, shard: ShardPlace) -> Result<u64, StoreError> {
        let sql = format!(
            "SELECT uniqExact(site) FROM names WHERE {}",
            shard.site_condition()
        );
        let query = self.short_client.query(&sql).fetch_one();
        query.await.map_err(error_during(STEP))
    }

    /// Names of sites of a shard that come after `after`, in alphabetical order, at most `limit`
    /// rows. A name may appear twice.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn read_shard_names(
        &self,
        shard: ShardPlace,
        after: &str,
        limit: usize,
    ) -> Result<Vec<(SiteId, String)>, StoreError> {
        let sql = format!(
            "SELECT site, name FROM names WHERE name > ? AND {} ORDER BY name LIMIT ?",
            shard.site_condition()
        );
        let query = self.short_client.query(&sql).bind(after);
        let rows: Vec<(u128, String)> = query
            .bind(limit as u64)
            .fetch_all()
            .await
            .map_err(error_during(STEP))?;
        let rows = rows.into_iter();
        Ok(rows
            .map(|(site, name)| (SiteId::from_u128(site), name))
            .collect())
    }

    /// The names of those sites that are known. Ids with two names are left out.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn read_site_names(&self, sites: &[u128]) -> Result<Vec<(u128, String)>, StoreError> {
        let sql = "SELECT site, any(name) FROM names WHERE site IN ? GROUP BY site \
            HAVING uniqExact(name) = 1";
        let mut names = Vec::new();
        for some in sites.chunks(MAX_IDS_PER_STATEMENT) {
            let found: Vec<(u128, String)> = self
                .short_client
                .query(sql)
                .bind(some)
                .fetch_all()
                .await
                .map_err(error_during(STEP))?;
            names.extend(found);
        }
        Ok(names)
    }

    /// Names of sites made by profile rules that come after `after` and contain the text, ignoring
    /// case: at most `limit` rows in alphabetical order. A name may appear twice.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn search_site_names(
        &self,
        after: &str,
        text: &str,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        // Without DISTINCT, which would build a set of all names for a page of them.
        let sql = "SELECT name FROM names \
            WHERE name > ? AND positionCaseInsensitive(name, ?) > 0 ORDER BY name LIMIT ?";
        self.short_client
            .query(sql)
            .bind(after)
            .bind(text)
            .bind(limit as u64)
            .fetch_all()
            .await
            .map_err(error_during(STEP))
    }
}
