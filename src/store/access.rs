//! API tokens, share links and the audit log. Like the registry's: rows are only added, the highest revision of an id is what holds.

use clickhouse::Row;
use jiff::civil::Date;
use serde::Deserialize;

use super::Store;
use super::error::{StoreError, failed};
use super::registry::next_revision;
use crate::access::{ApiToken, Digest, Entry, Keys, Scope, Share};
use crate::event::Millis;

const STEP: &str = "the access tables";
/// An answer stands in its statement: some hundred rows of long names are more than a statement usually may have.
const MOST_SQL_BYTES: &str = "16777216";

#[derive(Row, Deserialize)]
struct TokenRow {
    id: String,
    digest: String,
    name: String,
    scopes: Vec<String>,
    site: String,
    expires: String,
    created: String,
    revoked: bool,
}

#[derive(Row, Deserialize)]
struct ShareRow {
    id: String,
    digest: String,
    site: String,
    first_day: String,
    last_day: String,
    expires: String,
    password: String,
    created: String,
    revoked: bool,
}

/// What an operator reads of the audit log.
#[derive(Row, Deserialize)]
pub struct Audited {
    pub millis: Millis,
    pub who: String,
    pub act: String,
    pub what: String,
}

impl Store {
    /// Changes with every change of a token or share link, and with nothing else.
    pub async fn keys_revision(&self) -> Result<u64, StoreError> {
        let sql = "SELECT max(revision) FROM (SELECT revision FROM tokens UNION ALL SELECT revision FROM shares)";
        self.calls.query(sql).fetch_one().await.map_err(failed(STEP))
    }

    pub async fn keys(&self) -> Result<Keys, StoreError> {
        let latest = |columns: &[&str]| {
            columns.iter().map(|name| format!("argMax({name}, revision) AS {name}")).collect::<Vec<_>>().join(", ")
        };
        let columns = latest(&["digest", "name", "scopes", "site", "expires", "created", "revoked"]);
        let sql = format!("SELECT id, {columns} FROM tokens GROUP BY id");
        let tokens = self.calls.query(&sql).fetch_all::<TokenRow>().await.map_err(failed(STEP))?;
        let columns = latest(&["digest", "site", "first_day", "last_day", "expires", "password", "created", "revoked"]);
        let sql = format!("SELECT id, {columns} FROM shares GROUP BY id");
        let shares = self.calls.query(&sql).fetch_all::<ShareRow>().await.map_err(failed(STEP))?;
        Ok(Keys::new(tokens.into_iter().filter_map(token).collect(), shares.into_iter().filter_map(share).collect()))
    }

