//! Published attributes, and up to which day and hour attributes are published.
//!
//! A row of `published` may be stored twice until parts are merged. Therefore the inner GROUP BY
//! has the whole key, and `any` selects one of the copies.

use clickhouse::Row;
use serde::Deserialize;

use super::Store;
use super::error::{StoreError, error_during};
use super::site_reader::SiteReader;
use crate::calendar::{Day, DayRange};
use crate::event::{Dimension, Subject};

const STEP: &str = "a query for published attributes";

/// Up to when the attributes of a zone's sites are published.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PublicationCutoff {
    /// The last published day that is over; `None` before the first.
    pub through: Option<Day>,
    /// The end of the last published hour of the day after it, in Unix seconds; `None` if there is
    /// none.
    pub hour: Option<u32>,
}

/// The published counts of one value.
#[derive(Row, Deserialize, Debug)]
pub struct ValueCounts {
    /// The name of the dimension.
    pub dim: String,
    /// The value.
    pub value: String,
    /// Visitors; over several days, visitor-days.
    pub visitors: u64,
    /// Visits.
    pub visits: u64,
}

/// The published counts of one value for one item, or for the site itself.
#[derive(Row, Deserialize, Debug)]
pub struct ItemCounts {
    /// The name of the subject.
    pub subject: String,
    /// The path, link or event; empty for the site.
    pub item: String,
    /// Visitors; over several days, visitor-days.
    pub visitors: u64,
    /// Visits.
    pub visits: u64,
}

#[derive(Row, Deserialize)]
struct CutoffRow {
    days: u64,
    through: u16,
    hours: u64,
    hour: u32,
}

impl Store {
    /// Up to when the zone with this IANA name is published.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn publication_cutoff(&self, zone: &str) -> Result<PublicationCutoff, StoreError> {
        let closed =
            "(SELECT max(at) FROM publications WHERE zone = ? AND done = 1 AND closes = 1)";
        let sql = format!(
            "SELECT countIf(closes = 1) AS days, toUInt16(maxIf(day, closes = 1)) AS through, \
             countIf(closes = 0 AND at > {closed}) AS hours, \
             toUInt32(maxIf(at, closes = 0 AND at > {closed})) AS hour \
             FROM publications WHERE zone = ? AND done = 1"
        );

        let query = self
            .short_client
            .query(&sql)
            .bind(zone)
            .bind(zone)
            .bind(zone);
        let row: CutoffRow = query.fetch_one().await.map_err(error_during(STEP))?;

        Ok(PublicationCutoff {
            through: (row.days > 0).then(|| Day::from_number(row.through)),
            hour: (row.hours > 0).then_some(row.hour),
        })
    }
}

impl PublicationCutoff {
    /// Up to when all shards are published.
    pub fn of_shards(shards: &[PublicationCutoff]) -> PublicationCutoff {
        let through = shards.iter().map(|shard| shard.through).min().flatten();
        let hours = shards.iter().map(|shard| (shard.through, shard.hour));
        let same_day = hours.clone().all(|(day, _)| day == through);
        PublicationCutoff {
            through,
            hour: hours
                .map(|(_, hour)| hour)
                .min()
                .flatten()
                .filter(|_| same_day),
        }
    }
}

impl SiteReader<'_> {
    /// All published values of an item, in all dimensions. Lots count on their day of publication.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn value_counts(
        &self,
        subject: Subject,
        item: &str,
        days: DayRange,
    ) -> Result<Vec<ValueCounts>, StoreError> {
        let sql = "SELECT toString(dim) AS dim, toString(value) AS value, \
                   sum(lot_visitors) AS visitors, sum(lot_visits) AS visits \
                   FROM (SELECT dim, value, any(visitors) AS lot_visitors, \
                   any(visits) AS lot_visits FROM published \
                   WHERE site = ? AND subject = ? AND item = ? \
                   AND day BETWEEN toDate(?) AND toDate(?) \
                   GROUP BY dim, value, day, lot) GROUP BY dim, value";
        self.fetch_rows(STEP, |client| {
            let query = client.query(sql).bind(self.site.as_u128());
            let query = query.bind(subject.name()).bind(item);
            query
                .bind(days.first().as_number())
                .bind(days.last().as_number())
        })
        .await
    }

    /// The published counts of one value: for the site, and for at most `limit` items of each
    /// subject, those with most visitors.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn items_for_value(
        &self,
        dim: Dimension,
        value: &str,
        days: DayRange,
        limit: usize,
    ) -> Result<Vec<ItemCounts>, StoreError> {
        let sql = "SELECT toString(subject) AS subject, item, sum(lot_visitors) AS visitors, \
                   sum(lot_visits) AS visits \
                   FROM (SELECT subject, item, any(visitors) AS lot_visitors, \
                   any(visits) AS lot_visits FROM published \
                   WHERE site = ? AND subject IN ('site', 'page', 'link', 'event') AND dim = ? \
                   AND value = ? \
                   AND day BETWEEN toDate(?) AND toDate(?) GROUP BY subject, item, day, lot) \
                   GROUP BY subject, item ORDER BY visitors DESC, visits DESC, item \
                   LIMIT ? BY subject";
        self.fetch_rows(STEP, |client| {
            let query = client.query(sql).bind(self.site.as_u128());
            let query = query.bind(dim.name()).bind(value);
            query
                .bind(days.first().as_number())
                .bind(days.last().as_number())
                .bind(limit as u64)
        })
        .await
    }

    /// The site's published visitors by day of publication and class of device: day in days since
    /// 1970-01-01, class, visitors.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn visitors_by_device(
        &self,
        days: DayRange,
    ) -> Result<Vec<(u16, String, u64)>, StoreError> {
        let sql = "SELECT toUInt16(day) AS number, toString(value) AS value, \
                   sum(lot_visitors) AS visitors \
                   FROM (SELECT day, value, any(visitors) AS lot_visitors FROM published \
                   WHERE site = ? AND subject = 'site' AND item = '' AND dim = 'device' \
                   AND day BETWEEN toDate(?) AND toDate(?) GROUP BY day, value, lot) \
                   GROUP BY number, value";
        self.fetch_rows(STEP, |client| self.bind_site_days(client.query(sql), days))
            .await
    }
}
