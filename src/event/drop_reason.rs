//! The reasons for dropping a hit.

/// Why a hit was dropped. Each drop increments one process-wide counter and leaves no other trace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum DropReason {
    /// No site matches the page, or the request was not sent by that site.
    UnknownSite = 0,
    /// A prefetch, a known bot or a browser controlled by software.
    NotAView = 1,
    /// `Sec-GPC: 1` was sent, and `signals.gpc` obeys it.
    Gpc = 2,
    /// `DNT: 1` was sent, and `signals.dnt` obeys it.
    Dnt = 3,
    /// Consent is required and was not given.
    NoConsent = 4,
    /// Consent is not required, but the visitor objected.
    Objected = 5,
    /// The rate limit of the network or the site was exceeded.
    RateLimited = 6,
}

impl DropReason {
    /// In the order the gate checks them: only the first reason that applies is counted.
    pub const ALL: [DropReason; 7] = [
        DropReason::UnknownSite,
        DropReason::NotAView,
        DropReason::Gpc,
        DropReason::Dnt,
        DropReason::NoConsent,
        DropReason::Objected,
        DropReason::RateLimited,
    ];

    /// The label in metrics, in the API and in the tables.
    pub const fn name(self) -> &'static str {
        match self {
            DropReason::UnknownSite => "unknown_site",
            DropReason::NotAView => "not_a_view",
            DropReason::Gpc => "gpc",
            DropReason::Dnt => "dnt",
            DropReason::NoConsent => "no_consent",
            DropReason::Objected => "objected",
            DropReason::RateLimited => "limited",
        }
    }

    /// The reason with this number, as the journal stores it; `None` if there is none.
    pub fn from_u8(n: u8) -> Option<DropReason> {
        DropReason::ALL.get(usize::from(n)).copied()
    }
}
