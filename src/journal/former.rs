//! Decodes the payload of version 1, where site ids have 64 bits and attribute rows are among the
//! totals. Nothing writes this version any more.
//!
//! Ids are extended with zeros; the store knows which sites they stood for.
//!
//! ```text
//! payload  base strings daily hourly money drops vitals faults mail     lists as in code.rs
//! daily    flags:u8 [site:u64] [day:u16] [item] [value] counts
//!          flags: 1 another site, 2 another day, 4 8 subject, 16 32 64 dimension
//! ```

use super::code::{Ids, Reader};
use crate::aggregate::{AttributeCounts, AttributeKey, AttributeSums, DailyKey, Delta, Sums, Sym};
use crate::event::Counter::{Visitors, Visits};
use crate::event::{Counts, Dimension, Subject};

const OTHER_SITE: u8 = 1;
const OTHER_DAY: u8 = 2;

/// Decodes a payload. Attributes are separated from totals; both keep the one string table. A
/// sealed segment numbers its strings from 0.
pub(super) fn delta(read: &mut Reader<'_>) -> Option<Delta> {
    read.ids_of(Ids::Bits64);
    let base = read.number()?;
    let strings = read.list(Reader::string)?;
    let mut before = None;
    let rows = read.list(|read| {
        let (key, counts) = daily(read, before)?;
        before = Some(key);
        Some((key, counts))
    })?;
    let (daily, attributes) = apart(rows, base, &strings);
    let sums = Sums { strings, daily, attributes, ..read.below_daily()? };
    Some(Delta { base, attribute_base: base, sums })
}

/// Separates totals and attributes. Version 1 stored neither the zone of a row nor its networks:
/// the zone is taken to be UTC (in a batch it stays empty, which the segment reads as UTC), and
/// each visitor as of a network of their own.
fn apart(
    rows: Vec<(AttributeKey, Counts)>,
    base: u32,
    strings: &[Box<str>],
) -> (Vec<(DailyKey, Counts)>, AttributeSums) {
    let mut attributes = AttributeSums { strings: strings.to_vec(), rows: Vec::new() };
    let mut zone = Sym::EMPTY;
    if base == 0 {
        zone = Sym(u32::try_from(strings.len()).unwrap_or(u32::MAX));
        attributes.strings.push("UTC".into());
    }
    let mut daily = Vec::new();
    for (key, counts) in rows {
        if key.dim == Dimension::Total {
            daily.push((DailyKey { site: key.site, day: key.day, subject: key.subject, item: key.item }, counts));
        } else {
            let (visitors, visits) = (counts.get(Visitors), counts.get(Visits));
            let counts = AttributeCounts { visitors, visits, networks: visitors, platform_networks: visitors };
            attributes.rows.push((AttributeKey { zone, ..key }, counts));
        }
    }
    (daily, attributes)
}

fn daily(read: &mut Reader<'_>, before: Option<AttributeKey>) -> Option<(AttributeKey, Counts)> {
    let flags = read.byte()?;
    let site = if flags & OTHER_SITE != 0 { read.site()? } else { before?.site };
    let day = if flags & OTHER_DAY != 0 { read.day()? } else { before?.day };
    let subject = Subject::from_u8(flags >> 2 & 3)?;
    let dim = Dimension::from_u8(flags >> 4)?;
    let item = if subject == Subject::Site { Sym::EMPTY } else { Sym(read.number()?) };
    let value = if dim == Dimension::Total { Sym::EMPTY } else { Sym(read.number()?) };
    Some((AttributeKey { site, zone: Sym::EMPTY, day, subject, dim, item, value }, read.counts()?))
}
