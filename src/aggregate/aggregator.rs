//! Turns an event into rows: docs/understand/COUNTING.md as code.

//! Counts events: finds the day, the visitor and the visit of each, and closes those that are over.

mod state;

use super::batch::{MailDraft, RowBatch, SegmentDelta};
use super::day_state::DayStates;
use super::duplicates::DuplicateFilter;
use super::interner::TextScope;
use super::limits::{AggregatorLimits, OverflowCounts};
use super::row_writer::{RowWriter, intern_visit_values, push_closed_visit};
use crate::calendar::{GRACE_PERIOD, Millis};
use crate::event::{HitKind, SiteId, Subject};
use crate::pseudonym::{Event, MailEvent};
use crate::visits::{OpenerStatus, VisitEstimate, VisitHit, VisitLookup};

/// Maximum number of visits that one batch closes. This bounds the cost of midnight for the hit
/// right after it, and the space for exit pages (paths of up to 512 bytes) in the journal's
/// reserved part.
const MAX_CLOSED_VISITS_PER_BATCH: usize = 1_500;

/// An event to be counted: a hit of a site, or an open or click of a mail.
pub enum CountedEvent {
    /// A hit of a site.
    Hit(Event),
    /// An open or click of a mail.
    Mail(MailEvent),
}

impl From<Event> for CountedEvent {
    fn from(event: Event) -> CountedEvent {
        CountedEvent::Hit(event)
    }
}

impl From<MailEvent> for CountedEvent {
    fn from(event: MailEvent) -> CountedEvent {
        CountedEvent::Mail(event)
    }
}

/// State of the current days, and the open batch.
pub struct Aggregator {
    limits: AggregatorLimits,
    day_states: DayStates,
    duplicates: DuplicateFilter,
    batch: RowBatch,
    /// The segment that string ids are assigned for. The first is 1, so that a new text (0) belongs
    /// to none.
    segment: u32,
    overflow: OverflowCounts,
    closed_text_overflow: u64,
}

impl Aggregator {
    /// `seed` must be random and not outlive the process.
    pub fn new(caps: AggregatorLimits, seed: u64) -> Aggregator {
        Aggregator {
            duplicates: DuplicateFilter::new(caps.hit_ids, seed),
            day_states: DayStates::new(&caps),
            limits: caps,
            batch: RowBatch::default(),
            segment: 1,
            overflow: OverflowCounts::default(),
            closed_text_overflow: 0,
        }
    }

    /// Adds an event to the open batch. A duplicate adds nothing.
    pub fn count_event(&mut self, counted: &CountedEvent) {
        match counted {
            CountedEvent::Hit(event) => self.count_hit(event),
            CountedEvent::Mail(event) => self.count_mail(event),
        }
    }

    fn count_mail(&mut self, event: &MailEvent) {
        let (number, book) = self.day_states.get_or_open(&event.span, &self.limits);
        let opening = event
            .opener
            .as_ref()
            .map(|opener| book.openers.record_opener(opener));
        self.overflow.visitors += u64::from(opening == Some(OpenerStatus::LimitReached));
        let template = book.texts.intern(
            TextScope::for_mail_templates(),
            &event.template,
            self.limits.items_per_site,
        );
        // Holders of the key can sign without the API's checks, so the number of link names is
        // limited here too: no recipient may get a row of their own.
        let scope = TextScope::for_mail_links(template, event.batch);
        let mut link = || {
            book.texts
                .intern(scope, &event.link, self.limits.mail_links)
        };
        let link = (!event.link.is_empty()).then(|| (number, link()));
        let template = Some((number, template));
        let (day, batch, action, reader) =
            (event.span.day, event.batch, event.action, event.reader);
        let first = u32::from(opening == Some(OpenerStatus::First));
        self.batch.mail.push((
            MailDraft {
                day,
                template,
                batch,
                action,
                link,
                reader,
            },
            (1, first),
        ));
    }

    fn count_hit(&mut self, event: &Event) {
        if event
            .id
            .is_some_and(|id| !self.duplicates.insert_if_new(event.site, id, event.at))
        {
            return;
        }

        let (number, book) = self.day_states.get_or_open(&event.span, &self.limits);
        let overflow_site = SiteId::overflow_site();
        let (site, id) = if event.site == overflow_site {
            self.overflow.new_sites += 1;
            (book.overflow_site_number(), overflow_site)
        } else if let Some(number) = book.assign_site_number(event.site) {
            (number, event.site)
        } else {
            self.overflow.sites += 1;
            (book.overflow_site_number(), overflow_site)
        };

        let subject = match event.kind {
            HitKind::View | HitKind::Leave | HitKind::Vital | HitKind::Fault => Subject::Page,
            HitKind::Click => Subject::Link,
            HitKind::Event => Subject::Event,
        };
        let item = book.texts.intern(
            TextScope::for_items(site, subject),
            &event.item,
            self.limits.items_per_site,
        );
        if matches!(event.kind, HitKind::Vital | HitKind::Fault) {
            RowWriter {
                batch: &mut self.batch,
                day_state: book,
                day_slot: number,
                limits: &self.limits,
                site_number: site,
                site_id: id,
            }
            .push_page_row(event, item);
            return;
        }

        let held = match &event.visitor {
            Some(visitor) => {
                let touch = VisitHit {
                    visitor,
                    site,
                    at: event.at,
                    kind: event.kind,
                    interactive: event.interactive,
                    without_cookie: event.without_cookie,
                    subject,
                    item,
                };
                let (texts, caps) = (&mut book.texts, &self.limits);
                book.visits
                    .record_hit(&touch, || intern_visit_values(texts, caps, site, event))
            }
            None => VisitLookup::NoVisitor,
        };

        let mut rows = RowWriter {
            batch: &mut self.batch,
            day_state: book,
            day_slot: number,
            limits: &self.limits,
            site_number: site,
            site_id: id,
        };
        match held {
            VisitLookup::Found(seen) => {
                rows.push_totals(event, subject, item, Some(&seen));
                rows.push_visit_rows(event, subject, item, &seen);
            }
            VisitLookup::NoVisitor => rows.push_totals(event, subject, item, None),
            VisitLookup::LimitReached => {
                rows.push_totals(event, subject, item, None);
                self.overflow.visitors += 1;
            }
            VisitLookup::GrantLimitReached => {
                rows.push_totals(event, subject, item, None);
                self.overflow.grants += 1;
            }
        }
    }

