//! Attribute rows that are held back in the open segment until there are enough of their site.
//!
//! On a quiet page, the attribute rows of one visit describe that visit completely: source,
//! country, device. So a segment releases attribute rows to the store only for sites and days with
//! at least k visits. The others are carried into the next segment, until there are more or the day
//! is over.

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet, HashTable};
use std::hash::BuildHasher;

use super::attributes::{AttributeCounts, AttributeKey, AttributeSums, of_platform};
use super::sums::Sym;
use crate::event::{Day, Dimension, Millis, OTHER, SiteId, Subject};
use crate::pseudonym::DaySpan;

/// Zone of the platform's days, and of rows without a zone, as a former version wrote them.
const PLATFORM_ZONE: &str = "UTC";
/// Its index in the strings.
const OF_PLATFORM: Sym = Sym(1);

/// Rows wait this long after their day's end for hits that were on their way.
const GRACE_MILLIS: Millis = 5_000;

/// When rows are released.
#[derive(Clone, Copy, Debug)]
pub struct Release {
    /// Visits of a site and day from which its rows are safe to write.
    pub visits: u32,
    /// Most rows that are carried; more would be too many to write again with each segment.
    pub most_rows: usize,
    /// Most bytes of carried rows, as the store holds them.
    pub most_bytes: usize,
}

/// What is to be released.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// Days that are over only. The last release was a short while ago, and each release writes
    /// rows of its own.
    Days,
    /// Days that are over, and sites with enough visits.
    Enough,
    /// Everything; the collector stops.
    All,
}

/// The rows of a site and day, which are released or carried together.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Group {
    site: SiteId,
    zone: Sym,
    day: Day,
}

#[derive(Clone, Copy, Default)]
struct Waiting {
    visits: u32,
    rows: usize,
    bytes: usize,
}

/// Bytes of a row without its texts, as the store holds it during an insert.
const ROW_BYTES: usize = 64;

/// The attribute rows of an open segment.
pub struct Held {
    /// Each text once. Numbers of batches are mapped to it through `known_as`.
    strings: Vec<Box<str>>,
    places: HashTable<u32>,
    /// Index in `strings` of each number that batches use.
    known_as: Vec<Sym>,
    state: RandomState,
    rows: HashMap<AttributeKey, AttributeCounts, RandomState>,
    groups: HashMap<Group, Waiting, RandomState>,
    /// When each zone's day with rows here is over, including the grace.
    days: Vec<(Sym, Day, Millis)>,
    /// Number of rows of sites themselves; each gives the platform a row in the closed segment.
    of_sites: usize,
    bytes: usize,
}

impl Default for Held {
    fn default() -> Held {
        let mut held = Held {
            strings: Vec::new(),
            places: HashTable::new(),
            known_as: Vec::new(),
            state: RandomState::default(),
            rows: HashMap::default(),
            groups: HashMap::default(),
            days: Vec::new(),
            of_sites: 0,
            bytes: 0,
        };

        held.learn("");
        held.store(PLATFORM_ZONE);
        held
    }
}

impl Held {
    /// Rows in a closed segment, including the platform's.
    pub fn rows(&self) -> usize {
        self.rows.len() + self.of_sites
    }

    /// Bytes of these rows with their texts, as the store holds them during an insert.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Number of the next new string of a batch.
    pub fn next_string(&self) -> u32 {
        u32::try_from(self.known_as.len()).expect("a segment holds far fewer than 2^32 strings")
    }

    /// Adds the rows of a batch. Its strings are numbered from `base` on, those of carried rows
    /// from zero. Strings of a lost batch read as `(other)`.
    pub fn add(&mut self, base: u32, sums: &AttributeSums) {
        if sums.rows.is_empty() {
            return;
        }
        self.known_as.truncate(base as usize);
        while self.known_as.len() < base as usize {
            self.learn(OTHER);
        }
        for text in &sums.strings {
            self.learn(text);
        }

        let mut day = None;
        for (key, counts) in &sums.rows {
            let sym = |sym: Sym| self.known_as.get(sym.0 as usize).copied().unwrap_or(Sym::EMPTY);
            let zone = if key.zone == Sym::EMPTY { OF_PLATFORM } else { sym(key.zone) };
            let key = AttributeKey { zone, item: sym(key.item), value: sym(key.value), ..*key };
            if day != Some((key.zone, key.day)) {
                day = Some((key.zone, key.day));
                self.note_day(key.zone, key.day);
            }
            let waiting = self.groups.entry(Group { site: key.site, zone: key.zone, day: key.day }).or_default();
            // Each visit has exactly one source, so visits are counted by those rows.
            if key.subject == Subject::Site && key.dim == Dimension::Source {
                waiting.visits = waiting.visits.saturating_add(counts.visits);
            }
            let (of_sites, all_bytes) = (&mut self.of_sites, &mut self.bytes);
            let length = |sym: Sym| self.strings[sym.0 as usize].len();
            *self.rows.entry(key).or_insert_with(|| {
                let with_platform = usize::from(key.subject == Subject::Site);
                let bytes = (1 + with_platform) * (ROW_BYTES + length(key.value)) + length(key.item);
                waiting.rows += 1;
                waiting.bytes += bytes;
                *of_sites += with_platform;
                *all_bytes += bytes;
                AttributeCounts::default()
            }) += *counts;
        }
    }

