/// Why a hit was dropped. A refusal is data: it raises one process-wide counter and leaves nothing else behind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Refusal {
    UnknownSite = 0,
    NotAView = 1,
    Gpc = 2,
    Dnt = 3,
    NoConsent = 4,
    Objected = 5,
    Limited = 6,
}

impl Refusal {
    /// In the order of the gate: the first that holds is the one that is counted.
    pub const ALL: [Refusal; 7] = [
        Refusal::UnknownSite,
        Refusal::NotAView,
        Refusal::Gpc,
        Refusal::Dnt,
        Refusal::NoConsent,
        Refusal::Objected,
        Refusal::Limited,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Refusal::UnknownSite => "unknown_site",
            Refusal::NotAView => "not_a_view",
            Refusal::Gpc => "gpc",
            Refusal::Dnt => "dnt",
            Refusal::NoConsent => "no_consent",
            Refusal::Objected => "objected",
            Refusal::Limited => "limited",
        }
    }

    pub fn from_u8(n: u8) -> Option<Refusal> {
        Refusal::ALL.get(usize::from(n)).copied()
    }
}
