//! Counts of the platform's mails; and, with `mail.mode = "per_message"`, whether one message was
//! opened.

use clickhouse::Row;
use serde::Deserialize;

use super::Store;
use super::client::StoreClient;
use super::error::{StoreError, error_during};
use super::marker::exclude_marker_texts;
use crate::access::SecretDigest;
use crate::calendar::{Day, DayRange};

const STEP: &str = "a query for mail counts";
const MESSAGES_STEP: &str = "the messages";

/// States of a message. They only increase, so the state is also the revision: a revoked message
/// stays revoked, whichever collector writes last.
const SENT: u8 = 1;
const OPENED: u8 = 2;
const REVOKED: u8 = 3;

/// The grouping of a template's opens and clicks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MailGrouping {
    /// By the day they happened.
    Day,
    /// By the day the mail belongs to.
    Batch,
    /// By link; clicks only.
    Link,
}

/// The counts of one template, group, action and kind of client.
#[derive(Row, Deserialize, Debug)]
pub struct MailCountRow {
    /// The template's name.
    pub template: String,
    /// The group: the day or batch as `YYYY-MM-DD`, or the link's name.
    pub of: String,
    /// The name of a [`MailAction`](crate::event::MailAction).
    pub action: String,
    /// The name of a [`ReaderKind`](crate::event::ReaderKind).
    pub reader: String,
    /// Opens or clicks.
    pub hits: u64,
    /// Openers: opens by a person's own mail program that were that person's first of this mail on
    /// their day.
    pub visitors: u64,
}

/// The state of one message.
#[derive(Row, Deserialize, Debug)]
pub struct MessageRow {
    /// The name of its template.
    pub template: String,
    /// The day it was first opened, in days since 1970-01-01; 0 if it was not.
    pub opened: u16,
    /// The last day it is kept, inclusive, in days since 1970-01-01.
    pub expires: u16,
    /// Whether it was revoked. Its opening is then forgotten.
    pub revoked: bool,
}

