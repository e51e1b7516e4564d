//! Turns an event into rows: docs/understand/COUNTING.md as code.

use super::attributes::AttributeCounts;
use super::batch::{AttributeDraft, Batch, DailyDraft, Delta, FaultDraft, MailDraft, MoneyDraft, NO_ITEM, VitalDraft};
use super::book::{Book, Books};
use super::recent::Recent;
use super::sums::HourlyKey;
use super::texts::Scope;
use crate::config::{Config, Memory};
use crate::event::Counter::{Bounces, Entries, Exits, Hits, Seconds, Visitors, Visits as VisitsCounter};
use crate::event::{Counts, Detail, Dimension, Kind, Millis, SiteId, Subject, over};
use crate::pseudonym::{ClosedVisit, Event, Foreseen, Held, MailEvent, Opening, Seen, Touch, VisitValues};

/// A visit and a day stay in memory this long after their end, for hits that are on their way.
const GRACE_MILLIS: Millis = 5_000;

/// Most visits that one batch closes. This bounds the cost of midnight for the hit right after it,
/// and the space for exit pages (paths of up to 512 bytes) in the journal's reserved part.
const CLOSED_AT_ONCE: usize = 1_500;

/// Limits of the state in memory, from `visitor`, `limits` and `mail` of the configuration. Per
/// time zone and day, unless said otherwise.
#[derive(Clone, Debug)]
pub struct Caps {
    /// A visit ends after this many seconds without a hit.
    pub visit_gap_secs: u32,
    /// Visitors.
    pub visitors: usize,
    /// Visitors of one site that may share one grant.
    pub visitors_per_grant: u32,
    /// Pairs of a visitor and an item.
    pub touched_items: usize,
    /// Sites.
    pub sites: usize,
    /// Distinct paths, and likewise links, events and script errors, of one site.
    pub items_per_site: usize,
    /// Distinct sources, and likewise campaigns, of one site.
    pub values_per_site: usize,
    /// Distinct texts.
    pub texts: usize,
    /// Bytes of all texts, with what each takes in memory beside its characters.
    pub text_bytes: usize,
    /// Hit ids per minute, over all sites and zones.
    pub hit_ids: usize,
    /// Distinct link names of one template and batch day.
    pub mail_links: usize,
}

impl Caps {
    /// Reads the limits from the configuration.
    pub fn new(config: &Config) -> Caps {
        let (limits, memory) = (&config.limits, Memory::of(config).caps);

        Caps {
            visit_gap_secs: config.visitor.visit_gap_secs,
            visitors: memory.visitors,
            visitors_per_grant: limits.visitors_per_grant,
            touched_items: memory.touched_items,
            sites: memory.sites,
            items_per_site: limits.items_per_site,
            values_per_site: limits.values_per_site,
            texts: memory.texts,
            text_bytes: memory.text_bytes,
            hit_ids: memory.hit_ids,
            mail_links: config.mail.links_per_template as usize,
        }
    }
}

/// How often each limit was exceeded since the process started.
#[derive(Default, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overflow {
    /// Hits counted without their visitor, because the day had as many as it may have.
    pub visitors: u64,
    /// Hits counted without their visitor, because their grant had made as many as it may make.
    pub grants: u64,
    /// Texts counted as `(other)`.
    pub texts: u64,
    /// Hits counted under the site `(other)`, because the day had no room for another site.
    pub sites: u64,
    /// Hit ids that were not recorded, so their retries would count again.
    pub ids: u64,
}

/// An event to be counted: a hit of a site, or an open or click of a mail.
pub enum Counted {
    Hit(Event),
    Mail(MailEvent),
}

impl From<Event> for Counted {
    fn from(event: Event) -> Counted {
        Counted::Hit(event)
    }
}

impl From<MailEvent> for Counted {
    fn from(event: MailEvent) -> Counted {
        Counted::Mail(event)
    }
}

/// State of the current days, and the open batch.
pub struct Table {
    caps: Caps,
    books: Books,
    recent: Recent,
    batch: Batch,
    /// The segment that texts are numbered for. The first is 1, so that a new text (0) belongs to
    /// none.
    segment: u32,
    overflow: Overflow,
    texts_over: u64,
}

impl Table {
    /// `seed` must be random and not outlive the process.
    pub fn new(caps: Caps, seed: u64) -> Table {
        Table {
            recent: Recent::new(caps.hit_ids, seed),
            books: Books::new(&caps),
            caps,
            batch: Batch::default(),
            segment: 1,
            overflow: Overflow::default(),
            texts_over: 0,
        }
    }

