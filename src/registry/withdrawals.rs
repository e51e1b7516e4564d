//! Shares withdrawals of consent among all collectors of a database. Each writes its own to the
//! store at once, and polls for those of the others every few seconds.
//!
//! While the store is away they stay in memory. After a restart they are read from the ledger
//! again, and those missing in the store are written.

use std::collections::{HashMap, HashSet};

use super::Registry;
use crate::store::{Store, StoreError, WithdrawalsOfDay};

/// State read last, by day number.
pub(super) type Days = HashMap<u16, WithdrawalsOfDay>;

impl Registry {
    pub(super) async fn follow_withdrawals(&self, store: &Store) {
        let mut read = self.withdrawals.lock().await;
        if let Err(error) = self.learn_withdrawals(store, &mut read).await {
            self.note_failure(&error, "withdrawals of other collectors cannot be read");
        }
        // Not before the table was read, so that what it already holds is not written again.
        if read.is_some()
            && let Err(error) = self.tell_withdrawals(store).await
        {
            self.note_failure(&error, "withdrawals cannot be told to the other collectors");
        }
    }

    async fn learn_withdrawals(&self, store: &Store, read: &mut Option<Days>) -> Result<(), StoreError> {
        let now: Days = store.withdrawal_days().await?.into_iter().map(|day| (day.day_number, day)).collect();
        let known = |number: &u16| read.as_ref().and_then(|days| days.get(number));
        let changed = now.iter().filter(|(number, day)| known(number) != Some(day));
        let changed: Vec<u16> = changed.map(|(number, _)| *number).collect();
        if !changed.is_empty() {
            let digests: HashSet<[u8; 32]> = store.withdrawals(&changed).await?.into_iter().collect();
            digests.iter().for_each(|digest| self.withdrawn.learn(*digest));
            self.withdrawn.told(&digests);
        }
        *read = Some(now);
        Ok(())
    }

    async fn tell_withdrawals(&self, store: &Store) -> Result<(), StoreError> {
        loop {
            let waiting = self.withdrawn.first_waiting();
            if waiting.is_empty() {
                return Ok(());
            }
            store.put_withdrawals(&waiting).await?;
            self.withdrawn.told(&waiting.iter().map(|(digest, _)| *digest).collect());
        }
    }
}
