//! Sessions, kept in memory: a restart signs everyone out.
//!
//! The cookie holds 256 random bits. Only a hash of them under a key of this process is kept; the
//! session's CSRF token is a hash of the same bits under another key. A session ends when it was
//! idle for too long, when it reaches its maximum age, or by signing out.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::permissions::Principal;
use super::secret::{SecretBytes, constant_time_eq};
use crate::calendar::{Millis, TimeSpan};
use crate::random::random_bytes;

/// The secret in a session's cookie.
pub type SessionId = SecretBytes<32>;

/// The open sessions of this process.
pub struct SessionTable {
    key: [u8; 32],
    csrf_key: [u8; 32],
    max_idle: TimeSpan,
    max_age: TimeSpan,
    max_sessions: usize,
    sessions: Mutex<HashMap<[u8; 32], Session>>,
}

struct Session {
    principal: Principal,
    began: Millis,
    last_used: Millis,
}

impl SessionTable {
    /// Sessions end when they were idle for `max_idle`, and at the age of `max_age`.
    pub fn new(max_idle: TimeSpan, max_age: TimeSpan, max_sessions: usize) -> SessionTable {
        SessionTable {
            key: random_bytes(),
            csrf_key: random_bytes(),
            max_idle,
            max_age,
            max_sessions,
            sessions: Mutex::default(),
        }
    }

    /// Starts a session, always under a new id. If the maximum number is reached, the session that
    /// was idle for longest ends.
    pub fn start_session(&self, who: Principal, now: Millis) -> SessionId {
        let id = SessionId::random();
        let mut open = self.lock_sessions();
        if open.len() >= self.max_sessions {
            open.retain(|_, session| self.is_alive(session, now));
        }
        if open.len() >= self.max_sessions
            && let Some(quiet) = open
                .iter()
                .min_by_key(|(_, session)| session.last_used)
                .map(|(key, _)| *key)
        {
            open.remove(&quiet);
        }
        open.insert(
            self.session_key(&id),
            Session {
                principal: who,
                began: now,
                last_used: now,
            },
        );
        id
    }

    /// The principal of a valid session. Marks it as used now.
    pub fn touch_session(&self, id: &SessionId, now: Millis) -> Option<Principal> {
        let mut open = self.lock_sessions();
        let session = open
            .get_mut(&self.session_key(id))
            .filter(|session| self.is_alive(session, now))?;
        session.last_used = session.last_used.max(now);
        Some(session.principal.clone())
    }

    /// Like [`SessionTable::touch_session`], without marking the session as used.
    pub fn peek_session(&self, id: &SessionId, now: Millis) -> Option<Principal> {
        let open = self.lock_sessions();
        let session = open
            .get(&self.session_key(id))
            .filter(|session| self.is_alive(session, now))?;
        Some(session.principal.clone())
    }

    /// Ends a session; a missing one is ignored.
    pub fn end_session(&self, id: &SessionId) {
        self.lock_sessions().remove(&self.session_key(id));
    }

    /// The CSRF token of a session. The collector's pages send it with every change; pages of other
    /// origins cannot know it.
    pub fn csrf_token(&self, id: &SessionId) -> String {
        id.keyed_hash(&self.csrf_key).to_hex().to_string()
    }

    /// Whether `guess` is the session's CSRF token. Compares in constant time.
    pub fn is_csrf_token(&self, id: &SessionId, guess: &str) -> bool {
        constant_time_eq(&self.csrf_token(id), guess)
    }

    /// Removes expired sessions.
    pub fn evict_expired(&self, now: Millis) {
        self.lock_sessions()
            .retain(|_, session| self.is_alive(session, now));
    }

    fn is_alive(&self, session: &Session, now: Millis) -> bool {
        now < session.last_used + self.max_idle && now < session.began + self.max_age
    }

    /// The key of a session in memory. It cannot be turned back into a cookie.
    pub fn session_key(&self, id: &SessionId) -> [u8; 32] {
        *id.keyed_hash(&self.key).as_bytes()
    }

    fn lock_sessions(&self) -> MutexGuard<'_, HashMap<[u8; 32], Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Millis = 30 * 60_000;
    const LONGEST: Millis = 12 * 3_600_000;

    fn lives(sessions: &SessionTable, id: &SessionId, now: Millis) -> bool {
        sessions.touch_session(id, now).is_some()
    }

    #[test]
    fn a_session_ends_when_it_is_idle_or_old_or_closed() {
        let sessions = SessionTable::new(
            TimeSpan::from_millis(IDLE),
            TimeSpan::from_millis(LONGEST),
            10,
        );
        let idle = sessions.start_session(Principal::Operator, 0);
        assert!(lives(&sessions, &idle, IDLE - 1));
        assert!(lives(&sessions, &idle, 2 * IDLE - 2));
        assert!(sessions.peek_session(&idle, 3 * IDLE - 3).is_some());
        assert!(!lives(&sessions, &idle, 3 * IDLE - 2), "a look is no use");
        assert!(sessions.peek_session(&idle, 3 * IDLE - 2).is_none());

        let busy = sessions.start_session(Principal::Operator, 0);
        assert!(
            (0..LONGEST)
                .step_by(60_000)
                .all(|now| lives(&sessions, &busy, now))
        );
        assert!(!lives(&sessions, &busy, LONGEST));

        let closed = sessions.start_session(Principal::Operator, 0);
        sessions.end_session(&closed);
        assert!(!lives(&sessions, &closed, 0));
    }

    #[test]
    fn with_no_room_left_the_quietest_goes() {
        let sessions = SessionTable::new(
            TimeSpan::from_millis(IDLE),
            TimeSpan::from_millis(LONGEST),
            3,
        );
        let ids: Vec<SessionId> = (0..3)
            .map(|at| sessions.start_session(Principal::Operator, at))
            .collect();
        assert!(lives(&sessions, &ids[0], 10));
        let newest = sessions.start_session(Principal::Operator, 11);
        let found = [&ids[0], &ids[1], &ids[2], &newest].map(|id| lives(&sessions, id, 12));
        assert_eq!(found, [true, false, true, true]);
    }

    #[test]
    fn each_session_has_a_csrf_token_of_its_own() {
        let sessions = SessionTable::new(
            TimeSpan::from_millis(IDLE),
            TimeSpan::from_millis(LONGEST),
            3,
        );
        let (one, two) = (
            sessions.start_session(Principal::Operator, 0),
            sessions.start_session(Principal::Operator, 0),
        );
        assert!(sessions.is_csrf_token(&one, &sessions.csrf_token(&one)));
        assert!(
            !sessions.is_csrf_token(&one, &sessions.csrf_token(&two))
                && !sessions.is_csrf_token(&one, "")
        );
        assert_ne!(sessions.csrf_token(&one), one.reveal_text());
    }
}
