//! Messages whose opening the platform wants confirmed. They are kept in the store only; collectors
//! do not cache them.

use super::{Registry, rules};
use crate::access::Digest;
use crate::event::{Day, Problem};
use crate::store::{MessageRow, Store};

impl Registry {
    /// Registers messages of `template` by the digests of their tokens, until the day `expires`,
    /// inclusive.
    ///
    /// # Errors
    ///
    /// 503 `store_unavailable`; some of the messages may be registered.
    pub async fn put_messages(&self, messages: &[Digest], template: &str, expires: Day) -> Result<(), Problem> {
        let store = self.store.load_full().ok_or_else(rules::no_store)?;
        store.put_messages(messages, template, expires).await.map_err(rules::away)
    }

    /// The state of one message; `None` if it is unknown.
    ///
    /// # Errors
    ///
    /// 503 `store_unavailable`.
    pub async fn message(&self, message: &Digest) -> Result<Option<MessageRow>, Problem> {
        let store = self.store.load_full().ok_or_else(rules::no_store)?;
        store.message(message).await.map_err(rules::away)
    }

    /// Revokes a message: its opening is forgotten and not recorded again.
    ///
    /// # Errors
    ///
    /// 503 `store_unavailable`.
    pub async fn revoke_message(&self, message: &Digest) -> Result<(), Problem> {
        let store = self.store.load_full().ok_or_else(rules::no_store)?;
        store.revoke_message(message).await.map_err(rules::away)
    }

    pub(super) async fn keep_opened(&self, store: &Store) {
        let _alone = self.keeping.lock().await;
        while let Some((messages, on)) = self.opened.first() {
            if let Err(error) = store.put_opened(&messages, &self.templates, on).await {
                self.note_failure(&error, "opened messages cannot be kept");
                return;
            }
            self.opened.kept(messages.len());
        }
    }
}
