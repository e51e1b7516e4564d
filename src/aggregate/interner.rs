//! String interning for one day: paths, links, names, sources, campaigns and closed lists. Each text
//! is stored once, with an id, however many sites have it: most have the same sources, and many the
//! same paths.

mod state;

use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use hashbrown::HashTable;

use crate::budget::BudgetShare;
use crate::calendar::Day;
use crate::config::TEXT_OVERHEAD_BYTES;
use crate::event::{Dimension, OTHER_VALUE, Subject};

/// The namespace of a text. Each scope has a limit of distinct texts.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TextScope(u64);

impl TextScope {
    /// Paths, links or event names of a site.
    pub(super) fn for_items(site: u32, subject: Subject) -> TextScope {
        TextScope(u64::from(site) << 8 | subject as u64)
    }

    /// Script errors of a site.
    pub(super) fn for_script_errors(site: u32) -> TextScope {
        TextScope(u64::from(site) << 8 | 0x20)
    }

    /// Templates of mails. Only the platform can introduce one, because its key signs them.
    pub(super) fn for_mail_templates() -> TextScope {
        TextScope(u64::MAX << 8 | 0x20)
    }

    /// Links of one template, by its id, and batch day.
    pub(super) fn for_mail_links(template: u32, batch: Day) -> TextScope {
        TextScope(1 << 63 | u64::from(template) << 24 | u64::from(batch.as_number()) << 8 | 0x21)
    }

    /// Values of a site's dimension. Closed lists (country, device, ...) are shared by all sites
    /// because they cannot grow.
    pub(super) fn for_attribute_values(site: u32, dimension: Dimension) -> TextScope {
        match dimension {
            Dimension::Source | Dimension::Campaign => {
                TextScope(u64::from(site) << 8 | 0x10 | dimension as u64)
            }
            _ => TextScope(u64::MAX << 8 | dimension as u64),
        }
    }

    /// The name of the day's zone.
    pub(super) fn for_zone_names() -> TextScope {
        TextScope(u64::MAX << 8 | 0x40)
    }
}

/// The two string tables of a segment.
#[derive(Clone, Copy)]
pub(super) enum SegmentPart {
    Totals = 0,
    Attributes = 1,
}

const TEXTS_PER_CHUNK: usize = 1024;

/// A scope's number in two halves, so that an entry with another number takes 12 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct SplitScope([u32; 2]);

impl SplitScope {
    fn new(TextScope(scope): TextScope) -> SplitScope {
        SplitScope([(scope >> 32) as u32, scope as u32])
    }

    fn scope(self) -> TextScope {
        TextScope(u64::from(self.0[0]) << 32 | u64::from(self.0[1]))
    }
}

/// The number of texts of a scope.
struct ScopeCount {
    scope: SplitScope,
    texts: u32,
}

/// A text that a scope has, by its id, where another scope had it first.
#[derive(PartialEq, Eq)]
struct SharedText {
    scope: SplitScope,
    text: u32,
}

impl SharedText {
    fn hash(&self, state: &RandomState) -> u64 {
        state.hash_one((self.scope.scope(), self.text))
    }
}

struct InternedText {
    /// The scope that had it first.
    scope: TextScope,
    text: Box<str>,
    /// For each part, the last segment in which the text has a string id, and that id.
    string_ids: [(u32, u32); 2],
}

pub(super) struct StringInterner {
    index: HashTable<u32>,
    /// In chunks, so that nothing moves when the table grows.
    texts: Vec<Vec<InternedText>>,
    len: usize,
    per_scope: HashTable<ScopeCount>,
    shared: HashTable<SharedText>,
    /// Seeded per process, because clients choose the paths.
    hash_state: RandomState,
    /// A text of several scopes uses one unit for each.
    text_budget: BudgetShare,
    /// Includes [`TEXT_OVERHEAD_BYTES`] for each text.
    byte_budget: BudgetShare,
    pub(super) overflow_count: u64,
}

impl StringInterner {
    pub(super) fn new(room: BudgetShare, byte_room: BudgetShare) -> StringInterner {
        StringInterner {
            index: HashTable::new(),
            texts: Vec::new(),
            len: 0,
            per_scope: HashTable::new(),
            shared: HashTable::new(),
            hash_state: RandomState::default(),
            text_budget: room,
            byte_budget: byte_room,
            overflow_count: 0,
        }
    }

