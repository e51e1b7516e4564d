//! What became of the platform's mails; and, where it asks for that, whether one message was opened.

use clickhouse::Row;
use serde::Deserialize;

use super::Store;
use super::error::{StoreError, failed};
use super::marker::no_marker_text;
use crate::access::Digest;
use crate::event::Day;

const STEP: &str = "a question about mails";
const MESSAGES: &str = "the messages";

/// The states of a message follow each other and never go back, so the state is the revision: what was revoked stays revoked, whoever
/// writes last.
const SENT: u8 = 1;
const OPENED: u8 = 2;
const REVOKED: u8 = 3;

/// By what the openings and clicks of a template are told apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MailedBy {
    Day,
    Batch,
    Link,
}

#[derive(Row, Deserialize, Debug)]
pub struct Mailed {
    pub template: String,
    /// The day, the batch or the link.
    pub of: String,
    pub action: String,
    pub reader: String,
    pub hits: u64,
    pub visitors: u64,
}

#[derive(Row, Deserialize, Debug)]
pub struct MessageRow {
    pub template: String,
    /// Zero for a message that was not.
    pub opened: u16,
    pub expires: u16,
    pub revoked: bool,
}

impl Store {
    pub async fn mailed(&self, by: MailedBy, (from, to): (Day, Day)) -> Result<Vec<Mailed>, StoreError> {
        let (of, only) = match by {
            MailedBy::Day => ("toString(day)", ""),
            MailedBy::Batch => ("toString(batch)", ""),
            MailedBy::Link => ("toString(link)", "AND action = 'click'"),
        };
        let sql = format!(
            "SELECT toString(template) AS template, {of} AS of, toString(action) AS action, toString(reader) AS reader, \
             sum(hits) AS hits, sum(visitors) AS visitors FROM mail WHERE day BETWEEN toDate(?) AND toDate(?) AND {no_marker} {only} \
             GROUP BY template, of, action, reader ORDER BY template, of",
            no_marker = no_marker_text("mail.template")
        );
        let query = self.calls.query(&sql).bind(from.number()).bind(to.number());
        query.fetch_all().await.map_err(failed(STEP))
    }

    pub async fn put_messages(&self, messages: &[Digest], template: &str, expires: Day) -> Result<(), StoreError> {
        let digests: Vec<String> = messages.iter().map(Digest::text).collect();
        let sql = format!(
            "INSERT INTO messages (digest, template, expires, opened, revoked, revision) \
             SELECT arrayJoin(?), ?, toDate(?), toDate(0), false, {SENT}"
        );
        let query = self.calls.query(&sql).bind(digests).bind(template).bind(expires.number());
        query.execute().await.map_err(failed(MESSAGES))
    }

    pub async fn message(&self, message: &Digest) -> Result<Option<MessageRow>, StoreError> {
        let sql = format!(
            "SELECT toString(template) AS template, toUInt16(opened) AS opened, toUInt16(expires) AS expires, revoked \
             FROM ({}) WHERE digest = ?",
            latest("digest = ?")
        );
        let digest = message.text();
        self.calls.query(&sql).bind(&digest).bind(&digest).fetch_optional().await.map_err(failed(MESSAGES))
    }

    /// Of messages of these templates that were not opened before, are not revoked and not over.
    pub async fn put_opened(&self, messages: &[Digest], templates: &[String], on: Day) -> Result<(), StoreError> {
        let digests: Vec<String> = messages.iter().map(Digest::text).collect();
        let sql = format!(
            "INSERT INTO messages (digest, template, expires, opened, revoked, revision) \
             SELECT digest, template, expires, toDate(?), false, {OPENED} FROM ({}) \
             WHERE state = {SENT} AND expires >= toDate(?) AND has(?, toString(template))",
            latest("digest IN ?")
        );
        let query = self.calls.query(&sql).bind(on.number()).bind(digests).bind(on.number()).bind(templates);
        query.execute().await.map_err(failed(MESSAGES))
    }

    /// Forgets the messages whose last day is over: by the collector's clock, as everything that is counted.
    pub(super) async fn forget_messages(&self, today: Day) -> Result<(), StoreError> {
        let over = "SELECT count() FROM messages WHERE expires < toDate(?)";
        let over: u64 = self.calls.query(over).bind(today.number()).fetch_one().await.map_err(failed(MESSAGES))?;
        if over == 0 {
            return Ok(());
        }
        let sql = "ALTER TABLE messages DELETE WHERE expires < toDate(?)";
        self.calls.query(sql).bind(today.number()).execute().await.map_err(failed(MESSAGES))
    }

    /// Whether it was opened is forgotten with it.
    pub async fn revoke_message(&self, message: &Digest) -> Result<(), StoreError> {
        let digest = message.text();
        let sql = format!(
            "INSERT INTO messages (digest, template, expires, opened, revoked, revision) \
             SELECT digest, template, expires, toDate(0), true, {REVOKED} FROM ({})",
            latest("digest = ?")
        );
        self.calls.query(&sql).bind(&digest).execute().await.map_err(failed(MESSAGES))?;
        let sql = format!("ALTER TABLE messages DELETE WHERE digest = ? AND revision < {REVOKED}");
        self.calls.query(&sql).bind(&digest).execute().await.map_err(failed(MESSAGES))
    }
}

/// Each message as it is now.
fn latest(only: &str) -> String {
    let columns = ["template", "expires", "opened", "revoked"];
    let columns = columns.map(|name| format!("argMax({name}, revision) AS {name}")).join(", ");
    // The names of the columns are those of the table again: the condition must stand in a query of its own.
    format!(
        "SELECT digest, {columns}, max(revision) AS state FROM (SELECT * FROM messages WHERE {only}) GROUP BY digest"
    )
}
