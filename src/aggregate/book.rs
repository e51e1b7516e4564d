//! State of one time zone's day: its visitors, the texts it has seen, the sites that had a hit.

use std::ops::{Index, IndexMut};
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::sums::Sym;
use super::table::Caps;
use super::texts::{Part, Scope, Texts};
use crate::config::Zone;
use crate::event::{Day, Millis, SiteId, Subject};
use crate::pseudonym::{Cap, DaySpan, Event, Foreseen, Openers, Portion, VisitCaps, Visits};

pub(super) struct Book {
    pub(super) span: Arc<DaySpan>,
    pub(super) texts: Texts,
    pub(super) visits: Visits,
    pub(super) openers: Openers,
    /// Id of the zone's name among the texts.
    pub(super) zone: u32,
    numbers: HashMap<SiteId, u32, RandomState>,
    sites: Vec<SiteId>,
    site_room: Portion,
}

/// Room for what is held of all living days together.
pub(super) struct Room {
    visitors: Cap,
    touched_items: Cap,
    sites: Cap,
    texts: Cap,
    text_bytes: Cap,
}

impl Room {
    pub(super) fn new(caps: &Caps) -> Room {
        Room {
            visitors: Cap::new(caps.visitors),
            touched_items: Cap::new(caps.touched_items),
            sites: Cap::new(caps.sites),
            texts: Cap::new(caps.texts),
            text_bytes: Cap::new(caps.text_bytes),
        }
    }
}

impl Book {
    pub(super) fn new(span: Arc<DaySpan>, caps: &Caps, room: &Room) -> Book {
        let mut texts = Texts::new(room.texts.portion(), room.text_bytes.portion());
        let visit_caps = VisitCaps {
            gap_secs: caps.visit_gap_secs,
            visitors: room.visitors.portion(),
            touched: room.touched_items.portion(),
            visitors_per_grant: caps.visitors_per_grant,
        };

        Book {
            zone: texts.intern(Scope::zone(), &span.zone_name, 1),
            texts,
            visits: Visits::new(Arc::clone(&span), visit_caps),
            openers: Openers::new(room.visitors.portion()),
            span,
            numbers: HashMap::default(),
            sites: Vec::new(),
            site_room: room.sites.portion(),
        }
    }

    /// The site's number within the day; `None` if there is no room for another site.
    pub(super) fn number_of(&mut self, site: SiteId) -> Option<u32> {
        if let Some(number) = self.numbers.get(&site) {
            return Some(*number);
        }
        self.site_room.take(1).then(|| self.add(site))
    }

    /// The number of the site that collects hits of sites without room. It always has a place.
    pub(super) fn number_of_the_rest(&mut self) -> u32 {
        let known = self.numbers.get(&SiteId::rest()).copied();
        known.unwrap_or_else(|| self.add(SiteId::rest()))
    }

    fn add(&mut self, site: SiteId) -> u32 {
        let number = u32::try_from(self.sites.len()).expect("limits.sites is far below");
        self.sites.push(site);
        self.numbers.insert(site, number);
        number
    }

    /// Visitors of a site who did something in the last five minutes.
    pub(super) fn live(&self, site: SiteId, now: Millis) -> u32 {
        self.numbers.get(&site).map_or(0, |number| self.visits.live(*number, now))
    }

    /// What a view of a page would add.
    pub(super) fn foresee(&self, event: &Event, caps: &Caps) -> Foreseen {
        let Some(visitor) = &event.visitor else { return Foreseen::default() };
        let site = self.numbers.get(&event.site).copied();
        let scope = |site| Scope::item(site, Subject::Page);
        let item = site.and_then(|site| self.texts.foresee(scope(site), &event.item, caps.items_per_site));
        self.visits.foresee(visitor, event.at, event.without_cookie, item)
    }

    /// The number of a text in a part of the segment. Every text of a batch has one before its rows
    /// are taken.
    pub(super) fn sym(&self, text: u32, part: Part, segment: u32) -> Sym {
        Sym(self.texts.sym(text, part, segment).expect("the batch's texts were numbered before its rows were taken"))
    }

    pub(super) fn site(&self, number: u32) -> SiteId {
        self.sites[number as usize]
    }
}

/// The books of the current days, by number and by zone and day. A number is reused once its day is
/// over.
pub(super) struct Books {
    room: Room,
    books: Vec<Option<Book>>,
    by_day: HashMap<(Zone, Day), u32, RandomState>,
}

