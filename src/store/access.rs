//! API tokens, share links and the audit log. Rows are only added, as in the registry; the row of
//! an id with the highest revision is valid.

use clickhouse::Row;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::Store;
use super::client::{MAX_SQL_BYTES, StoreClient};
use super::error::{StoreError, error_during};
use crate::access::{ApiToken, AuditEntry, CredentialIndex, SecretDigest, ShareLink, TokenScope};
use crate::calendar::Millis;

const STEP: &str = "the access tables";

/// Days that entries of the audit log are kept: the TTL of its table, in the schema.
pub const AUDIT_RETENTION_DAYS: u32 = 761;

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
    name: String,
    site: String,
    first_day: String,
    last_day: String,
    expires: String,
    password: String,
    created: String,
    revoked: bool,
}

/// An entry of the audit log, as it is written.
#[derive(Row, Serialize)]
struct NewAuditRow<'a> {
    at: Millis,
    id: &'a str,
    who: &'a str,
    act: &'a str,
    what: &'a str,
    revision: u64,
}

impl<'a> From<&'a AuditEntry> for NewAuditRow<'a> {
    fn from(entry: &'a AuditEntry) -> NewAuditRow<'a> {
        NewAuditRow {
            at: entry.at,
            id: &entry.id,
            who: &entry.principal,
            act: entry.action.name(),
            what: &entry.object,
            revision: 0,
        }
    }
}

/// An entry of the audit log, as it is read.
#[derive(Row, Deserialize)]
pub struct AuditRow {
    /// When it happened, in milliseconds since the Unix epoch.
    pub millis: Millis,
    /// The actor, as spelled by `Principal::name`.
    pub who: String,
    /// The action, as spelled by `AuditAction::name`.
    pub act: String,
    /// The name of the site, token or share link; empty if the action has no object.
    pub what: String,
}

impl Store {
    /// A number that changes with every change of a token or share link, and only then. 0 if there
    /// are none.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn credentials_revision(&self) -> Result<u64, StoreError> {
        let sql = "SELECT max(revision) FROM (SELECT revision FROM tokens \
            UNION ALL SELECT revision FROM shares)";
        self.short_client
            .query(sql)
            .fetch_one()
            .await
            .map_err(error_during(STEP))
    }

    /// All tokens and share links, including expired and revoked ones. Rows written by another
    /// version in an unknown form are left out.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects a query.
    pub async fn load_credentials(&self) -> Result<CredentialIndex, StoreError> {
        let latest = |columns: &[&str]| {
            columns
                .iter()
                .map(|name| format!("argMax({name}, revision) AS {name}"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let columns = latest(&[
            "digest", "name", "scopes", "site", "expires", "created", "revoked",
        ]);
        let sql = format!("SELECT id, {columns} FROM tokens GROUP BY id");
        let tokens = self
            .short_client
            .query(&sql)
            .fetch_all::<TokenRow>()
            .await
            .map_err(error_during(STEP))?;

        let columns = latest(&[
            "digest",
            "name",
            "site",
            "first_day",
            "last_day",
            "expires",
            "password",
            "created",
            "revoked",
        ]);
        let sql = format!("SELECT id, {columns} FROM shares GROUP BY id");
        let shares = self
            .short_client
            .query(&sql)
            .fetch_all::<ShareRow>()
            .await
            .map_err(error_during(STEP))?;

        Ok(CredentialIndex::new(
            tokens.into_iter().filter_map(token_from_row).collect(),
            shares.into_iter().filter_map(share_from_row).collect(),
        ))
    }

    /// Adds a token, or replaces the one with its id.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the insert. If only the response
    /// was lost, the row is stored; inserting it again is harmless.
    pub async fn insert_token(
        &self,
        digest: &SecretDigest,
        token: &ApiToken,
    ) -> Result<(), StoreError> {
        let next = self.next_revision("tokens", STEP).await?;
        let sql = format!(
            "INSERT INTO tokens (id, digest, name, scopes, site, expires, created, revoked, \
             revision) \
             SELECT ?, ?, ?, ?, ?, ?, ?, ?, {next}"
        );

        let scopes: Vec<&str> = token.scopes.iter().map(|scope| scope.name()).collect();

        let build = |client: &StoreClient| {
            let query = client.query(&sql).bind(&token.id).bind(digest.to_hex());
            let query = query.bind(&token.name).bind(&scopes);
            let query = query.bind(token.site.as_deref().unwrap_or(""));
            let query = query.bind(format_optional_day(token.expires));
            query.bind(token.created.to_string()).bind(token.revoked)
        };
        self.execute_on_all(build, STEP).await
    }

    /// Adds a share link with `answer`, the response that it returns from now on.
    ///
    /// # Errors
    ///
    /// As for [`Store::insert_token`].
    pub async fn insert_share_link(
        &self,
        digest: &SecretDigest,
        share: &ShareLink,
        answer: &str,
    ) -> Result<(), StoreError> {
        let next = self.next_revision("shares", STEP).await?;
        let sql = format!(
            "INSERT INTO shares (id, digest, name, site, first_day, last_day, expires, password, \
             created, revoked, answer, revision) \
             SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, {next}"
        );

        let build = |client: &StoreClient| {
            let query = client.query(&sql).bind(&share.id).bind(digest.to_hex());
            let query = query.bind(&share.name).bind(&share.site);
            let query = query.bind(share.from.to_string());
            let query = query.bind(share.to.to_string());
            let query = query.bind(format_optional_day(share.expires));
            let query = query.bind(share.password.as_deref().unwrap_or(""));
            let query = query.bind(share.created.to_string()).bind(share.revoked);
            query
                .bind(answer)
                .with_setting("max_query_size", MAX_SQL_BYTES)
        };
        self.execute_on_all(build, STEP).await
    }

    /// The response that was stored first for a link; `None` for a link from before responses were
    /// stored.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn read_share_response(&self, id: &str) -> Result<Option<String>, StoreError> {
        let sql =
            "SELECT answer FROM shares WHERE id = ? AND answer != '' ORDER BY revision LIMIT 1";
        self.short_client
            .query(sql)
            .bind(id)
            .fetch_optional()
            .await
            .map_err(error_during(STEP))
    }

    /// Stores a response for a link that has none. A link that has one keeps it.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the insert.
    pub async fn store_share_response(&self, id: &str, answer: &str) -> Result<(), StoreError> {
        let next = self.next_revision("shares", STEP).await?;
        let latest = "(SELECT * FROM shares WHERE id = ? ORDER BY revision DESC LIMIT 1)";
        let sql = format!(
            "INSERT INTO shares SELECT * REPLACE (? AS answer, {next} AS revision) \
             FROM {latest} AS latest \
             WHERE latest.answer = ''"
        );
        let build = |client: &StoreClient| {
            let query = client.query(&sql).bind(answer).bind(id);
            query.with_setting("max_query_size", MAX_SQL_BYTES)
        };
        self.execute_on_all(build, STEP).await
    }

    /// Revokes a token or link, by a row with a higher revision. `table` is `tokens` or `shares`.
    /// An unknown id changes nothing.
    ///
    /// # Errors
    ///
    /// As for [`Store::insert_token`].
    pub async fn revoke_credential(&self, table: &'static str, id: &str) -> Result<(), StoreError> {
        let next = self.next_revision(table, STEP).await?;
        let latest = format!("(SELECT * FROM {table} WHERE id = ? ORDER BY revision DESC LIMIT 1)");
        let sql = format!(
            "INSERT INTO {table} SELECT * REPLACE (true AS revoked, {next} AS revision) \
             FROM {latest}"
        );
        let build = |client: &StoreClient| client.query(&sql).bind(id);
        self.execute_on_all(build, STEP).await
    }

    /// Adds entries to the audit log. Inserting an entry again is harmless: readers see each id
    /// once.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the insert. Some entries may be
    /// stored.
    pub async fn insert_audit_entries(&self, entries: &[AuditEntry]) -> Result<(), StoreError> {
        let write = self.replica().begin_write();
        self.insert_audit_here(entries).await?;
        for sibling in self.note_present_siblings() {
            if sibling.insert_audit_here(entries).await.is_err() {
                self.replica().note_difference();
            }
        }
        write.finish();
        Ok(())
    }

    async fn insert_audit_here(&self, entries: &[AuditEntry]) -> Result<(), StoreError> {
        let permit = self.short_client.permit_write().await;
        let _permit = permit.map_err(error_during(STEP))?;
        let mut insert = self
            .short_client
            .begin_insert::<NewAuditRow<'_>>("audit")
            .await
            .map_err(error_during(STEP))?;
        for entry in entries {
            insert
                .write(&NewAuditRow::from(entry))
                .await
                .map_err(error_during(STEP))?;
        }
        insert.end().await.map_err(error_during(STEP))
    }

    /// The newest `limit` entries, newest first.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn read_audit_entries(&self, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        let sql = "SELECT toUnixTimestamp64Milli(at) AS millis, who, toString(act) AS act, \
                   what FROM audit \
                   ORDER BY audit.at DESC, id LIMIT 1 BY audit.at, id LIMIT ?";
        self.short_client
            .query(sql)
            .bind(limit as u64)
            .fetch_all()
            .await
            .map_err(error_during(STEP))
    }
}

