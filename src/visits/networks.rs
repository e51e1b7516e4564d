//! Sets of the day's networks and grants: whether a new visitor is the first of its network, and
//! how many visitors share a grant.
//!
//! Consulted once per new visitor, so there are never more entries than `limits.visitors`.

use hashbrown::HashTable;

use crate::pseudonym::{MembershipHash, Visitor};
use crate::state_codec::{StateError, StateReader, StateWriter};

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

    pub(super) fn write_state(&self, out: &mut StateWriter<'_>) {
        write_marks(&self.of_sites, out);
        write_marks(&self.of_platform, out);
    }

    pub(super) fn read_state(input: &mut StateReader<'_>) -> Result<NetworkSet, StateError> {
        Ok(NetworkSet {
            of_sites: read_marks(input)?,
            of_platform: read_marks(input)?,
        })
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

fn write_marks(known: &HashTable<MembershipHash>, out: &mut StateWriter<'_>) {
    out.put_count(known.len());
    known.iter().for_each(|mark| mark.write_state(out));
}

fn read_marks(input: &mut StateReader<'_>) -> Result<HashTable<MembershipHash>, StateError> {
    let count = input.read_count(6)?;
    let mut known = HashTable::with_capacity(count);
    for _ in 0..count {
        insert_mark(&mut known, MembershipHash::read_state(input)?);
    }
    Ok(known)
}

/// The number of visitors of each grant on a site today. Most grants have one: of those only the
/// hash is kept.
pub(super) struct GrantCounters {
    seen: HashTable<MembershipHash>,
    /// Grants with more than one visitor, and how many.
    several: HashTable<(MembershipHash, u32)>,
    max_visitors: u32,
}

impl GrantCounters {
    pub(super) fn new(most: u32) -> GrantCounters {
        GrantCounters {
            seen: HashTable::new(),
            several: HashTable::new(),
            max_visitors: most,
        }
    }

    /// Whether the grant may have one more visitor.
    pub(super) fn can_admit(&self, grant: MembershipHash) -> bool {
        let visitors = self.visitor_count(grant);
        visitors == 0 || visitors < self.max_visitors
    }

    /// Counts a new visitor of the grant; `false` if its limit is reached.
    pub(super) fn admit_visitor(&mut self, grant: MembershipHash) -> bool {
        if insert_mark(&mut self.seen, grant) {
            return true;
        }
        let hash = grant.table_hash();
        match self.several.find_mut(hash, |(known, _)| *known == grant) {
            Some((_, visitors)) => {
                let admitted = *visitors < self.max_visitors;
                *visitors += u32::from(admitted);
                admitted
            }
            None if self.max_visitors > 1 => {
                self.several
                    .insert_unique(hash, (grant, 2), |(known, _)| known.table_hash());
                true
            }
            None => false,
        }
    }

    pub(super) fn write_state(&self, out: &mut StateWriter<'_>) {
        write_marks(&self.seen, out);
        out.put_count(self.several.len());
        for (grant, visitors) in &self.several {
            grant.write_state(out);
            out.put_u32(*visitors);
        }
    }

    /// Reads the counters; `most` is the limit from now on.
    pub(super) fn read_state(
        input: &mut StateReader<'_>,
        most: u32,
    ) -> Result<GrantCounters, StateError> {
        let mut grants = GrantCounters::new(most);
        grants.seen = read_marks(input)?;
        for _ in 0..input.read_count(10)? {
            let counted = (MembershipHash::read_state(input)?, input.read_u32()?);
            grants
                .several
                .insert_unique(counted.0.table_hash(), counted, |(known, _)| {
                    known.table_hash()
                });
        }
        Ok(grants)
    }

    fn visitor_count(&self, grant: MembershipHash) -> u32 {
        let hash = grant.table_hash();
        match self.several.find(hash, |(known, _)| *known == grant) {
            Some((_, visitors)) => *visitors,
            None => u32::from(self.seen.find(hash, |known| *known == grant).is_some()),
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.seen.allocation_size() + self.several.allocation_size()
    }
}
