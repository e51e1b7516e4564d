//! The counters of a row, and the fixed order in which tables and journals store them.

use std::ops::AddAssign;

string_enum! {
    /// A quantity that is counted. The order of the variants is the order of the columns in every
    /// table and of the bits in a journal row.
    pub enum CounterKind {
        /// Page views of a site or page, clicks of a link, occurrences of an event.
        Hits = "hits",
        /// Visitors of the day; over several days, visitor-days.
        Visitors = "visitors",
        /// Visits that touched the subject.
        Visits = "visits",
        /// Visits with one page view and no interactive event.
        Bounces = "bounces",
        /// Site: total length of closed visits. Page: engaged time. Link: time from page load to
        /// click. Whole seconds.
        Seconds = "seconds",
        /// Visits that ended on this page.
        Exits = "exits",
        /// Visits whose first page this was.
        Entries = "entries",
    }
}

impl CounterKind {
    /// Whether only pages have this counter; it is always zero for sites and hours.
    pub fn is_page_only(self) -> bool {
        matches!(self, CounterKind::Exits | CounterKind::Entries)
    }
}

/// The counters of one row. They only grow.
///
/// 32 bits are enough for one segment, which covers a few minutes of one collector. The tables hold
/// 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CounterValues(pub [u32; CounterKind::ALL.len()]);

impl CounterValues {
    /// All counters zero.
    pub const fn zeros() -> CounterValues {
        CounterValues([0; CounterKind::ALL.len()])
    }

    /// Sets one counter, replacing its former value.
    pub const fn with_value(mut self, counter: CounterKind, n: u32) -> CounterValues {
        self.0[counter as usize] = n;
        self
    }

    /// The value of one counter.
    pub const fn get(&self, counter: CounterKind) -> u32 {
        self.0[counter as usize]
    }

    /// Whether every counter is zero, so that the row need not be stored.
    pub fn is_zero(&self) -> bool {
        self.0.iter().all(|&n| n == 0)
    }
}

impl AddAssign for CounterValues {
    /// Adds counter by counter. A counter that would overflow stays at `u32::MAX`.
    fn add_assign(&mut self, other: CounterValues) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = mine.saturating_add(theirs);
        }
    }
}
