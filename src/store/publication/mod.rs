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

mod rows;
mod slices;

use clickhouse::Row;
use serde::Deserialize;

use super::Store;
use super::error::{StoreError, failed};
use crate::event::Day;
use crate::hex;
use crate::publication::{CoinKey, LotPolicy, Occasion, Rules};
use slices::Slice;

const STEP: &str = "the publication of attributes";

/// How long it is kept which units were published.
const PUBLICATIONS_DAYS: u16 = 62;

/// What is published at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unit {
    /// IANA name of the zone whose sites are published; empty for counts of a schema that kept none.
    pub zone: String,
    pub day: Day,
    /// The instant at which the day or hour ended, Unix seconds.
    pub at: u32,
    pub occasion: Occasion,
}

/// How far a zone is.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ZoneProgress {
    /// The last day that was published.
    pub day: Option<Day>,
    /// The end of the last unit that was published, Unix seconds.
    pub at: u32,
    /// A unit that was begun and not ended.
    pub begun: Option<Begun>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Begun {
    pub day: Day,
    pub at: u32,
    pub is_day: bool,
}

/// What a publication did.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Publication {
    /// Lots, which are rows of `published`.
    pub lots: u64,
    /// Cells that changed.
    pub cells: u64,
}

#[derive(Row, Deserialize)]
struct ProgressRow {
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
}

