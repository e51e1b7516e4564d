/// What went wrong on a page, as far as the page itself can see it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum FaultKind {
    /// A script threw.
    Script = 0,
    /// The page is the platform's "not found".
    NotFound = 1,
}

impl FaultKind {
    pub const ALL: [FaultKind; 2] = [FaultKind::Script, FaultKind::NotFound];

    pub const fn name(self) -> &'static str {
        match self {
            FaultKind::Script => "script",
            FaultKind::NotFound => "not_found",
        }
    }

    pub fn from_name(name: &str) -> Option<FaultKind> {
        FaultKind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub fn from_u8(n: u8) -> Option<FaultKind> {
        FaultKind::ALL.get(usize::from(n)).copied()
    }
}
