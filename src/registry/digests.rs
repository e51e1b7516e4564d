//! Shares withdrawals of consent and sign-outs among all collectors of a database. Each collector
//! writes its own to the store at once, and polls for those of the others every few seconds.
//!
//! While the store is away they stay in memory. After a restart, withdrawals are read from the
//! ledger again and sign-outs from their copy on disk, and those missing in the store are written.

use std::collections::{HashMap, HashSet};

use tokio::sync::Mutex;

use super::Registry;
use crate::access::SignedOutSessions;
use crate::calendar::Day;
use crate::consent::WithdrawnGrants;
use crate::store::{DigestDaySummary, DigestTable, Store, StoreError};

/// State read last, by day number; `None` before the first read. Locked while digests are read or
/// written.
pub(super) type DigestDays = Mutex<Option<HashMap<u16, DigestDaySummary>>>;

/// A set of digests in memory. Some are not in the store yet.
trait SharedDigests {
    const TABLE: DigestTable;

    fn insert_known(&self, digest: [u8; 32], day: Day);

    fn oldest_unsent(&self) -> Vec<([u8; 32], Day)>;

    fn remove_sent(&self, known: &HashSet<[u8; 32]>);

    /// Called when all rows of the store were read.
    fn set_complete(&self);
}

impl SharedDigests for WithdrawnGrants {
    const TABLE: DigestTable = DigestTable::Withdrawals;

    fn insert_known(&self, digest: [u8; 32], _: Day) {
        self.insert_digest(digest);
    }

    fn oldest_unsent(&self) -> Vec<([u8; 32], Day)> {
        self.oldest_unsent()
    }

    fn remove_sent(&self, known: &HashSet<[u8; 32]>) {
        self.remove_sent(known);
    }

    fn set_complete(&self) {}
}

impl SharedDigests for SignedOutSessions {
    const TABLE: DigestTable = DigestTable::SignOuts;

    fn insert_known(&self, digest: [u8; 32], day: Day) {
        self.insert_known(digest, day);
    }

    fn oldest_unsent(&self) -> Vec<([u8; 32], Day)> {
        self.oldest_unsent()
    }

    fn remove_sent(&self, known: &HashSet<[u8; 32]>) {
        self.remove_sent(known);
    }

    fn set_complete(&self) {
        self.set_complete();
    }
}

impl Registry {
    pub(super) async fn sync_withdrawals(&self, store: &Store) {
        let [unread, unwritten] = [
            "withdrawals of other collectors cannot be read",
            "withdrawals cannot be written for the other collectors",
        ];
        self.sync_digests(
            store,
            &*self.withdrawn,
            &self.withdrawal_days,
            unread,
            unwritten,
        )
        .await;
    }

    pub(super) async fn sync_sign_outs(&self, store: &Store) {
        let [unread, unwritten] = [
            "sign-outs at other collectors cannot be read",
            "sign-outs cannot be written for the other collectors",
        ];
        self.sync_digests(
            store,
            &self.sign_outs.sessions,
            &self.sign_outs.days,
            unread,
            unwritten,
        )
        .await;
    }

    async fn sync_digests(
        &self,
        store: &Store,
        digests: &impl SharedDigests,
        days: &DigestDays,
        unread: &'static str,
        unwritten: &'static str,
    ) {
        let mut read = days.lock().await;
        if let Err(error) = read_digests(store, digests, &mut read).await {
            self.record_failure(&error, unread);
        }
        // Not before the table was read, so that its rows are not written again.
        if read.is_some()
            && let Err(error) = write_digests(store, digests).await
        {
            self.record_failure(&error, unwritten);
        }
    }
}

async fn read_digests<D: SharedDigests>(
    store: &Store,
    digests: &D,
    read: &mut Option<HashMap<u16, DigestDaySummary>>,
) -> Result<(), StoreError> {
    let now: HashMap<u16, DigestDaySummary> = store
        .digest_days(D::TABLE)
        .await?
        .into_iter()
        .map(|day| (day.day_number, day))
        .collect();
    let mut rows = Vec::new();
    let mut unread = Vec::new();
    for (number, day) in &now {
        let known = read.as_ref().and_then(|days| days.get(number));
        match known {
            Some(known) if known == day => {}
            // A day can have many rows, and each sign-out waits for this.
            Some(known) => match store.read_new_digests(D::TABLE, known, day).await? {
                Some(new) => rows.extend(new),
                None => unread.push(*number),
            },
            None => unread.push(*number),
        }
    }
    if !unread.is_empty() {
        rows.extend(store.read_digests(D::TABLE, &unread).await?);
    }
    rows.iter()
        .for_each(|(digest, day)| digests.insert_known(*digest, *day));
    digests.remove_sent(&rows.into_iter().map(|(digest, _)| digest).collect());
    *read = Some(now);
    digests.set_complete();
    Ok(())
}

async fn write_digests<D: SharedDigests>(store: &Store, digests: &D) -> Result<(), StoreError> {
    loop {
        let waiting = digests.oldest_unsent();
        if waiting.is_empty() {
            return Ok(());
        }
        store.insert_digests(D::TABLE, &waiting).await?;
        digests.remove_sent(&waiting.iter().map(|(digest, _)| *digest).collect());
    }
}
