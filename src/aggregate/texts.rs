//! String interning for one day: paths, links, names, sources, campaigns and closed lists, each
//! text once, with an id.

use std::hash::{BuildHasher, Hash, Hasher};

use foldhash::quality::RandomState;
use hashbrown::{HashMap, HashTable};

use crate::config::TEXT_BYTES;
use crate::event::{Day, Dimension, OTHER, Subject};
use crate::pseudonym::Portion;

/// The namespace of a text. The number of distinct texts per scope is limited.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Scope(u64);

impl Scope {
    /// Paths, links or event names of a site.
    pub(super) fn item(site: u32, subject: Subject) -> Scope {
        Scope(u64::from(site) << 8 | subject as u64)
    }

    /// Script errors of a site.
    pub(super) fn fault(site: u32) -> Scope {
        Scope(u64::from(site) << 8 | 0x20)
    }

    /// Templates of mails. Only the platform can introduce one, because its key signs them.
    pub(super) fn mail() -> Scope {
        Scope(u64::MAX << 8 | 0x20)
    }

    /// Links of one template, by its id, and batch day.
    pub(super) fn mail_link(template: u32, batch: Day) -> Scope {
        Scope(1 << 63 | u64::from(template) << 24 | u64::from(batch.number()) << 8 | 0x21)
    }

    /// Values of a site's dimension. Closed lists (country, device, ...) are shared by all sites
    /// because they cannot grow.
    pub(super) fn value(site: u32, dimension: Dimension) -> Scope {
        match dimension {
            Dimension::Source | Dimension::Campaign => Scope(u64::from(site) << 8 | 0x10 | dimension as u64),
            _ => Scope(u64::MAX << 8 | dimension as u64),
        }
    }

    /// The same kind of text, of any site: `(other)` is stored there once, not once for each site.
    fn of_all_sites(self) -> Scope {
        Scope(u64::MAX << 8 | self.0 & 0xff)
    }

    /// The name of the day's zone.
    pub(super) fn zone() -> Scope {
        Scope(u64::MAX << 8 | 0x40)
    }
}

/// The two string tables of a segment.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Totals = 0,
    Attributes = 1,
}

const CHUNK: usize = 1024;

struct Text {
    scope: Scope,
    text: Box<str>,
    /// For each part, the last segment that knows this text there, and its number.
    known: [(u32, u32); 2],
}

pub(super) struct Texts {
    index: HashTable<u32>,
    /// By chunks, so that nothing moves when they grow.
    texts: Vec<Vec<Text>>,
    len: usize,
    per_scope: HashMap<Scope, u32, RandomState>,
    /// Seeded per process, because strangers choose the paths.
    state: RandomState,
    room: Portion,
    /// Includes [`TEXT_BYTES`] for each text.
    byte_room: Portion,
    pub(super) over: u64,
}

impl Texts {
    pub(super) fn new(room: Portion, byte_room: Portion) -> Texts {
        Texts {
            index: HashTable::new(),
            texts: Vec::new(),
            len: 0,
            per_scope: HashMap::with_hasher(RandomState::default()),
            state: RandomState::default(),
            room,
            byte_room,
            over: 0,
        }
    }

    /// The text's id; that of `(other)` if the scope or the memory is full.
    pub(super) fn intern(&mut self, scope: Scope, text: &str, cap: usize) -> u32 {
        let scope = if text == OTHER { scope.of_all_sites() } else { scope };
        if let Some(id) = self.find(scope, text) {
            return id;
        }
        if text == OTHER {
            return self.insert(scope, text);
        }
        let in_scope = self.per_scope.get(&scope).copied().unwrap_or(0);
        if in_scope as usize >= cap || !self.has_room(text.len()) {
            self.over += 1;
            return self.intern(scope, OTHER, cap);
        }
        self.per_scope.insert(scope, in_scope + 1);
        self.insert(scope, text)
    }

    /// The number [`Texts::intern`] would give; `None` for a text that is not known yet and has room.
    pub(super) fn foresee(&self, scope: Scope, text: &str, cap: usize) -> Option<u32> {
        let known = self.find(scope, text);
        let in_scope = self.per_scope.get(&scope).copied().unwrap_or(0) as usize;
        let is_full = in_scope >= cap || !self.byte_room.has(bytes_of(text.len())) || !self.room.has(1);
        known.or_else(|| if is_full { self.find(scope.of_all_sites(), OTHER) } else { None })
    }

