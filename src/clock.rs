//! Time is an argument: whoever needs to know what time it is holds a [`Clock`].

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::event::Millis;

/// A clock knows what time it is.
#[derive(Clone)]
pub enum Clock {
    System,
    /// Stands still until it is told to move, and only ever moves forward.
    Test(Arc<AtomicI64>),
}

impl Clock {
    pub fn test(start: Millis) -> Clock {
        Clock::Test(Arc::new(AtomicI64::new(start)))
    }

    pub fn now(&self) -> Millis {
        match self {
            Clock::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
            Clock::Test(now) => now.load(Ordering::Acquire),
        }
    }

    /// Moves a test clock forward; what lies in the past changes nothing. `false` for the system's clock.
    pub fn advance_to(&self, at: Millis) -> bool {
        match self {
            Clock::System => false,
            Clock::Test(now) => {
                now.fetch_max(at, Ordering::AcqRel);
                true
            }
        }
    }
}
