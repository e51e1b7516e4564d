use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The time of a thread's last loop iteration. A thread that hangs in a system call cannot report
/// it itself.
pub struct Heartbeat {
    started: Instant,
    /// Milliseconds after `started`.
    last_beat_millis: AtomicU64,
}

impl Default for Heartbeat {
    fn default() -> Heartbeat {
        Heartbeat {
            started: Instant::now(),
            last_beat_millis: AtomicU64::new(0),
        }
    }
}

impl Heartbeat {
    pub(super) fn record_beat(&self) {
        self.last_beat_millis
            .store(self.elapsed_millis(), Ordering::Relaxed);
    }

    /// Time since the last beat.
    pub fn time_since_beat(&self) -> Duration {
        Duration::from_millis(
            self.elapsed_millis()
                .saturating_sub(self.last_beat_millis.load(Ordering::Relaxed)),
        )
    }

    fn elapsed_millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
