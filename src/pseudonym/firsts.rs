//! Sets of the day's networks and grants: whether a new visitor is the first of its network, and
//! how many visitors share a grant.
//!
//! Consulted once per new visitor, so there are never more entries than `limits.visitors`.

use hashbrown::HashTable;

use super::seal::{Mark, Visitor};

/// Whether a new visitor is the first of its /24 or /48 that day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FirstOf {
    /// First on its site.
    pub network: bool,
    /// First on the platform, as far as its sites share a time zone and a collector.
    pub platform_network: bool,
}

pub(super) struct Networks {
    of_sites: HashTable<Mark>,
    of_platform: HashTable<Mark>,
}

impl Networks {
    pub(super) fn new() -> Networks {
        Networks { of_sites: HashTable::new(), of_platform: HashTable::new() }
    }

    pub(super) fn first_of(&mut self, visitor: &Visitor) -> FirstOf {
        FirstOf {
            network: insert(&mut self.of_sites, visitor.network),
            platform_network: insert(&mut self.of_platform, visitor.platform_network),
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.of_sites.allocation_size() + self.of_platform.allocation_size()
    }
}

fn insert(known: &mut HashTable<Mark>, mark: Mark) -> bool {
    let new = known.find(mark.bucket(), |other| *other == mark).is_none();
    if new {
        known.insert_unique(mark.bucket(), mark, |other| other.bucket());
    }
    new
}

/// The number of visitors that each grant has made on a site today.
pub(super) struct Grants {
    visitors: HashTable<(Mark, u32)>,
    most: u32,
}

impl Grants {
    pub(super) fn new(most: u32) -> Grants {
        Grants { visitors: HashTable::new(), most }
    }

    /// Whether it can make one more.
    pub(super) fn would_admit(&self, grant: Mark) -> bool {
        let known = self.visitors.find(grant.bucket(), |(known, _)| *known == grant);
        known.is_none_or(|(_, visitors)| *visitors < self.most)
    }

    /// Counts a new visitor of the grant; `false` if it has as many as a grant may have.
    pub(super) fn admit(&mut self, grant: Mark) -> bool {
        match self.visitors.find_mut(grant.bucket(), |(known, _)| *known == grant) {
            Some((_, visitors)) => {
                let admitted = *visitors < self.most;
                *visitors += u32::from(admitted);
                admitted
            }
            None => {
                self.visitors.insert_unique(grant.bucket(), (grant, 1), |(known, _)| known.bucket());
                true
            }
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.visitors.allocation_size()
    }
}
