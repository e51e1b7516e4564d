//! Page faults: script errors and missing pages.

/// What went wrong on a page, as far as the page itself can detect it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum FaultKind {
    /// A script threw an error.
    Script = 0,
    /// The page is the platform's "not found" page.
    NotFound = 1,
}

impl FaultKind {
    /// All kinds, by number.
    pub const ALL: [FaultKind; 2] = [FaultKind::Script, FaultKind::NotFound];

    /// The name in the API and in the tables.
    pub const fn name(self) -> &'static str {
        match self {
            FaultKind::Script => "script",
            FaultKind::NotFound => "not_found",
        }
    }

    /// The kind with this name; `None` if there is none.
    pub fn from_name(name: &str) -> Option<FaultKind> {
        FaultKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The kind with this number, as the journal stores it; `None` if there is none.
    pub fn from_u8(n: u8) -> Option<FaultKind> {
        FaultKind::ALL.get(usize::from(n)).copied()
    }
}
