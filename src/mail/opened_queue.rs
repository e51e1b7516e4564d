//! Opened messages that are not yet in the store. A crash loses them: then an opened message is
//! reported as unopened, never the other way round.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::access::SecretDigest;
use crate::calendar::Day;
use crate::state_codec::{StateError, StateReader, StateWriter};

const MAX_QUEUED_MESSAGES: usize = 100_000;
const MAX_STORED_AT_ONCE: usize = 1000;

/// Queue of opened messages and the day they were opened, at most [`MAX_QUEUED_MESSAGES`].
#[derive(Default)]
pub struct OpenedQueue(Mutex<Vec<(SecretDigest, Day)>>);

impl OpenedQueue {
    /// Adds a message; `false` if the queue is full.
    pub fn try_push(&self, message: SecretDigest, on: Day) -> bool {
        let mut waiting = self.lock();
        let room = waiting.len() < MAX_QUEUED_MESSAGES;
        if room {
            waiting.push((message, on));
        }
        room
    }

    /// The first queued messages of one day, at most [`MAX_STORED_AT_ONCE`]; `None` if the queue is
    /// empty. They stay queued until [`OpenedQueue::remove_stored`].
    pub fn peek_same_day(&self) -> Option<(Vec<SecretDigest>, Day)> {
        let waiting = self.lock();
        let (_, on) = *waiting.first()?;
        let same_day = waiting
            .iter()
            .take_while(|(_, day)| *day == on)
            .take(MAX_STORED_AT_ONCE);
        Some((same_day.map(|(message, _)| *message).collect(), on))
    }

    /// Removes the first `many` entries, which have been stored.
    pub fn remove_stored(&self, many: usize) {
        self.lock().drain(..many);
    }

    /// Writes what is queued for the process that takes over.
    pub fn write_state(&self, out: &mut StateWriter<'_>) {
        let waiting = self.lock();
        out.put_count(waiting.len());
        for (message, on) in waiting.iter() {
            message.write_state(out);
            out.put_u32(on.as_number().into());
        }
    }

    /// Reads what [`OpenedQueue::write_state`] wrote.
    ///
    /// # Errors
    ///
    /// The state ends too early, or it is another build's.
    pub fn read_state(input: &mut StateReader<'_>) -> Result<OpenedQueue, StateError> {
        let mut waiting = Vec::new();
        for _ in 0..input.read_count(36)? {
            let message = SecretDigest::read_state(input)?;
            let day = u16::try_from(input.read_u32()?);
            let day = day.map_err(|_| StateError::Invalid("a day is out of range"))?;
            waiting.push((message, Day::from_number(day)));
        }
        Ok(OpenedQueue(Mutex::new(waiting)))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(SecretDigest, Day)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::generate_message_secret;

    #[test]
    fn messages_are_given_out_by_day_and_stay_until_they_are_kept() {
        let (opened, digests) = (
            OpenedQueue::default(),
            [(); 3].map(|()| generate_message_secret().0),
        );
        for (digest, day) in digests.into_iter().zip([1, 1, 2]) {
            assert!(opened.try_push(digest, Day::from_number(day)));
        }
        for _ in 0..2 {
            assert!(opened.peek_same_day() == Some((digests[..2].to_vec(), Day::from_number(1))));
        }
        opened.remove_stored(2);
        assert!(opened.peek_same_day() == Some((digests[2..].to_vec(), Day::from_number(2))));
        opened.remove_stored(1);
        assert!(opened.peek_same_day().is_none());
    }
}
