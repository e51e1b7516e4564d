//! Voids: money that is taken out of the reports, and the sums without it.
//!
//! Nothing is subtracted in place. A void is one row that contains what was booked when it was
//! made, by day, so it is stored completely or not at all. Inserting the same id again replaces the
//! row with itself.

use clickhouse::Row;
use serde::Deserialize;

use super::Store;
use super::error::{StoreError, error_during};
use super::registry::next_revision_expression;
use crate::calendar::{Day, DayRange};
use crate::event::{CurrencyCode, SiteId};
use crate::hex;

const STEP: &str = "the voids";

/// The first integer that readers of JSON may not represent exactly.
pub(super) const MIN_INEXACT_INTEGER: u64 = 1 << 53;

/// A query for what remains after voids, by day, event and code: events `n` and amount `m`. The
/// code is a currency, in lower case for amounts above the limit. The site, first and last day are
/// bound twice. Days whose counts were dropped have voids but no money; their result is 0, never
/// negative.
pub(super) const BOOKED_QUERY: &str = "\
    SELECT day, event, code, greatest(sum(hits), toInt128(0)) AS n, \
    greatest(sum(minor), toInt128(0)) AS m FROM ( \
    SELECT day, toString(event) AS event, toString(currency) AS code, toInt128(hits) AS hits, \
    toInt128(minor) AS minor FROM money \
    WHERE site = ? AND day BETWEEN toDate(?) AND toDate(?) UNION ALL \
    SELECT taken.1 AS day, event, taken.2 AS code, -toInt128(taken.3) AS hits, \
    -toInt128(taken.4) AS minor FROM ( \
    SELECT argMax(event, revision) AS event, arrayJoin(argMax(booked, revision)) AS taken \
    FROM money_voids WHERE site = ? GROUP BY id) \
    WHERE taken.1 BETWEEN toDate(?) AND toDate(?)) GROUP BY day, event, code HAVING n > 0 OR m > 0";

/// What is to be voided: everything that is booked there now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VoidRequest {
    /// The void's id within the site, chosen by the caller.
    pub id: String,
    /// The days whose amounts are voided.
    pub days: DayRange,
    /// The event's name.
    pub event: String,
    /// The currency whose amounts are voided.
    pub currency: CurrencyCode,
}

/// A void and what it took out.
#[derive(Row, Deserialize, Debug)]
pub struct VoidRow {
    /// The void's id within the site.
    pub id: String,
    /// The first day, inclusive, in days since 1970-01-01.
    pub from: u16,
    /// The last day, inclusive, in days since 1970-01-01.
    pub to: u16,
    /// The event's name.
    pub event: String,
    /// The currency's ISO 4217 code, in capitals.
    pub currency: String,
    /// When it was made, in Unix seconds.
    pub at: u32,
    /// Events that were booked.
    pub hits: u64,
    /// Events whose amount was above the limit.
    pub over: u64,
    /// The amount in the currency's minor unit, at most 2^53 - 1.
    pub minor: u64,
}

impl VoidRow {
    /// Whether this is the result of `void`: all its fields are equal.
    pub fn is_result_of(&self, void: &VoidRequest) -> bool {
        let VoidRequest {
            id,
            days,
            event,
            currency,
        } = void;
        let (first, last) = (days.first().as_number(), days.last().as_number());
        let currency = currency.as_str();
        (&self.id, self.from, self.to, &self.event, &*self.currency)
            == (id, first, last, event, currency)
    }
}

impl Store {
    /// Voids what is booked at this moment. `at` is in Unix seconds. If nothing is booked, an empty
    /// void is stored.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the insert. If only the response
    /// was lost, the void is stored; [`Store::list_voids`] shows it.
    pub async fn insert_void(
        &self,
        site: SiteId,
        void: &VoidRequest,
        at: u32,
    ) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO money_voids (site, id, first_day, last_day, event, currency, at, booked, \
             revision) \
             SELECT ?, ?, toDate(?), toDate(?), ?, ?, toDateTime(?, 'UTC'), \
             groupArray((day, code, toUInt64(n), toUInt128(m))) AS booked, {} FROM ( \
             SELECT day, code, n, m FROM ({BOOKED_QUERY}) WHERE event = ? \
             AND upper(code) = ? ORDER BY day, code)",
            next_revision_expression("money_voids")
        );
        let siblings = self.require_siblings()?;
        let write = self.replica().begin_write();

        let (first, last) = (void.days.first(), void.days.last());
        let (site, range) = (site.as_u128(), [first, last].map(Day::as_number));
        let query = self
            .short_client
            .query(&sql)
            .bind(site)
            .bind(&void.id)
            .bind(range[0])
            .bind(range[1]);
        let query = query
            .bind(&void.event)
            .bind(void.currency.as_str())
            .bind(at);
        let query = query
            .bind(site)
            .bind(range[0])
            .bind(range[1])
            .bind(site)
            .bind(range[0])
            .bind(range[1]);
        query
            .bind(&void.event)
            .bind(void.currency.as_str())
            .execute()
            .await
            .map_err(error_during(STEP))?;
        // What is booked is read from one replica only: the others may have received more.
        let rows = format!(
            "* FROM money_voids WHERE site = toUInt128('{site}') AND id = unhex('{}')",
            hex::encode_lower(void.id.as_bytes())
        );
        for sibling in siblings {
            self.copy_rows(&sibling, "money_voids", &rows).await?;
        }
        write.finish();
        Ok(())
    }

    /// All voids of a site, newest first.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn list_voids(&self, site: SiteId) -> Result<Vec<VoidRow>, StoreError> {
        let latest = ["first_day", "last_day", "event", "currency", "at", "booked"];
        let latest = latest
            .map(|name| format!("argMax({name}, revision) AS {name}"))
            .join(", ");
        let sql = format!(
            "SELECT id, toUInt16(first_day) AS from, toUInt16(last_day) AS to, \
             toString(event) AS event, toString(currency) AS currency, \
             toUInt32(at) AS at, arraySum(b -> if(b.2 = upper(b.2), b.3, 0), booked) AS hits, \
             arraySum(b -> if(b.2 != upper(b.2), b.3, 0), booked) AS over, \
             toUInt64(least(arraySum(b -> toInt128(b.4), booked), toInt128({}))) AS minor \
             FROM (SELECT id, {latest} FROM (SELECT * FROM money_voids WHERE site = ?) \
             GROUP BY id) ORDER BY at DESC, id",
            MIN_INEXACT_INTEGER - 1
        );
        self.short_client
            .query(&sql)
            .bind(site.as_u128())
            .fetch_all()
            .await
            .map_err(error_during(STEP))
    }
}
