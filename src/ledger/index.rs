//! The consent index in memory: the current state of each consent id, and the positions of its
//! records.
//!
//! A grant costs 32 bytes in the map (at a load of 7/16 to 7/8) and 12 for its position: 50 to 100
//! bytes including the spare capacity of vectors and maps. The granted purposes are stored once per
//! distinct choice.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::act::ActKind;
use crate::calendar::Day;
use crate::consent::{ConsentId, WithdrawnGrants};

/// The current state of a consent id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConsentState {
    /// The version that was granted.
    pub version: u32,
    /// The purposes that are granted now; empty after a complete withdrawal.
    pub granted: Arc<[String]>,
    /// Whether it is not completely withdrawn.
    pub live: bool,
    /// The number of the grant's record.
    pub seq: u64,
}

/// The number of records of each kind.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct RecordCounts {
    /// All records.
    pub records: u64,
    /// Grants.
    pub grants: u64,
    /// Refusals.
    pub refusals: u64,
    /// Withdrawals, including those that narrow a grant.
    pub withdrawals: u64,
}

impl RecordCounts {
    fn count_act(&mut self, act: ActKind) {
        self.records += 1;
        *match act {
            ActKind::Grant => &mut self.grants,
            ActKind::Refuse => &mut self.refusals,
            ActKind::Withdraw => &mut self.withdrawals,
        } += 1;
    }
}

/// The part of a record that the index needs.
pub struct RecordSummary<'a> {
    /// The number of the record, counted from 1.
    pub seq: u64,
    /// The consent id; `None` for a refusal.
    pub id: Option<&'a ConsentId>,
    /// The kind of act.
    pub act: ActKind,
    /// The record of the grant that this one replaces or ends.
    pub refers: Option<u64>,
    /// The version of the consent prompt.
    pub version: u32,
    /// The purposes that are granted after this record.
    pub granted: Vec<&'a str>,
    /// The position of the record's line in the file, in bytes.
    pub offset: u64,
    /// The UTC day of the act.
    pub day: Day,
}

#[derive(Clone, PartialEq, Eq)]
struct GrantTerms {
    version: u32,
    granted: Arc<[String]>,
}

#[derive(Clone, Copy)]
struct IndexRow {
    grant_seq: u64,
    terms_index: u32,
    last_index: u32,
}

const NO_INDEX: u32 = u32::MAX;

/// The positions of each id's records, as linked lists that start with the last record.
#[derive(Default)]
struct RecordOffsets {
    offsets: Vec<u64>,
    previous: Vec<u32>,
}

/// The index, and the set of withdrawn ids that it keeps up to date.
pub struct ConsentIndex {
    rows: HashMap<ConsentId, IndexRow>,
    record_offsets: RecordOffsets,
    /// Few: the operator's versions, times the choices that each allows.
    terms: Vec<GrantTerms>,
    counts: RecordCounts,
    counts_by_version: BTreeMap<u32, RecordCounts>,
    /// The number of the last dropped record. References to it or to earlier ones cannot be
    /// verified.
    cut_seq: u64,
    withdrawn: Arc<WithdrawnGrants>,
}

impl ConsentIndex {
    /// An empty index for a ledger whose records up to `cut` were dropped.
    pub fn new(cut: u64, withdrawn: Arc<WithdrawnGrants>) -> ConsentIndex {
        let (rows, places) = (HashMap::new(), RecordOffsets::default());
        ConsentIndex {
            rows,
            record_offsets: places,
            terms: Vec::new(),
            counts: RecordCounts::default(),
            counts_by_version: BTreeMap::new(),
            cut_seq: cut,
            withdrawn,
        }
    }

    /// The number of records of each kind.
    pub fn record_counts(&self) -> RecordCounts {
        self.counts
    }

    /// The number of records of each kind, by the version of the consent prompt.
    pub fn counts_by_version(&self) -> BTreeMap<u32, RecordCounts> {
        self.counts_by_version.clone()
    }

    /// The state of an id; `None` if it has no record.
    pub fn consent_state(&self, id: &ConsentId) -> Option<ConsentState> {
        let row = self.rows.get(id)?;
        let GrantTerms { version, granted } = self.terms[row.terms_index as usize].clone();
        Some(ConsentState {
            version,
            live: !granted.is_empty(),
            granted,
            seq: row.grant_seq,
        })
    }