/// The token of a row; `None` if another version wrote it in a form that is unknown here. Such a
/// row grants nothing.
fn token_from_row(row: TokenRow) -> Option<(SecretDigest, ApiToken)> {
    let token = ApiToken {
        id: row.id,
        name: row.name,
        scopes: row
            .scopes
            .iter()
            .map(|name| TokenScope::from_name(name))
            .collect::<Option<_>>()?,
        site: non_empty(row.site),
        expires: parse_optional_day(&row.expires)?,
        created: row.created.parse().ok()?,
        revoked: row.revoked,
    };
    Some((SecretDigest::from_hex(&row.digest)?, token))
}

/// The share link of a row; `None` as for [`token_from_row`].
fn share_from_row(row: ShareRow) -> Option<(SecretDigest, ShareLink)> {
    let share = ShareLink {
        id: row.id,
        name: row.name,
        site: row.site,
        from: row.first_day.parse().ok()?,
        to: row.last_day.parse().ok()?,
        expires: parse_optional_day(&row.expires)?,
        password: non_empty(row.password),
        created: row.created.parse().ok()?,
        revoked: row.revoked,
    };
    Some((SecretDigest::from_hex(&row.digest)?, share))
}

fn non_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// Reads an optional day: `Some(None)` for an empty text, `None` if it is not a day.
fn parse_optional_day(text: &str) -> Option<Option<Date>> {
    if text.is_empty() {
        Some(None)
    } else {
        text.parse().ok().map(Some)
    }
}

fn format_optional_day(day: Option<Date>) -> String {
    day.map_or_else(String::new, |day| day.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audit_log_is_kept_as_long_as_the_schema_keeps_it() {
        let schema = include_str!("schema/0005_access.sql");
        let ttl = format!("TTL toDate(at) + INTERVAL {AUDIT_RETENTION_DAYS} DAY");
        assert!(schema.contains(&ttl), "{ttl}");
    }
}