impl Store {
    /// The zones with counts that wait for a publication.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn zones_to_publish(&self) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT DISTINCT toString(zone) AS zone FROM (SELECT zone FROM unpublished UNION ALL SELECT zone FROM pending) \
                   ORDER BY zone";
        self.client.query(sql).fetch_all().await.map_err(failed(STEP))
    }

    /// The days of a zone with counts that no unit has taken, in order.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn unpublished_days(&self, zone: &str) -> Result<Vec<Day>, StoreError> {
        let sql = "SELECT DISTINCT toUInt16(day) AS day FROM unpublished WHERE zone = ? ORDER BY day";
        let days: Vec<u16> = self.client.query(sql).bind(zone).fetch_all().await.map_err(failed(STEP))?;
        Ok(days.into_iter().map(Day::from_number).collect())
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

    /// How far the publication of a zone is.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn zone_progress(&self, zone: &str) -> Result<ZoneProgress, StoreError> {
        let sql = "SELECT toUInt16(any(day)) AS day, toUInt32(at) AS at, any(closes) AS closes, max(done) AS is_done \
                   FROM publications WHERE zone = ? GROUP BY at ORDER BY at";
        let rows: Vec<ProgressRow> = self.client.query(sql).bind(zone).fetch_all().await.map_err(failed(STEP))?;

        let mut progress = ZoneProgress::default();
        for row in rows {
            let day = Day::from_number(row.day);
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
        Ok(progress)
    }

    /// Publishes a unit, or goes on with it where a former run ended. A unit that is done changes nothing.
    ///
    /// # Errors
    /// The store failed at some step. What is written stays; the same call goes on from there.
    pub async fn publish(&self, unit: &Unit, policy: &LotPolicy) -> Result<Publication, StoreError> {
        let begun = match self.begun(unit).await? {
            Some(begun) => begun,
            None => {
                self.begin(unit).await?;
                let again = self.begun(unit).await?;
                again.ok_or(StoreError::Answer { step: STEP, kind: "the unit that was begun is not there" })?
            }
        };
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

        self.delete_taken(unit, begun.lot).await?;
        self.end(unit, &begun).await?;
        Ok(publication)
    }

    /// The platform's key of the coin, made by the first collector that needs it.
    ///
    /// # Errors
    /// The store cannot be read or written, or holds something else in the key's place.
    pub async fn coin_key(&self) -> Result<CoinKey, StoreError> {
        if let Some(key) = self.stored_coin_key().await? {
            return Ok(key);
        }
        let mut fresh = [0; 32];
        getrandom::fill(&mut fresh).expect("the system's random generator works");
        let fresh = hex::text(&fresh);

        let query = self.client.query("INSERT INTO coin_keys (made, secret) SELECT now('UTC'), ?").bind(fresh);
        // Of two collectors that make one at the same moment one is heard.
        let query = query.with_setting("insert_deduplication_token", "coin-key").with_setting("async_insert", "0");
        query.execute().await.map_err(failed(STEP))?;
        let stored = self.stored_coin_key().await?;
        stored.ok_or(StoreError::Answer { step: STEP, kind: "the coin's key is not there after it was made" })
    }

    async fn stored_coin_key(&self) -> Result<Option<CoinKey>, StoreError> {
        let sql = "SELECT secret FROM coin_keys WHERE length(secret) = 64 ORDER BY made, secret LIMIT 1";
        let stored: Option<String> = self.client.query(sql).fetch_optional().await.map_err(failed(STEP))?;
        Ok(stored.and_then(|text| Some(CoinKey::new(hex::read(text.as_bytes())?))))
    }

    async fn begun(&self, unit: &Unit) -> Result<Option<UnitRow>, StoreError> {
        // Two collectors may have begun it at once: the smaller number is taken by both.
        let sql = "SELECT lot, any(slices) AS slices, max(done) AS is_done FROM publications \
                   WHERE zone = ? AND at = toDateTime(?, 'UTC') GROUP BY lot ORDER BY is_done DESC, lot LIMIT 1";
        let query = self.client.query(sql).bind(&unit.zone).bind(unit.at);
        query.fetch_optional().await.map_err(failed(STEP))
    }

    /// Notes which counts the unit takes: those of its zone up to its day that are there now.
    async fn begin(&self, unit: &Unit) -> Result<(), StoreError> {
        let slices = Slice::count(self.rows_of(unit).await?);
        let sql = "INSERT INTO publications (zone, at, lot, day, closes, segments, slices, done, finished) \
                   SELECT ?, toDateTime(?, 'UTC'), (SELECT max(lot) FROM publications) + 1, toDate(?), ?, \
                   (SELECT groupArray((day, segment)) FROM (SELECT DISTINCT day, segment FROM unpublished \
                   WHERE zone = ? AND day <= toDate(?) ORDER BY day, segment)), ?, 0, toDateTime(0, 'UTC')";
        let query = self
            .client
            .query(sql)
            .bind(&unit.zone)
            .bind(unit.at)
            .bind(unit.day.number())
            .bind(u8::from(unit.occasion == Occasion::Day))
            .bind(&unit.zone)
            .bind(unit.day.number())
            .bind(slices);
        // Of two collectors that begin the unit at the same moment one is heard.
        let token = format!("publication-{}-{}", unit.zone, unit.at);
        let query = query.with_setting("insert_deduplication_token", token).with_setting("async_insert", "0");
        query.execute().await.map_err(failed(STEP))
    }

    /// Rows that the unit may have to look at.
    async fn rows_of(&self, unit: &Unit) -> Result<u64, StoreError> {
        let arrived = "SELECT count() FROM unpublished WHERE zone = ? AND day <= toDate(?)";
        let arrived = self.client.query(arrived).bind(&unit.zone).bind(unit.day.number());
        let arrived: u64 = arrived.fetch_one().await.map_err(failed(STEP))?;

        let pending = "SELECT count() FROM pending WHERE zone = ?";
        let pending: u64 = self.client.query(pending).bind(&unit.zone).fetch_one().await.map_err(failed(STEP))?;
        Ok(arrived + pending)
    }

    /// Forgets the counts that the unit has taken. Their numbers say which: what came later stays.
    async fn delete_taken(&self, unit: &Unit, lot: u64) -> Result<(), StoreError> {
        let sql = format!("ALTER TABLE unpublished DELETE WHERE zone = ? AND (day, segment) IN ({TAKEN})");
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
