//! Attribute rows that are held back in the open segment until there are enough of their site.
//!
//! On a quiet page, the attribute rows of one visit describe that visit completely: source,
//! country, device. So a segment releases attribute rows to the store only for sites and days with
//! at least k visits. The others are carried into the next segment, until there are more or the day
//! is over.

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet, HashTable};
use std::hash::BuildHasher;

use super::attributes::{AttributeCounts, AttributeKey, AttributeSums, platform_rows};
use super::string_id::StringId;
use crate::calendar::{Day, DaySpan, GRACE_PERIOD, Millis};
use crate::event::{Dimension, OTHER_VALUE, SiteId, Subject};

/// Zone of the platform's days, and of rows without a zone, as a former version wrote them.
const PLATFORM_ZONE: &str = "UTC";
/// Its index in the strings.
const PLATFORM_ZONE_ID: StringId = StringId(1);

/// When rows are released.
#[derive(Clone, Copy, Debug)]
pub struct ReleasePolicy {
    /// Minimum number of visits of a site and day; its rows may be written from there on.
    pub min_visits: u32,
    /// Maximum number of carried rows, because they are written again with each segment.
    pub max_rows: usize,
    /// Maximum size of the carried rows in bytes, as the store holds them.
    pub max_bytes: usize,
}

/// What a release includes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReleaseScope {
    /// Only days that are over, because the last release was recent: each release writes rows of
    /// its own.
    ClosedDays,
    /// Days that are over, and sites with enough visits.
    EnoughVisits,
    /// Days that are over, and one site, which is erased.
    Site(SiteId),
    /// Everything, because the collector stops.
    All,
}

/// The rows of a site and day, which are released or carried together.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct SiteDay {
    site: SiteId,
    zone: StringId,
    day: Day,
}

#[derive(Clone, Copy, Default)]
struct SiteDayTotals {
    visits: u32,
    rows: usize,
    bytes: usize,
}

/// Bytes of a row without its texts, as the store holds it during an insert.
const ATTRIBUTE_ROW_BYTES: usize = 64;

/// The attribute rows of an open segment.
pub struct HeldAttributes {
    /// Each text once. String ids of batches are mapped to it through `id_map`.
    strings: Vec<Box<str>>,
    string_index: HashTable<u32>,
    /// Index in `strings` of each string id that batches use.
    id_map: Vec<StringId>,
    state: RandomState,
    rows: HashMap<AttributeKey, AttributeCounts, RandomState>,
    site_days: HashMap<SiteDay, SiteDayTotals, RandomState>,
    /// When each zone's day with rows here is over, including the grace.
    day_ends: Vec<(StringId, Day, Millis)>,
    /// Number of rows whose subject is a site; each gives the platform a row in the closed segment.
    site_rows: usize,
    bytes: usize,
}

impl Default for HeldAttributes {
    fn default() -> HeldAttributes {
        let mut held = HeldAttributes {
            strings: Vec::new(),
            string_index: HashTable::new(),
            id_map: Vec::new(),
            state: RandomState::default(),
            rows: HashMap::default(),
            site_days: HashMap::default(),
            day_ends: Vec::new(),
            site_rows: 0,
            bytes: 0,
        };

        held.map_next_id("");
        held.insert_string(PLATFORM_ZONE);
        held
    }
}

impl HeldAttributes {
    /// Rows in a closed segment, including the platform's.
    pub fn row_count(&self) -> usize {
        self.rows.len() + self.site_rows
    }

    /// Bytes of these rows with their texts, as the store holds them during an insert.
    pub fn insert_bytes(&self) -> usize {
        self.bytes
    }

    /// String id of the next new string of a batch.
    pub fn next_string_id(&self) -> u32 {
        u32::try_from(self.id_map.len()).expect("a segment holds far fewer than 2^32 strings")
    }

