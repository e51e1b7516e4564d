//! The sessions that were signed out before they would have ended. Copies of their cookies can
//! still exist.
//!
//! Sessions are known by a digest only, which gives no access to anything. Each is kept for as long
//! as its cookie could be valid.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::Notify;

use super::sessions::SessionDigest;
use crate::calendar::Day;
use crate::hex;

/// The maximum number of sessions returned by one call of `oldest_unsent`.
const MAX_UNSENT_BATCH: usize = 1000;

/// The signed-out sessions of all collectors, as far as this one knows.
#[derive(Default)]
pub struct SignedOutSessions {
    /// With the last day on which the cookie could be valid.
    sessions: RwLock<HashMap<SessionDigest, Day>>,
    /// Those of this collector that are not in the store yet.
    unsent: Mutex<Vec<(SessionDigest, Day)>>,
    unsent_added: Notify,
    is_complete: AtomicBool,
}

impl SignedOutSessions {
    /// Whether the session was signed out.
    pub fn contains(&self, session: &SessionDigest) -> bool {
        let sessions = self.sessions.read().unwrap_or_else(PoisonError::into_inner);
        sessions.contains_key(session)
    }

    /// Whether the sessions signed out at other collectors before this one was started are known.
    /// Until then, a session may have been signed out.
    pub fn is_complete(&self) -> bool {
        self.is_complete.load(Ordering::Acquire)
    }

    /// Called when those of the other collectors were read, or if there are none.
    pub fn set_complete(&self) {
        self.is_complete.store(true, Ordering::Release);
    }

    /// Adds a session that was signed out at this collector. `false` if it was there.
    pub fn insert(&self, session: SessionDigest, last_day: Day) -> bool {
        if !self.insert_known(session, last_day) {
            return false;
        }
        self.lock_unsent().push((session, last_day));
        self.unsent_added.notify_one();
        true
    }

    /// Adds a session that is in the store. `false` if it was there.
    pub fn insert_known(&self, session: SessionDigest, last_day: Day) -> bool {
        let mut sessions = self
            .sessions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        sessions.insert(session, last_day).is_none()
    }

    /// Whether the session is still to be written to the store.
    pub fn is_unsent(&self, session: &SessionDigest) -> bool {
        self.lock_unsent()
            .iter()
            .any(|(unsent, _)| unsent == session)
    }

    /// The oldest sessions that are not in the store yet, 1000 at most.
    pub fn oldest_unsent(&self) -> Vec<(SessionDigest, Day)> {
        let unsent = self.lock_unsent();
        unsent.iter().take(MAX_UNSENT_BATCH).copied().collect()
    }

    /// Removes sessions that are in the store from the list of those to be written.
    pub fn remove_sent(&self, known: &HashSet<SessionDigest>) {
        self.lock_unsent()
            .retain(|(session, _)| !known.contains(session));
    }

    /// Waits until a session is to be written to the store.
    pub async fn wait_for_unsent(&self) {
        self.unsent_added.notified().await;
    }

    /// Removes sessions whose cookies have ended before `today`, a UTC day.
    pub fn evict_expired(&self, today: Day) {
        let mut sessions = self
            .sessions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, last_day| *last_day >= today);
        drop(sessions);
        self.lock_unsent()
            .retain(|(_, last_day)| *last_day >= today);
    }

    fn lock_unsent(&self) -> MutexGuard<'_, Vec<(SessionDigest, Day)>> {
        self.unsent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A line for a session and the last day on which its cookie could be valid: the digest in hex, a
/// space, and the day in days since 1970-01-01.
pub fn format_sign_out((session, last_day): &(SessionDigest, Day)) -> String {
    let digest = hex::encode_lower(session);
    format!("{digest} {}\n", last_day.as_number())
}

/// The session and day of a line of [`format_sign_out`], without its end; `None` for any other text.
pub fn parse_sign_out(line: &str) -> Option<(SessionDigest, Day)> {
    let (digest, day) = line.split_once(' ')?;
    let digest = hex::decode_lower(digest.as_bytes())?;
    Some((digest, Day::from_number(day.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_kept_through_its_last_day_and_sent_once() {
        let (today, tomorrow) = (Day::from_number(20_000), Day::from_number(20_001));
        let signed_out = SignedOutSessions::default();
        assert!(signed_out.insert([1; 32], today) && signed_out.insert([2; 32], tomorrow));
        assert!(!signed_out.insert([1; 32], today), "once more");
        assert!(signed_out.insert_known([3; 32], tomorrow));
        assert_eq!(
            signed_out.oldest_unsent(),
            [([1; 32], today), ([2; 32], tomorrow)]
        );
        signed_out.remove_sent(&HashSet::from([[1; 32]]));
        assert!(!signed_out.is_unsent(&[1; 32]) && signed_out.is_unsent(&[2; 32]));

        signed_out.evict_expired(today);
        assert!([1, 2, 3].iter().all(|n| signed_out.contains(&[*n; 32])));
        signed_out.evict_expired(tomorrow);
        assert_eq!(
            [1, 2, 3].map(|n| signed_out.contains(&[n; 32])),
            [false, true, true]
        );
    }
}
