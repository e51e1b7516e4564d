//! Opened messages that wait for the store. A crash loses them: then an opened message is reported
//! as unopened, never the other way round.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::access::Digest;
use crate::event::Day;

const MOST: usize = 100_000;
const AT_ONCE: usize = 1000;

/// Queue of opened messages and the day they were opened, at most [`MOST`].
#[derive(Default)]
pub struct Opened(Mutex<Vec<(Digest, Day)>>);

impl Opened {
    /// Adds a message; `false` if the queue is full.
    pub fn note(&self, message: Digest, on: Day) -> bool {
        let mut waiting = self.lock();
        let room = waiting.len() < MOST;
        if room {
            waiting.push((message, on));
        }
        room
    }

    /// The first waiting messages of one day, at most [`AT_ONCE`]; `None` if the queue is empty.
    /// They stay queued until [`Opened::kept`].
    pub fn first(&self) -> Option<(Vec<Digest>, Day)> {
        let waiting = self.lock();
        let (_, on) = *waiting.first()?;
        let same_day = waiting.iter().take_while(|(_, day)| *day == on).take(AT_ONCE);
        Some((same_day.map(|(message, _)| *message).collect(), on))
    }

    /// Removes the first `many` entries, which have been stored.
    pub fn kept(&self, many: usize) {
        self.lock().drain(..many);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Digest, Day)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::new_message;

    #[test]
    fn messages_are_given_out_by_day_and_stay_until_they_are_kept() {
        let (opened, digests) = (Opened::default(), [(); 3].map(|()| new_message().0));
        for (digest, day) in digests.into_iter().zip([1, 1, 2]) {
            assert!(opened.note(digest, Day::from_number(day)));
        }
        for _ in 0..2 {
            assert!(opened.first() == Some((digests[..2].to_vec(), Day::from_number(1))));
        }
        opened.kept(2);
        assert!(opened.first() == Some((digests[2..].to_vec(), Day::from_number(2))));
        opened.kept(1);
        assert!(opened.first().is_none());
    }
}
