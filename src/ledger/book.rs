//! The index of the ledger in memory: the current state of each consent id, and where its records
//! are.
//!
//! A grant costs 32 bytes in the map (at a load of 7/16 to 7/8) and 12 for its position: 50 to 100
//! bytes including the spare capacity of vectors and maps. The granted purposes are stored once per
//! distinct choice.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::act::Act;
use crate::consent::{ConsentId, Withdrawn};
use crate::event::Day;

/// The current state of a consent id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// The version that was granted.
    pub version: u32,
    /// The purposes that are granted now; empty after a complete withdrawal.
    pub granted: Arc<[String]>,
    /// Whether it was not completely withdrawn.
    pub live: bool,
    /// The number of the grant's record.
    pub seq: u64,
}

/// The number of records of each kind.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Tally {
    /// All records.
    pub records: u64,
    /// Grants.
    pub grants: u64,
    /// Refusals.
    pub refusals: u64,
    /// Withdrawals, including those that narrow a grant.
    pub withdrawals: u64,
}

impl Tally {
    fn add(&mut self, act: Act) {
        self.records += 1;
        *match act {
            Act::Grant => &mut self.grants,
            Act::Refuse => &mut self.refusals,
            Act::Withdraw => &mut self.withdrawals,
        } += 1;
    }
}

/// The part of a record that the index needs.
pub struct Fact<'a> {
    /// The number of the record, counted from 1.
    pub seq: u64,
    /// The consent id; `None` for a refusal.
    pub id: Option<&'a ConsentId>,
    /// The kind of act.
    pub act: Act,
    /// The record of the grant that this one replaces or ends.
    pub refers: Option<u64>,
    /// The version of the consent prompt.
    pub version: u32,
    /// The purposes that are granted after this record.
    pub granted: Vec<&'a str>,
    /// The position of the record's line in the file, in bytes.
    pub offset: u64,
    /// The UTC day of the act.
    pub on: Day,
}

#[derive(Clone, PartialEq, Eq)]
struct Terms {
    version: u32,
    granted: Arc<[String]>,
}

#[derive(Clone, Copy)]
struct Row {
    grant: u64,
    terms: u32,
    last: u32,
}

const NONE: u32 = u32::MAX;

/// The positions of each id's records, as linked lists that start with the last record.
#[derive(Default)]
struct Places {
    offsets: Vec<u64>,
    before: Vec<u32>,
}

/// The index, and the set of withdrawn ids that it keeps up to date.
pub struct Book {
    rows: HashMap<ConsentId, Row>,
    places: Places,
    /// Few: the operator's versions, times the choices each allows.
    terms: Vec<Terms>,
    tally: Tally,
    by_version: BTreeMap<u32, Tally>,
    /// The number of the last record that was dropped. References to it or to earlier ones cannot
    /// be checked.
    cut: u64,
    withdrawn: Arc<Withdrawn>,
}

impl Book {
    /// An empty index for a ledger whose first `cut` records were dropped.
    pub fn new(cut: u64, withdrawn: Arc<Withdrawn>) -> Book {
        let (rows, places) = (HashMap::new(), Places::default());
        Book { rows, places, terms: Vec::new(), tally: Tally::default(), by_version: BTreeMap::new(), cut, withdrawn }
    }

    /// The number of records of each kind.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// The number of records of each kind, by the version that was asked about.
    pub fn tallies(&self) -> BTreeMap<u32, Tally> {
        self.by_version.clone()
    }

    /// The state of an id; `None` if it has no record.
    pub fn standing(&self, id: &ConsentId) -> Option<Standing> {
        let row = self.rows.get(id)?;
        let Terms { version, granted } = self.terms[row.terms as usize].clone();
        Some(Standing { version, live: !granted.is_empty(), granted, seq: row.grant })
    }

