//! State of one time zone's day: its visitors, the texts it has seen, the sites that had a hit.

mod state;

use std::hash::BuildHasher;
use std::ops::{Index, IndexMut};
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashTable};

use super::interner::{SegmentPart, StringInterner, TextScope};
use super::limits::AggregatorLimits;
use super::string_id::StringId;
use crate::budget::{BudgetShare, SharedBudget};
use crate::calendar::{Day, DaySpan, Millis, ZoneId};
use crate::event::{SiteId, Subject};
use crate::pseudonym::Event;
use crate::visits::{OpenerSet, VisitEstimate, VisitLimits, VisitTable};

pub(super) struct DayState {
    pub(super) span: Arc<DaySpan>,
    pub(super) texts: StringInterner,
    pub(super) visits: VisitTable,
    pub(super) openers: OpenerSet,
    /// Id of the zone's name among the texts.
    pub(super) zone_text: u32,
    /// Numbers of sites, found by the site's id in `sites`.
    site_numbers: HashTable<u32>,
    sites: Vec<SiteId>,
    /// Seeded per process, because names of sites may be made up.
    site_hash_state: RandomState,
    site_budget: BudgetShare,
}

/// Stands for a site that was forgotten. No visit has it: the platform's counts are sums.
const FORGOTTEN_SITE: SiteId = SiteId::PLATFORM;

/// Budgets that all current days share.
pub(super) struct DayBudgets {
    visitors: SharedBudget,
    visitor_items: SharedBudget,
    sites: SharedBudget,
    texts: SharedBudget,
    text_bytes: SharedBudget,
}

impl DayBudgets {
    pub(super) fn new(caps: &AggregatorLimits) -> DayBudgets {
        DayBudgets {
            visitors: SharedBudget::new(caps.visitors),
            visitor_items: SharedBudget::new(caps.visitor_items),
            sites: SharedBudget::new(caps.sites),
            texts: SharedBudget::new(caps.texts),
            text_bytes: SharedBudget::new(caps.text_bytes),
        }
    }

    /// The limits of one day's visits.
    fn visit_limits(&self, caps: &AggregatorLimits) -> VisitLimits {
        VisitLimits {
            gap_secs: caps.visit_gap_secs,
            visitor_budget: self.visitors.new_share(),
            item_budget: self.visitor_items.new_share(),
            visitors_per_grant: caps.visitors_per_grant,
        }
    }
}

impl DayState {
    pub(super) fn new(span: Arc<DaySpan>, caps: &AggregatorLimits, room: &DayBudgets) -> DayState {
        let mut texts = StringInterner::new(room.texts.new_share(), room.text_bytes.new_share());
        DayState {
            zone_text: texts.intern(TextScope::for_zone_names(), &span.zone_name, 1),
            texts,
            visits: VisitTable::new(Arc::clone(&span), room.visit_limits(caps)),
            openers: OpenerSet::new(room.visitors.new_share()),
            span,
            site_numbers: HashTable::new(),
            sites: Vec::new(),
            site_hash_state: RandomState::default(),
            site_budget: room.sites.new_share(),
        }
    }

    /// The site's number within the day; `None` if the limit of sites is reached.
    pub(super) fn assign_site_number(&mut self, site: SiteId) -> Option<u32> {
        if let Some(number) = self.site_number(site) {
            return Some(number);
        }
        self.site_budget.try_reserve(1).then(|| self.add_site(site))
    }

    /// The number of the overflow site, which takes the hits of sites beyond the limit. It is not
    /// subject to the limit.
    pub(super) fn overflow_site_number(&mut self) -> u32 {
        let known = self.site_number(SiteId::overflow_site());
        known.unwrap_or_else(|| self.add_site(SiteId::overflow_site()))
    }

    fn add_site(&mut self, site: SiteId) -> u32 {
        let number = u32::try_from(self.sites.len()).expect("limits.sites is far below");
        self.sites.push(site);
        let (sites, state) = (&self.sites, &self.site_hash_state);
        self.site_numbers
            .insert_unique(state.hash_one(site), number, |&number| {
                state.hash_one(sites[number as usize])
            });
        number
    }

    fn site_number(&self, site: SiteId) -> Option<u32> {
        let hash = self.site_hash_state.hash_one(site);
        self.site_numbers
            .find(hash, |&number| self.sites[number as usize] == site)
            .copied()
    }

    /// Forgets a site: its open visits end without rows, and later hits count as those of a new
    /// site. Its visitors stay known until the day ends, so they are not counted a second time.
    pub(super) fn forget_site(&mut self, site: SiteId) {
        let (sites, hash) = (&self.sites, self.site_hash_state.hash_one(site));
        let known = self
            .site_numbers
            .find_entry(hash, |&number| sites[number as usize] == site);
        if let Ok(entry) = known {
            let (number, _) = entry.remove();
            self.sites[number as usize] = FORGOTTEN_SITE;
        }
    }

