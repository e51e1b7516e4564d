//! Identifiers of counted sites.

use std::fmt;

use super::OTHER_VALUE;
use crate::calendar::ZoneId;

/// One counted site, usually a creator's profile. Zero is the platform, the sum over all sites.
///
/// The id is the first 128 bits of BLAKE3 of the site's stable key (the profile's name, or the key
/// an operator registered). Every collector of a cluster computes the same id without coordination,
/// and it is infeasible to find a name that collides with another site's id. The id identifies a
/// public page, never a browser.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SiteId(u128);

/// The site that a page belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResolvedSite<'a> {
    /// Hash of the site's name.
    pub id: SiteId,
    /// Time zone of the site's days.
    pub zone: ZoneId,
    /// The part of the path that belongs to the profile as a whole: the `Path` of its cookies.
    pub path: &'a str,
}

/// The name of the site that takes the hits of sites beyond `limits.sites`. No other site can have
/// this name.
pub const OVERFLOW_SITE_NAME: &str = OTHER_VALUE;

impl SiteId {
    /// The platform itself: the sum over all sites.
    pub const PLATFORM: SiteId = SiteId(0);

    /// The site that takes the hits of sites beyond `limits.sites`.
    pub fn overflow_site() -> SiteId {
        SiteId::from_key(OVERFLOW_SITE_NAME)
    }

    /// No name has this id or a greater one; these ids are reserved for the store's markers of
    /// segments.
    pub const MIN_MARKER_ID: SiteId = SiteId(((1 << 40) - 1) << 88);

    /// The id of the site with this stable key. Never [`SiteId::PLATFORM`].
    pub fn from_key(key: &str) -> SiteId {
        let mut id = [0; 16];
        id.copy_from_slice(&blake3::hash(key.as_bytes()).as_bytes()[..16]);
        SiteId(u128::from_le_bytes(id).clamp(1, SiteId::MIN_MARKER_ID.0 - 1))
    }

    /// An id as it was stored.
    pub const fn from_u128(id: u128) -> SiteId {
        SiteId(id)
    }

    /// The id as it is stored.
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// The id in the 64-bit form of former versions, whose segments still carry it; `None` for
    /// other ids. The store maps it to the current id.
    pub fn as_legacy_u64(self) -> Option<u64> {
        u64::try_from(self.0).ok().filter(|id| *id != 0)
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_first_half_of_blake3_of_the_name() {
        let hash = blake3::hash(b"mia").to_hex();
        let mut bytes = crate::hex::encode_lower(&SiteId::from_key("mia").as_u128().to_le_bytes());
        bytes.push_str(&hash[32..]);
        assert_eq!(bytes, hash.as_str());
        assert_eq!(SiteId::from_key("mia").to_string().len(), 32);
    }

    #[test]
    fn only_an_id_of_64_bits_is_a_former_one() {
        assert_eq!(
            SiteId::from_u128(u128::from(u64::MAX)).as_legacy_u64(),
            Some(u64::MAX)
        );
        assert_eq!(
            SiteId::from_u128(u128::from(u64::MAX) + 1).as_legacy_u64(),
            None
        );
        assert_eq!(
            (
                SiteId::PLATFORM.as_legacy_u64(),
                SiteId::from_key("mia").as_legacy_u64()
            ),
            (None, None)
        );
    }
}
