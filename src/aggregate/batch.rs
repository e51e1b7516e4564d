//! The rows of the hits that are committed to the journal together.
//!
//! While a batch is open, its keys hold the ids of the day's texts. When it is taken, texts that
//! are new to the segment get their string ids in alphabetical order, and rows are sorted and
//! summed. So the order in which hits arrived is lost before anything is written.

use super::attributes::{AttributeCounts, AttributeKey, AttributeSums};
use super::day_state::DayStates;
use super::interner::SegmentPart;
use super::sorting::{add_both_saturating, add_saturating, sort_and_sum};
use super::string_id::StringId;
use super::sums::{DailyKey, FaultKey, HourlyKey, MailKey, MoneyKey, SegmentSums, VitalKey};
use crate::calendar::Day;
use crate::event::{
    CounterValues, Dimension, FaultKind, MailAction, ReaderKind, SiteId, Subject, VitalBucket,
    WebVital,
};

/// What a batch adds to its segment. `sums.strings` are new to the segment.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct SegmentDelta {
    /// String id of the first of `sums.strings` in the segment.
    pub first_string_id: u32,
    /// String id of the first of `sums.attributes.strings` among the segment's attribute strings.
    pub first_attribute_string_id: u32,
    /// The batch's rows, sorted, each key once.
    pub sums: SegmentSums,
}

impl SegmentDelta {
    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.sums.row_count() == 0
    }
}

/// A text of an open batch: the slot of its day, and its id there. `None` is the empty text.
pub(super) type TextRef = Option<(u32, u32)>;

#[derive(Clone, Copy)]
pub(super) struct DailyDraft {
    pub(super) site: SiteId,
    pub(super) day: Day,
    pub(super) subject: Subject,
    pub(super) item: TextRef,
}

/// A row with an attribute. All its texts are of one day, so the day's slot is stored once per row.
#[derive(Clone, Copy)]
pub(super) struct AttributeDraft {
    pub(super) site: SiteId,
    pub(super) day_slot: u32,
    pub(super) day: Day,
    pub(super) subject: Subject,
    pub(super) dim: Dimension,
    /// [`NO_ITEM`] for the site itself.
    pub(super) item: u32,
    pub(super) value: u32,
}

pub(super) const NO_ITEM: u32 = u32::MAX;

#[derive(Default)]
pub(super) struct RowBatch {
    pub(super) daily: Vec<(DailyDraft, CounterValues)>,
    pub(super) attributes: Vec<(AttributeDraft, AttributeCounts)>,
    pub(super) hourly: Vec<(HourlyKey, CounterValues)>,
    pub(super) money: Vec<(MoneyDraft, (u32, u64))>,
    pub(super) vitals: Vec<VitalDraft>,
    pub(super) faults: Vec<FaultDraft>,
    pub(super) mail: Vec<(MailDraft, (u32, u32))>,
}

#[derive(Clone, Copy)]
pub(super) struct MoneyDraft {
    pub(super) site: SiteId,
    pub(super) day: Day,
    pub(super) event: TextRef,
    pub(super) currency: [u8; 3],
}

/// One measurement of a web vital.
#[derive(Clone, Copy)]
pub(super) struct VitalDraft {
    pub(super) site: SiteId,
    pub(super) day: Day,
    pub(super) metric: WebVital,
    pub(super) path: TextRef,
    pub(super) device: TextRef,
    pub(super) bucket: VitalBucket,
}

/// One script error or missing page.
#[derive(Clone, Copy)]
pub(super) struct FaultDraft {
    pub(super) site: SiteId,
    pub(super) day: Day,
    pub(super) kind: FaultKind,
    pub(super) path: TextRef,
    pub(super) fault: TextRef,
}

/// One open or click of a mail.
#[derive(Clone, Copy)]
pub(super) struct MailDraft {
    pub(super) day: Day,
    pub(super) template: TextRef,
    pub(super) batch: Day,
    pub(super) action: MailAction,
    pub(super) link: TextRef,
    pub(super) reader: ReaderKind,
}

impl RowBatch {
    pub(super) fn is_empty(&self) -> bool {
        self.row_count() == 0
    }

    pub(super) fn row_count(&self) -> usize {
        let of_visits = self.daily.len() + self.hourly.len() + self.money.len();
        of_visits + self.attributes.len() + self.vitals.len() + self.faults.len() + self.mail.len()
    }