    /// Visitors of a site who did something in the last five minutes.
    pub(super) fn live_visitors(&self, site: SiteId, now: Millis) -> u32 {
        self.site_number(site)
            .map_or(0, |number| self.visits.live_visitors(number, now))
    }

    /// What a view of a page would add.
    pub(super) fn estimate_view(&self, event: &Event, caps: &AggregatorLimits) -> VisitEstimate {
        let Some(visitor) = &event.visitor else {
            return VisitEstimate::default();
        };
        let site = self.site_number(event.site);
        let scope = |site| TextScope::for_items(site, Subject::Page);
        let item = site.and_then(|site| {
            self.texts
                .estimate_id(scope(site), &event.item, caps.items_per_site)
        });
        self.visits
            .estimate_view(visitor, event.at, event.without_cookie, item)
    }

    /// The string id of a text in a part of the segment. Every text of a batch has one before its
    /// rows are taken.
    pub(super) fn string_id(&self, text: u32, part: SegmentPart, segment: u32) -> StringId {
        StringId(
            self.texts
                .string_id(text, part, segment)
                .expect("string ids were assigned before the batch's rows were taken"),
        )
    }

    /// The site's id; `None` if the site was forgotten.
    pub(super) fn site_id(&self, number: u32) -> Option<SiteId> {
        Some(self.sites[number as usize]).filter(|site| *site != FORGOTTEN_SITE)
    }
}

/// The states of the current days, by slot and by zone and day. A slot is reused once its day is
/// over.
pub(super) struct DayStates {
    budgets: DayBudgets,
    day_states: Vec<Option<DayState>>,
    slot_by_day: HashMap<(ZoneId, Day), u32, RandomState>,
}

impl DayStates {
    pub(super) fn new(caps: &AggregatorLimits) -> DayStates {
        DayStates {
            budgets: DayBudgets::new(caps),
            day_states: Vec::new(),
            slot_by_day: HashMap::default(),
        }
    }

    /// The state of the day, opened by its first hit.
    pub(super) fn get_or_open(
        &mut self,
        span: &Arc<DaySpan>,
        caps: &AggregatorLimits,
    ) -> (u32, &mut DayState) {
        let number = match self.slot_by_day.get(&(span.zone, span.day)) {
            Some(number) => *number,
            None => self.insert_day(DayState::new(Arc::clone(span), caps, &self.budgets)),
        };
        (number, &mut self[number])
    }

    /// The state of the day, if it had a hit.
    pub(super) fn get_day(&self, span: &DaySpan) -> Option<&DayState> {
        self.slot_by_day
            .get(&(span.zone, span.day))
            .map(|number| &self[*number])
    }

    pub(super) fn day_slots(&self) -> Vec<u32> {
        self.slot_by_day.values().copied().collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &DayState> {
        self.day_states.iter().flatten()
    }

    pub(super) fn close_day(&mut self, number: u32) {
        if let Some(book) = self.day_states[number as usize].take() {
            self.slot_by_day.remove(&(book.span.zone, book.span.day));
        }
    }

    fn insert_day(&mut self, book: DayState) -> u32 {
        let day = (book.span.zone, book.span.day);
        let free = self
            .day_states
            .iter()
            .position(Option::is_none)
            .unwrap_or_else(|| {
                self.day_states.push(None);
                self.day_states.len() - 1
            });
        self.day_states[free] = Some(book);
        let number =
            u32::try_from(free).expect("there are at most a few current days of each zone");
        self.slot_by_day.insert(day, number);
        number
    }
}

impl Index<u32> for DayStates {
    type Output = DayState;

