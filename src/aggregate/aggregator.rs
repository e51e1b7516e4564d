//! Turns an event into rows: docs/understand/COUNTING.md as code.

use super::attributes::AttributeCounts;
use super::batch::{
    AttributeDraft, DailyDraft, FaultDraft, MailDraft, MoneyDraft, NO_ITEM, RowBatch, SegmentDelta,
    VitalDraft,
};
use super::day_state::{DayState, DayStates};
use super::duplicates::DuplicateFilter;
use super::interner::TextScope;
use super::sums::HourlyKey;
use crate::config::{Config, MemoryBudget};
use crate::event::CounterKind::{
    Bounces, Entries, Exits, Hits, Seconds, Visitors, Visits as VisitsCounter,
};
use crate::event::{
    CounterValues, Dimension, HitDetail, HitKind, Millis, SiteId, Subject, over_limit_code,
};
use crate::pseudonym::{
    ClosedVisit, Event, MailEvent, OpenerStatus, VisitEstimate, VisitHit, VisitLookup, VisitUpdate,
    VisitValues,
};

/// A visit and a day stay in memory this long after their end, for hits that arrive late.
const GRACE_MILLIS: Millis = 5_000;

/// Maximum number of visits that one batch closes. This bounds the cost of midnight for the hit
/// right after it, and the space for exit pages (paths of up to 512 bytes) in the journal's
/// reserved part.
const MAX_CLOSED_VISITS_PER_BATCH: usize = 1_500;

/// Limits of the state in memory, from `visitor`, `limits` and `mail` of the configuration. Per
/// time zone and day, unless noted.
#[derive(Clone, Debug)]
pub struct AggregatorLimits {
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
    /// Bytes of all texts, including the memory overhead of each.
    pub text_bytes: usize,
    /// Hit ids per minute, over all sites and zones.
    pub hit_ids: usize,
    /// Distinct link names of one template and batch day.
    pub mail_links: usize,
}

