//! The progress of long operations: a bar on a terminal, otherwise a line every few seconds.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const BAR_WIDTH: u64 = 40;

/// How a quantity is displayed: its unit, and the verb for the operation.
#[derive(Clone, Copy)]
pub struct ProgressUnit {
    per_unit: u64,
    name: &'static str,
    verb: &'static str,
}

/// For quantities in bytes.
pub const MEGABYTES: ProgressUnit = ProgressUnit {
    per_unit: 1_000_000,
    name: "MB",
    verb: "read",
};
/// For partitions of tables.
pub const PARTITIONS: ProgressUnit = ProgressUnit {
    per_unit: 1,
    name: "partitions",
    verb: "copied",
};
/// For quantities in milliseconds.
pub const DAYS: ProgressUnit = ProgressUnit {
    per_unit: 86_400_000,
    name: "days",
    verb: "told",
};

/// Shows progress on standard error; removes the bar when dropped.
pub struct ProgressBar {
    unit: ProgressUnit,
    terminal: bool,
    interval: Duration,
    shown: Instant,
}

impl ProgressBar {
    /// Shows nothing yet.
    pub fn new(unit: ProgressUnit) -> ProgressBar {
        let terminal = std::io::stderr().is_terminal();
        let every = if terminal {
            Duration::from_millis(100)
        } else {
            Duration::from_secs(10)
        };
        ProgressBar {
            unit,
            terminal,
            interval: every,
            shown: Instant::now(),
        }
    }

    /// Shows that `done` of `of` is complete, at most ten times a second on a terminal and every
    /// ten seconds otherwise.
    pub fn show_progress(&mut self, done: u64, of: u64) {
        if self.shown.elapsed() < self.interval {
            return;
        }
        self.shown = Instant::now();
        let ProgressUnit {
            per_unit: one,
            name,
            verb,
        } = self.unit;
        // Standard error may be closed; nothing depends on it.
        let _ = match self.terminal {
            true => write!(std::io::stderr(), "\r{}", render_bar(done, of, self.unit)),
            false => writeln!(
                std::io::stderr(),
                "{} of {} {name} {verb}",
                done / one,
                of.div_ceil(one)
            ),
        };
    }
}

impl ProgressBar {
    /// Removes the bar, so that a line can be written in its place.
    pub fn clear(&mut self) {
        if self.terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for ProgressBar {
    fn drop(&mut self) {
        self.clear();
    }
}

fn render_bar(done: u64, of: u64, unit: ProgressUnit) -> String {
    let part = |whole: u64| (done.min(of) * whole).checked_div(of).unwrap_or(whole);
    let filled = part(BAR_WIDTH) as usize;
    format!(
        "[{}{}] {:3} % of {} {}",
        "#".repeat(filled),
        ".".repeat(BAR_WIDTH as usize - filled),
        part(100),
        of.div_ceil(unit.per_unit),
        unit.name
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_empty_half_and_full_and_never_more() {
        let bar = |done, of| render_bar(done, of, MEGABYTES);
        assert_eq!(
            bar(0, 2_000_000),
            format!("[{}]   0 % of 2 MB", ".".repeat(40))
        );
        assert_eq!(
            bar(1_000_000, 2_000_000),
            format!("[{}{}]  50 % of 2 MB", "#".repeat(20), ".".repeat(20))
        );
        assert_eq!(bar(3, 2), format!("[{}] 100 % of 1 MB", "#".repeat(40)));
        assert_eq!(bar(0, 0), format!("[{}] 100 % of 0 MB", "#".repeat(40)));
        assert_eq!(
            super::render_bar(DAYS.per_unit, 4 * DAYS.per_unit - 1, DAYS)[43..],
            *" 25 % of 4 days"
        );
    }
}
