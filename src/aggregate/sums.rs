//! Keys and sums of a segment, in the form in which the journal encodes them and the store inserts
//! them.

use super::attributes::AttributeSums;
use super::string_id::StringId;
use crate::calendar::Day;
use crate::event::{
    CounterValues, DropReason, FaultKind, MailAction, ReaderKind, SiteId, Subject, VitalBucket,
    WebVital,
};

/// Key of totals by day.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DailyKey {
    /// The site; [`SiteId::PLATFORM`] for the sum over all sites.
    pub site: SiteId,
    /// Day in the site's zone.
    pub day: Day,
    /// What is counted: the site, a page, a link or an event.
    pub subject: Subject,
    /// Path, link or event name; empty for the site.
    pub item: StringId,
}

/// Key of a site's totals by hour.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HourlyKey {
    /// The site; [`SiteId::PLATFORM`] for the sum over all sites.
    pub site: SiteId,
    /// Unix time in seconds at which the site's local hour began.
    pub hour: u32,
}

/// Key of amounts by event and currency.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MoneyKey {
    /// The site.
    pub site: SiteId,
    /// Day in the site's zone.
    pub day: Day,
    /// Name of the event.
    pub event: StringId,
    /// ISO 4217 code; in lower case for events whose amount exceeded the bound.
    pub currency: [u8; 3],
}

/// Key of dropped hits. Without a site.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DropKey {
    /// Unix time in seconds at which the UTC hour began.
    pub hour: u32,
    /// Why the hits were dropped.
    pub reason: DropReason,
}

/// Key of measurements of page speed: one bucket of a histogram.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct VitalKey {
    /// The site.
    pub site: SiteId,
    /// Day in the site's zone.
    pub day: Day,
    /// What was measured.
    pub metric: WebVital,
    /// Path of the page.
    pub path: StringId,
    /// Device class.
    pub device: StringId,
    /// Bucket of the metric's histogram.
    pub bucket: VitalBucket,
}

/// Key of script errors and missing pages.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FaultKey {
    /// The site.
    pub site: SiteId,
    /// Day in the site's zone.
    pub day: Day,
    /// Script error or missing page.
    pub kind: FaultKind,
    /// Path of the page.
    pub path: StringId,
    /// Error class and place; empty for a missing page.
    pub fault: StringId,
}

/// Key of opens and clicks of mails. Mails are the platform's, so there is no site, and nothing
/// about a recipient.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MailKey {
    /// Day of the open or click, in the zone of `mail.zone`.
    pub day: Day,
    /// Name of the template.
    pub template: StringId,
    /// Batch day, the day the mails were sent.
    pub batch: Day,
    /// Open or click.
    pub action: MailAction,
    /// Name of the link; empty for an open.
    pub link: StringId,
    /// Class of the reader.
    pub reader: ReaderKind,
}

/// All counts of one segment. Rows are sorted by key, each key once, so the same segment gives the
/// same bytes each time it is sent. Counts saturate at 32 bits.
#[derive(Default, Clone, PartialEq, Eq, Debug)]
pub struct SegmentSums {
    /// The texts that [`StringId`]s index, except those of attributes. In a closed segment: sorted
    /// and unique.
    pub strings: Vec<Box<str>>,
    /// Totals by day.
    pub daily: Vec<(DailyKey, CounterValues)>,
    /// Totals of sites by hour.
    pub hourly: Vec<(HourlyKey, CounterValues)>,
    /// Number of events, and the sum of their amounts in minor units.
    pub money: Vec<(MoneyKey, (u32, u64))>,
    /// Dropped hits.
    pub drops: Vec<(DropKey, u32)>,
    /// Measurements.
    pub vitals: Vec<(VitalKey, u32)>,
    /// Script errors and missing pages.
    pub faults: Vec<(FaultKey, u32)>,
    /// Opens or clicks, and the distinct openers among them.
    pub mail: Vec<(MailKey, (u32, u32))>,
    /// Rows with an attribute.
    pub attributes: AttributeSums,
}

impl SegmentSums {
    /// The text of `sym`. Panics if it is not an index of these strings.
    pub fn resolve_string(&self, sym: StringId) -> &str {
        &self.strings[sym.0 as usize]
    }

    /// Whether each [`StringId`] of a row is an index of its strings.
    pub fn has_all_strings(&self) -> bool {
        let known = |sym: StringId| (sym.0 as usize) < self.strings.len();
        self.daily.iter().all(|(key, _)| known(key.item))
            && self.money.iter().all(|(key, _)| known(key.event))
            && self
                .vitals
                .iter()
                .all(|(key, _)| known(key.path) && known(key.device))
            && self
                .faults
                .iter()
                .all(|(key, _)| known(key.path) && known(key.fault))
            && self
                .mail
                .iter()
                .all(|(key, _)| known(key.template) && known(key.link))
            && self.attributes.has_all_strings()
    }

    /// Number of rows of all kinds.
    pub fn row_count(&self) -> usize {
        let counted = self.daily.len() + self.hourly.len() + self.money.len() + self.drops.len();
        counted
            + self.vitals.len()
            + self.faults.len()
            + self.mail.len()
            + self.attributes.rows.len()
    }
}