    pub async fn put_token(&self, digest: &Digest, token: &ApiToken) -> Result<(), StoreError> {
        let next = next_revision("tokens");
        let sql = format!(
            "INSERT INTO tokens (id, digest, name, scopes, site, expires, created, revoked, revision) \
             SELECT ?, ?, ?, ?, ?, ?, ?, ?, {next}"
        );
        let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.name()).collect();
        let query = self.calls.query(&sql).bind(&token.id).bind(digest.text()).bind(&token.name).bind(scopes);
        let query = query.bind(token.site.as_deref().unwrap_or("")).bind(day_text(token.expires));
        let query = query.bind(token.created.to_string()).bind(token.revoked);
        query.execute().await.map_err(failed(STEP))
    }

    /// With the bytes that the link answers from now on.
    pub async fn put_share(&self, digest: &Digest, share: &Share, answer: &str) -> Result<(), StoreError> {
        let next = next_revision("shares");
        let sql = format!(
            "INSERT INTO shares (id, digest, site, first_day, last_day, expires, password, created, revoked, answer, revision) \
             SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, {next}"
        );
        let query = self.calls.query(&sql).bind(&share.id).bind(digest.text()).bind(&share.site);
        let query = query.bind(share.from.to_string()).bind(share.to.to_string()).bind(day_text(share.expires));
        let query = query.bind(share.password.as_deref().unwrap_or("")).bind(share.created.to_string());
        let query = query.bind(share.revoked).bind(answer).with_setting("max_query_size", MOST_SQL_BYTES);
        query.execute().await.map_err(failed(STEP))
    }

    /// What the link answers; `None` for a link of before answers were kept.
    pub async fn share_answer(&self, id: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT answer FROM shares WHERE id = ? AND answer != '' ORDER BY revision LIMIT 1";
        self.calls.query(sql).bind(id).fetch_optional().await.map_err(failed(STEP))
    }

    /// Keeps an answer for a link that has none yet; one that has keeps its own.
    pub async fn keep_share_answer(&self, id: &str, answer: &str) -> Result<(), StoreError> {
        let next = next_revision("shares");
        let latest = "(SELECT * FROM shares WHERE id = ? ORDER BY revision DESC LIMIT 1)";
        let sql = format!(
            "INSERT INTO shares SELECT * REPLACE (? AS answer, {next} AS revision) FROM {latest} AS latest \
             WHERE latest.answer = ''"
        );
        let query = self.calls.query(&sql).bind(answer).bind(id).with_setting("max_query_size", MOST_SQL_BYTES);
        query.execute().await.map_err(failed(STEP))
    }

    /// The token is of no use from now on. `table` is `tokens` or `shares`.
    pub async fn revoke(&self, table: &'static str, id: &str) -> Result<(), StoreError> {
        let next = next_revision(table);
        let latest = format!("(SELECT * FROM {table} WHERE id = ? ORDER BY revision DESC LIMIT 1)");
        let sql = format!("INSERT INTO {table} SELECT * REPLACE (true AS revoked, {next} AS revision) FROM {latest}");
        self.calls.query(&sql).bind(id).execute().await.map_err(failed(STEP))
    }

    pub async fn put_audit(&self, entries: &[Entry]) -> Result<(), StoreError> {
        let column = |of: fn(&Entry) -> &str| entries.iter().map(of).collect::<Vec<&str>>();
        let at: Vec<Millis> = entries.iter().map(|entry| entry.at).collect();
        let sql = "INSERT INTO audit (at, id, who, act, what, revision) \
                   SELECT fromUnixTimestamp64Milli(toInt64(e.1), 'UTC'), e.2, e.3, e.4, e.5, 0 FROM \
                   (SELECT arrayJoin(arrayZip(?, ?, ?, ?, ?)) AS e)";
        let query = self.calls.query(sql).bind(at).bind(column(|entry| &entry.id)).bind(column(|entry| &entry.who));
        let query = query.bind(column(|entry| entry.act.name())).bind(column(|entry| &entry.what));
        query.execute().await.map_err(failed(STEP))
    }

    /// The newest entries, newest first.
    pub async fn audit(&self, limit: usize) -> Result<Vec<Audited>, StoreError> {
        let sql = "SELECT toUnixTimestamp64Milli(at) AS millis, who, toString(act) AS act, what FROM audit \
                   ORDER BY audit.at DESC, id LIMIT 1 BY audit.at, id LIMIT ?";
        self.calls.query(sql).bind(limit as u64).fetch_all().await.map_err(failed(STEP))
    }
}

/// A row that another version wrote in a form this one does not know opens nothing.
fn token(row: TokenRow) -> Option<(Digest, ApiToken)> {
    let token = ApiToken {
        id: row.id,
        name: row.name,
        scopes: row.scopes.iter().map(|name| Scope::from_name(name)).collect::<Option<_>>()?,
        site: some(row.site),
        expires: day(&row.expires)?,
        created: row.created.parse().ok()?,
        revoked: row.revoked,
    };
    Some((Digest::of_text(&row.digest)?, token))
}

fn share(row: ShareRow) -> Option<(Digest, Share)> {
    let share = Share {
        id: row.id,
        site: row.site,
        from: row.first_day.parse().ok()?,
        to: row.last_day.parse().ok()?,
        expires: day(&row.expires)?,
        password: some(row.password),
        created: row.created.parse().ok()?,
        revoked: row.revoked,
    };
    Some((Digest::of_text(&row.digest)?, share))
}

fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// `Some(None)`: no such day. `None`: not a day at all.
fn day(text: &str) -> Option<Option<Date>> {
    if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) }
}

fn day_text(day: Option<Date>) -> String {
    day.map_or_else(String::new, |day| day.to_string())
}