    /// Adds an event to the open batch. A duplicate adds nothing.
    pub fn count(&mut self, counted: &Counted) {
        match counted {
            Counted::Hit(event) => self.hit(event),
            Counted::Mail(event) => self.mail(event),
        }
    }

    fn mail(&mut self, event: &MailEvent) {
        let (number, book) = self.books.of(&event.span, &self.caps);
        let opening = event.opener.as_ref().map(|opener| book.openers.opened(opener));
        self.overflow.visitors += u64::from(opening == Some(Opening::Full));
        let template = book.texts.intern(Scope::mail(), &event.template, self.caps.items_per_site);
        // Holders of the key can sign without the API's checks, so a recipient's own link name must
        // be stopped from becoming a row here too.
        let scope = Scope::mail_link(template, event.batch);
        let mut link = || book.texts.intern(scope, &event.link, self.caps.mail_links);
        let link = (!event.link.is_empty()).then(|| (number, link()));
        let template = Some((number, template));
        let (day, batch, action, reader) = (event.span.day, event.batch, event.action, event.reader);
        let first = u32::from(opening == Some(Opening::First));
        self.batch.mail.push((MailDraft { day, template, batch, action, link, reader }, (1, first)));
    }

    fn hit(&mut self, event: &Event) {
        if event.id.is_some_and(|id| !self.recent.first_time(event.site, id, event.at)) {
            return;
        }

        let (number, book) = self.books.of(&event.span, &self.caps);
        let (site, id) = match book.number_of(event.site) {
            Some(number) => (number, event.site),
            None => {
                self.overflow.sites += 1;
                (book.number_of_the_rest(), SiteId::rest())
            }
        };

        let subject = match event.kind {
            Kind::View | Kind::Leave | Kind::Vital | Kind::Fault => Subject::Page,
            Kind::Click => Subject::Link,
            Kind::Event => Subject::Event,
        };
        let item = book.texts.intern(Scope::item(site, subject), &event.item, self.caps.items_per_site);
        if matches!(event.kind, Kind::Vital | Kind::Fault) {
            Rows { batch: &mut self.batch, book, number, caps: &self.caps, site, id }.of_page(event, item);
            return;
        }

        let held = match &event.visitor {
            Some(visitor) => {
                let touch = Touch {
                    visitor,
                    site,
                    at: event.at,
                    kind: event.kind,
                    interactive: event.interactive,
                    without_cookie: event.without_cookie,
                    item,
                };
                let (texts, caps) = (&mut book.texts, &self.caps);
                book.visits.touch(&touch, || visit_values(texts, caps, site, event))
            }
            None => Held::Nobody,
        };

        let mut rows = Rows { batch: &mut self.batch, book, number, caps: &self.caps, site, id };
        match held {
            Held::Yes(seen) => {
                rows.hit(event, subject, item, Some(&seen));
                rows.seen(event, subject, item, &seen);
            }
            Held::Nobody => rows.hit(event, subject, item, None),
            Held::Full => {
                rows.hit(event, subject, item, None);
                self.overflow.visitors += 1;
            }
            Held::Copied => {
                rows.hit(event, subject, item, None);
                self.overflow.grants += 1;
            }
        }
    }

    /// Closes visits that are idle and books of days that are over. `true` if there is more to
    /// close.
    pub fn advance(&mut self, now: Millis) -> bool {
        let mut more = false;
        for number in self.books.numbers() {
            let over = now >= self.books[number].span.end + GRACE_MILLIS;
            let left = CLOSED_AT_ONCE.saturating_sub(self.batch.rows() / 3).max(1);
            let book_has_more =
                if over { self.close_some(number, left) } else { self.expire_some(number, now - GRACE_MILLIS, left) };
            // The rows of a closed book are still in the open batch, so the book is dropped with
            // the next call.
            if over && !book_has_more && self.batch.is_empty() {
                self.texts_over += self.books[number].texts.over;
                self.books.close(number);
            }
            more |= book_has_more;
        }
        more
    }

    /// Closes every open visit, for a stop. `true` if there is more to close.
    pub fn close_all(&mut self) -> bool {
        let numbers = self.books.numbers();
        numbers.into_iter().fold(false, |more, number| {
            let left = CLOSED_AT_ONCE.saturating_sub(self.batch.rows() / 3).max(1);
            self.close_some(number, left) | more
        })
    }

