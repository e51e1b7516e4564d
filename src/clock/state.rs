//! The clock, for the process that takes over: a jump that was not adopted is not adopted by a
//! change of processes either.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Clock, SteadyClock, system_now};
use crate::calendar::{Millis, TimeSpan};
use crate::state_codec::{StateError, StateReader, StateWriter};

const STEADY: u8 = 1;
const TEST: u8 = 2;

impl Clock {
    /// Writes the clock. [`Clock::System`] has no state, and no collector uses it.
    pub fn write_state(&self, out: &mut StateWriter<'_>) {
        match self {
            Clock::System | Clock::Test(_) => {
                out.put_u8(TEST);
                out.put_i64(self.now());
            }
            Clock::Steady(steady) => {
                out.put_u8(STEADY);
                steady.write_state(out, system_now(), Instant::now());
            }
        }
    }

    /// Reads the clock of the process before, which must be of the same kind.
    ///
    /// # Errors
    ///
    /// The state ends too early, or is that of the other kind of clock.
    pub fn read_state(input: &mut StateReader<'_>, is_test: bool) -> Result<Clock, StateError> {
        match (input.read_u8()?, is_test) {
            (TEST, true) => Ok(Clock::new_test(input.read_i64()?)),
            (STEADY, false) => {
                let steady = SteadyClock::read_state(input, system_now(), Instant::now())?;
                Ok(Clock::Steady(Arc::new(steady)))
            }
            _ => Err(StateError::Invalid("test.clock differs")),
        }
    }
}

impl SteadyClock {
    fn write_state(&self, out: &mut StateWriter<'_>, system: Millis, now: Instant) {
        let jump = *self
            .pending_jump
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        out.put_i64(TimeSpan::between(self.time_at(now), system).as_millis());
        out.put_u64(millis_since(self.started_at, now));
        out.put_u8(u8::from(jump.is_some()));
        if let Some((since, ahead)) = jump {
            out.put_u64(millis_since(since, now));
            out.put_i64(ahead.as_millis());
        }
    }

    fn read_state(
        input: &mut StateReader<'_>,
        system: Millis,
        now: Instant,
    ) -> Result<SteadyClock, StateError> {
        let ahead = TimeSpan::from_millis(input.read_i64()?);
        let before = |age: u64| now.checked_sub(Duration::from_millis(age)).unwrap_or(now);
        let started_at = before(input.read_u64()?);
        let jump = match input.read_u8()? {
            0 => None,
            _ => Some((
                before(input.read_u64()?),
                TimeSpan::from_millis(input.read_i64()?),
            )),
        };

        // The time of the process before, now; its base is the time at its start.
        let time = system.saturating_sub(ahead.as_millis());
        let age = i64::try_from(millis_since(started_at, now)).unwrap_or(0);
        let mut clock = SteadyClock::new(time.saturating_sub(age), started_at);
        clock.pending_jump = Mutex::new(jump);
        let pending = jump.map_or(0, |(_, ahead)| ahead.as_millis());
        clock.ahead_millis.store(pending, Ordering::Relaxed);
        Ok(clock)
    }
}

fn millis_since(earlier: Instant, now: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(earlier).as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ClockComparison;

    const START: Millis = 1_773_144_000_000;
    const TWO_DAYS: TimeSpan = TimeSpan::from_secs(2 * 86_400);

    #[test]
    fn a_jump_is_believed_no_sooner_because_another_process_takes_over() {
        let start = Instant::now();
        let at = |secs: u64| start + Duration::from_secs(secs);
        let before = SteadyClock::new(START, start);
        let jumped = |secs: i64| START + TWO_DAYS + secs * 1000;
        before.compare_with_system(jumped(10), at(10));

        let mut bytes = Vec::new();
        let mut out = StateWriter::new(&mut bytes);
        before.write_state(&mut out, jumped(100), at(100));
        out.finish().unwrap();
        let (mut source, length) = (bytes.as_slice(), bytes.len() as u64);
        let mut input = StateReader::new(&mut source, length);
        let after = SteadyClock::read_state(&mut input, jumped(101), at(101)).unwrap();

        assert_eq!(after.time_at(at(200)), START + 200_000);
        assert!(!after.is_settled(at(400)));
        let compare = |secs: u64| after.compare_with_system(jumped(secs as i64), at(secs));
        assert_eq!(compare(200), ClockComparison::Unchanged);
        assert_eq!(compare(312), ClockComparison::Adopted(TWO_DAYS));
        assert!(
            after.is_settled(at(313)),
            "five minutes have passed since the first start"
        );
    }
}
