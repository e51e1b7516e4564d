//! String interning for one day: paths, links, names, sources, campaigns and closed lists, each
//! text once, with an id.

use std::hash::{BuildHasher, Hash, Hasher};

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

    /// The same kind of text, of any site. `(other)` is stored there once, not once for each site.
    fn of_all_sites(self) -> TextScope {
        TextScope(u64::MAX << 8 | self.0 & 0xff)
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

/// The number of texts of a scope, in 12 bytes: the scope's number is in two halves.
struct ScopeCount {
    scope: [u32; 2],
    texts: u32,
}

impl ScopeCount {
    fn new(TextScope(scope): TextScope) -> ScopeCount {
        ScopeCount {
            scope: [(scope >> 32) as u32, scope as u32],
            texts: 0,
        }
    }

    fn scope(&self) -> TextScope {
        TextScope(u64::from(self.scope[0]) << 32 | u64::from(self.scope[1]))
    }
}

struct InternedText {
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
    /// Seeded per process, because clients choose the paths.
    hash_state: RandomState,
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
            hash_state: RandomState::default(),
            text_budget: room,
            byte_budget: byte_room,
            overflow_count: 0,
        }
    }

    /// The text's id; that of `(other)` if the scope or the memory is full.
    pub(super) fn intern(&mut self, scope: TextScope, text: &str, cap: usize) -> u32 {
        let scope = if text == OTHER_VALUE {
            scope.of_all_sites()
        } else {
            scope
        };
        if let Some(id) = self.find_text(scope, text) {
            return id;
        }
        if text == OTHER_VALUE {
            return self.insert_text(scope, text);
        }
        let in_scope = self.count_of_scope(scope);
        if in_scope as usize >= cap || !self.try_reserve(text.len()) {
            self.overflow_count += 1;
            return self.intern(scope, OTHER_VALUE, cap);
        }
        self.count_text(scope);
        self.insert_text(scope, text)
    }

    /// The number of texts that the scope has.
    fn count_of_scope(&self, scope: TextScope) -> u32 {
        let hash = self.hash_state.hash_one(scope);
        self.per_scope
            .find(hash, |known| known.scope() == scope)
            .map_or(0, |known| known.texts)
    }

    fn count_text(&mut self, scope: TextScope) {
        let state = &self.hash_state;
        let entry = self.per_scope.entry(
            state.hash_one(scope),
            |known| known.scope() == scope,
            |known| state.hash_one(known.scope()),
        );
        entry
            .or_insert_with(|| ScopeCount::new(scope))
            .get_mut()
            .texts += 1;
    }

    /// The id that [`StringInterner::intern`] would return; `None` for a new text within the
    /// limits.
    pub(super) fn estimate_id(&self, scope: TextScope, text: &str, cap: usize) -> Option<u32> {
        let known = self.find_text(scope, text);
        let in_scope = self.count_of_scope(scope) as usize;
        let is_full = in_scope >= cap
            || !self.byte_budget.has_capacity(allocated_bytes(text.len()))
            || !self.text_budget.has_capacity(1);
        known.or_else(|| {
            if is_full {
                self.find_text(scope.of_all_sites(), OTHER_VALUE)
            } else {
                None
            }
        })
    }

    /// Reserves memory for a text of `length` bytes. `false` if the budget is used up.
    fn try_reserve(&mut self, length: usize) -> bool {
        self.byte_budget.try_reserve(allocated_bytes(length)) && self.text_budget.try_reserve(1)
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
        self.index
            .insert_unique(hash_text(state, scope, text), id, |&id| {
                let known = &texts[id as usize / TEXTS_PER_CHUNK][id as usize % TEXTS_PER_CHUNK];
                hash_text(state, known.scope, &known.text)
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

    fn find_text(&self, scope: TextScope, text: &str) -> Option<u32> {
        let same = |&id: &u32| {
            let known = self.get(id);
            known.scope == scope && *known.text == *text
        };
        self.index
            .find(hash_text(&self.hash_state, scope, text), same)
            .copied()
    }
}

/// The allocator rounds up by an eighth at most.
fn allocated_bytes(length: usize) -> usize {
    length + length / 8 + TEXT_OVERHEAD_BYTES
}

fn hash_text(state: &RandomState, scope: TextScope, text: &str) -> u64 {
    let mut hasher = state.build_hasher();
    scope.hash(&mut hasher);
    hasher.write(text.as_bytes());
    hasher.finish()
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

    fn kept(texts: &StringInterner) -> usize {
        texts
            .texts
            .iter()
            .flatten()
            .filter(|text| &*text.text != OTHER_VALUE)
            .count()
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
            (100, 101),
            "and one (other) for all of them"
        );
    }
}
