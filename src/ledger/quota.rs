//! Limits the number of acts per hour, so that a flood of forged choices does not fill the disk.
//! Withdrawals are always accepted: they cannot outnumber grants, and load caused by others must
//! not keep a visitor from withdrawing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::act::{ActKind, NewAct};
use super::error::LedgerError;

const HOUR_SECS: i64 = 3600;

/// Counters of the ledger for the metrics.
#[derive(Default)]
pub struct LedgerStats {
    /// Acts that were recorded since the start.
    pub recorded_acts: AtomicU64,
    /// Acts rejected since the start because the quota of their hour was exhausted.
    pub rejected_acts: AtomicU64,
    /// Records from before the start that are still to be verified.
    pub unverified_records: AtomicU64,
    /// The damage that was found in them. Then nothing is recorded any more.
    damage: OnceLock<String>,
}

impl LedgerStats {
    /// Whether a record from before the start was found damaged.
    pub fn is_damaged(&self) -> bool {
        self.damage.get().is_some()
    }

    /// What was found, and which record; it names no consent id.
    pub fn damage(&self) -> Option<&str> {
        self.damage.get().map(String::as_str)
    }

    /// Ends the ledger: a record is damaged.
    pub(super) fn report_damage(&self, error: &LedgerError) {
        let _ = self.damage.set(error.to_string());
        tracing::error!(%error, "the consent ledger is damaged; choices are rejected, and nothing is \
            signed, until it is put right and the collector is restarted");
    }
}

/// The quota, by the time of the acts.
pub struct ActQuota {
    per_hour: u64,
    /// The current hour (since the Unix epoch) and the number of its acts so far.
    hour: Mutex<(i64, u64)>,
}

impl ActQuota {
    /// Allows `per_hour` grants and refusals in each hour.
    pub fn new(per_hour: u64) -> ActQuota {
        ActQuota {
            per_hour,
            hour: Mutex::default(),
        }
    }

    /// Counts the acts against the quota of their hour.
    ///
    /// # Errors
    ///
    /// The quota is exhausted ([`LedgerError::QuotaExceeded`]); none of the acts is counted.
    pub fn charge_acts(&self, acts: &[NewAct], stats: &LedgerStats) -> Result<(), LedgerError> {
        let counted = acts.iter().filter(|act| act.act != ActKind::Withdraw);
        let (number, at) = (
            counted.clone().count() as u64,
            counted.map(|act| act.at).max(),
        );
        let Some(at) = at else { return Ok(()) };
        let secs = at.div_euclid(1000);
        let now = secs.div_euclid(HOUR_SECS);

        let mut hour = self.hour.lock().unwrap_or_else(PoisonError::into_inner);
        if hour.0 != now {
            *hour = (now, 0);
        }

        let before = hour.1;
        if before + number <= self.per_hour {
            hour.1 += number;
            return Ok(());
        }
        // Beyond the limit marks that the error was logged.
        hour.1 = self.per_hour + 1;

        drop(hour);
        stats.rejected_acts.fetch_add(number, Ordering::Relaxed);
        if before <= self.per_hour {
            let acts_per_hour = self.per_hour;
            tracing::error!(
                acts_per_hour,
                "ledger.acts_per_hour is exhausted; grants and refusals get 503 until the next hour"
            );
        }
        Err(LedgerError::QuotaExceeded {
            retry_secs: (now + 1) * HOUR_SECS - secs,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{AT, act, grant, refuse, withdraw};
    use super::*;
    use crate::consent::ConsentId;

    #[test]
    fn an_hour_takes_so_many_acts_and_every_withdrawal() {
        let (quota, stats) = (ActQuota::new(3), LedgerStats::default());
        let id = ConsentId::random();
        let take = |acts: &[NewAct]| quota.charge_acts(acts, &stats).is_ok();
        assert!(take(&[grant(&id)]) && take(&[refuse()]));
        // Narrowing a grant is one act that counts.
        assert!(take(&[
            withdraw(&id),
            act(ActKind::Grant, Some(&id), &["analytics"])
        ]));
        assert!(
            !take(&[refuse()]) && !take(&[withdraw(&id), grant(&id)]) && take(&[withdraw(&id)])
        );
        assert_eq!(stats.rejected_acts.load(Ordering::Relaxed), 2);
        let Err(LedgerError::QuotaExceeded { retry_secs }) = quota.charge_acts(&[refuse()], &stats)
        else {
            panic!("it is full")
        };
        assert_eq!(retry_secs, 3600 - (34 * 60 + 56));
        assert!(take(&[NewAct {
            at: AT + 3_600_000,
            ..refuse()
        }]));
    }
}
