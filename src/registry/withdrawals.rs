//! Shares withdrawals of consent among all collectors of a database. Each collector writes its own
//! to the store at once, and polls for those of the others every few seconds.
//!
//! While the store is away they stay in memory. After a restart they are read from the ledger
//! again, and those missing in the store are written.

use std::collections::{HashMap, HashSet};

use super::Registry;
use crate::store::{Store, StoreError, WithdrawalDaySummary};

/// State read last, by day number.
pub(super) type WithdrawalDays = HashMap<u16, WithdrawalDaySummary>;

impl Registry {
    pub(super) async fn sync_withdrawals(&self, store: &Store) {
        let mut read = self.withdrawal_days.lock().await;
        if let Err(error) = self.read_withdrawals(store, &mut read).await {
            self.record_failure(&error, "withdrawals of other collectors cannot be read");
        }
        // Not before the table was read, so that its rows are not written again.
        if read.is_some()
            && let Err(error) = self.write_withdrawals(store).await
        {
            self.record_failure(
                &error,
                "withdrawals cannot be written for the other collectors",
            );
        }
    }

    async fn read_withdrawals(
        &self,
        store: &Store,
        read: &mut Option<WithdrawalDays>,
    ) -> Result<(), StoreError> {
        let now: WithdrawalDays = store
            .withdrawal_days()
            .await?
            .into_iter()
            .map(|day| (day.day_number, day))
            .collect();
        let known = |number: &u16| read.as_ref().and_then(|days| days.get(number));
        let changed = now
            .iter()
            .filter(|(number, day)| known(number) != Some(day));
        let changed: Vec<u16> = changed.map(|(number, _)| *number).collect();
        if !changed.is_empty() {
            let digests: HashSet<[u8; 32]> = store
                .read_withdrawals(&changed)
                .await?
                .into_iter()
                .collect();
            digests
                .iter()
                .for_each(|digest| self.withdrawn.insert_digest(*digest));
            self.withdrawn.remove_sent(&digests);
        }
        *read = Some(now);
        Ok(())
    }

    async fn write_withdrawals(&self, store: &Store) -> Result<(), StoreError> {
        loop {
            let waiting = self.withdrawn.oldest_unsent();
            if waiting.is_empty() {
                return Ok(());
            }
            store.insert_withdrawals(&waiting).await?;
            self.withdrawn
                .remove_sent(&waiting.iter().map(|(digest, _)| *digest).collect());
        }
    }
}
