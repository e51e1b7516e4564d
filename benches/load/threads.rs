//! CPU time of the collector by kind of thread: where the time of a hit goes, and which thread is
//! the first to need more than a core.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::target::cpu_time;

/// CPU time by kind of thread. Threads of the collector that have ended are in none.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct ThreadTimes {
    /// Accept, parse, judge and answer requests: as many threads as `server.workers`.
    pub http: Duration,
    /// The one thread that counts hits and writes the journal.
    pub writer: Duration,
    /// Closes segments of the journal.
    pub sealer: Duration,
    /// Everything else in the collector's process.
    pub other: Duration,
    /// The embedded engine's process.
    pub engine: Duration,
}

impl ThreadTimes {
    /// Reads the times of a process's threads from its folder below `/proc`.
    pub fn of_process(process: &Path) -> ThreadTimes {
        let mut times = ThreadTimes::default();
        let threads = fs::read_dir(process.join("task")).into_iter().flatten();
        for thread in threads.flatten() {
            // A thread that ends meanwhile has no files.
            let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            if let (Some(name), Some(time)) = (thread_name(&stat), cpu_time(&stat)) {
                *times.of_kind(name) += time;
            }
        }
        times
    }

    fn of_kind(&mut self, thread_name: &str) -> &mut Duration {
        match thread_name {
            "writer" => &mut self.writer,
            "sealer" => &mut self.sealer,
            name if name.starts_with("actix-") => &mut self.http,
            _ => &mut self.other,
        }
    }

    /// Adds what was used between two readings.
    pub fn add_difference(&mut self, before: &ThreadTimes, after: &ThreadTimes) {
        self.http += after.http.saturating_sub(before.http);
        self.writer += after.writer.saturating_sub(before.writer);
        self.sealer += after.sealer.saturating_sub(before.sealer);
        self.other += after.other.saturating_sub(before.other);
        self.engine += after.engine.saturating_sub(before.engine);
    }

    /// The kinds with their names.
    pub fn by_name(&self) -> [(&'static str, Duration); 5] {
        [
            ("http", self.http),
            ("writer", self.writer),
            ("sealer", self.sealer),
            ("other", self.other),
            ("engine", self.engine),
        ]
    }
}

/// The name in `/proc/PID/task/TID/stat`, between the first and the last bracket.
pub fn thread_name(stat: &str) -> Option<&str> {
    let (before, _) = stat.rsplit_once(')')?;
    Some(before.split_once('(')?.1)
}