    /// Takes the room for a text of `length` bytes, if there is any.
    fn has_room(&mut self, length: usize) -> bool {
        self.byte_room.take(bytes_of(length)) && self.room.take(1)
    }

    fn insert(&mut self, scope: Scope, text: &str) -> u32 {
        let id = u32::try_from(self.len).expect("the cap on texts is far below 2^32");
        if self.len.is_multiple_of(CHUNK) {
            self.texts.push(Vec::with_capacity(CHUNK));
        }
        let chunk = self.texts.last_mut().expect("a chunk was pushed for the first text");
        chunk.push(Text { scope, text: text.into(), known: [(0, 0); 2] });
        self.len += 1;
        let (texts, state) = (&self.texts, &self.state);
        self.index.insert_unique(hash(state, scope, text), id, |&id| {
            let known = &texts[id as usize / CHUNK][id as usize % CHUNK];
            hash(state, known.scope, &known.text)
        });
        id
    }

    fn get(&self, id: u32) -> &Text {
        &self.texts[id as usize / CHUNK][id as usize % CHUNK]
    }

    pub(super) fn text(&self, id: u32) -> &str {
        &self.get(id).text
    }

    /// The text's number in a part of a segment, if it has one.
    pub(super) fn sym(&self, id: u32, part: Part, segment: u32) -> Option<u32> {
        let (known_to, sym) = self.get(id).known[part as usize];
        (known_to == segment).then_some(sym)
    }

    pub(super) fn set_sym(&mut self, id: u32, part: Part, segment: u32, sym: u32) {
        self.texts[id as usize / CHUNK][id as usize % CHUNK].known[part as usize] = (segment, sym);
    }

    fn find(&self, scope: Scope, text: &str) -> Option<u32> {
        let same = |&id: &u32| {
            let known = self.get(id);
            known.scope == scope && *known.text == *text
        };
        self.index.find(hash(&self.state, scope, text), same).copied()
    }
}

/// The allocator rounds up by an eighth at most.
fn bytes_of(length: usize) -> usize {
    length + length / 8 + TEXT_BYTES
}

fn hash(state: &RandomState, scope: Scope, text: &str) -> u64 {
    let mut hasher = state.build_hasher();
    scope.hash(&mut hasher);
    hasher.write(text.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pseudonym::Cap;

    fn texts(most: usize, bytes: usize) -> Texts {
        Texts::new(Cap::new(most).portion(), Cap::new(bytes).portion())
    }

    fn kept(texts: &Texts) -> usize {
        texts.texts.iter().flatten().filter(|text| &*text.text != OTHER).count()
    }

    #[test]
    fn beyond_the_cap_of_a_scope_everything_new_is_other() {
        let mut texts = texts(1000, 1 << 20);
        let scope = Scope::item(0, Subject::Page);
        let ids: Vec<u32> = (0..10).map(|n| texts.intern(scope, &format!("/{n}"), 3)).collect();
        assert_eq!(ids[..3], [0, 1, 2]);
        assert!(ids[3..].iter().all(|&id| texts.text(id) == OTHER));
        assert_eq!(texts.intern(scope, "/1", 3), 1, "what is known stays known");
        let elsewhere = texts.intern(Scope::item(1, Subject::Page), "/9", 3);
        assert_eq!(texts.text(elsewhere), "/9", "another site has its own cap");
        assert_eq!(texts.over, 7);
    }

    #[test]
    fn a_flood_of_long_texts_is_held_at_the_bytes_of_the_day() {
        let mut texts = texts(1_000_000, 1 << 20);
        let long = "x".repeat(500);
        for n in 0..10_000 {
            texts.intern(Scope::item(n, Subject::Page), &format!("/{n}{long}"), 50);
        }
        let kept = kept(&texts);
        assert!((1_500..=1_600).contains(&kept), "{kept} texts of some 680 bytes in a MiB");
        assert_eq!((texts.over as usize, texts.len), (10_000 - kept, kept + 1));
        assert_eq!(texts.per_scope.len(), kept);
    }

    #[test]
    fn a_flood_of_texts_over_many_sites_is_held_at_the_cap_of_the_day() {
        let mut texts = texts(100, 1 << 20);
        for site in 0..1000 {
            for n in 0..10 {
                texts.intern(Scope::item(site, Subject::Page), &format!("/{n}"), 50);
            }
        }
        assert_eq!((kept(&texts), texts.len), (100, 101), "and one (other) for all of them");
    }
}