    /// Rows in the open batch.
    pub fn waiting(&self) -> usize {
        self.batch.rows()
    }

    /// Takes the open batch. `next` and `attribute_next` are the segment's next free string
    /// numbers.
    pub fn take(&mut self, next: u32, attribute_next: u32) -> Delta {
        self.batch.take(&mut self.books, self.segment, next, attribute_next)
    }

    /// Numbers texts for a new segment from here on. The open batch must be empty.
    pub fn next_segment(&mut self) {
        debug_assert!(self.batch.is_empty(), "a batch belongs to the segment its texts were numbered for");
        self.segment += 1;
    }

    /// How often each limit was exceeded until now.
    pub fn overflow(&self) -> Overflow {
        let living: u64 = self.books.iter().map(|book| book.texts.over).sum();
        Overflow { texts: self.texts_over + living, ids: self.recent.over, ..self.overflow }
    }

    /// Visitors of a site who did something in the last five minutes.
    pub fn live(&self, site: SiteId, now: Millis) -> u32 {
        self.books.iter().map(|book| book.live(site, now)).sum()
    }

    /// What a view would add; `None` where its day had no hit yet, so that it would be the first of everything.
    pub fn foresee(&self, event: &Event) -> Option<Foreseen> {
        self.books.known(&event.span).map(|book| book.foresee(event, &self.caps))
    }

    /// Visitors in memory, over all current days.
    pub fn visitors(&self) -> usize {
        self.books.iter().map(|book| book.visits.visitors()).sum()
    }

    fn expire_some(&mut self, number: u32, now: Millis, most: usize) -> bool {
        let (batch, book) = (&mut self.batch, &mut self.books[number]);
        let mut closed = Vec::new();
        let more = book.visits.expire(now, most, |visit| closed.push(visit));
        closed.iter().for_each(|visit| close_rows(batch, book, number, visit));
        more
    }

    fn close_some(&mut self, number: u32, most: usize) -> bool {
        let (batch, book) = (&mut self.batch, &mut self.books[number]);
        let mut closed = Vec::new();
        let more = book.visits.close_all(most, |visit| closed.push(visit));
        closed.iter().for_each(|visit| close_rows(batch, book, number, visit));
        more
    }
}

fn visit_values(texts: &mut super::texts::Texts, caps: &Caps, site: u32, event: &Event) -> VisitValues {
    let mut intern =
        |dimension| texts.intern(Scope::value(site, dimension), event.facts.value(dimension), caps.values_per_site);
    VisitValues {
        source: intern(Dimension::Source),
        country: intern(Dimension::Country),
        campaign: intern(Dimension::Campaign),
    }
}

/// The destination of one event's rows.
struct Rows<'a> {
    batch: &'a mut Batch,
    book: &'a mut Book,
    number: u32,
    caps: &'a Caps,
    site: u32,
    id: SiteId,
}