impl Store {
    /// The counts of the days, ordered by template and group.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn mail_counts(
        &self,
        by: MailGrouping,
        days: DayRange,
    ) -> Result<Vec<MailCountRow>, StoreError> {
        let (of, only) = match by {
            MailGrouping::Day => ("toString(day)", ""),
            MailGrouping::Batch => ("toString(batch)", ""),
            MailGrouping::Link => ("toString(link)", "AND action = 'click'"),
        };

        let sql = format!(
            "SELECT toString(template) AS template, {of} AS of, toString(action) AS action, \
             toString(reader) AS reader, \
             sum(hits) AS hits, sum(visitors) AS visitors FROM mail \
             WHERE day BETWEEN toDate(?) AND toDate(?) AND {no_marker} {only} \
             GROUP BY template, of, action, reader ORDER BY template, of",
            no_marker = exclude_marker_texts("mail.template")
        );

        let query = self
            .short_client
            .query(&sql)
            .bind(days.first().as_number())
            .bind(days.last().as_number());
        query.fetch_all().await.map_err(error_during(STEP))
    }

    /// Registers messages by the digests of their tokens, until the day `expires`, inclusive. A
    /// known message keeps its state.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the insert. Some of the messages
    /// may be registered.
    pub async fn register_messages(
        &self,
        messages: &[SecretDigest],
        template: &str,
        expires: Day,
    ) -> Result<(), StoreError> {
        let digests: Vec<String> = messages.iter().map(SecretDigest::to_hex).collect();
        let sql = format!(
            "INSERT INTO messages (digest, template, expires, opened, revoked, revision) \
             SELECT arrayJoin(?), ?, toDate(?), toDate(0), false, {SENT}"
        );
        let build = |client: &StoreClient| {
            let query = client.query(&sql).bind(&digests).bind(template);
            query.bind(expires.as_number())
        };
        self.execute_on_all(build, MESSAGES_STEP).await
    }

    /// The state of one message; `None` if it is unknown.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the query.
    pub async fn read_message_state(
        &self,
        message: &SecretDigest,
    ) -> Result<Option<MessageRow>, StoreError> {
        let sql = format!(
            "SELECT toString(template) AS template, toUInt16(opened) AS opened, \
             toUInt16(expires) AS expires, revoked \
             FROM ({}) WHERE digest = ?",
            latest_state_query("digest = ?")
        );
        let digest = message.to_hex();
        self.short_client
            .query(&sql)
            .bind(&digest)
            .bind(&digest)
            .fetch_optional()
            .await
            .map_err(error_during(MESSAGES_STEP))
    }

    /// Records that messages were opened on the day `on`. Skips those that are unknown, already
    /// opened, revoked or expired, or whose template is not among `templates`.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects the insert. Some may be recorded;
    /// recording them again changes nothing.
    pub async fn record_opened_messages(
        &self,
        messages: &[SecretDigest],
        templates: &[String],
        on: Day,
    ) -> Result<(), StoreError> {
        let digests: Vec<String> = messages.iter().map(SecretDigest::to_hex).collect();
        let sql = format!(
            "INSERT INTO messages (digest, template, expires, opened, revoked, revision) \
             SELECT digest, template, expires, toDate(?), false, {OPENED} FROM ({}) \
             WHERE state = {SENT} AND expires >= toDate(?) AND has(?, toString(template))",
            latest_state_query("digest IN ?")
        );
        let build = |client: &StoreClient| {
            let query = client.query(&sql).bind(on.as_number()).bind(&digests);
            query.bind(on.as_number()).bind(templates)
        };
        self.execute_on_present(build, MESSAGES_STEP).await
    }

    /// Deletes the messages whose last day is over, by the collector's clock.
    pub(super) async fn delete_expired_messages(&self, today: Day) -> Result<(), StoreError> {
        let over = "SELECT count() FROM messages WHERE expires < toDate(?)";
        let over: u64 = self
            .short_client
            .query(over)
            .bind(today.as_number())
            .fetch_one()
            .await
            .map_err(error_during(MESSAGES_STEP))?;
        if over == 0 {
            return Ok(());
        }
        let sql = "ALTER TABLE messages DELETE WHERE expires < toDate(?)";
        self.short_client
            .query(sql)
            .bind(today.as_number())
            .execute()
            .await
            .map_err(error_during(MESSAGES_STEP))
    }

    /// Revokes a message and forgets whether it was opened.
    ///
    /// # Errors
    ///
    /// The store cannot be reached in time, or ClickHouse rejects a statement. The message may be
    /// revoked while the rows of its former states are still there.
    pub async fn revoke_message(&self, message: &SecretDigest) -> Result<(), StoreError> {
        let digest = message.to_hex();

        let sql = format!(
            "INSERT INTO messages (digest, template, expires, opened, revoked, revision) \
             SELECT digest, template, expires, toDate(0), true, {REVOKED} FROM ({})",
            latest_state_query("digest = ?")
        );
        self.execute_on_all(|client| client.query(&sql).bind(&digest), MESSAGES_STEP)
            .await?;
        let sql = format!("ALTER TABLE messages DELETE WHERE digest = ? AND revision < {REVOKED}");
        self.execute_on_all(|client| client.query(&sql).bind(&digest), MESSAGES_STEP)
            .await
    }
}

/// A query for the newest state of each message that meets the condition.
fn latest_state_query(only: &str) -> String {
    let columns = ["template", "expires", "opened", "revoked"];
    let columns = columns
        .map(|name| format!("argMax({name}, revision) AS {name}"))
        .join(", ");
    // The columns are named as the table's, so the condition needs a subquery.
    format!(
        "SELECT digest, {columns}, max(revision) AS state FROM (SELECT * FROM messages \
         WHERE {only}) GROUP BY digest"
    )
}
