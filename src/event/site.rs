use std::fmt;

/// One counted property, usually a creator's profile. Zero is the platform: the sum over all sites.
///
/// The id is the xxh3 of the site's stable key (`alllinks.cc/u/mia`, or the key an operator registered), so every collector
/// of a cluster makes the same id without asking anyone. It names a public page, never a person's browser.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SiteId(u64);

impl SiteId {
    pub const PLATFORM: SiteId = SiteId(0);

    pub fn of(key: &str) -> SiteId {
        SiteId(xxhash_rust::xxh3::xxh3_64(key.as_bytes()).max(1))
    }

    pub const fn from_u64(id: u64) -> SiteId {
        SiteId(id)
    }

    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
