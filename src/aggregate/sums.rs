use super::attributes::AttributeSums;
use crate::event::{Bucket, Counts, Day, FaultKind, MailAction, Metric, Reader, Refusal, SiteId, Subject};

/// A string of a segment: its place in [`Sums::strings`], or in [`AttributeSums::strings`] where it stands in a row of those.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Sym(pub u32);

impl Sym {
    /// Every segment's first string is the empty one.
    pub const EMPTY: Sym = Sym(0);
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DailyKey {
    pub site: SiteId,
    pub day: Day,
    pub subject: Subject,
    pub item: Sym,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HourlyKey {
    pub site: SiteId,
    /// The UTC second at which the site's local hour began.
    pub hour: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MoneyKey {
    pub site: SiteId,
    pub day: Day,
    pub event: Sym,
    pub currency: [u8; 3],
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DropKey {
    /// The UTC second at which the hour began.
    pub hour: u32,
    pub reason: Refusal,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct VitalKey {
    pub site: SiteId,
    pub day: Day,
    pub metric: Metric,
    pub path: Sym,
    pub device: Sym,
    pub bucket: Bucket,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FaultKey {
    pub site: SiteId,
    pub day: Day,
    pub kind: FaultKind,
    pub path: Sym,
    pub fault: Sym,
}

/// Mails are the platform's: no site. Neither is there anything of a recipient.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MailKey {
    pub day: Day,
    pub template: Sym,
    /// The day the mails were sent.
    pub batch: Day,
    pub action: MailAction,
    /// The link's name; empty for an opening.
    pub link: Sym,
    pub reader: Reader,
}

/// All counts of one segment: each key once, sorted. The same segment gives the same bytes each time it is sent.
#[derive(Default, Clone, PartialEq, Eq, Debug)]
pub struct Sums {
    pub strings: Vec<Box<str>>,
    /// Totals.
    pub daily: Vec<(DailyKey, Counts)>,
    pub hourly: Vec<(HourlyKey, Counts)>,
    /// Hits and the sum of their amounts in minor units.
    pub money: Vec<(MoneyKey, (u32, u64))>,
    pub drops: Vec<(DropKey, u32)>,
    pub vitals: Vec<(VitalKey, u32)>,
    pub faults: Vec<(FaultKey, u32)>,
    /// Hits, and who of them had not opened a mail of the batch that day.
    pub mail: Vec<(MailKey, (u32, u32))>,
    pub attributes: AttributeSums,
}

impl Sums {
    pub fn text(&self, sym: Sym) -> &str {
        &self.strings[sym.0 as usize]
    }

    pub fn rows(&self) -> usize {
        let counted = self.daily.len() + self.hourly.len() + self.money.len() + self.drops.len();
        counted + self.vitals.len() + self.faults.len() + self.mail.len() + self.attributes.rows.len()
    }
}
