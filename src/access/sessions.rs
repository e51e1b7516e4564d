//! Sessions, kept in memory: a restart signs everyone out.
//!
//! The cookie holds 256 random bits. Only a hash of them under a key of this process is kept; the
//! session's CSRF token is a hash of the same bits under another key. A session ends when it was
//! idle for too long, when it reaches its maximum age, or by signing out.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::rights::Who;
use super::secret::{Raw, random, same_text};
use crate::event::Millis;

/// The secret in a session's cookie.
pub type SessionId = Raw<32>;

/// The open sessions of this process.
pub struct Sessions {
    key: [u8; 32],
    csrf_key: [u8; 32],
    idle: Millis,
    longest: Millis,
    most: usize,
    open: Mutex<HashMap<[u8; 32], Session>>,
}

struct Session {
    who: Who,
    began: Millis,
    seen: Millis,
}

impl Sessions {
    /// `idle` and `longest` are the maximum idle time and the maximum age in milliseconds; `most`
    /// is the maximum number of sessions.
    pub fn new(idle: Millis, longest: Millis, most: usize) -> Sessions {
        Sessions { key: random(), csrf_key: random(), idle, longest, most, open: Mutex::default() }
    }

    /// Starts a session, always under a new id. If the maximum number is reached, the session that
    /// was idle for longest ends.
    pub fn open(&self, who: Who, now: Millis) -> SessionId {
        let id = SessionId::random();
        let mut open = self.held();
        if open.len() >= self.most {
            open.retain(|_, session| self.lives(session, now));
        }
        if open.len() >= self.most
            && let Some(quiet) = open.iter().min_by_key(|(_, session)| session.seen).map(|(key, _)| *key)
        {
            open.remove(&quiet);
        }
        open.insert(self.key_of(&id), Session { who, began: now, seen: now });
        id
    }

    /// The principal of a valid session. Marks it as used now.
    pub fn find(&self, id: &SessionId, now: Millis) -> Option<Who> {
        let mut open = self.held();
        let session = open.get_mut(&self.key_of(id)).filter(|session| self.lives(session, now))?;
        session.seen = session.seen.max(now);
        Some(session.who.clone())
    }

    /// Like [`Sessions::find`], without marking the session as used.
    pub fn look(&self, id: &SessionId, now: Millis) -> Option<Who> {
        let open = self.held();
        let session = open.get(&self.key_of(id)).filter(|session| self.lives(session, now))?;
        Some(session.who.clone())
    }

    /// Ends a session; a missing one is ignored.
    pub fn close(&self, id: &SessionId) {
        self.held().remove(&self.key_of(id));
    }

    /// The CSRF token of a session. Our pages send it with every change; pages of other origins
    /// cannot know it.
    pub fn csrf(&self, id: &SessionId) -> String {
        id.keyed(&self.csrf_key).to_hex().to_string()
    }

    /// Whether `guess` is the session's CSRF token. Compares in constant time.
    pub fn csrf_fits(&self, id: &SessionId, guess: &str) -> bool {
        same_text(&self.csrf(id), guess)
    }

    /// Removes expired sessions.
    pub fn tidy(&self, now: Millis) {
        self.held().retain(|_, session| self.lives(session, now));
    }

    fn lives(&self, session: &Session, now: Millis) -> bool {
        now - session.seen < self.idle && now - session.began < self.longest
    }

    /// The key of a session in memory. It cannot be turned back into a cookie.
    pub fn key_of(&self, id: &SessionId) -> [u8; 32] {
        *id.keyed(&self.key).as_bytes()
    }

    fn held(&self) -> MutexGuard<'_, HashMap<[u8; 32], Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Millis = 30 * 60_000;
    const LONGEST: Millis = 12 * 3_600_000;

    fn lives(sessions: &Sessions, id: &SessionId, now: Millis) -> bool {
        sessions.find(id, now).is_some()
    }

    #[test]
    fn a_session_ends_when_it_is_idle_or_old_or_closed() {
        let sessions = Sessions::new(IDLE, LONGEST, 10);
        let idle = sessions.open(Who::Operator, 0);
        assert!(lives(&sessions, &idle, IDLE - 1));
        assert!(lives(&sessions, &idle, 2 * IDLE - 2));
        assert!(sessions.look(&idle, 3 * IDLE - 3).is_some());
        assert!(!lives(&sessions, &idle, 3 * IDLE - 2), "a look is no use");
        assert!(sessions.look(&idle, 3 * IDLE - 2).is_none());

        let busy = sessions.open(Who::Operator, 0);
        assert!((0..LONGEST).step_by(60_000).all(|now| lives(&sessions, &busy, now)));
        assert!(!lives(&sessions, &busy, LONGEST));

        let closed = sessions.open(Who::Operator, 0);
        sessions.close(&closed);
        assert!(!lives(&sessions, &closed, 0));
    }

    #[test]
    fn with_no_room_left_the_quietest_goes() {
        let sessions = Sessions::new(IDLE, LONGEST, 3);
        let ids: Vec<SessionId> = (0..3).map(|at| sessions.open(Who::Operator, at)).collect();
        assert!(lives(&sessions, &ids[0], 10));
        let newest = sessions.open(Who::Operator, 11);
        let found = [&ids[0], &ids[1], &ids[2], &newest].map(|id| lives(&sessions, id, 12));
        assert_eq!(found, [true, false, true, true]);
    }

    #[test]
    fn each_session_has_a_csrf_token_of_its_own() {
        let sessions = Sessions::new(IDLE, LONGEST, 3);
        let (one, two) = (sessions.open(Who::Operator, 0), sessions.open(Who::Operator, 0));
        assert!(sessions.csrf_fits(&one, &sessions.csrf(&one)));
        assert!(!sessions.csrf_fits(&one, &sessions.csrf(&two)) && !sessions.csrf_fits(&one, ""));
        assert_ne!(sessions.csrf(&one), one.reveal());
    }
}