    fn index(&self, number: u32) -> &DayState {
        self.day_states[number as usize]
            .as_ref()
            .expect("a day is closed only between batches")
    }
}

impl IndexMut<u32> for DayStates {
    fn index_mut(&mut self, number: u32) -> &mut DayState {
        self.day_states[number as usize]
            .as_mut()
            .expect("a day is closed only between batches")
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn a_flood_of_sites_is_held_at_the_cap_and_known_sites_go_on() {
        let config = crate::config::load_config(Default::default(), |_| unreachable!()).unwrap();
        let caps = AggregatorLimits {
            sites: 100,
            ..AggregatorLimits::from_config(&config)
        };
        let mut book = DayState::new(
            Arc::new(DaySpan::from_instant(ZoneId(0), &TimeZone::UTC, 0)),
            &caps,
            &DayBudgets::new(&caps),
        );
        let held = (1..=5000)
            .filter(|n| book.assign_site_number(SiteId::from_u128(*n)).is_some())
            .count();
        assert_eq!((held, book.sites.len()), (100, 100));
        assert_eq!(book.assign_site_number(SiteId::from_u128(100)), Some(99));
        assert_eq!(
            [book.overflow_site_number(), book.overflow_site_number()],
            [100, 100]
        );
        assert_eq!(
            (
                book.assign_site_number(SiteId::from_u128(101)),
                book.assign_site_number(SiteId::overflow_site())
            ),
            (None, Some(100))
        );
    }

    #[test]
    fn the_caps_are_of_all_living_days_together() {
        let config = crate::config::load_config(Default::default(), |_| unreachable!()).unwrap();
        let caps = AggregatorLimits {
            sites: 10,
            ..AggregatorLimits::from_config(&config)
        };
        let mut books = DayStates::new(&caps);
        let day = |n: i64| {
            Arc::new(DaySpan::from_instant(
                ZoneId(0),
                &TimeZone::UTC,
                n * 86_400_000,
            ))
        };
        let sites_of = |books: &mut DayStates, n: i64| {
            let book = books.get_or_open(&day(n), &caps).1;
            (1..=100)
                .filter(|site| book.assign_site_number(SiteId::from_u128(*site)).is_some())
                .count()
        };
        assert_eq!((sites_of(&mut books, 0), sites_of(&mut books, 1)), (10, 0));
        books.close_day(0);
        assert_eq!((sites_of(&mut books, 1), sites_of(&mut books, 2)), (10, 0));
    }

    #[test]
    fn a_days_number_is_used_again_once_the_day_is_closed() {
        let config = crate::config::load_config(Default::default(), |_| unreachable!()).unwrap();
        let caps = AggregatorLimits::from_config(&config);
        let mut books = DayStates::new(&caps);
        let day = |n: i64| {
            Arc::new(DaySpan::from_instant(
                ZoneId(0),
                &TimeZone::UTC,
                n * 86_400_000,
            ))
        };
        assert_eq!(
            [
                books.get_or_open(&day(0), &caps).0,
                books.get_or_open(&day(1), &caps).0,
                books.get_or_open(&day(0), &caps).0
            ],
            [0, 1, 0]
        );
        books.close_day(0);
        assert_eq!(books.get_or_open(&day(2), &caps).0, 0);
        assert_eq!(books.day_slots().len(), 2);
    }

    /// A platform of many small sites: each has one visitor of one page, by one source.
    #[test]
    fn a_site_and_a_visitor_cost_so_many_bytes() {
        const SITES: u32 = 100_000;
        let config = crate::config::load_config(Default::default(), |_| unreachable!()).unwrap();
        let caps = AggregatorLimits {
            sites: 1 << 20,
            visitors: 1 << 20,
            visitor_items: 1 << 22,
            texts: 1 << 22,
            text_bytes: 1 << 30,
            ..AggregatorLimits::from_config(&config)
        };
        let span = Arc::new(DaySpan::from_instant(ZoneId(0), &TimeZone::UTC, 0));
        let mut day = DayState::new(span, &caps, &DayBudgets::new(&caps));
        for number in 0..SITES {
            let site = day
                .assign_site_number(SiteId::from_key(&number.to_string()))
                .unwrap();
            let mut intern = |scope, text: &str| day.texts.intern(scope, text, 50);
            let path = format!("/u/creator-{number}");
            let item = intern(TextScope::for_items(site, Subject::Page), &path);
            for dimension in [
                crate::event::Dimension::Source,
                crate::event::Dimension::Campaign,
            ] {
                intern(TextScope::for_attribute_values(site, dimension), "(direct)");
            }

            let spread = xxhash_rust::xxh3::xxh3_128(&number.to_le_bytes());
            let network = (spread >> 64) as u64;
            let visitor = crate::pseudonym::Visitor::for_tests(spread, network, Some(network));
            let hit = crate::visits::VisitHit {
                visitor: &visitor,
                site,
                at: 0,
                kind: crate::event::HitKind::View,
                interactive: false,
                without_cookie: None,
                subject: Subject::Page,
                item,
            };
            let values = || crate::visits::VisitValues {
                source: 1,
                country: 2,
                campaign: 3,
            };
            day.visits.record_hit(&hit, values);
        }

        let [visitors, items, live] = day.visits.heap_bytes();
        let numbers =
            day.site_numbers.allocation_size() + day.sites.capacity() * size_of::<SiteId>();
        let texts = day.texts.heap_bytes();
        let each = |bytes: usize| bytes / SITES as usize;
        println!(
            "bytes_per_visitor={} bytes_per_visitor_item={} bytes_per_site={} (numbers {}, live {}, \
             texts {})",
            each(visitors),
            each(items),
            each(numbers + live + texts),
            each(numbers),
            each(live),
            each(texts),
        );
        assert!(each(visitors) <= 80, "{}", each(visitors));
        assert!(
            each(numbers + live + texts) < 250,
            "{}",
            each(numbers + live + texts)
        );
    }
}
