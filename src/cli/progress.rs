//! How far a long reading has come: a bar where somebody looks, a line now and then where a file does.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

const WIDTH: u64 = 40;

pub struct Bar {
    terminal: bool,
    every: Duration,
    shown: Instant,
}

impl Bar {
    pub fn new() -> Bar {
        let terminal = std::io::stderr().is_terminal();
        let every = if terminal { Duration::from_millis(100) } else { Duration::from_secs(10) };
        Bar { terminal, every, shown: Instant::now() }
    }

    pub fn show(&mut self, done: u64, of: u64) {
        if self.shown.elapsed() < self.every {
            return;
        }
        self.shown = Instant::now();
        // Standard error may be closed; nothing depends on it.
        let _ = match self.terminal {
            true => write!(std::io::stderr(), "\r{}", bar(done, of)),
            false => writeln!(std::io::stderr(), "{} of {} MB read", done / 1_000_000, of / 1_000_000),
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

fn bar(done: u64, of: u64) -> String {
    let part = |whole: u64| (done.min(of) * whole).checked_div(of).unwrap_or(whole);
    let filled = part(WIDTH) as usize;
    format!(
        "[{}{}] {:3} % of {} MB",
        "#".repeat(filled),
        ".".repeat(WIDTH as usize - filled),
        part(100),
        of / 1_000_000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_empty_half_and_full_and_never_more() {
        assert_eq!(bar(0, 2_000_000), format!("[{}]   0 % of 2 MB", ".".repeat(40)));
        assert_eq!(bar(1_000_000, 2_000_000), format!("[{}{}]  50 % of 2 MB", "#".repeat(20), ".".repeat(20)));
        assert_eq!(bar(3, 2), format!("[{}] 100 % of 0 MB", "#".repeat(40)));
        assert_eq!(bar(0, 0), format!("[{}] 100 % of 0 MB", "#".repeat(40)));
    }
}