    /// The text's id; that of `(other)` if the scope or the memory is full.
    pub(super) fn intern(&mut self, scope: TextScope, text: &str, cap: usize) -> u32 {
        let known = self.find_text(text);
        if text == OTHER_VALUE {
            return known.unwrap_or_else(|| self.insert_text(scope, text));
        }
        if let Some(id) = known
            && self.is_of_scope(scope, id)
        {
            return id;
        }

        let in_scope = self.count_of_scope(scope);
        let bytes = known.map_or_else(|| allocated_bytes(text.len()), |_| SHARED_TEXT_BYTES);
        if in_scope as usize >= cap || !self.try_reserve(bytes) {
            self.overflow_count += 1;
            return self.intern(scope, OTHER_VALUE, cap);
        }

        self.count_text(scope);
        match known {
            Some(id) => {
                self.share_text(scope, id);
                id
            }
            None => self.insert_text(scope, text),
        }
    }

    /// Whether the scope has the text with this id.
    fn is_of_scope(&self, scope: TextScope, id: u32) -> bool {
        if self.get(id).scope == scope {
            return true;
        }
        let wanted = SharedText {
            scope: SplitScope::new(scope),
            text: id,
        };
        self.shared
            .find(wanted.hash(&self.hash_state), |known| *known == wanted)
            .is_some()
    }

    fn share_text(&mut self, scope: TextScope, id: u32) {
        let state = &self.hash_state;
        let shared = SharedText {
            scope: SplitScope::new(scope),
            text: id,
        };
        self.shared
            .insert_unique(shared.hash(state), shared, |known| known.hash(state));
    }

    /// The number of texts that the scope has.
    fn count_of_scope(&self, scope: TextScope) -> u32 {
        let hash = self.hash_state.hash_one(scope);
        self.per_scope
            .find(hash, |known| known.scope.scope() == scope)
            .map_or(0, |known| known.texts)
    }

    fn count_text(&mut self, scope: TextScope) {
        let state = &self.hash_state;
        let entry = self.per_scope.entry(
            state.hash_one(scope),
            |known| known.scope.scope() == scope,
            |known| state.hash_one(known.scope.scope()),
        );
        let new = || ScopeCount {
            scope: SplitScope::new(scope),
            texts: 0,
        };
        entry.or_insert_with(new).get_mut().texts += 1;
    }

    /// The id that [`StringInterner::intern`] would return; `None` for a text that would be new to
    /// the scope.
    pub(super) fn estimate_id(&self, scope: TextScope, text: &str, cap: usize) -> Option<u32> {
        let known = self.find_text(text);
        if let Some(id) = known.filter(|&id| self.is_of_scope(scope, id)) {
            return Some(id);
        }
        let bytes = known.map_or_else(|| allocated_bytes(text.len()), |_| SHARED_TEXT_BYTES);
        let is_full = self.count_of_scope(scope) as usize >= cap
            || !self.byte_budget.has_capacity(bytes)
            || !self.text_budget.has_capacity(1);
        is_full.then(|| self.find_text(OTHER_VALUE)).flatten()
    }

    /// Reserves memory for a text of a scope. `false` if the budget is used up.
    fn try_reserve(&mut self, bytes: usize) -> bool {
        self.byte_budget.try_reserve(bytes) && self.text_budget.try_reserve(1)
    }

    fn insert_text(&mut self, scope: TextScope, text: &str) -> u32 {
        let id = u32::try_from(self.len).expect("the limit of texts is far below 2^32");
        if self.len.is_multiple_of(TEXTS_PER_CHUNK) {
            self.texts.push(Vec::with_capacity(TEXTS_PER_CHUNK));
        }
        let chunk = self
            .texts
            .last_mut()
            .expect("a chunk was pushed for the first text");
        chunk.push(InternedText {
            scope,
            text: text.into(),
            string_ids: [(0, 0); 2],
        });
        self.len += 1;
        let (texts, state) = (&self.texts, &self.hash_state);
        self.index.insert_unique(state.hash_one(text), id, |&id| {
            let known = &texts[id as usize / TEXTS_PER_CHUNK][id as usize % TEXTS_PER_CHUNK];
            state.hash_one(&*known.text)
        });
        id
    }