    /// Assigns string ids to the new texts and sums the rows. `next` and `attribute_next` are the
    /// segment's next free string ids.
    pub(super) fn take_delta(
        &mut self,
        books: &mut DayStates,
        segment: u32,
        next: u32,
        attribute_next: u32,
    ) -> SegmentDelta {
        let fresh = find_unnumbered(books, SegmentPart::Totals, segment, self.texts_of_totals());
        let strings = assign_string_ids(books, SegmentPart::Totals, segment, fresh, next);
        let attributes = self.take_attributes(books, segment, attribute_next);
        let sym = |draft: TextRef| match draft {
            None => StringId::EMPTY,
            Some((book, id)) => books[book].string_id(id, SegmentPart::Totals, segment),
        };

        let daily = self.daily.drain(..).map(|(d, counts)| {
            (
                DailyKey {
                    site: d.site,
                    day: d.day,
                    subject: d.subject,
                    item: sym(d.item),
                },
                counts,
            )
        });
        let daily = sort_and_sum(daily.collect(), |sum, counts| *sum += counts);
        let hourly = sort_and_sum(std::mem::take(&mut self.hourly), |sum, counts| {
            *sum += counts
        });

        let money = self.money.drain(..).map(|(d, amount)| {
            (
                MoneyKey {
                    site: d.site,
                    day: d.day,
                    event: sym(d.event),
                    currency: d.currency,
                },
                amount,
            )
        });
        let money = sort_and_sum(money.collect(), |sum, more| {
            *sum = (sum.0.saturating_add(more.0), sum.1.saturating_add(more.1))
        });

        let vitals = self.vitals.drain(..).map(|d| {
            let (path, device) = (sym(d.path), sym(d.device));
            (
                VitalKey {
                    site: d.site,
                    day: d.day,
                    metric: d.metric,
                    path,
                    device,
                    bucket: d.bucket,
                },
                1,
            )
        });
        let vitals = sort_and_sum(vitals.collect(), add_saturating);

        let faults = self.faults.drain(..).map(|d| {
            (
                FaultKey {
                    site: d.site,
                    day: d.day,
                    kind: d.kind,
                    path: sym(d.path),
                    fault: sym(d.fault),
                },
                1,
            )
        });
        let faults = sort_and_sum(faults.collect(), add_saturating);

        let mail = self.mail.drain(..).map(|(d, counts)| {
            let (template, link) = (sym(d.template), sym(d.link));
            (
                MailKey {
                    day: d.day,
                    template,
                    batch: d.batch,
                    action: d.action,
                    link,
                    reader: d.reader,
                },
                counts,
            )
        });
        let mail = sort_and_sum(mail.collect(), add_both_saturating);

        let sums = SegmentSums {
            strings,
            daily,
            hourly,
            money,
            drops: Vec::new(),
            vitals,
            faults,
            mail,
            attributes,
        };
        SegmentDelta {
            first_string_id: next,
            first_attribute_string_id: attribute_next,
            sums,
        }
    }

    fn texts_of_totals(&self) -> impl Iterator<Item = (u32, u32)> {
        let of_daily = self.daily.iter().map(|(d, _)| d.item);
        let of_vitals = self.vitals.iter().flat_map(|d| [d.path, d.device]);
        let of_faults = self.faults.iter().flat_map(|d| [d.path, d.fault]);
        let of_mails = self.mail.iter().flat_map(|(d, _)| [d.template, d.link]);
        let of_others = of_vitals
            .chain(of_faults)
            .chain(of_mails)
            .chain(self.money.iter().map(|(d, _)| d.event));
        of_daily.chain(of_others).flatten()
    }

    fn take_attributes(&mut self, books: &mut DayStates, segment: u32, next: u32) -> AttributeSums {
        let zone_of = |book: u32| books[book].zone_text;
        let drafts = self.attributes.iter().map(|(draft, _)| draft);
        let texts =
            drafts.flat_map(|d| [zone_of(d.day_slot), d.item, d.value].map(|id| (d.day_slot, id)));
        let fresh = find_unnumbered(
            books,
            SegmentPart::Attributes,
            segment,
            texts.filter(|(_, id)| *id != NO_ITEM),
        );
        let strings = assign_string_ids(books, SegmentPart::Attributes, segment, fresh, next);

        let rows = self.attributes.drain(..).map(|(d, counts)| {
            let book = &books[d.day_slot];
            let sym = |id: u32| {
                if id == NO_ITEM {
                    StringId::EMPTY
                } else {
                    book.string_id(id, SegmentPart::Attributes, segment)
                }
            };
            let (zone, item, value) = (sym(book.zone_text), sym(d.item), sym(d.value));
            (
                AttributeKey {
                    site: d.site,
                    zone,
                    day: d.day,
                    subject: d.subject,
                    dim: d.dim,
                    item,
                    value,
                },
                counts,
            )
        });
        AttributeSums {
            strings,
            rows: sort_and_sum(rows.collect(), |sum, counts| *sum += counts),
        }
    }
}

/// The texts that have no string id in this part of the segment yet.
fn find_unnumbered(
    books: &DayStates,
    part: SegmentPart,
    segment: u32,
    texts: impl Iterator<Item = (u32, u32)>,
) -> Vec<(u32, u32)> {
    texts
        .filter(|&(book, id)| books[book].texts.string_id(id, part, segment).is_none())
        .collect()
}

/// Assigns string ids to the texts in alphabetical order, and returns each text once.
fn assign_string_ids(
    books: &mut DayStates,
    part: SegmentPart,
    segment: u32,
    mut fresh: Vec<(u32, u32)>,
    next: u32,
) -> Vec<Box<str>> {
    fresh.sort_unstable_by(|a, b| {
        resolve_text(books, *a)
            .cmp(resolve_text(books, *b))
            .then(a.cmp(b))
    });
    fresh.dedup();
    let mut strings: Vec<Box<str>> = Vec::new();
    for (book, id) in fresh {
        let known = resolve_text(books, (book, id));
        if strings.last().is_none_or(|last| **last != *known) {
            strings.push(known.into());
        }
        let sym = next
            + u32::try_from(strings.len()).expect("a batch holds far fewer than 2^32 texts")
            - 1;
        books[book].texts.set_string_id(id, part, segment, sym);
    }
    strings
}

fn resolve_text(books: &DayStates, (book, id): (u32, u32)) -> &str {
    books[book].texts.resolve_text(id)
}
