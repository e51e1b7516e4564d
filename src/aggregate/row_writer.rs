//! The rows that a counted event or a closed visit adds to the open batch:
//! docs/understand/COUNTING.md as code.

use super::attributes::AttributeCounts;
use super::batch::{
    AttributeDraft, DailyDraft, FaultDraft, MoneyDraft, NO_ITEM, RowBatch, VitalDraft,
};
use super::day_state::DayState;
use super::interner::{StringInterner, TextScope};
use super::limits::AggregatorLimits;
use super::sums::HourlyKey;
use crate::event::CounterKind::{
    Bounces, Entries, Exits, Hits, Seconds, Visitors, Visits as VisitsCounter,
};
use crate::event::{CounterValues, Dimension, HitDetail, HitKind, Money, SiteId, Subject};
use crate::pseudonym::Event;
use crate::visits::{ClosedVisit, VisitUpdate, VisitValues};

/// The values that a visit keeps from its first hit.
pub(super) fn intern_visit_values(
    texts: &mut StringInterner,
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
pub(super) struct RowWriter<'a> {
    pub(super) batch: &'a mut RowBatch,
    pub(super) day_state: &'a mut DayState,
    pub(super) day_slot: u32,
    pub(super) limits: &'a AggregatorLimits,
    pub(super) site_number: u32,
    pub(super) site_id: SiteId,
}

impl RowWriter<'_> {
    /// The totals that every hit adds, with or without a known visitor.
    pub(super) fn push_totals(
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
            HitDetail::Money(Money { minor, currency }) => Some((minor, currency.as_bytes())),
            HitDetail::MoneyOverLimit(currency) => Some((0, currency.over_limit_key())),
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
    pub(super) fn push_page_row(&mut self, event: &Event, path: u32) {
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
    pub(super) fn push_visit_rows(
        &mut self,
        event: &Event,
        subject: Subject,
        item: u32,
        seen: &VisitUpdate,
    ) {
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
pub(super) fn push_closed_visit(
    batch: &mut RowBatch,
    book: &DayState,
    number: u32,
    visit: &ClosedVisit,
) {
    let Some(site) = book.site_id(visit.site) else {
        return;
    };
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
