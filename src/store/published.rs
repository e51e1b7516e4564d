//! Attributes as they are published, and until when they are.
//!
//! A row of `published` may stand twice until parts are merged: the inner GROUP BY is the whole key, and `any` takes one of the copies.

use clickhouse::Row;
use serde::Deserialize;

use super::Store;
use super::error::{StoreError, failed};
use super::read::Read;
use crate::event::{Day, Dimension, Subject};

const STEP: &str = "a question about attributes";

/// Until when the attributes of a zone's sites are published.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Published {
    /// The last day that is over and published.
    pub through: Option<Day>,
    /// The second at which the last published hour of the day after it ended.
    pub hour: Option<u32>,
}

#[derive(Row, Deserialize, Debug)]
pub struct Valued {
    pub dim: String,
    pub value: String,
    pub visitors: u64,
    pub visits: u64,
}

/// The cell of a value and an item; of the site itself, whose item is empty, too.
#[derive(Row, Deserialize, Debug)]
pub struct OfValue {
    pub subject: String,
    pub item: String,
    pub visitors: u64,
    pub visits: u64,
}

#[derive(Row, Deserialize)]
struct AsOf {
    days: u64,
    through: u16,
    hours: u64,
    hour: u32,
}

impl Store {
    pub async fn published_through(&self, zone: &str) -> Result<Published, StoreError> {
        let closed = "(SELECT max(at) FROM publications WHERE zone = ? AND done = 1 AND closes = 1)";
        let sql = format!(
            "SELECT countIf(closes = 1) AS days, toUInt16(maxIf(day, closes = 1)) AS through, \
             countIf(closes = 0 AND at > {closed}) AS hours, \
             toUInt32(maxIf(at, closes = 0 AND at > {closed})) AS hour \
             FROM publications WHERE zone = ? AND done = 1"
        );
        let query = self.calls.query(&sql).bind(zone).bind(zone).bind(zone);
        let row: AsOf = query.fetch_one().await.map_err(failed(STEP))?;
        Ok(Published {
            through: (row.days > 0).then(|| Day::from_number(row.through)),
            hour: (row.hours > 0).then_some(row.hour),
        })
    }
}

impl Read<'_> {
    /// All published values of a subject's item.
    pub async fn values(
        &self,
        subject: Subject,
        item: &str,
        (from, to): (Day, Day),
    ) -> Result<Vec<Valued>, StoreError> {
        let sql = "SELECT toString(dim) AS dim, toString(value) AS value, sum(lot_visitors) AS visitors, sum(lot_visits) AS visits \
                   FROM (SELECT dim, value, any(visitors) AS lot_visitors, any(visits) AS lot_visits FROM published \
                   WHERE site = ? AND subject = ? AND item = ? AND day BETWEEN toDate(?) AND toDate(?) \
                   GROUP BY dim, value, day, lot) GROUP BY dim, value";
        let query = self.calls.query(sql).bind(self.site.as_u128()).bind(subject.name()).bind(item);
        query.bind(from.number()).bind(to.number()).fetch_all().await.map_err(failed(STEP))
    }

    /// The published cells of a value: the site's own, and at most `limit` of each subject.
    pub async fn of_value(
        &self,
        dim: Dimension,
        value: &str,
        (from, to): (Day, Day),
        limit: usize,
    ) -> Result<Vec<OfValue>, StoreError> {
        let sql = "SELECT toString(subject) AS subject, item, sum(lot_visitors) AS visitors, sum(lot_visits) AS visits \
                   FROM (SELECT subject, item, any(visitors) AS lot_visitors, any(visits) AS lot_visits FROM published \
                   WHERE site = ? AND subject IN ('site', 'page', 'link', 'event') AND dim = ? AND value = ? \
                   AND day BETWEEN toDate(?) AND toDate(?) GROUP BY subject, item, day, lot) \
                   GROUP BY subject, item ORDER BY visitors DESC, visits DESC, item LIMIT ? BY subject";
        let query = self.calls.query(sql).bind(self.site.as_u128()).bind(dim.name()).bind(value);
        let query = query.bind(from.number()).bind(to.number()).bind(limit as u64);
        query.fetch_all().await.map_err(failed(STEP))
    }

    /// The site's published visitors of each class of devices, by day.
    pub async fn devices(&self, (from, to): (Day, Day)) -> Result<Vec<(u16, String, u64)>, StoreError> {
        let sql = "SELECT toUInt16(day) AS number, toString(value) AS value, sum(lot_visitors) AS visitors \
                   FROM (SELECT day, value, any(visitors) AS lot_visitors FROM published \
                   WHERE site = ? AND subject = 'site' AND item = '' AND dim = 'device' \
                   AND day BETWEEN toDate(?) AND toDate(?) GROUP BY day, value, lot) GROUP BY number, value";
        let query = self.calls.query(sql).bind(self.site.as_u128()).bind(from.number()).bind(to.number());
        query.fetch_all().await.map_err(failed(STEP))
    }
}