impl AggregatorLimits {
    /// Reads the limits from the configuration.
    pub fn from_config(config: &Config) -> AggregatorLimits {
        let (limits, memory) = (&config.limits, MemoryBudget::from_config(config).caps);

        AggregatorLimits {
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
pub struct OverflowCounts {
    /// Hits counted without their visitor, because the day's limit of visitors was reached.
    pub visitors: u64,
    /// Hits counted without their visitor, because their grant's limit of visitors was reached.
    pub grants: u64,
    /// Texts counted as `(other)`.
    pub texts: u64,
    /// Hits counted under the site `(other)`, because the limit of sites was reached.
    pub sites: u64,
    /// Hit ids that were not recorded, so their retries would count again.
    pub ids: u64,
}

/// An event to be counted: a hit of a site, or an open or click of a mail.
pub enum CountedEvent {
    Hit(Event),
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
        let (site, id) = match book.assign_site_number(event.site) {
            Some(number) => (number, event.site),
            None => {
                self.overflow.sites += 1;
                (book.overflow_site_number(), SiteId::overflow_site())
            }
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
            let over = now >= self.day_states[number].span.end + GRACE_MILLIS;
            let left = MAX_CLOSED_VISITS_PER_BATCH
                .saturating_sub(self.batch.row_count() / 3)
                .max(1);
            let book_has_more = if over {
                self.close_open_visits(number, left)
            } else {
                self.close_idle_visits(number, now - GRACE_MILLIS, left)
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

fn intern_visit_values(
    texts: &mut super::interner::StringInterner,
    caps: &AggregatorLimits,
    site: u32,
    event: &Event,
) -> VisitValues {
    let mut intern = |dimension| {
        texts.intern(
            TextScope::for_attribute_values(site, dimension),
            event.facts.value_of(dimension),
            caps.values_per_site,
        )
    };
    VisitValues {
        source: intern(Dimension::Source),
        country: intern(Dimension::Country),
        campaign: intern(Dimension::Campaign),
    }
}

/// The destination of one event's rows.
struct RowWriter<'a> {
    batch: &'a mut RowBatch,
    day_state: &'a mut DayState,
    day_slot: u32,
    limits: &'a AggregatorLimits,
    site_number: u32,
    site_id: SiteId,
}

impl RowWriter<'_> {
    /// The totals that every hit adds, with or without a known visitor.
    fn push_totals(
        &mut self,
        event: &Event,
        subject: Subject,
        item: u32,
        seen: Option<&VisitUpdate>,
    ) {
        let seconds = (event.engaged_ms + 500) / 1000;
        let (visitors, visits) = seen.map_or((0, 0), VisitUpdate::item_counts);
        let total = CounterValues::zeros()
            .with_value(Visitors, visitors)
            .with_value(VisitsCounter, visits);
        let total = match event.kind {
            HitKind::View => total
                .with_value(Hits, 1)
                .with_value(Entries, seen.map_or(0, |seen| u32::from(seen.is_entry))),
            HitKind::Event => total.with_value(Hits, 1),
            HitKind::Click => total.with_value(Hits, 1).with_value(Seconds, seconds),
            HitKind::Leave => CounterValues::zeros().with_value(Seconds, seconds),
            HitKind::Vital | HitKind::Fault => CounterValues::zeros(),
        };
        self.push_daily_row(subject, Some(item), total);

        let (visitors, visits) = seen.map_or((0, 0), VisitUpdate::site_counts);
        let hits = u32::from(event.kind == HitKind::View);
        let total = CounterValues::zeros()
            .with_value(Hits, hits)
            .with_value(Visitors, visitors)
            .with_value(VisitsCounter, visits);
        self.push_daily_row(Subject::Site, None, total);
        if !total.is_zero() {
            let hour = self.day_state.span.local_hour_start(event.at);
            self.batch.hourly.push((
                HourlyKey {
                    site: self.site_id,
                    hour,
                },
                total,
            ));
        }

        let booked = match event.detail {
            HitDetail::Money(minor, currency) => Some((minor, currency)),
            HitDetail::MoneyOverLimit(currency) => Some((0, over_limit_code(currency))),
            _ => None,
        };
        if let Some((minor, currency)) = booked {
            let draft = MoneyDraft {
                site: self.site_id,
                day: self.day_state.span.day,
                event: Some((self.day_slot, item)),
                currency,
            };
            self.batch.money.push((draft, (1, minor)));
        }
    }

    /// The row of a measurement or a fault: of a page and a device class, not of a visit.
    fn push_page_row(&mut self, event: &Event, path: u32) {
        let (site, day) = (self.site_id, self.day_state.span.day);
        let path = Some((self.day_slot, path));
        match &event.detail {
            HitDetail::Vital(metric, bucket) => {
                let device = event.facts.value_of(Dimension::Device);
                let scope = TextScope::for_attribute_values(self.site_number, Dimension::Device);
                let device = Some((
                    self.day_slot,
                    self.day_state
                        .texts
                        .intern(scope, device, self.limits.values_per_site),
                ));
                self.batch.vitals.push(VitalDraft {
                    site,
                    day,
                    metric: *metric,
                    path,
                    device,
                    bucket: *bucket,
                });
            }
            HitDetail::Fault(kind, text) => {
                let fault = (!text.is_empty()).then(|| {
                    let id = self.day_state.texts.intern(
                        TextScope::for_script_errors(self.site_number),
                        text,
                        self.limits.items_per_site,
                    );
                    (self.day_slot, id)
                });
                self.batch.faults.push(FaultDraft {
                    site,
                    day,
                    kind: *kind,
                    path,
                    fault,
                });
            }
            HitDetail::Empty | HitDetail::Money(..) | HitDetail::MoneyOverLimit(_) => {}
        }
    }

    /// The attribute rows of a hit with a known visit, and the rows of the visit it ended.
    fn push_visit_rows(&mut self, event: &Event, subject: Subject, item: u32, seen: &VisitUpdate) {
        if let Some(closed) = &seen.closed_visit {
            push_closed_visit(self.batch, self.day_state, self.day_slot, closed);
        }
        self.push_attribute_rows(
            event,
            Subject::Site,
            NO_ITEM,
            site_attribute_counts(seen),
            &seen.values,
        );
        self.push_attribute_rows(
            event,
            subject,
            item,
            item_attribute_counts(seen),
            &seen.values,
        );
    }

    fn push_attribute_rows(
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
                // These depend on agent and language. Only the site is broken down by them.
                _ => {
                    let scope = TextScope::for_attribute_values(self.site_number, dim);
                    self.day_state.texts.intern(
                        scope,
                        event.facts.value_of(dim),
                        self.limits.values_per_site,
                    )
                }
            };
            let day = self.day_state.span.day;
            let draft = AttributeDraft {
                site: self.site_id,
                day_slot: self.day_slot,
                day,
                subject,
                dim,
                item,
                value,
            };
            self.batch.attributes.push((draft, counts));
        }
    }

    fn push_daily_row(&mut self, subject: Subject, item: Option<u32>, counts: CounterValues) {
        if counts.is_zero() {
            return;
        }
        let item = item.map(|id| (self.day_slot, id));
        self.batch.daily.push((
            DailyDraft {
                site: self.site_id,
                day: self.day_state.span.day,
                subject,
                item,
            },
            counts,
        ));
    }
}

/// What a hit adds to the attribute rows of its site. In the mode with a cookie, a visitor whose
/// browser rejects cookies is new with each hit; among attributes, they count at most once per
/// visit.
fn site_attribute_counts(seen: &VisitUpdate) -> AttributeCounts {
    let (visitors, visits) = seen.site_counts();
    AttributeCounts {
        visitors: visitors.min(visits),
        visits,
        networks: u32::from(seen.first_today && seen.first_of_network.network),
        platform_networks: u32::from(seen.first_today && seen.first_of_network.platform_network),
    }
}

/// The same for the hit's item.
fn item_attribute_counts(seen: &VisitUpdate) -> AttributeCounts {
    let (visitors, visits) = seen.item_counts();
    let networks = u32::from(seen.item_first_today && seen.first_of_network.network);
    AttributeCounts {
        visitors: visitors.min(visits),
        visits,
        networks,
        platform_networks: 0,
    }
}

/// The rows of a closed visit. Counts never shrink, so bounces and durations are written only now.
fn push_closed_visit(batch: &mut RowBatch, book: &DayState, number: u32, visit: &ClosedVisit) {
    let site = book.site_id(visit.site);
    let day = book.span.day;
    let bounces = u32::from(visit.bounced);
    let counts = CounterValues::zeros()
        .with_value(Bounces, bounces)
        .with_value(Seconds, visit.seconds);
    if !counts.is_zero() {
        let key = DailyDraft {
            site,
            day,
            subject: Subject::Site,
            item: None,
        };
        batch.daily.push((key, counts));
        batch.hourly.push((
            HourlyKey {
                site,
                hour: book.span.local_hour_start(visit.started),
            },
            counts,
        ));
    }
    if let Some(page) = visit.last_page {
        let item = Some((number, page));
        let key = DailyDraft {
            site,
            day,
            subject: Subject::Page,
            item,
        };
        batch.daily.push((
            key,
            CounterValues::zeros()
                .with_value(Bounces, bounces)
                .with_value(Exits, 1),
        ));
    }
}
