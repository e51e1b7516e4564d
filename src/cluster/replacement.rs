//! One collector at a time is replaced by a new process: while one is, its calls wait, and those of
//! two that wait for each other would wait too long.
//!
//! A collector asks all others before it stops taking calls, and continues if none of them objects.
//! One that is being replaced objects. Of two that ask at the same time, the one whose name is first
//! continues.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{CallBuffer, CallKind, Cluster};

/// Whether this collector is being replaced.
#[derive(Default)]
pub(super) struct ReplacementTurn(Mutex<TurnState>);

#[derive(Clone, PartialEq, Eq, Default, Debug)]
enum TurnState {
    #[default]
    Idle,
    /// It waits for the replies of the others.
    Asking,
    /// It asked, and this collector goes first.
    GaveWay(String),
    /// All others agreed.
    Confirmed,
}

impl ReplacementTurn {
    fn start_asking(&self) {
        *self.lock() = TurnState::Asking;
    }

    /// Whether another collector may be replaced. If both ask, `own` gives way to a name before it.
    fn may_replace(&self, other: &str, own: &str) -> bool {
        let mut state = self.lock();
        match *state {
            TurnState::Idle | TurnState::GaveWay(_) => true,
            TurnState::Asking if other < own => {
                *state = TurnState::GaveWay(other.to_owned());
                true
            }
            TurnState::Asking | TurnState::Confirmed => false,
        }
    }

    /// All others agreed.
    ///
    /// # Errors
    ///
    /// The name of a collector to which this one gave way meanwhile.
    fn confirm(&self) -> Result<(), String> {
        let mut state = self.lock();
        if let TurnState::GaveWay(other) = &*state {
            return Err(other.clone());
        }
        *state = TurnState::Confirmed;
        Ok(())
    }

    fn end(&self) {
        *self.lock() = TurnState::Idle;
    }

    fn lock(&self) -> MutexGuard<'_, TurnState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// No other collector is replaced while it exists.
pub struct ReplacementGuard<'a>(&'a ReplacementTurn);

impl Drop for ReplacementGuard<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Cluster {
    /// Asks the other collectors whether this one may be replaced now. Waits for
    /// `cluster.dead_after_millis` at most: one that hangs does not object.
    ///
    /// # Errors
    ///
    /// The name of another collector that is being replaced.
    pub async fn reserve_replacement(&self) -> Result<ReplacementGuard<'_>, String> {
        self.replacement.start_asking();
        let guard = ReplacementGuard(&self.replacement);
        self.check_pausing_peers()?;
        let own_name = self.name();
        let replies = self.call_others(CallKind::Replacement, own_name.as_bytes());
        for reply in replies.await.into_iter().flatten() {
            if !reply.is_empty() {
                return Err(String::from_utf8_lossy(reply.as_bytes()).into_owned());
            }
        }

        // One that stopped taking calls meanwhile does not reply.
        self.check_pausing_peers()?;
        self.replacement.confirm()?;
        Ok(guard)
    }

    fn check_pausing_peers(&self) -> Result<(), String> {
        match self.pausing_peer() {
            Some(name) => Err(name.to_string()),
            None => Ok(()),
        }
    }

    /// The reply to another collector that asks: empty if it may be replaced, otherwise the name of
    /// this one.
    pub(super) fn answer_replacement(&self, request: &CallBuffer) -> CallBuffer {
        let own_name = self.name();
        let mut reply = CallBuffer::default();
        let other = std::str::from_utf8(request.as_bytes()).unwrap_or_default();
        if !self.replacement.may_replace(other, &own_name) {
            reply.push_bytes(own_name.as_bytes());
        }
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_that_ask_at_once_the_first_is_replaced_and_the_other_gives_way() {
        let (a, b) = (ReplacementTurn::default(), ReplacementTurn::default());
        a.start_asking();
        b.start_asking();
        assert!(b.may_replace("a", "b"));
        assert!(!a.may_replace("b", "a"));
        assert_eq!((a.confirm(), b.confirm()), (Ok(()), Err("a".to_owned())));

        b.start_asking();
        assert!(!a.may_replace("b", "a"), "it is being replaced");
        b.end();
        a.end();
        assert!(a.may_replace("b", "a") && b.may_replace("a", "b"));
    }

    #[test]
    fn one_that_is_being_replaced_gives_way_to_none() {
        let turn = ReplacementTurn::default();
        turn.start_asking();
        assert_eq!(turn.confirm(), Ok(()));
        assert!(!turn.may_replace("a", "b"));
    }
}