    /// The positions of the id's records in the file, oldest first.
    pub fn record_offsets(&self, id: &ConsentId) -> Vec<u64> {
        let mut next = self.rows.get(id).map_or(NO_INDEX, |row| row.last_index);
        let mut offsets = Vec::new();
        while next != NO_INDEX {
            offsets.push(self.record_offsets.offsets[next as usize]);
            next = self.record_offsets.previous[next as usize];
        }
        offsets.reverse();
        offsets
    }

    /// Adds a record that is on disk, and updates the set of withdrawn ids.
    ///
    /// # Errors
    ///
    /// The record contradicts those before it, so this program did not write it. The message names
    /// the contradiction; the index is unchanged.
    pub fn insert_record(&mut self, fact: &RecordSummary<'_>) -> Result<(), String> {
        let live = fact
            .id
            .and_then(|id| self.consent_state(id))
            .filter(|standing| standing.live);
        self.check_reference(fact, live.as_ref().map(|standing| standing.seq))?;

        self.counts.count_act(fact.act);
        self.counts_by_version
            .entry(fact.version)
            .or_default()
            .count_act(fact.act);
        let Some(id) = fact.id else { return Ok(()) };

        let grant = match fact.act {
            ActKind::Withdraw => fact.refers.unwrap_or(fact.seq),
            _ => fact.seq,
        };
        // A withdrawal does not change the version that was granted.
        let version = live
            .filter(|_| fact.act == ActKind::Withdraw)
            .map_or(fact.version, |standing| standing.version);
        let terms = self.intern_terms(version, &fact.granted);

        let before = self.rows.get(id).map_or(NO_INDEX, |row| row.last_index);
        let last = self.record_offsets.push_offset(fact.offset, before);
        self.rows.insert(
            id.duplicate_id(),
            IndexRow {
                grant_seq: grant,
                terms_index: terms,
                last_index: last,
            },
        );

        if fact.granted.is_empty() {
            self.withdrawn.insert(id, fact.day);
        } else {
            self.withdrawn.remove(id);
        }
        Ok(())
    }

    fn check_reference(&self, fact: &RecordSummary<'_>, live: Option<u64>) -> Result<(), String> {
        let fits = match fact.act {
            ActKind::Grant => fact.id.is_some() && !fact.granted.is_empty(),
            ActKind::Refuse => fact.id.is_none() && fact.granted.is_empty(),
            // Of a grant recorded by another collector, only its end is known.
            ActKind::Withdraw => fact.id.is_some_and(|id| {
                fact.refers.is_some() || (fact.granted.is_empty() && !self.rows.contains_key(id))
            }),
        };
        if !fits {
            return Err(format!(
                "cannot be: a {} does not have these parts",
                fact.act.name()
            ));
        }

        let into_the_cut = live.is_none() && fact.refers.is_some_and(|seq| seq <= self.cut_seq);
        if fact.refers == live || (into_the_cut && fact.id.is_some()) {
            return Ok(());
        }

        let name = |seq: Option<u64>| seq.map_or("nothing".into(), |seq| format!("record {seq}"));
        Err(format!(
            "refers to {}, where the records before it say {}",
            name(fact.refers),
            name(live)
        ))
    }

    fn intern_terms(&mut self, version: u32, granted: &[&str]) -> u32 {
        let known = |terms: &GrantTerms| {
            terms.version == version && terms.granted.iter().eq(granted.iter())
        };
        let place = self.terms.iter().position(known).unwrap_or_else(|| {
            self.terms.push(GrantTerms {
                version,
                granted: granted.iter().map(|name| (*name).to_owned()).collect(),
            });
            self.terms.len() - 1
        });
        u32::try_from(place).expect("far fewer than 2^32 versions and choices")
    }

    /// The memory that grows with the number of grants, in bytes.
    #[cfg(test)]
    pub fn heap_bytes(&self) -> usize {
        let slot = size_of::<(ConsentId, IndexRow)>() + 1;
        // A map has a power of two of slots and fills at most 7 of 8.
        let slots = (self.rows.capacity() * 8 / 7).next_power_of_two();
        slots * slot
            + self.record_offsets.offsets.capacity() * 8
            + self.record_offsets.previous.capacity() * 4
    }
}

impl RecordOffsets {
    fn push_offset(&mut self, offset: u64, before: u32) -> u32 {
        self.offsets.push(offset);
        self.previous.push(before);
        u32::try_from(self.offsets.len() - 1)
            .ok()
            .filter(|place| *place != NO_INDEX)
            .expect("fewer than 2^32 - 1 records of grants")
    }
}
