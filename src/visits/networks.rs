//! Sets of the day's networks and grants: whether a new visitor is the first of its network, and
//! how many visitors share a grant.
//!
//! Consulted once per new visitor, so there are never more entries than `limits.visitors`.

use hashbrown::HashTable;

use crate::pseudonym::{MembershipHash, Visitor};

/// Whether a new visitor is the first of its /24 or /48 that day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FirstOfNetwork {
    /// First on its site.
    pub network: bool,
    /// First on the platform, as far as its sites share a time zone and a collector.
    pub platform_network: bool,
}

pub(super) struct NetworkSet {
    of_sites: HashTable<MembershipHash>,
    of_platform: HashTable<MembershipHash>,
}

impl NetworkSet {
    pub(super) fn new() -> NetworkSet {
        NetworkSet {
            of_sites: HashTable::new(),
            of_platform: HashTable::new(),
        }
    }

    pub(super) fn insert_visitor(&mut self, visitor: &Visitor) -> FirstOfNetwork {
        FirstOfNetwork {
            network: insert_mark(&mut self.of_sites, visitor.network),
            platform_network: insert_mark(&mut self.of_platform, visitor.platform_network),
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.of_sites.allocation_size() + self.of_platform.allocation_size()
    }
}

fn insert_mark(known: &mut HashTable<MembershipHash>, mark: MembershipHash) -> bool {
    let new = known
        .find(mark.table_hash(), |other| *other == mark)
        .is_none();
    if new {
        known.insert_unique(mark.table_hash(), mark, |other| other.table_hash());
    }
    new
}

/// The number of visitors of each grant on a site today.
pub(super) struct GrantCounters {
    visitors: HashTable<(MembershipHash, u32)>,
    max_visitors: u32,
}

impl GrantCounters {
    pub(super) fn new(most: u32) -> GrantCounters {
        GrantCounters {
            visitors: HashTable::new(),
            max_visitors: most,
        }
    }

    /// Whether the grant may have one more visitor.
    pub(super) fn can_admit(&self, grant: MembershipHash) -> bool {
        let known = self
            .visitors
            .find(grant.table_hash(), |(known, _)| *known == grant);
        known.is_none_or(|(_, visitors)| *visitors < self.max_visitors)
    }

    /// Counts a new visitor of the grant; `false` if its limit is reached.
    pub(super) fn admit_visitor(&mut self, grant: MembershipHash) -> bool {
        match self
            .visitors
            .find_mut(grant.table_hash(), |(known, _)| *known == grant)
        {
            Some((_, visitors)) => {
                let admitted = *visitors < self.max_visitors;
                *visitors += u32::from(admitted);
                admitted
            }
            None => {
                self.visitors
                    .insert_unique(grant.table_hash(), (grant, 1), |(known, _)| {
                        known.table_hash()
                    });
                true
            }
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.visitors.allocation_size()
    }
}
