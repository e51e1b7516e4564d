//! Decodes the payload of version 1, in which site ids have 64 bits and attribute rows are among
//! the totals. This version is no longer written.
//!
//! Ids are extended with zeros; the store knows the site of each.
//!
//! ```text
//! payload  base strings daily hourly money drops vitals faults mail   lists as in totals_codec.rs
//! daily    flags:u8 [site:u64] [day:u16] [item] [value] counts
//!          flags: 1 another site, 2 another day, 4 8 subject, 16 32 64 dimension
//! ```

use super::totals_codec::{PayloadReader, SiteIdWidth};
use crate::aggregate::{
    AttributeCounts, AttributeKey, AttributeSums, DailyKey, SegmentDelta, SegmentSums, StringId,
};
use crate::event::CounterKind::{Visitors, Visits};
use crate::event::{CounterValues, Dimension, Subject};

const OTHER_SITE: u8 = 1;
const OTHER_DAY: u8 = 2;

/// Decodes a payload. Attributes are separated from totals; both use the same string table. A
/// sealed segment numbers its strings from 0.
pub(super) fn read_v1_delta(read: &mut PayloadReader<'_>) -> Option<SegmentDelta> {
    read.set_site_id_width(SiteIdWidth::Bits64);
    let base = read.read_number()?;
    let strings = read.read_list(PayloadReader::read_string)?;
    let mut before = None;
    let rows = read.read_list(|read| {
        let (key, counts) = read_v1_row(read, before)?;
        before = Some(key);
        Some((key, counts))
    })?;
    let (daily, attributes) = split_attributes(rows, base, &strings);
    let sums = SegmentSums {
        strings,
        daily,
        attributes,
        ..read.read_other_totals()?
    };
    Some(SegmentDelta {
        first_string_id: base,
        first_attribute_string_id: base,
        sums,
    })
}

/// Separates totals and attributes. Version 1 stored neither the zone of a row nor its networks:
/// the zone is assumed to be UTC (in a batch it stays empty, which the segment reads as UTC), and
/// each visitor to have a network of its own.
fn split_attributes(
    rows: Vec<(AttributeKey, CounterValues)>,
    base: u32,
    strings: &[Box<str>],
) -> (Vec<(DailyKey, CounterValues)>, AttributeSums) {
    let mut attributes = AttributeSums {
        strings: strings.to_vec(),
        rows: Vec::new(),
    };
    let mut zone = StringId::EMPTY;
    if base == 0 {
        zone = StringId(u32::try_from(strings.len()).unwrap_or(u32::MAX));
        attributes.strings.push("UTC".into());
    }
    let mut daily = Vec::new();
    for (key, counts) in rows {
        if key.dim == Dimension::Total {
            daily.push((
                DailyKey {
                    site: key.site,
                    day: key.day,
                    subject: key.subject,
                    item: key.item,
                },
                counts,
            ));
        } else {
            let (visitors, visits) = (counts.get(Visitors), counts.get(Visits));
            let counts = AttributeCounts {
                visitors,
                visits,
                networks: visitors,
                platform_networks: visitors,
            };
            attributes.rows.push((AttributeKey { zone, ..key }, counts));
        }
    }
    (daily, attributes)
}

fn read_v1_row(
    read: &mut PayloadReader<'_>,
    before: Option<AttributeKey>,
) -> Option<(AttributeKey, CounterValues)> {
    let flags = read.read_byte()?;
    let site = if flags & OTHER_SITE != 0 {
        read.read_site()?
    } else {
        before?.site
    };
    let day = if flags & OTHER_DAY != 0 {
        read.read_day()?
    } else {
        before?.day
    };
    let subject = Subject::from_u8(flags >> 2 & 3)?;
    let dim = Dimension::from_u8(flags >> 4)?;
    let item = if subject == Subject::Site {
        StringId::EMPTY
    } else {
        StringId(read.read_number()?)
    };
    let value = if dim == Dimension::Total {
        StringId::EMPTY
    } else {
        StringId(read.read_number()?)
    };
    Some((
        AttributeKey {
            site,
            zone: StringId::EMPTY,
            day,
            subject,
            dim,
            item,
            value,
        },
        read.read_counts()?,
    ))
}
