//! Single messages whose opening is reported to the platform. They are kept in the store only;
//! collectors do not cache them.

use super::{Registry, validation};
use crate::access::SecretDigest;
use crate::calendar::Day;
use crate::event::Problem;
use crate::store::{MessageRow, Store};

impl Registry {
    /// Registers messages of `template` by the digests of their tokens, until the day `expires`,
    /// inclusive.
    ///
    /// # Errors
    ///
    /// 503 `store_unavailable`, or `change_unconfirmed`: some of the messages may be registered.
    pub async fn register_messages(
        &self,
        messages: &[SecretDigest],
        template: &str,
        expires: Day,
    ) -> Result<(), Problem> {
        let store = self.require_store()?;
        store
            .register_messages(messages, template, expires)
            .await
            .map_err(validation::unconfirmed_problem)
    }

    /// The state of one message; `None` if it is unknown.
    ///
    /// # Errors
    ///
    /// 503 `store_unavailable`.
    pub async fn find_message(
        &self,
        message: &SecretDigest,
    ) -> Result<Option<MessageRow>, Problem> {
        let store = self.require_store()?;
        store
            .read_message_state(message)
            .await
            .map_err(validation::store_problem)
    }

    /// Revokes a message: its opening is forgotten and not recorded again.
    ///
    /// # Errors
    ///
    /// 503 `store_unavailable` or `change_unconfirmed`.
    pub async fn revoke_message(&self, message: &SecretDigest) -> Result<(), Problem> {
        let store = self.require_store()?;
        store
            .revoke_message(message)
            .await
            .map_err(validation::unconfirmed_problem)
    }

    pub(super) async fn write_opened_messages(&self, store: &Store) {
        let _alone = self.write_lock.lock().await;
        while let Some((messages, on)) = self.opened_messages.peek_same_day() {
            if let Err(error) = store
                .record_opened_messages(&messages, &self.templates, on)
                .await
            {
                self.record_failure(&error, "opened messages cannot be stored");
                return;
            }
            self.opened_messages.remove_stored(messages.len());
        }
    }
}