    /// The positions of the id's records in the file, oldest first.
    pub fn places(&self, id: &ConsentId) -> Vec<u64> {
        let mut next = self.rows.get(id).map_or(NONE, |row| row.last);
        let mut offsets = Vec::new();
        while next != NONE {
            offsets.push(self.places.offsets[next as usize]);
            next = self.places.before[next as usize];
        }
        offsets.reverse();
        offsets
    }

    /// Adds a record that is on disk, and updates the set of withdrawn ids.
    ///
    /// # Errors
    ///
    /// The record contradicts those before it, so this program did not write it. The message says
    /// how; the index is unchanged.
    pub fn take(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        let live = fact.id.and_then(|id| self.standing(id)).filter(|standing| standing.live);
        self.refers_rightly(fact, live.as_ref().map(|standing| standing.seq))?;

        self.tally.add(fact.act);
        self.by_version.entry(fact.version).or_default().add(fact.act);
        let Some(id) = fact.id else { return Ok(()) };

        let grant = match fact.act {
            Act::Withdraw => fact.refers.unwrap_or(fact.seq),
            _ => fact.seq,
        };
        // A withdrawal does not change the version that was granted.
        let version = live.filter(|_| fact.act == Act::Withdraw).map_or(fact.version, |standing| standing.version);
        let terms = self.terms(version, &fact.granted);

        let before = self.rows.get(id).map_or(NONE, |row| row.last);
        let last = self.places.add(fact.offset, before);
        self.rows.insert(id.to_keep(), Row { grant, terms, last });

        if fact.granted.is_empty() {
            self.withdrawn.insert(id, fact.on);
        } else {
            self.withdrawn.remove(id);
        }
        Ok(())
    }

    fn refers_rightly(&self, fact: &Fact<'_>, live: Option<u64>) -> Result<(), String> {
        let fits = match fact.act {
            Act::Grant => fact.id.is_some() && !fact.granted.is_empty(),
            Act::Refuse => fact.id.is_none() && fact.granted.is_empty(),
            // For a grant recorded at another collector, nothing is known except that it ends.
            Act::Withdraw => fact
                .id
                .is_some_and(|id| fact.refers.is_some() || (fact.granted.is_empty() && !self.rows.contains_key(id))),
        };
        if !fits {
            return Err(format!("cannot be: a {} does not have these parts", fact.act.word()));
        }

        let into_the_cut = live.is_none() && fact.refers.is_some_and(|seq| seq <= self.cut);
        if fact.refers == live || (into_the_cut && fact.id.is_some()) {
            return Ok(());
        }

        let name = |seq: Option<u64>| seq.map_or("nothing".into(), |seq| format!("record {seq}"));
        Err(format!("refers to {}, where the records before it say {}", name(fact.refers), name(live)))
    }

    fn terms(&mut self, version: u32, granted: &[&str]) -> u32 {
        let known = |terms: &Terms| terms.version == version && terms.granted.iter().eq(granted.iter());
        let place = self.terms.iter().position(known).unwrap_or_else(|| {
            self.terms.push(Terms { version, granted: granted.iter().map(|name| (*name).to_owned()).collect() });
            self.terms.len() - 1
        });
        u32::try_from(place).expect("far fewer than 2^32 versions and choices")
    }

    /// The memory that grows with the number of grants, in bytes.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        let slot = size_of::<(ConsentId, Row)>() + 1;
        // A map has a power of two of slots and fills at most 7 of 8.
        let slots = (self.rows.capacity() * 8 / 7).next_power_of_two();
        slots * slot + self.places.offsets.capacity() * 8 + self.places.before.capacity() * 4
    }
}

impl Places {
    fn add(&mut self, offset: u64, before: u32) -> u32 {
        self.offsets.push(offset);
        self.before.push(before);
        u32::try_from(self.offsets.len() - 1)
            .ok()
            .filter(|place| *place != NONE)
            .expect("fewer than 2^32 - 1 records of grants")
    }
}