impl Books {
    pub(super) fn new(caps: &Caps) -> Books {
        Books { room: Room::new(caps), books: Vec::new(), by_day: HashMap::default() }
    }

    /// The book of the day, opened by the day's first hit.
    pub(super) fn of(&mut self, span: &Arc<DaySpan>, caps: &Caps) -> (u32, &mut Book) {
        let number = match self.by_day.get(&(span.zone, span.day)) {
            Some(number) => *number,
            None => self.open(Book::new(Arc::clone(span), caps, &self.room)),
        };
        (number, &mut self[number])
    }

    /// The day's book, where it had a hit already.
    pub(super) fn known(&self, span: &DaySpan) -> Option<&Book> {
        self.by_day.get(&(span.zone, span.day)).map(|number| &self[*number])
    }

    pub(super) fn numbers(&self) -> Vec<u32> {
        self.by_day.values().copied().collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Book> {
        self.books.iter().flatten()
    }

    pub(super) fn close(&mut self, number: u32) {
        if let Some(book) = self.books[number as usize].take() {
            self.by_day.remove(&(book.span.zone, book.span.day));
        }
    }

    fn open(&mut self, book: Book) -> u32 {
        let day = (book.span.zone, book.span.day);
        let free = self.books.iter().position(Option::is_none).unwrap_or_else(|| {
            self.books.push(None);
            self.books.len() - 1
        });
        self.books[free] = Some(book);
        let number = u32::try_from(free).expect("there are at most a few living days of each zone");
        self.by_day.insert(day, number);
        number
    }
}

impl Index<u32> for Books {
    type Output = Book;

    fn index(&self, number: u32) -> &Book {
        self.books[number as usize].as_ref().expect("a book is closed only between batches")
    }
}

impl IndexMut<u32> for Books {
    fn index_mut(&mut self, number: u32) -> &mut Book {
        self.books[number as usize].as_mut().expect("a book is closed only between batches")
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn a_flood_of_sites_is_held_at_the_cap_and_known_sites_go_on() {
        let config = crate::config::load(Default::default(), |_| unreachable!()).unwrap();
        let caps = Caps { sites: 100, ..Caps::new(&config) };
        let mut book = Book::new(Arc::new(DaySpan::of(Zone(0), &TimeZone::UTC, 0)), &caps, &Room::new(&caps));
        let held = (1..=5000).filter(|n| book.number_of(SiteId::from_u128(*n)).is_some()).count();
        assert_eq!((held, book.sites.len()), (100, 100));
        assert_eq!(book.number_of(SiteId::from_u128(100)), Some(99));
        assert_eq!([book.number_of_the_rest(), book.number_of_the_rest()], [100, 100]);
        assert_eq!((book.number_of(SiteId::from_u128(101)), book.number_of(SiteId::rest())), (None, Some(100)));
    }

    #[test]
    fn the_caps_are_of_all_living_days_together() {
        let config = crate::config::load(Default::default(), |_| unreachable!()).unwrap();
        let caps = Caps { sites: 10, ..Caps::new(&config) };
        let mut books = Books::new(&caps);
        let day = |n: i64| Arc::new(DaySpan::of(Zone(0), &TimeZone::UTC, n * 86_400_000));
        let sites_of = |books: &mut Books, n: i64| {
            let book = books.of(&day(n), &caps).1;
            (1..=100).filter(|site| book.number_of(SiteId::from_u128(*site)).is_some()).count()
        };
        assert_eq!((sites_of(&mut books, 0), sites_of(&mut books, 1)), (10, 0));
        books.close(0);
        assert_eq!((sites_of(&mut books, 1), sites_of(&mut books, 2)), (10, 0));
    }

    #[test]
    fn a_days_number_is_used_again_once_the_day_is_closed() {
        let config = crate::config::load(Default::default(), |_| unreachable!()).unwrap();
        let caps = Caps::new(&config);
        let mut books = Books::new(&caps);
        let day = |n: i64| Arc::new(DaySpan::of(Zone(0), &TimeZone::UTC, n * 86_400_000));
        assert_eq!([books.of(&day(0), &caps).0, books.of(&day(1), &caps).0, books.of(&day(0), &caps).0], [0, 1, 0]);
        books.close(0);
        assert_eq!(books.of(&day(2), &caps).0, 0);
        assert_eq!(books.numbers().len(), 2);
    }
}
