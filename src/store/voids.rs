//! Money that is taken out of the reports, and the sums of what is left.
//!
//! Nothing is subtracted in place: a void is a row of its own that holds what was booked at its moment, by day. One row, so that it is
//! there whole or not at all; the same id again replaces it by itself.

use clickhouse::Row;
use serde::Deserialize;

use super::Store;
use super::error::{StoreError, failed};
use super::registry::next_revision;
use crate::event::{Day, SiteId};

const STEP: &str = "the voids";

/// The first integer that is not exact in JSON, or rather in those who read it.
pub(super) const TOO_MUCH: u64 = 1 << 53;

/// By day, event and code (a currency, in small letters for what was over the bound): events `n` and amount `m` that are left. Site, first and
/// last day are bound twice. Days whose counts were dropped have voids and no money: they are nothing, never less.
pub(super) const BOOKED: &str = "\
    SELECT day, event, code, greatest(sum(hits), toInt128(0)) AS n, greatest(sum(minor), toInt128(0)) AS m FROM ( \
    SELECT day, toString(event) AS event, toString(currency) AS code, toInt128(hits) AS hits, toInt128(minor) AS minor FROM money \
    WHERE site = ? AND day BETWEEN toDate(?) AND toDate(?) UNION ALL \
    SELECT taken.1 AS day, event, taken.2 AS code, -toInt128(taken.3) AS hits, -toInt128(taken.4) AS minor FROM ( \
    SELECT argMax(event, revision) AS event, arrayJoin(argMax(booked, revision)) AS taken FROM money_voids WHERE site = ? GROUP BY id) \
    WHERE taken.1 BETWEEN toDate(?) AND toDate(?)) GROUP BY day, event, code HAVING n > 0 OR m > 0";

/// What is to be taken out: all that is booked there now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Void {
    pub id: String,
    pub from: Day,
    pub to: Day,
    pub event: String,
    pub currency: String,
}

/// What was taken out.
#[derive(Row, Deserialize, Debug)]
pub struct Voided {
    pub id: String,
    pub from: u16,
    pub to: u16,
    pub event: String,
    pub currency: String,
    /// Unix seconds.
    pub at: u32,
    pub hits: u64,
    pub over: u64,
    pub minor: u64,
}

impl Voided {
    pub fn is_of(&self, void: &Void) -> bool {
        let Void { id, from, to, event, currency } = void;
        (&self.id, self.from, self.to, &self.event, &self.currency) == (id, from.number(), to.number(), event, currency)
    }
}

impl Store {
    /// Takes out what is booked there at this moment; `at` is in Unix seconds. Nothing booked is a void as well.
    pub async fn put_void(&self, site: SiteId, void: &Void, at: u32) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO money_voids (site, id, first_day, last_day, event, currency, at, booked, revision) \
             SELECT ?, ?, toDate(?), toDate(?), ?, ?, toDateTime(?, 'UTC'), \
             groupArray((day, code, toUInt64(n), toUInt128(m))) AS booked, {} FROM ( \
             SELECT day, code, n, m FROM ({BOOKED}) WHERE event = ? AND upper(code) = ? ORDER BY day, code)",
            next_revision("money_voids")
        );
        let (site, range) = (site.as_u128(), [void.from.number(), void.to.number()]);
        let query = self.calls.query(&sql).bind(site).bind(&void.id).bind(range[0]).bind(range[1]);
        let query = query.bind(&void.event).bind(&void.currency).bind(at);
        let query = query.bind(site).bind(range[0]).bind(range[1]).bind(site).bind(range[0]).bind(range[1]);
        query.bind(&void.event).bind(&void.currency).execute().await.map_err(failed(STEP))
    }

    /// All voids of a site, newest first.
    pub async fn voids(&self, site: SiteId) -> Result<Vec<Voided>, StoreError> {
        let latest = ["first_day", "last_day", "event", "currency", "at", "booked"];
        let latest = latest.map(|name| format!("argMax({name}, revision) AS {name}")).join(", ");
        let sql = format!(
            "SELECT id, toUInt16(first_day) AS from, toUInt16(last_day) AS to, toString(event) AS event, toString(currency) AS currency, \
             toUInt32(at) AS at, arraySum(b -> if(b.2 = upper(b.2), b.3, 0), booked) AS hits, \
             arraySum(b -> if(b.2 != upper(b.2), b.3, 0), booked) AS over, \
             toUInt64(least(arraySum(b -> toInt128(b.4), booked), toInt128({}))) AS minor \
             FROM (SELECT id, {latest} FROM (SELECT * FROM money_voids WHERE site = ?) GROUP BY id) ORDER BY at DESC, id",
            TOO_MUCH - 1
        );
        self.calls.query(&sql).bind(site.as_u128()).fetch_all().await.map_err(failed(STEP))
    }

    /// Forgets voids of days whose counts are gone: a month later than those, since a month goes as a whole.
    pub(super) async fn forget_voids(&self, today: Day, keep_days: u32) -> Result<(), StoreError> {
        let days = keep_days.saturating_add(31).min(u32::from(u16::MAX)) as u16;
        let first = today.number().saturating_sub(days);
        let over = "SELECT count() FROM money_voids WHERE last_day < toDate(?)";
        let over: u64 = self.calls.query(over).bind(first).fetch_one().await.map_err(failed(STEP))?;
        if over == 0 {
            return Ok(());
        }
        let sql = "ALTER TABLE money_voids DELETE WHERE last_day < toDate(?)";
        self.calls.query(sql).bind(first).execute().await.map_err(failed(STEP))
    }
}
