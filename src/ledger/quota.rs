//! How many acts an hour the ledger takes: a flood of made-up answers must not fill its disk. Withdrawals are always taken: there are no more
//! of them than grants, and nobody's way out may depend on what others do.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::act::{Act, NewAct};
use super::error::LedgerError;

const HOUR_SECS: i64 = 3600;

/// What the metrics show of the ledger.
#[derive(Default)]
pub struct Stats {
    /// Acts on record since the start.
    pub records: AtomicU64,
    /// Acts that were not taken, for want of room in their hour.
    pub refused: AtomicU64,
}

pub struct Quota {
    per_hour: u64,
    /// The hour that is counted, and its acts so far.
    hour: Mutex<(i64, u64)>,
}

impl Quota {
    pub fn new(per_hour: u64) -> Quota {
        Quota { per_hour, hour: Mutex::default() }
    }

    /// Takes the acts, or says for how long there is no room.
    pub fn take(&self, acts: &[NewAct], stats: &Stats) -> Result<(), LedgerError> {
        let counted = acts.iter().filter(|act| act.act != Act::Withdraw);
        let (number, at) = (counted.clone().count() as u64, counted.map(|act| act.at).max());
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
        // One past the bound: it was said.
        hour.1 = self.per_hour + 1;
        drop(hour);
        stats.refused.fetch_add(number, Ordering::Relaxed);
        if before <= self.per_hour {
            let acts_per_hour = self.per_hour;
            tracing::error!(
                acts_per_hour,
                "more answers to the consent question come than the ledger takes in an hour; grants and refusals are answered 503 until the next one"
            );
        }
        Err(LedgerError::Crowded { retry_secs: (now + 1) * HOUR_SECS - secs })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{AT, act, grant, refuse, withdraw};
    use super::*;
    use crate::consent::ConsentId;

    #[test]
    fn an_hour_takes_so_many_acts_and_every_withdrawal() {
        let (quota, stats) = (Quota::new(3), Stats::default());
        let id = ConsentId::random();
        let take = |acts: &[NewAct]| quota.take(acts, &stats).is_ok();
        assert!(take(&[grant(id)]) && take(&[refuse()]));
        // What narrows a grant is one act that counts.
        assert!(take(&[withdraw(id), act(Act::Grant, Some(id), &["analytics"])]));
        assert!(!take(&[refuse()]) && !take(&[withdraw(id), grant(id)]) && take(&[withdraw(id)]));
        assert_eq!(stats.refused.load(Ordering::Relaxed), 2);
        let Err(LedgerError::Crowded { retry_secs }) = quota.take(&[refuse()], &stats) else { panic!("it is full") };
        assert_eq!(retry_secs, 3600 - (34 * 60 + 56));
        assert!(take(&[NewAct { at: AT + 3_600_000, ..refuse() }]));
    }
}
