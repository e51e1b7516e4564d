//! The progress of long operations: a bar on a terminal, otherwise a line every few seconds.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const WIDTH: u64 = 40;

/// How a quantity is displayed: its unit, and the verb for what is done.
#[derive(Clone, Copy)]
pub struct Unit {
    one: u64,
    name: &'static str,
    done: &'static str,
}

/// For quantities in bytes.
pub const MEGABYTES: Unit = Unit { one: 1_000_000, name: "MB", done: "read" };
/// For quantities in milliseconds.
pub const DAYS: Unit = Unit { one: 86_400_000, name: "days", done: "told" };

/// Shows progress on standard error; removes the bar when dropped.
pub struct Bar {
    unit: Unit,
    terminal: bool,
    every: Duration,
    shown: Instant,
}

impl Bar {
    /// Shows nothing yet.
    pub fn new(unit: Unit) -> Bar {
        let terminal = std::io::stderr().is_terminal();
        let every = if terminal { Duration::from_millis(100) } else { Duration::from_secs(10) };
        Bar { unit, terminal, every, shown: Instant::now() }
    }

    /// Shows that `done` of `of` is complete, at most ten times a second on a terminal and every
    /// ten seconds otherwise.
    pub fn show(&mut self, done: u64, of: u64) {
        if self.shown.elapsed() < self.every {
            return;
        }
        self.shown = Instant::now();
        let Unit { one, name, done: verb } = self.unit;
        // Standard error may be closed; nothing depends on it.
        let _ = match self.terminal {
            true => write!(std::io::stderr(), "\r{}", bar(done, of, self.unit)),
            false => writeln!(std::io::stderr(), "{} of {} {name} {verb}", done / one, of.div_ceil(one)),
        };
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn bar(done: u64, of: u64, unit: Unit) -> String {
    let part = |whole: u64| (done.min(of) * whole).checked_div(of).unwrap_or(whole);
    let filled = part(WIDTH) as usize;
    format!(
        "[{}{}] {:3} % of {} {}",
        "#".repeat(filled),
        ".".repeat(WIDTH as usize - filled),
        part(100),
        of.div_ceil(unit.one),
        unit.name
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_empty_half_and_full_and_never_more() {
        let bar = |done, of| bar(done, of, MEGABYTES);
        assert_eq!(bar(0, 2_000_000), format!("[{}]   0 % of 2 MB", ".".repeat(40)));
        assert_eq!(bar(1_000_000, 2_000_000), format!("[{}{}]  50 % of 2 MB", "#".repeat(20), ".".repeat(20)));
        assert_eq!(bar(3, 2), format!("[{}] 100 % of 1 MB", "#".repeat(40)));
        assert_eq!(bar(0, 0), format!("[{}] 100 % of 0 MB", "#".repeat(40)));
        assert_eq!(super::bar(DAYS.one, 4 * DAYS.one - 1, DAYS)[43..], *" 25 % of 4 days");
    }
}