    /// Adds the rows of a batch. Its strings are numbered from `base` on, those of carried rows
    /// from zero. Strings of a lost batch read as `(other)`.
    pub fn add_batch(&mut self, base: u32, sums: &AttributeSums) {
        if sums.rows.is_empty() {
            return;
        }
        if self.rows.is_empty() {
            // Those that the segment before carried over are many, and hits wait for them.
            self.reserve(sums);
        }
        self.id_map.truncate(base as usize);
        while self.id_map.len() < base as usize {
            self.map_next_id(OTHER_VALUE);
        }
        for text in &sums.strings {
            self.map_next_id(text);
        }

        let mut day = None;
        for (key, counts) in &sums.rows {
            let sym = |sym: StringId| {
                self.id_map
                    .get(sym.0 as usize)
                    .copied()
                    .unwrap_or(StringId::EMPTY)
            };
            let zone = if key.zone == StringId::EMPTY {
                PLATFORM_ZONE_ID
            } else {
                sym(key.zone)
            };
            let key = AttributeKey {
                zone,
                item: sym(key.item),
                value: sym(key.value),
                ..*key
            };
            if day != Some((key.zone, key.day)) {
                day = Some((key.zone, key.day));
                self.record_day(key.zone, key.day);
            }
            let waiting = self
                .site_days
                .entry(SiteDay {
                    site: key.site,
                    zone: key.zone,
                    day: key.day,
                })
                .or_default();
            // Each visit has exactly one source, so visits are counted by those rows.
            if key.subject == Subject::Site && key.dim == Dimension::Source {
                waiting.visits = waiting.visits.saturating_add(counts.visits);
            }
            let (of_sites, all_bytes) = (&mut self.site_rows, &mut self.bytes);
            let length = |sym: StringId| self.strings[sym.0 as usize].len();
            *self.rows.entry(key).or_insert_with(|| {
                let with_platform = usize::from(key.subject == Subject::Site);
                let bytes = (1 + with_platform) * (ATTRIBUTE_ROW_BYTES + length(key.value))
                    + length(key.item);
                waiting.rows += 1;
                waiting.bytes += bytes;
                *of_sites += with_platform;
                *all_bytes += bytes;
                AttributeCounts::default()
            }) += *counts;
        }
    }

    fn reserve(&mut self, sums: &AttributeSums) {
        self.rows.reserve(sums.rows.len());
        self.strings.reserve(sums.strings.len());
        self.id_map.reserve(sums.strings.len());
        let (strings, state) = (&self.strings, &self.state);
        self.string_index.reserve(sums.strings.len(), |&place| {
            state.hash_one(&*strings[place as usize])
        });
    }

    /// Whether there are rows of a day that is over.
    pub fn has_closed_days(&self, now: Millis) -> bool {
        self.day_ends.iter().any(|(_, _, end)| now >= *end)
    }

    /// Whether a release under this rule would write any rows.
    pub fn would_release(&self, rule: ReleasePolicy, wanted: ReleaseScope, now: Millis) -> bool {
        match self.select_released(rule, wanted, now) {
            ReleaseSelection::All => !self.rows.is_empty(),
            ReleaseSelection::Matching(goes) => self
                .site_days
                .iter()
                .any(|(group, waiting)| goes(group, waiting)),
        }
    }

    /// The rows that are not released, for the next segment.
    pub fn collect_carried(
        &self,
        rule: ReleasePolicy,
        wanted: ReleaseScope,
        now: Millis,
    ) -> AttributeSums {
        let ReleaseSelection::Matching(goes) = self.select_released(rule, wanted, now) else {
            return AttributeSums::default();
        };
        let stays = |(group, waiting): (&SiteDay, &SiteDayTotals)| {
            (!goes(group, waiting)).then_some(*group)
        };
        let staying: HashSet<SiteDay, RandomState> =
            self.site_days.iter().filter_map(stays).collect();
        if staying.is_empty() {
            return AttributeSums::default();
        }
        self.collect_rows(|group| staying.contains(group))
    }

