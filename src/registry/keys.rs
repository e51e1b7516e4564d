//! API tokens, share links and the audit log.
//!
//! The audit entry of a change is written before the change: an entry may name a change that failed
//! afterwards, never the other way round. Sign-ins are recorded together within seconds; a crash in
//! between loses them.

use std::sync::Arc;

use jiff::civil::Date;

use super::{Registry, rules};
use crate::access::{ApiToken, Digest, Entry, Keys, Share};
use crate::event::Problem;
use crate::store::{Audited, Store};

/// Sign-ins waiting for the audit log. Beyond this number, while the store is away, they are
/// dropped with a warning.
const MOST_WAITING: usize = 10_000;

impl Registry {
    /// Tokens and share links in force; `None` until the store was first read, when it is unknown
    /// who holds one.
    pub fn keys(&self) -> Option<Arc<Keys>> {
        self.keys.load_full()
    }

    /// Stores an API token under the digest of its secret, with `by` as its audit entry.
    ///
    /// # Errors
    ///
    /// 503 `store_unavailable`. The token may exist nevertheless if the last read failed.
    pub async fn put_token(&self, by: Entry, digest: Digest, token: ApiToken) -> Result<(), Problem> {
        self.change(by, |_| Ok(()), async |store| store.put_token(&digest, &token).await).await
    }

    /// Revokes the API token with this id; unknown ids change nothing.
    ///
    /// # Errors
    ///
    /// 503 `store_unavailable`.
    pub async fn revoke_token(&self, by: Entry, id: &str) -> Result<(), Problem> {
        self.change(by, |_| Ok(()), async |store| store.revoke("tokens", id).await).await
    }

    /// Stores a share link, if the links of the site known at that moment leave room. `is_site`
    /// says whether a link belongs to the site.
    ///
    /// # Errors
    ///
    /// 409 `taken` if the site has as many links as it may have, 503 `store_unavailable`.
    pub async fn put_share(
        &self,
        by: Entry,
        (digest, share, answer): (Digest, Share, String),
        (is_site, today): (impl Fn(&str) -> bool, Date),
    ) -> Result<(), Problem> {
        let room = |registry: &Registry| match registry.keys() {
            Some(keys) if keys.has_room_for_a_share(is_site, today) => Ok(()),
            _ => Err(rules::taken("this site has as many share links as it can have; revoked ones count for a month")),
        };
        self.change(by, room, async |store| store.put_share(&digest, &share, &answer).await).await
    }

    /// Stores the fixed answer of a share link made by an earlier version, and returns the stored
    /// one: of two at the same time, the first is kept. `None` for an unknown link.
    ///
    /// # Errors
    ///
    /// 503 `store_unavailable`.
    pub async fn keep_share_answer(&self, id: &str, answer: &str) -> Result<Option<String>, Problem> {
        let store = self.store.load_full().ok_or_else(rules::no_store)?;
        let _alone = self.read.lock().await;
        store.keep_share_answer(id, answer).await.map_err(rules::away)?;
        store.share_answer(id).await.map_err(rules::away)
    }

    /// Revokes the share link with this id; unknown ids change nothing.
    ///
    /// # Errors
    ///
    /// 503 `store_unavailable`.
    pub async fn revoke_share(&self, by: Entry, id: &str) -> Result<(), Problem> {
        self.change(by, |_| Ok(()), async |store| store.revoke("shares", id).await).await
    }

    /// Queues a sign-in for the audit log; it is written within seconds.
    pub fn note(&self, entry: Entry) {
        let mut waiting = self.waiting();
        match waiting.len() < MOST_WAITING {
            true => waiting.push(entry),
            false => tracing::warn!("a sign-in cannot be put on record: too many wait for the store"),
        }
    }

    /// The newest `limit` entries of the audit log, newest first, including those queued until now.
    ///
    /// # Errors
    ///
    /// 503 `store_unavailable`.
    pub async fn audit(&self, limit: usize) -> Result<Vec<Audited>, Problem> {
        let store = self.store.load_full().ok_or_else(rules::no_store)?;
        self.keep_waiting(&store).await;
        store.audit(limit).await.map_err(rules::away)
    }

    /// Writes what is queued to the store. For a collector that stops.
    pub async fn finish(&self) {
        if let Some(store) = self.store.load_full() {
            self.keep_waiting(&store).await;
            self.keep_opened(&store).await;
            self.follow_withdrawals(&store).await;
        }
    }

    pub(super) async fn keep_waiting(&self, store: &Store) {
        let _alone = self.keeping.lock().await;
        let entries = self.waiting().clone();
        if entries.is_empty() {
            return;
        }
        // Removed only once they are written: cancelling this in between must not lose them.
        match store.put_audit(&entries).await {
            Ok(()) => drop(self.waiting().drain(..entries.len())),
            Err(error) => self.note_failure(&error, "sign-ins cannot be put on record"),
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Entry>> {
        self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
