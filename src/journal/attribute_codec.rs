//! Encodes and decodes attribute counts, which have a string table of their own.
//!
//! ```text
//! attributes  base strings rows        as in totals_codec.rs: base, then two lists
//! row         flags:u8 [site:u128] [zone day:u16] [item] value counts
//!             flags: 1 another site, 2 another zone or day, 4 8 subject, 16 32 64 128 dimension
//! counts      mask:u8 number*          bit n: count n is not 0; bit 4 + n: it is more than 1;
//!                                      then a number for each count that is more than 1
//! ```
//!
//! Site, zone and day are omitted if they equal those of the row before; `item` is omitted for the
//! site itself. The counts are visitors, visits, networks and platform networks. Nearly all counts
//! of a batch are 0 or 1, so they take one byte.

use super::totals_codec::{PayloadReader, encode_strings};
use crate::aggregate::{AttributeCounts, AttributeKey, AttributeSums, StringId};
use crate::event::{Dimension, Subject};
use crate::varint::encode_varint;

const OTHER_SITE: u8 = 1;
const OTHER_DAY: u8 = 2;

pub(super) fn encode_attributes(base: u32, sums: &AttributeSums, out: &mut Vec<u8>) {
    encode_varint(out, u64::from(base));
    encode_strings(out, &sums.strings);
    encode_varint(out, sums.rows.len() as u64);
    let mut before: Option<&AttributeKey> = None;
    for (key, counts) in &sums.rows {
        encode_key(out, before, key);
        encode_counts(out, counts);
        before = Some(key);
    }
}

fn encode_key(out: &mut Vec<u8>, before: Option<&AttributeKey>, key: &AttributeKey) {
    let other_site = before.is_none_or(|before| before.site != key.site);
    let other_day = before.is_none_or(|before| (before.zone, before.day) != (key.zone, key.day));
    let flags = (u8::from(other_site) * OTHER_SITE) | (u8::from(other_day) * OTHER_DAY);
    out.push(flags | (key.subject as u8) << 2 | (key.dim as u8) << 4);

    if other_site {
        out.extend_from_slice(&key.site.as_u128().to_le_bytes());
    }
    if other_day {
        encode_varint(out, u64::from(key.zone.0));
        out.extend_from_slice(&key.day.as_number().to_le_bytes());
    }
    if key.subject != Subject::Site {
        encode_varint(out, u64::from(key.item.0));
    }
    encode_varint(out, u64::from(key.value.0));
}

fn encode_counts(out: &mut Vec<u8>, counts: &AttributeCounts) {
    let counts = [
        counts.visitors,
        counts.visits,
        counts.networks,
        counts.platform_networks,
    ];
    let bits = |count: u32| u8::from(count > 0) | u8::from(count > 1) << 4;
    out.push(
        counts
            .iter()
            .enumerate()
            .fold(0, |mask, (n, count)| mask | bits(*count) << n),
    );
    counts
        .iter()
        .filter(|count| **count > 1)
        .for_each(|count| encode_varint(out, u64::from(*count)));
}

/// The number of the first string, and the rows.
pub(super) fn decode_attributes(read: &mut PayloadReader<'_>) -> Option<(u32, AttributeSums)> {
    let base = read.read_number()?;
    let strings = read.read_list(PayloadReader::read_string)?;
    let mut before = None;
    let rows = read.read_list(|read| {
        let key = decode_key(read, before)?;
        before = Some(key);
        Some((key, decode_counts(read)?))
    })?;
    Some((base, AttributeSums { strings, rows }))
}

fn decode_key(read: &mut PayloadReader<'_>, before: Option<AttributeKey>) -> Option<AttributeKey> {
    let flags = read.read_byte()?;
    let subject = Subject::from_u8(flags >> 2 & 3)?;
    let dim = Dimension::from_u8(flags >> 4)?;
    let site = if flags & OTHER_SITE != 0 {
        read.read_site()?
    } else {
        before?.site
    };
    let (zone, day) = match flags & OTHER_DAY {
        0 => before.map(|before| (before.zone, before.day))?,
        _ => (StringId(read.read_number()?), read.read_day()?),
    };
    let item = if subject == Subject::Site {
        StringId::EMPTY
    } else {
        StringId(read.read_number()?)
    };
    Some(AttributeKey {
        site,
        zone,
        day,
        subject,
        dim,
        item,
        value: StringId(read.read_number()?),
    })
}

fn decode_counts(read: &mut PayloadReader<'_>) -> Option<AttributeCounts> {
    let mask = read.read_byte()?;
    let mut count = |n: u8| match mask >> n & 0b1_0001 {
        0 => Some(0),
        1 => Some(1),
        _ => read.read_number(),
    };
    let (visitors, visits) = (count(0)?, count(1)?);
    Some(AttributeCounts {
        visitors,
        visits,
        networks: count(2)?,
        platform_networks: count(3)?,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::calendar::Day;
    use crate::event::SiteId;

    fn count() -> impl Strategy<Value = u32> {
        prop_oneof![Just(0), Just(1), 2_u32..300, any::<u32>()]
    }

    prop_compose! {
        fn row()(
            (site, zone, day) in (0_u128..3, 0_u32..3, 0_u16..3),
            subject in prop::sample::select(Subject::ALL.to_vec()),
            dim in prop::sample::select(Dimension::ALL.to_vec()),
            (item, value) in any::<(u32, u32)>(),
            counts in [count(), count(), count(), count()],
        ) -> (AttributeKey, AttributeCounts) {
            let key = AttributeKey {
                site: SiteId::from_u128(site << 100),
                zone: StringId(zone),
                day: Day::from_number(day),
                subject,
                dim,
                item: if subject == Subject::Site { StringId::EMPTY } else { StringId(item) },
                value: StringId(value),
            };
            let [visitors, visits, networks, platform_networks] = counts;
            (key, AttributeCounts { visitors, visits, networks, platform_networks })
        }
    }

    prop_compose! {
        pub(in crate::journal) fn sums()(
            strings in prop::collection::vec(".{0,20}", 0..5),
            rows in prop::collection::vec(row(), 0..20),
        ) -> AttributeSums {
            AttributeSums { strings: strings.into_iter().map(Into::into).collect(), rows }
        }
    }

    /// A row of a zone and a value.
    pub(in crate::journal) fn one_row(strings: &[&str; 2]) -> AttributeSums {
        let (site, day) = (SiteId::from_u128(7), Day::from_number(1));
        let (subject, dim) = (Subject::Site, Dimension::Source);
        let key = AttributeKey {
            site,
            zone: StringId(1),
            day,
            subject,
            dim,
            item: StringId::EMPTY,
            value: StringId(2),
        };
        let counts = AttributeCounts {
            visitors: 1,
            visits: 1,
            networks: 1,
            platform_networks: 1,
        };
        AttributeSums {
            strings: strings.map(Into::into).to_vec(),
            rows: vec![(key, counts)],
        }
    }

    proptest! {
        #[test]
        fn attributes_read_back_as_they_were(base: u32, sums in sums()) {
            let mut bytes = Vec::new();
            encode_attributes(base, &sums, &mut bytes);
            prop_assert_eq!(PayloadReader::decode_all(&bytes, decode_attributes), Ok((base, sums)));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = PayloadReader::decode_all(&bytes, decode_attributes);
        }
    }
}
