//! The consent index in memory: the current state of each consent id, and the positions of its
//! records.
//!
//! Records that were there at the start cost 40 bytes each (index_rows.rs), also in the index's file
//! (index_file.rs). Records that were added since cost up to 150 until they are moved to the others.
//! The granted purposes are stored once per distinct choice.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::act::ActKind;
use super::index_rows::{IndexRow, IndexRows};
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
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Debug)]
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

impl RecordSummary<'_> {
    /// The state of the id after the record. `live` is its state before, if that is live.
    pub fn state_after(&self, live: Option<&ConsentState>) -> ConsentState {
        let withdrawn = live.filter(|_| self.act == ActKind::Withdraw);
        ConsentState {
            // A withdrawal does not change the version that was granted.
            version: withdrawn.map_or(self.version, |state| state.version),
            granted: self.granted.iter().map(|name| (*name).to_owned()).collect(),
            live: !self.granted.is_empty(),
            seq: match self.act {
                ActKind::Withdraw => self.refers.unwrap_or(self.seq),
                _ => self.seq,
            },
        }
    }
}

/// What a grant allows: the granted purposes, and the version that was shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(from = "StoredTerms", into = "StoredTerms")]
pub struct GrantTerms {
    version: u32,
    granted: Arc<[String]>,
}

#[derive(Serialize, Deserialize)]
struct StoredTerms {
    version: u32,
    granted: Vec<String>,
}

impl From<StoredTerms> for GrantTerms {
    fn from(stored: StoredTerms) -> GrantTerms {
        GrantTerms {
            version: stored.version,
            granted: stored.granted.into(),
        }
    }
}

impl From<GrantTerms> for StoredTerms {
    fn from(terms: GrantTerms) -> StoredTerms {
        StoredTerms {
            version: terms.version,
            granted: terms.granted.to_vec(),
        }
    }
}

/// A record that was added since the rows were made.
struct TailRecord {
    row: IndexRow,
    /// The place of the id's record before it, or [`NO_INDEX`].
    previous: u32,
}

const NO_INDEX: u32 = u32::MAX;

/// The added records become rows when there are as many as this, and half as many as rows: a record
/// of the tail takes three times the memory.
const MIN_COMPACTED_RECORDS: usize = 1 << 16;

/// The index, and the set of withdrawn ids that it keeps up to date.
pub struct ConsentIndex {
    /// Records up to the one with which the index was loaded.
    rows: Arc<IndexRows>,
    tail: Vec<TailRecord>,
    /// The place in the tail of each id's last record.
    last_in_tail: HashMap<ConsentId, u32>,
    facts: IndexFacts,
    /// The number of the last dropped record. References to it or to earlier ones cannot be
    /// verified.
    cut_seq: u64,
    withdrawn: Arc<WithdrawnGrants>,
}

/// What an index knows beside the rows.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct IndexFacts {
    /// Few: the operator's versions, times the choices that each allows.
    terms: Vec<GrantTerms>,
    counts: RecordCounts,
    counts_by_version: BTreeMap<u32, RecordCounts>,
}

impl IndexFacts {
    /// Counts a record.
    pub fn count_record(&mut self, act: ActKind, version: u32) {
        self.counts.count_act(act);
        self.counts_by_version
            .entry(version)
            .or_default()
            .count_act(act);
    }

    /// Whether both counted the same.
    pub fn has_counts_of(&self, other: &IndexFacts) -> bool {
        (self.counts, &self.counts_by_version) == (other.counts, &other.counts_by_version)
    }

    /// Whether every row refers to known terms.
    pub fn has_terms_of(&self, rows: &IndexRows) -> bool {
        rows.iter()
            .all(|row| (row.terms_index as usize) < self.terms.len())
    }

    /// The state of an id after a record.
    pub fn state_after(&self, row: &IndexRow) -> ConsentState {
        let GrantTerms { version, granted } = self.terms[row.terms_index as usize].clone();
        ConsentState {
            version,
            live: !granted.is_empty(),
            granted,
            seq: row.grant_seq,
        }
    }
}

impl ConsentIndex {
    /// An empty index for a ledger whose records up to `cut` were dropped.
    pub fn new(cut: u64, withdrawn: Arc<WithdrawnGrants>) -> ConsentIndex {
        ConsentIndex {
            rows: Arc::default(),
            tail: Vec::new(),
            last_in_tail: HashMap::new(),
            facts: IndexFacts::default(),
            cut_seq: cut,
            withdrawn,
        }
    }

    /// An index of records that were read before. Withdrawn ids are added to `withdrawn`.
    pub fn from_rows(
        rows: IndexRows,
        facts: IndexFacts,
        cut: u64,
        withdrawn: Arc<WithdrawnGrants>,
    ) -> ConsentIndex {
        let is_withdrawn: Vec<bool> = facts
            .terms
            .iter()
            .map(|terms| terms.granted.is_empty())
            .collect();
        let mut all = rows.iter().peekable();
        while let Some(row) = all.next() {
            let is_last = all.peek().is_none_or(|next| next.id != row.id);
            if is_last && is_withdrawn[row.terms_index as usize] {
                withdrawn.insert(&ConsentId::from_bytes(row.id.to_le_bytes()), row.day);
            }
        }
        drop(all);
        ConsentIndex {
            rows: Arc::new(rows),
            facts,
            ..ConsentIndex::new(cut, withdrawn)
        }
    }

    /// The number of records of each kind.
    pub fn record_counts(&self) -> RecordCounts {
        self.facts.counts
    }