    /// The released rows with the platform's added: all but those of the sites and days in
    /// `carried`.
    pub fn into_released(self, carried: &AttributeSums) -> AttributeSums {
        let zone = |sym: StringId| self.find_string(carried.resolve_string(sym));
        let staying = carried.rows.iter().filter_map(|(key, _)| {
            Some(SiteDay {
                site: key.site,
                zone: zone(key.zone)?,
                day: key.day,
            })
        });
        let staying: HashSet<SiteDay, RandomState> = staying.collect();

        let HeldAttributes { strings, rows, .. } = self;
        let group = |key: &AttributeKey| SiteDay {
            site: key.site,
            zone: key.zone,
            day: key.day,
        };
        let mut rows: Vec<(AttributeKey, AttributeCounts)> = rows
            .into_iter()
            .filter(|(key, _)| !staying.contains(&group(key)))
            .collect();
        let of_platform: Vec<_> = platform_rows(&rows, PLATFORM_ZONE_ID).collect();
        rows.extend(of_platform);
        AttributeSums::from_unsorted(&strings, rows)
    }

    fn collect_rows(&self, wanted: impl Fn(&SiteDay) -> bool) -> AttributeSums {
        let group = |key: &AttributeKey| SiteDay {
            site: key.site,
            zone: key.zone,
            day: key.day,
        };
        let rows = self.rows.iter().filter(|(key, _)| wanted(&group(key)));
        AttributeSums::from_unsorted(
            &self.strings,
            rows.map(|(key, counts)| (*key, *counts)).collect(),
        )
    }

    fn select_released(
        &self,
        rule: ReleasePolicy,
        wanted: ReleaseScope,
        now: Millis,
    ) -> ReleaseSelection<impl Fn(&SiteDay, &SiteDayTotals) -> bool> {
        let enough = wanted == ReleaseScope::EnoughVisits
            || self.rows.len() > rule.max_rows
            || self.bytes > rule.max_bytes;
        let over: Vec<(StringId, Day)> = self
            .day_ends
            .iter()
            .filter(|(_, _, end)| now >= *end)
            .map(|(zone, day, _)| (*zone, *day))
            .collect();
        let goes = move |group: &SiteDay, waiting: &SiteDayTotals| {
            (enough && waiting.visits >= rule.min_visits)
                || over.contains(&(group.zone, group.day))
                || wanted == ReleaseScope::Site(group.site)
        };
        let left = self
            .site_days
            .iter()
            .filter(|(group, waiting)| !goes(group, waiting));
        let (rows, bytes) = left.fold((0, 0), |(rows, bytes), (_, left)| {
            (rows + left.rows, bytes + left.bytes)
        });
        let too_many = rows > rule.max_rows || bytes > rule.max_bytes;
        if wanted == ReleaseScope::All || too_many {
            ReleaseSelection::All
        } else {
            ReleaseSelection::Matching(goes)
        }
    }

    fn record_day(&mut self, zone: StringId, day: Day) {
        if self
            .day_ends
            .iter()
            .any(|(known, of, _)| (*known, *of) == (zone, day))
        {
            return;
        }
        // The zone is unknown if its text was lost; no further hits can arrive for it.
        let end = DaySpan::end_of_day(&self.strings[zone.0 as usize], day);
        self.day_ends
            .push((zone, day, end.map_or(Millis::MIN, |end| end + GRACE_PERIOD)));
    }

    /// Assigns the next string id to a text.
    fn map_next_id(&mut self, text: &str) {
        let place = self
            .find_string(text)
            .unwrap_or_else(|| self.insert_string(text));
        self.id_map.push(place);
    }

    fn insert_string(&mut self, text: &str) -> StringId {
        let place =
            u32::try_from(self.strings.len()).expect("a segment holds far fewer than 2^32 strings");
        self.strings.push(text.into());
        let (strings, state) = (&self.strings, &self.state);
        self.string_index
            .insert_unique(state.hash_one(text), place, |&place| {
                state.hash_one(&*strings[place as usize])
            });
        StringId(place)
    }

    fn find_string(&self, text: &str) -> Option<StringId> {
        let same = |&place: &u32| *self.strings[place as usize] == *text;
        self.string_index
            .find(self.state.hash_one(text), same)
            .copied()
            .map(StringId)
    }
}

enum ReleaseSelection<F> {
    All,
    Matching(F),
}

#[cfg(test)]
mod tests;