impl Rows<'_> {
    /// The totals that every hit adds, with or without a known visitor.
    fn hit(&mut self, event: &Event, subject: Subject, item: u32, seen: Option<&Seen>) {
        let seconds = (event.engaged_ms + 500) / 1000;
        let (visitors, visits) = seen.map_or((0, 0), Seen::item);
        let total = Counts::none().with(Visitors, visitors).with(VisitsCounter, visits);
        let total = match event.kind {
            Kind::View => total.with(Hits, 1).with(Entries, seen.map_or(0, |seen| u32::from(seen.entry))),
            Kind::Event => total.with(Hits, 1),
            Kind::Click => total.with(Hits, 1).with(Seconds, seconds),
            Kind::Leave => Counts::none().with(Seconds, seconds),
            Kind::Vital | Kind::Fault => Counts::none(),
        };
        self.daily(subject, Some(item), total);

        let (visitors, visits) = seen.map_or((0, 0), Seen::site);
        let hits = u32::from(event.kind == Kind::View);
        let total = Counts::none().with(Hits, hits).with(Visitors, visitors).with(VisitsCounter, visits);
        self.daily(Subject::Site, None, total);
        if !total.is_zero() {
            let hour = self.book.span.hour_of(event.at);
            self.batch.hourly.push((HourlyKey { site: self.id, hour }, total));
        }

        let booked = match event.detail {
            Detail::Money(minor, currency) => Some((minor, currency)),
            Detail::Over(currency) => Some((0, over(currency))),
            _ => None,
        };
        if let Some((minor, currency)) = booked {
            let draft =
                MoneyDraft { site: self.id, day: self.book.span.day, event: Some((self.number, item)), currency };
            self.batch.money.push((draft, (1, minor)));
        }
    }

    /// The row of a measurement or a fault: of a page and a device class, not of a visit.
    fn of_page(&mut self, event: &Event, path: u32) {
        let (site, day) = (self.id, self.book.span.day);
        let path = Some((self.number, path));
        match &event.detail {
            Detail::Vital(metric, bucket) => {
                let device = event.facts.value(Dimension::Device);
                let scope = Scope::value(self.site, Dimension::Device);
                let device = Some((self.number, self.book.texts.intern(scope, device, self.caps.values_per_site)));
                self.batch.vitals.push(VitalDraft { site, day, metric: *metric, path, device, bucket: *bucket });
            }
            Detail::Fault(kind, text) => {
                let fault = (!text.is_empty()).then(|| {
                    let id = self.book.texts.intern(Scope::fault(self.site), text, self.caps.items_per_site);
                    (self.number, id)
                });
                self.batch.faults.push(FaultDraft { site, day, kind: *kind, path, fault });
            }
            Detail::Nothing | Detail::Money(..) | Detail::Over(_) => {}
        }
    }

    /// The attribute rows of a hit with a known visit, and the rows of the visit it ended.
    fn seen(&mut self, event: &Event, subject: Subject, item: u32, seen: &Seen) {
        if let Some(closed) = &seen.closed {
            close_rows(self.batch, self.book, self.number, closed);
        }
        self.attributes(event, Subject::Site, NO_ITEM, of_site(seen), &seen.values);
        self.attributes(event, subject, item, of_item(seen), &seen.values);
    }

    fn attributes(
        &mut self,
        event: &Event,
        subject: Subject,
        item: u32,
        counts: AttributeCounts,
        values: &VisitValues,
    ) {
        if counts.is_zero() {
            return;
        }
        for &dim in subject.dimensions() {
            let value = match dim {
                Dimension::Source => values.source,
                Dimension::Country => values.country,
                Dimension::Campaign => values.campaign,
                // These follow from agent and language; only the site is broken down by them.
                _ => {
                    let scope = Scope::value(self.site, dim);
                    self.book.texts.intern(scope, event.facts.value(dim), self.caps.values_per_site)
                }
            };
            let day = self.book.span.day;
            let draft = AttributeDraft { site: self.id, book: self.number, day, subject, dim, item, value };
            self.batch.attributes.push((draft, counts));
        }
    }

    fn daily(&mut self, subject: Subject, item: Option<u32>, counts: Counts) {
        if counts.is_zero() {
            return;
        }
        let item = item.map(|id| (self.number, id));
        self.batch.daily.push((DailyDraft { site: self.id, day: self.book.span.day, subject, item }, counts));
    }
}

/// What a hit adds to the attribute rows of its site. Where a cookie decides who is new, a visitor
/// who rejects cookies is new with each hit; among attributes they count at most once per visit.
fn of_site(seen: &Seen) -> AttributeCounts {
    let (visitors, visits) = seen.site();
    AttributeCounts {
        visitors: visitors.min(visits),
        visits,
        networks: u32::from(seen.first_today && seen.first_of.network),
        platform_networks: u32::from(seen.first_today && seen.first_of.platform_network),
    }
}

/// The same for the hit's item.
fn of_item(seen: &Seen) -> AttributeCounts {
    let (visitors, visits) = seen.item();
    let networks = u32::from(seen.item_first_today && seen.first_of.network);
    AttributeCounts { visitors: visitors.min(visits), visits, networks, platform_networks: 0 }
}

/// The rows of a closed visit. Counts never shrink, so bounces and durations are written only now.
fn close_rows(batch: &mut Batch, book: &Book, number: u32, visit: &ClosedVisit) {
    let site = book.site(visit.site);
    let day = book.span.day;
    let bounces = u32::from(visit.bounced);
    let counts = Counts::none().with(Bounces, bounces).with(Seconds, visit.seconds);
    if !counts.is_zero() {
        let key = DailyDraft { site, day, subject: Subject::Site, item: None };
        batch.daily.push((key, counts));
        batch.hourly.push((HourlyKey { site, hour: book.span.hour_of(visit.started) }, counts));
    }
    if let Some(page) = visit.last_page {
        let item = Some((number, page));
        let key = DailyDraft { site, day, subject: Subject::Page, item };
        batch.daily.push((key, Counts::none().with(Bounces, bounces).with(Exits, 1)));
    }
}
