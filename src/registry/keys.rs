//! Tokens, share links and the audit log: what of the registry says who may see what.
//!
//! A change is put on record first and done then: an entry may tell of a change that failed after it, never the other way round.
//! Sign-ins are put on record within seconds, together; a crash in between forgets them.

use std::sync::Arc;

use jiff::civil::Date;

use super::{Registry, rules};
use crate::access::{ApiToken, Digest, Entry, Keys, Share};
use crate::event::Problem;
use crate::store::{Audited, Store};

/// Sign-ins that wait to be put on record. Beyond it, while the store is away, they are let go with a line in the log.
const MOST_WAITING: usize = 10_000;

impl Registry {
    /// `None` until the store was read for the first time: who holds a token or a link cannot be told.
    pub fn keys(&self) -> Option<Arc<Keys>> {
        self.keys.load_full()
    }

    pub async fn put_token(&self, by: Entry, digest: Digest, token: ApiToken) -> Result<(), Problem> {
        self.change(by, |_| Ok(()), async |store| store.put_token(&digest, &token).await).await
    }

    pub async fn revoke_token(&self, by: Entry, id: &str) -> Result<(), Problem> {
        self.change(by, |_| Ok(()), async |store| store.revoke("tokens", id).await).await
    }

    /// `room` is asked with the links that are known at that moment.
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

    /// Keeps what a link of before answers were kept answers from now on, and says it. Of two that are made at once the first is kept.
    pub async fn keep_share_answer(&self, id: &str, answer: &str) -> Result<Option<String>, Problem> {
        let store = self.store.load_full().ok_or_else(rules::no_store)?;
        let _alone = self.read.lock().await;
        store.keep_share_answer(id, answer).await.map_err(rules::away)?;
        store.share_answer(id).await.map_err(rules::away)
    }

    pub async fn revoke_share(&self, by: Entry, id: &str) -> Result<(), Problem> {
        self.change(by, |_| Ok(()), async |store| store.revoke("shares", id).await).await
    }

    /// Puts a sign-in on record, soon.
    pub fn note(&self, entry: Entry) {
        let mut waiting = self.waiting();
        match waiting.len() < MOST_WAITING {
            true => waiting.push(entry),
            false => tracing::warn!("a sign-in cannot be put on record: too many wait for the store"),
        }
    }

    /// The newest entries of the audit log, newest first.
    pub async fn audit(&self, limit: usize) -> Result<Vec<Audited>, Problem> {
        let store = self.store.load_full().ok_or_else(rules::no_store)?;
        self.keep_waiting(&store).await;
        store.audit(limit).await.map_err(rules::away)
    }

    /// The last act of a collector that stops.
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
        // They are let go once they are written: whoever stops this in between must not lose them.
        match store.put_audit(&entries).await {
            Ok(()) => drop(self.waiting().drain(..entries.len())),
            Err(error) => self.note_failure(&error, "sign-ins cannot be put on record"),
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Entry>> {
        self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
