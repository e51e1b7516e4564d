//! Logging of repeated failures: one message when an outage begins, and one when it is over, with
//! the number of failures in between.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long no failure may occur before an outage is over. Failures with shorter gaps are one
/// outage.
const QUIET_PERIOD: Duration = Duration::from_secs(10);

/// Different reasons of one outage that are logged.
const MAX_REASONS: usize = 16;

/// Tracks whether something fails at the moment. The caller writes the log.
#[derive(Default)]
pub struct Outage {
    is_ongoing: AtomicBool,
    state: Mutex<OutageState>,
}

#[derive(Default)]
struct OutageState {
    failures: u64,
    last: Option<Instant>,
    /// The reasons of this outage that were logged.
    reasons: Vec<String>,
}

impl Outage {
    /// Records a failure. `true` for the first failure of an outage, which should be logged.
    pub fn record_failure(&self) -> bool {
        self.record_failure_at(Instant::now())
    }

    /// Records a failure whose reason may change. `true` for the first failure with this reason in
    /// an outage, up to [`MAX_REASONS`] of them.
    pub fn record_failure_reason(&self, reason: &str) -> bool {
        self.record_failure();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new =
            state.reasons.len() < MAX_REASONS && !state.reasons.iter().any(|r| r == reason);
        if is_new {
            state.reasons.push(reason.to_owned());
        }
        is_new
    }

    /// Records a success. The number of failures of the outage, once there was none for ten
    /// seconds, else `None`.
    pub fn record_success(&self) -> Option<u64> {
        // The normal case takes no lock.
        self.is_ongoing
            .load(Ordering::Relaxed)
            .then(|| self.record_success_at(Instant::now()))
            .flatten()
    }

    fn record_failure_at(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.failures, state.last) = (state.failures + 1, Some(now));
        !self.is_ongoing.swap(true, Ordering::Relaxed)
    }

    fn record_success_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let last = state.last?;
        if now.saturating_duration_since(last) < QUIET_PERIOD {
            return None;
        }
        self.is_ongoing.store(false, Ordering::Relaxed);
        state.last = None;
        state.reasons.clear();
        Some(std::mem::take(&mut state.failures))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_now_and_then_is_told_once_with_its_number_at_the_end() {
        let (outage, start) = (Outage::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        let told = (0..1000)
            .filter(|n| outage.record_failure_at(at(n * 20)))
            .count();
        let over: Vec<u64> = (0..1000)
            .filter_map(|n| outage.record_success_at(at(n * 20 + 10)))
            .collect();
        assert_eq!((told, over), (1, vec![]));

        assert_eq!(outage.record_success_at(at(29_979)), None);
        assert_eq!(outage.record_success_at(at(29_980)), Some(1000));
        assert_eq!(
            (
                outage.record_success(),
                outage.record_success_at(at(60_000))
            ),
            (None, None)
        );
        assert!(outage.record_failure_at(at(70_000)));
        let reasons = ["refused", "refused", "wrong user", "refused", "wrong user"];
        let told = reasons.map(|reason| outage.record_failure_reason(reason));
        assert_eq!(told, [true, false, true, false, false]);
        let later = Instant::now() + Duration::from_secs(11);
        assert_eq!(outage.record_success_at(later), Some(6));
        assert!(outage.record_failure_reason("refused"), "of another outage");
        let later = later + Duration::from_secs(100);
        assert_eq!(outage.record_success_at(later), Some(1));
        assert!(outage.record_failure_at(at(70_000)));
        assert_eq!(outage.record_success_at(at(80_000)), Some(1));
    }
}