    /// Closes idle visits and days that are over. `true` if there is more to close.
    pub fn close_expired(&mut self, now: Millis) -> bool {
        let mut more = false;
        for number in self.day_states.day_slots() {
            let over = now >= self.day_states[number].span.end + GRACE_PERIOD;
            let left = MAX_CLOSED_VISITS_PER_BATCH
                .saturating_sub(self.batch.row_count() / 3)
                .max(1);
            let book_has_more = if over {
                self.close_open_visits(number, left)
            } else {
                self.close_idle_visits(number, now - GRACE_PERIOD, left)
            };
            // The rows of a closed day are still in the open batch, so its state is dropped with
            // the next call.
            if over && !book_has_more && self.batch.is_empty() {
                self.closed_text_overflow += self.day_states[number].texts.overflow_count;
                self.day_states.close_day(number);
            }
            more |= book_has_more;
        }
        more
    }

    /// Closes every open visit, for a stop. `true` if there is more to close.
    pub fn close_all_visits(&mut self) -> bool {
        let numbers = self.day_states.day_slots();
        numbers.into_iter().fold(false, |more, number| {
            let left = MAX_CLOSED_VISITS_PER_BATCH
                .saturating_sub(self.batch.row_count() / 3)
                .max(1);
            self.close_open_visits(number, left) | more
        })
    }

    /// Forgets a site on all living days, see [`DayState::forget_site`]. Rows of the open batch
    /// stay.
    pub fn forget_site(&mut self, site: SiteId) {
        for number in self.day_states.day_slots() {
            self.day_states[number].forget_site(site);
        }
    }

    /// Rows in the open batch.
    pub fn open_rows(&self) -> usize {
        self.batch.row_count()
    }

    /// Takes the open batch. `next` and `attribute_next` are the segment's next free string ids.
    pub fn take_delta(&mut self, next: u32, attribute_next: u32) -> SegmentDelta {
        self.batch
            .take_delta(&mut self.day_states, self.segment, next, attribute_next)
    }

    /// Assigns string ids for a new segment from now on. The open batch must be empty.
    pub fn begin_segment(&mut self) {
        debug_assert!(
            self.batch.is_empty(),
            "a batch belongs to the segment its string ids were assigned for"
        );
        self.segment += 1;
    }

    /// How often each limit was exceeded until now.
    pub fn overflow_counts(&self) -> OverflowCounts {
        let living: u64 = self
            .day_states
            .iter()
            .map(|book| book.texts.overflow_count)
            .sum();
        OverflowCounts {
            texts: self.closed_text_overflow + living,
            ids: self.duplicates.overflow_count,
            ..self.overflow
        }
    }

    /// Visitors of a site who did something in the last five minutes.
    pub fn live_visitors(&self, site: SiteId, now: Millis) -> u32 {
        self.day_states
            .iter()
            .map(|book| book.live_visitors(site, now))
            .sum()
    }

    /// What a view would add. `None` if its day had no hit yet: the view would then be the first of
    /// everything.
    pub fn estimate_view(&self, event: &Event) -> Option<VisitEstimate> {
        self.day_states
            .get_day(&event.span)
            .map(|book| book.estimate_view(event, &self.limits))
    }

    /// Visitors in memory, over all current days.
    pub fn visitor_count(&self) -> usize {
        self.day_states
            .iter()
            .map(|book| book.visits.visitor_count())
            .sum()
    }

    fn close_idle_visits(&mut self, number: u32, now: Millis, most: usize) -> bool {
        let (batch, book) = (&mut self.batch, &mut self.day_states[number]);
        let mut closed = Vec::new();
        let more = book
            .visits
            .close_idle(now, most, |visit| closed.push(visit));
        closed
            .iter()
            .for_each(|visit| push_closed_visit(batch, book, number, visit));
        more
    }

    fn close_open_visits(&mut self, number: u32, most: usize) -> bool {
        let (batch, book) = (&mut self.batch, &mut self.day_states[number]);
        let mut closed = Vec::new();
        let more = book.visits.close_all(most, |visit| closed.push(visit));
        closed
            .iter()
            .for_each(|visit| push_closed_visit(batch, book, number, visit));
        more
    }
}
