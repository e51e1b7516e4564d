use std::ops::AddAssign;

/// What is counted. The order is the order of the columns in every table and of the bits in a journal row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counter {
    /// Page views of a site or page, clicks of a link, occurrences of an event.
    Hits,
    /// Visitors of the day; over several days, visitor-days.
    Visitors,
    /// Visits that touched the subject.
    Visits,
    /// Visits with one page view and no interactive event.
    Bounces,
    /// Site: length of closed visits. Page: engaged time. Link: time to click. Whole seconds.
    Seconds,
    /// Visits that ended on this page.
    Exits,
    /// Visits whose first page this was.
    Entries,
}

impl Counter {
    pub const ALL: [Counter; 7] = [
        Counter::Hits,
        Counter::Visitors,
        Counter::Visits,
        Counter::Bounces,
        Counter::Seconds,
        Counter::Exits,
        Counter::Entries,
    ];

    /// Whether it belongs to pages alone: a site or an hour has none.
    pub fn is_of_pages(self) -> bool {
        matches!(self, Counter::Exits | Counter::Entries)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Counter::Hits => "hits",
            Counter::Visitors => "visitors",
            Counter::Visits => "visits",
            Counter::Bounces => "bounces",
            Counter::Seconds => "seconds",
            Counter::Exits => "exits",
            Counter::Entries => "entries",
        }
    }
}

/// One row's counters. They only ever grow: nothing that was counted is taken back.
///
/// 32 bits are enough for one segment (at most a few minutes of one collector); the tables hold 64.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts(pub [u32; Counter::ALL.len()]);

impl Counts {
    pub const fn none() -> Counts {
        Counts([0; Counter::ALL.len()])
    }

    pub const fn with(mut self, counter: Counter, n: u32) -> Counts {
        self.0[counter as usize] = n;
        self
    }

    pub const fn get(&self, counter: Counter) -> u32 {
        self.0[counter as usize]
    }

    pub fn is_zero(&self) -> bool {
        self.0.iter().all(|&n| n == 0)
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = mine.saturating_add(theirs);
        }
    }
}