    /// Whether there are rows of a day that is over.
    pub fn has_closed_days(&self, now: Millis) -> bool {
        self.days.iter().any(|(_, _, end)| now >= *end)
    }

    /// Whether a release under this rule would write any rows.
    pub fn releases(&self, rule: Release, wanted: Wanted, now: Millis) -> bool {
        match self.leaving(rule, wanted, now) {
            Leaving::All => !self.rows.is_empty(),
            Leaving::These(goes) => self.groups.iter().any(|(group, waiting)| goes(group, waiting)),
        }
    }

    /// The rows that are not released, for the next segment.
    pub fn carried(&self, rule: Release, wanted: Wanted, now: Millis) -> AttributeSums {
        let Leaving::These(goes) = self.leaving(rule, wanted, now) else { return AttributeSums::default() };
        let stays = |(group, waiting): (&Group, &Waiting)| (!goes(group, waiting)).then_some(*group);
        let staying: HashSet<Group, RandomState> = self.groups.iter().filter_map(stays).collect();
        if staying.is_empty() {
            return AttributeSums::default();
        }
        self.rows_of(|group| staying.contains(group))
    }

    /// The released rows with the platform's added: all but those of the sites and days in
    /// `carried`.
    pub fn seal(self, carried: &AttributeSums) -> AttributeSums {
        let zone = |sym: Sym| self.place(carried.text(sym));
        let staying = carried
            .rows
            .iter()
            .filter_map(|(key, _)| Some(Group { site: key.site, zone: zone(key.zone)?, day: key.day }));
        let staying: HashSet<Group, RandomState> = staying.collect();

        let Held { strings, rows, .. } = self;
        let group = |key: &AttributeKey| Group { site: key.site, zone: key.zone, day: key.day };
        let mut rows: Vec<(AttributeKey, AttributeCounts)> =
            rows.into_iter().filter(|(key, _)| !staying.contains(&group(key))).collect();
        let of_platform: Vec<_> = of_platform(&rows, OF_PLATFORM).collect();
        rows.extend(of_platform);
        AttributeSums::in_order(&strings, rows)
    }

    fn rows_of(&self, wanted: impl Fn(&Group) -> bool) -> AttributeSums {
        let group = |key: &AttributeKey| Group { site: key.site, zone: key.zone, day: key.day };
        let rows = self.rows.iter().filter(|(key, _)| wanted(&group(key)));
        AttributeSums::in_order(&self.strings, rows.map(|(key, counts)| (*key, *counts)).collect())
    }

    fn leaving(&self, rule: Release, wanted: Wanted, now: Millis) -> Leaving<impl Fn(&Group, &Waiting) -> bool> {
        let enough = wanted == Wanted::Enough || self.rows.len() > rule.most_rows || self.bytes > rule.most_bytes;
        let over: Vec<(Sym, Day)> =
            self.days.iter().filter(|(_, _, end)| now >= *end).map(|(zone, day, _)| (*zone, *day)).collect();
        let goes = move |group: &Group, waiting: &Waiting| {
            (enough && waiting.visits >= rule.visits) || over.contains(&(group.zone, group.day))
        };
        let left = self.groups.iter().filter(|(group, waiting)| !goes(group, waiting));
        let (rows, bytes) = left.fold((0, 0), |(rows, bytes), (_, left)| (rows + left.rows, bytes + left.bytes));
        let too_many = rows > rule.most_rows || bytes > rule.most_bytes;
        if wanted == Wanted::All || too_many { Leaving::All } else { Leaving::These(goes) }
    }

    fn note_day(&mut self, zone: Sym, day: Day) {
        if self.days.iter().any(|(known, of, _)| (*known, *of) == (zone, day)) {
            return;
        }
        // An unknown zone is a text that was lost; no further hits can come for it.
        let end = DaySpan::end_of(&self.strings[zone.0 as usize], day);
        self.days.push((zone, day, end.map_or(Millis::MIN, |end| end.saturating_add(GRACE_MILLIS))));
    }

    /// Gives the next number to a text.
    fn learn(&mut self, text: &str) {
        let place = self.place(text).unwrap_or_else(|| self.store(text));
        self.known_as.push(place);
    }

    fn store(&mut self, text: &str) -> Sym {
        let place = u32::try_from(self.strings.len()).expect("a segment holds far fewer than 2^32 strings");
        self.strings.push(text.into());
        let (strings, state) = (&self.strings, &self.state);
        self.places.insert_unique(state.hash_one(text), place, |&place| state.hash_one(&*strings[place as usize]));
        Sym(place)
    }

    fn place(&self, text: &str) -> Option<Sym> {
        let same = |&place: &u32| *self.strings[place as usize] == *text;
        self.places.find(self.state.hash_one(text), same).copied().map(Sym)
    }
}

enum Leaving<F> {
    All,
    These(F),
}

#[cfg(test)]
mod tests;
