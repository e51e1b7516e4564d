//! Publication in the store: attribute counts of a day that is over go from `unpublished` through `pending` to `published`.
//!
//! What must hold: `published` + `pending` + `unpublished` are what was counted, whenever the process ends, and a unit that is done
//! again gives the same rows. There is no transaction over tables, so:
//! 1. A unit (a zone's day or hour) begins with a row in `publications` that lists the segments whose counts it takes. Counts that
//!    arrive later belong to the next unit. Every later step reads this row, so it can be done again.
//! 2. The sites are taken in slices by their ids; a slice fits into memory whatever the platform's size. Of each slice the published rows
//!    are written first (the same rows again replace themselves), then the cells, in one block. A site whose cells carry the
//!    unit's number is done: its rows were read in the same query, so its older ones are still there if they do not.
//! 3. When all slices are written, the counts that were taken are deleted by their segments' numbers, never by partition: another
//!    collector's late segment stays.
//! 4. A row with `done` ends the unit. A unit without it is taken up again at the next run, by any collector; two at once write the
//!    same rows.

mod once;
mod rows;
mod slices;

use std::collections::BTreeMap;

use clickhouse::Row;
use serde::Deserialize;

use super::Store;
use super::error::{StoreError, failed};
use super::marker::no_marker_site;
use crate::event::Day;
use crate::hex;
use crate::publication::{CoinKey, LotPolicy, Occasion, Rules};
use slices::Slice;

const STEP: &str = "the publication of attributes";

/// How long it is kept which units were published.
const PUBLICATIONS_DAYS: u16 = 62;

/// What is published in one step: a zone's day, or an hour of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unit {
    /// The IANA name of the zone whose sites are published; empty for counts of a schema that
    /// stored none.
    pub zone: String,
    /// The day, or the day of the hour, in the zone.
    pub day: Day,
    /// When the day or hour ended, in Unix seconds.
    pub at: u32,
    /// Whether it is a day or an hour.
    pub occasion: Occasion,
}

/// How far the publication of a zone is.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ZoneProgress {
    /// The last day that was published.
    pub day: Option<Day>,
    /// The end of the last unit that was published, in Unix seconds; 0 before the first.
    pub at: u32,
    /// A unit that was begun and is not finished.
    pub begun: Option<Begun>,
    /// Days with counts that no unit has taken, in order.
    pub days: Vec<Day>,
}

/// A unit that was begun and is not finished.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Begun {
    /// Its day in the zone.
    pub day: Day,
    /// When the day or hour ended, in Unix seconds.
    pub at: u32,
    /// Whether it is a day, else an hour.
    pub is_day: bool,
}

/// The result of a publication.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Publication {
    /// Lots, which are rows of `published`.
    pub lots: u64,
    /// Cells that changed.
    pub cells: u64,
}

#[derive(Row, Deserialize)]
struct ProgressRow {
    zone: String,
    day: u16,
    at: u32,
    closes: u8,
    is_done: u8,
}

#[derive(Row, Deserialize)]
struct UnitRow {
    lot: u64,
    slices: u32,
    is_done: u8,
    /// Days of which it takes counts.
    days: Vec<u16>,
}

impl Store {
    /// How far the publication of each zone is: of the configured ones, and of those with counts or a unit that was begun.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn zones_to_publish(&self, configured: &[String]) -> Result<BTreeMap<String, ZoneProgress>, StoreError> {
        let mut zones = BTreeMap::<String, ZoneProgress>::new();
        let sql = "SELECT toString(zone) AS zone, toUInt16(any(day)) AS day, toUInt32(at) AS at, any(closes) AS closes, \
                   max(done) AS is_done FROM publications GROUP BY zone, at ORDER BY zone, at";
        let units: Vec<ProgressRow> = self.client.query(sql).fetch_all().await.map_err(failed(STEP))?;
        for row in units {
            let day = Day::from_number(row.day);
            let progress = zones.entry(row.zone).or_default();
            match row.is_done {
                0 => progress.begun = Some(Begun { day, at: row.at, is_day: row.closes == 1 }),
                _ => {
                    progress.at = row.at;
                    if row.closes == 1 {
                        progress.day = Some(day);
                    }
                }
            }
        }

