//! Messages that were opened, on their way to the store. A crash forgets them: then a message that was read says it was not, never the
//! other way round.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::access::Digest;
use crate::event::Day;

const MOST: usize = 100_000;
const AT_ONCE: usize = 1000;

#[derive(Default)]
pub struct Opened(Mutex<Vec<(Digest, Day)>>);

impl Opened {
    /// `false` where too many wait already.
    pub fn note(&self, message: Digest, on: Day) -> bool {
        let mut waiting = self.lock();
        let room = waiting.len() < MOST;
        if room {
            waiting.push((message, on));
        }
        room
    }

    /// The first that wait, of one day.
    pub fn first(&self) -> Option<(Vec<Digest>, Day)> {
        let waiting = self.lock();
        let (_, on) = *waiting.first()?;
        let same_day = waiting.iter().take_while(|(_, day)| *day == on).take(AT_ONCE);
        Some((same_day.map(|(message, _)| *message).collect(), on))
    }

    /// So many of the first are kept.
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