    /// The memory of the texts and their tables, without what the allocator adds.
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        let texts: usize = self
            .texts
            .iter()
            .flatten()
            .map(|text| text.text.len())
            .sum();
        texts
            + self.texts.len() * TEXTS_PER_CHUNK * size_of::<InternedText>()
            + self.index.allocation_size()
            + self.per_scope.allocation_size()
            + self.shared.allocation_size()
    }

    fn get(&self, id: u32) -> &InternedText {
        &self.texts[id as usize / TEXTS_PER_CHUNK][id as usize % TEXTS_PER_CHUNK]
    }

    pub(super) fn resolve_text(&self, id: u32) -> &str {
        &self.get(id).text
    }

    /// The text's string id in a part of a segment, if it has one.
    pub(super) fn string_id(&self, id: u32, part: SegmentPart, segment: u32) -> Option<u32> {
        let (known_to, sym) = self.get(id).string_ids[part as usize];
        (known_to == segment).then_some(sym)
    }

    pub(super) fn set_string_id(&mut self, id: u32, part: SegmentPart, segment: u32, sym: u32) {
        self.texts[id as usize / TEXTS_PER_CHUNK][id as usize % TEXTS_PER_CHUNK].string_ids
            [part as usize] = (segment, sym);
    }

    /// The id of a text, whichever scope has it.
    fn find_text(&self, text: &str) -> Option<u32> {
        self.index
            .find(self.hash_state.hash_one(text), |&id| {
                *self.get(id).text == *text
            })
            .copied()
    }
}

/// Bytes that a text of a site takes if another site has it too, in tables that have just grown.
const SHARED_TEXT_BYTES: usize = 64;

/// The allocator rounds up by an eighth at most.
fn allocated_bytes(length: usize) -> usize {
    length + length / 8 + TEXT_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::SharedBudget;

    fn texts(most: usize, bytes: usize) -> StringInterner {
        StringInterner::new(
            SharedBudget::new(most).new_share(),
            SharedBudget::new(bytes).new_share(),
        )
    }

    /// Texts other than `(other)`, each as often as scopes have it.
    fn kept(texts: &StringInterner) -> usize {
        texts
            .per_scope
            .iter()
            .map(|count| count.texts as usize)
            .sum()
    }

    #[test]
    fn beyond_the_cap_of_a_scope_everything_new_is_other() {
        let mut texts = texts(1000, 1 << 20);
        let scope = TextScope::for_items(0, Subject::Page);
        let ids: Vec<u32> = (0..10)
            .map(|n| texts.intern(scope, &format!("/{n}"), 3))
            .collect();
        assert_eq!(ids[..3], [0, 1, 2]);
        assert!(
            ids[3..]
                .iter()
                .all(|&id| texts.resolve_text(id) == OTHER_VALUE)
        );
        assert_eq!(texts.intern(scope, "/1", 3), 1, "what is known stays known");
        let elsewhere = texts.intern(TextScope::for_items(1, Subject::Page), "/9", 3);
        assert_eq!(
            texts.resolve_text(elsewhere),
            "/9",
            "another site has its own cap"
        );
        assert_eq!(texts.overflow_count, 7);
    }

    #[test]
    fn a_flood_of_long_texts_is_held_at_the_bytes_of_the_day() {
        let mut texts = texts(1_000_000, 1 << 20);
        let long = "x".repeat(500);
        for n in 0..10_000 {
            texts.intern(
                TextScope::for_items(n, Subject::Page),
                &format!("/{n}{long}"),
                50,
            );
        }
        let kept = kept(&texts);
        assert!(
            (1_500..=1_600).contains(&kept),
            "{kept} texts of some 680 bytes in a MiB"
        );
        assert_eq!(
            (texts.overflow_count as usize, texts.len),
            (10_000 - kept, kept + 1)
        );
        assert_eq!(texts.per_scope.len(), kept);
    }

    #[test]
    fn a_flood_of_texts_over_many_sites_is_held_at_the_cap_of_the_day() {
        let mut texts = texts(100, 1 << 20);
        for site in 0..1000 {
            for n in 0..10 {
                texts.intern(
                    TextScope::for_items(site, Subject::Page),
                    &format!("/{n}"),
                    50,
                );
            }
        }
        assert_eq!(
            (kept(&texts), texts.len),
            (100, 11),
            "ten texts of ten sites, and one (other) for all of them"
        );
    }

    #[test]
    fn a_text_of_many_sites_is_stored_once_and_counts_in_each() {
        let mut texts = texts(1000, 1 << 20);
        let scope = |site| TextScope::for_items(site, Subject::Page);
        let first = texts.intern(scope(0), "/", 1);
        let ids: Vec<u32> = (0..10)
            .map(|site| texts.intern(scope(site), "/", 1))
            .collect();
        assert_eq!((ids, texts.len, kept(&texts)), (vec![first; 10], 1, 10));

        let beyond = texts.intern(scope(3), "/b", 1);
        assert_eq!(
            (texts.resolve_text(beyond), texts.overflow_count),
            (OTHER_VALUE, 1)
        );
        texts.intern(scope(11), "/b", 1);
        let estimates = [scope(3), scope(11), scope(12)].map(|of| texts.estimate_id(of, "/b", 1));
        assert_eq!(
            estimates,
            [Some(beyond), Some(beyond + 1), None],
            "(other), known, and new"
        );
    }
}