        let sql = format!(
            "SELECT DISTINCT toString(zone) AS zone, toUInt16(day) AS day FROM unpublished WHERE {} ORDER BY zone, day",
            no_marker_site()
        );
        let days: Vec<(String, u16)> = self.client.query(&sql).fetch_all().await.map_err(failed(STEP))?;
        for (zone, day) in days {
            zones.entry(zone).or_default().days.push(Day::from_number(day));
        }

        let pending: Vec<String> =
            self.client.query("SELECT DISTINCT toString(zone) FROM pending").fetch_all().await.map_err(failed(STEP))?;
        for zone in configured.iter().chain(&pending) {
            zones.entry(zone.clone()).or_default();
        }
        zones.retain(|zone, progress| {
            let has_counts = !progress.days.is_empty() || pending.contains(zone);
            has_counts || progress.begun.is_some() || configured.contains(zone)
        });
        Ok(zones)
    }

    /// Forgets units of long ago. The last one stays: the next takes its number from it.
    pub(super) async fn forget_publications(&self, today: Day) -> Result<(), StoreError> {
        let of = "FROM publications WHERE day < toDate(?) AND lot < (SELECT max(lot) FROM publications)";
        let first = today.number().saturating_sub(PUBLICATIONS_DAYS);
        let old = self.client.query(&format!("SELECT count() {of}")).bind(first);
        if old.fetch_one::<u64>().await.map_err(failed(STEP))? == 0 {
            return Ok(());
        }

        let delete = of.replacen("FROM publications", "ALTER TABLE publications DELETE", 1);
        self.client.query(&delete).bind(first).execute().await.map_err(failed(STEP))
    }

    /// Publishes a unit, or goes on with it where a former run ended. A unit that is done changes nothing.
    ///
    /// # Errors
    /// The store failed at some step. What is written stays; the same call goes on from there.
    pub async fn publish(&self, unit: &Unit, policy: &LotPolicy) -> Result<Publication, StoreError> {
        let begun = self.begin(unit).await?;
        if begun.is_done == 1 {
            return Ok(Publication::default());
        }

        let rules = Rules { policy, day: unit.day, occasion: unit.occasion };
        let mut publication = Publication::default();
        for slice in Slice::all(begun.slices) {
            let done = self.publish_slice(unit, begun.lot, slice, &rules).await?;
            publication.lots += done.lots;
            publication.cells += done.cells;
        }

        for day in &begun.days {
            self.delete_taken(unit, begun.lot, Day::from_number(*day)).await?;
        }
        self.end(unit, &begun).await?;
        Ok(publication)
    }

    /// The platform's key of the coin, made by the first collector that needs it.
    ///
    /// # Errors
    /// The store cannot be read or written, or holds something else in the key's place.
    pub async fn coin_key(&self) -> Result<CoinKey, StoreError> {
        let mut fresh = [0; 32];
        getrandom::fill(&mut fresh).expect("the system's random generator works");
        let fresh = hex::text(&fresh);

        let sql = "INSERT INTO coin_keys (made, secret) SELECT now('UTC'), ?";
        for token in once::tokens("coin-key") {
            if let Some(key) = self.stored_coin_key().await? {
                return Ok(key);
            }
            self.insert_under(token, self.client.query(sql).bind(&fresh)).await?;
            if let Some(key) = self.stored_coin_key().await? {
                return Ok(key);
            }
            self.wait_for_inserts("coin_keys").await?;
        }
        Err(once::NOT_THERE)
    }

    async fn stored_coin_key(&self) -> Result<Option<CoinKey>, StoreError> {
        let sql = "SELECT secret FROM coin_keys WHERE length(secret) = 64 ORDER BY made, secret LIMIT 1";
        let stored: Option<String> = self.client.query(sql).fetch_optional().await.map_err(failed(STEP))?;
        Ok(stored.and_then(|text| Some(CoinKey::new(hex::read(text.as_bytes())?))))
    }

    async fn begun(&self, unit: &Unit) -> Result<Option<UnitRow>, StoreError> {
        // Two collectors may have begun it at once: the smaller number is taken by both.
        let sql = "SELECT lot, any(slices) AS slices, max(done) AS is_done, \
                   arraySort(groupUniqArrayArray(arrayMap(segment -> toUInt16(segment.1), segments))) AS days FROM publications \
                   WHERE zone = ? AND at = toDateTime(?, 'UTC') GROUP BY lot ORDER BY is_done DESC, lot LIMIT 1";
        let query = self.client.query(sql).bind(&unit.zone).bind(unit.at);
        query.fetch_optional().await.map_err(failed(STEP))
    }

    /// Notes which counts the unit takes, those of its zone up to its day that are there now; or finds what another collector noted.
    async fn begin(&self, unit: &Unit) -> Result<UnitRow, StoreError> {
        let sql = format!(
            "INSERT INTO publications (zone, at, lot, day, closes, segments, slices, done, finished) \
             SELECT ?, toDateTime(?, 'UTC'), (SELECT max(lot) FROM publications) + 1, toDate(?), ?, \
             (SELECT groupArray((day, segment)) FROM (SELECT DISTINCT day, segment FROM unpublished \
             WHERE zone = ? AND day <= toDate(?) AND {} ORDER BY day, segment)), ?, 0, toDateTime(0, 'UTC')",
            no_marker_site()
        );
        for token in once::tokens(&format!("publication-{}-{}", unit.zone, unit.at)) {
            if let Some(begun) = self.begun(unit).await? {
                return Ok(begun);
            }
            let slices = Slice::count(self.rows_of(unit).await?);
            let insert = self
                .client
                .query(&sql)
                .bind(&unit.zone)
                .bind(unit.at)
                .bind(unit.day.number())
                .bind(u8::from(unit.occasion == Occasion::Day))
                .bind(&unit.zone)
                .bind(unit.day.number())
                .bind(slices);
            self.insert_under(token, insert).await?;
            if let Some(begun) = self.begun(unit).await? {
                return Ok(begun);
            }
            self.wait_for_inserts("publications").await?;
        }
        Err(once::NOT_THERE)
    }

    /// Rows that the unit may have to look at.
    async fn rows_of(&self, unit: &Unit) -> Result<u64, StoreError> {
        let arrived =
            format!("SELECT count() FROM unpublished WHERE zone = ? AND day <= toDate(?) AND {}", no_marker_site());
        let arrived = self.client.query(&arrived).bind(&unit.zone).bind(unit.day.number());
        let arrived: u64 = arrived.fetch_one().await.map_err(failed(STEP))?;

        let pending = "SELECT count() FROM pending WHERE zone = ?";
        let pending: u64 = self.client.query(pending).bind(&unit.zone).fetch_one().await.map_err(failed(STEP))?;
        Ok(arrived + pending)
    }

    /// Forgets the counts of a day that the unit has taken. Their numbers say which: what came later stays. Other days' parts are not looked at.
    async fn delete_taken(&self, unit: &Unit, lot: u64, day: Day) -> Result<(), StoreError> {
        let partition = day.date().strftime("%Y%m%d");
        let sql = format!(
            "ALTER TABLE unpublished DELETE IN PARTITION ID '{partition}' \
             WHERE zone = ? AND {counts} AND (day, segment) IN ({TAKEN})",
            counts = no_marker_site()
        );
        let query = self.client.query(&sql).bind(&unit.zone).bind(&unit.zone).bind(unit.at).bind(lot);
        query.with_setting("mutations_sync", "2").execute().await.map_err(failed(STEP))
    }

    async fn end(&self, unit: &Unit, begun: &UnitRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO publications (zone, at, lot, day, closes, segments, slices, done, finished) \
                   SELECT ?, toDateTime(?, 'UTC'), ?, toDate(?), ?, [], ?, 1, now('UTC')";
        let query = self
            .client
            .query(sql)
            .bind(&unit.zone)
            .bind(unit.at)
            .bind(begun.lot)
            .bind(unit.day.number())
            .bind(u8::from(unit.occasion == Occasion::Day))
            .bind(begun.slices);
        query.with_setting("async_insert", "0").execute().await.map_err(failed(STEP))
    }
}

/// The counts a unit takes, by day and segment. Parameters: zone, at, lot.
const TAKEN: &str = "SELECT taken.1, taken.2 FROM (SELECT arrayJoin(segments) AS taken FROM publications \
                     WHERE zone = ? AND at = toDateTime(?, 'UTC') AND lot = ? AND done = 0)";