    /// The number of records of each kind, by the version of the consent prompt.
    pub fn counts_by_version(&self) -> BTreeMap<u32, RecordCounts> {
        self.facts.counts_by_version.clone()
    }

    /// The state of an id; `None` if it has no record.
    pub fn consent_state(&self, id: &ConsentId) -> Option<ConsentState> {
        let row = match self.last_in_tail.get(id) {
            Some(place) => self.tail[*place as usize].row,
            None => self.rows.rows_of(id).next_back()?,
        };
        Some(self.facts.state_after(&row))
    }

    /// The positions of the id's records in the file, oldest first.
    pub fn record_offsets(&self, id: &ConsentId) -> Vec<u64> {
        let mut next = self.last_in_tail.get(id).copied().unwrap_or(NO_INDEX);
        let mut offsets = Vec::new();
        while let Some(record) = self.tail.get(next as usize) {
            offsets.push(record.row.offset);
            next = record.previous;
        }
        offsets.extend(self.rows.rows_of(id).rev().map(|row| row.offset));
        offsets.reverse();
        offsets
    }

    /// The rows with which the index was loaded.
    pub fn rows(&self) -> Arc<IndexRows> {
        Arc::clone(&self.rows)
    }

    /// What is to be stored beside all rows.
    pub fn facts(&self) -> &IndexFacts {
        &self.facts
    }

    /// The rows that were added since, in their order.
    pub fn sorted_tail(&self) -> Vec<IndexRow> {
        let mut rows: Vec<IndexRow> = self.tail.iter().map(|record| record.row).collect();
        rows.sort_unstable();
        rows
    }

    /// Moves the added rows to the others, which takes less memory.
    pub fn compact_rows(&mut self) {
        let tail = self.sorted_tail();
        (self.tail, self.last_in_tail) = (Vec::new(), HashMap::new());
        self.rows = Arc::new(self.rows.merged_with(&tail));
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
        let is_known = fact.id.is_some_and(|id| self.has_records(id));
        check_reference(
            fact,
            live.as_ref().map(|standing| standing.seq),
            is_known,
            self.cut_seq,
        )?;

        self.facts.count_record(fact.act, fact.version);
        let Some(id) = fact.id else { return Ok(()) };

        let state = fact.state_after(live.as_ref());
        let terms = self.intern_terms(state.version, &fact.granted);

        let place = u32::try_from(self.tail.len())
            .ok()
            .filter(|place| *place != NO_INDEX)
            .expect("fewer than 2^32 - 1 records of grants");
        let previous = self.last_in_tail.insert(id.duplicate_id(), place);
        self.tail.push(TailRecord {
            row: IndexRow {
                id: IndexRow::number_of(id),
                offset: fact.offset,
                grant_seq: state.seq,
                terms_index: terms,
                day: fact.day,
            },
            previous: previous.unwrap_or(NO_INDEX),
        });
        if self.tail.len() >= MIN_COMPACTED_RECORDS.max(self.rows.len() / 2) {
            self.compact_rows();
        }

        if fact.granted.is_empty() {
            self.withdrawn.insert(id, fact.day);
        } else {
            self.withdrawn.remove(id);
        }
        Ok(())
    }

    fn has_records(&self, id: &ConsentId) -> bool {
        self.last_in_tail.contains_key(id) || self.rows.rows_of(id).next().is_some()
    }

    fn intern_terms(&mut self, version: u32, granted: &[&str]) -> u32 {
        let known = |terms: &GrantTerms| {
            terms.version == version && terms.granted.iter().eq(granted.iter())
        };
        let all = &mut self.facts.terms;
        let place = all.iter().position(known).unwrap_or_else(|| {
            all.push(GrantTerms {
                version,
                granted: granted.iter().map(|name| (*name).to_owned()).collect(),
            });
            all.len() - 1
        });
        u32::try_from(place).expect("far fewer than 2^32 versions and choices")
    }

    /// The memory that grows with the number of grants, in bytes.
    #[cfg(test)]
    pub fn heap_bytes(&self) -> usize {
        let slot = size_of::<(ConsentId, u32)>() + 1;
        // A map has a power of two of slots and fills at most 7 of 8.
        let slots = match self.last_in_tail.capacity() {
            0 => 0,
            capacity => (capacity * 8 / 7).next_power_of_two(),
        };
        slots * slot + self.tail.capacity() * size_of::<TailRecord>() + self.rows.heap_bytes()
    }
}

/// Whether a record fits to those before it. `live` is the record of the id's live grant, `is_known`
/// says whether the id has any record; records up to `cut_seq` were dropped.
///
/// # Errors
///
/// It does not; the message names the contradiction.
pub fn check_reference(
    fact: &RecordSummary<'_>,
    live: Option<u64>,
    is_known: bool,
    cut_seq: u64,
) -> Result<(), String> {
    let fits = match fact.act {
        ActKind::Grant => fact.id.is_some() && !fact.granted.is_empty(),
        ActKind::Refuse => fact.id.is_none() && fact.granted.is_empty(),
        // Of a grant recorded by another collector, only its end is known.
        ActKind::Withdraw => fact
            .id
            .is_some_and(|_| fact.refers.is_some() || (fact.granted.is_empty() && !is_known)),
    };
    if !fits {
        return Err(format!(
            "cannot be: a {} does not have these parts",
            fact.act.name()
        ));
    }

    let into_the_cut = live.is_none() && fact.refers.is_some_and(|seq| seq <= cut_seq);
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
