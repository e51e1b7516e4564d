//! Encodes and decodes totals. Keys are sorted, so a row contains only what differs from the row
//! before it: about a dozen bytes.
//!
//! ```text
//! totals   base strings daily hourly money drops vitals faults mail
//! list     count row*
//! string   length UTF-8
//! daily    flags:u8 [site:u128] [day:u16] [item] counts
//!          flags: 1 another site, 2 another day, 4 8 subject
//! hourly   site:u128 hour counts
//! money    site:u128 day:u16 event currency:3 bytes hits minor
//! drops    hour reason:u8 hits
//! vitals   site:u128 day:u16 metric:u8 bucket:u8 path device hits
//! faults   site:u128 day:u16 kind:u8 path fault hits
//! mail     day:u16 batch:u16 action:u8 reader:u8 template link hits visitors
//! counts   mask:u8 number*             bit n: counter n is not zero (order: CounterKind::ALL);
//!                                      then a number for each bit that is set
//! ```
//!
//! Numbers without a width are varints: 7 bits per byte, the lowest first, the top bit set in all
//! bytes but the last. `strings` and everything after it are lists. Texts (item, event, path,
//! device, fault, template, link) are indices into the segment's strings; the first string of this
//! payload has the number `base`. Days count from 1970-01-01, hours are Unix times in seconds.
//! `item` is omitted for the site itself.

use crate::aggregate::{
    DailyKey, DropKey, FaultKey, HourlyKey, MailKey, MoneyKey, SegmentDelta, SegmentSums, StringId,
    VitalKey,
};
use crate::calendar::Day;
use crate::event::{
    self, CounterKind, CounterValues, DropReason, FaultKind, MailAction, SiteId, Subject, WebVital,
};
use crate::varint::{decode_varint, encode_varint};

const OTHER_SITE: u8 = 1;
const OTHER_DAY: u8 = 2;

/// A payload that does not follow the format although its checksum is correct, at this offset: a
/// file of another version, or a defect.
#[derive(thiserror::Error, Debug, PartialEq)]
#[error("the payload does not follow the format at byte {0}")]
pub struct PayloadError(pub usize);

pub(super) fn encode_totals(base: u32, sums: &SegmentSums, out: &mut Vec<u8>) {
    encode_varint(out, u64::from(base));
    encode_strings(out, &sums.strings);

    encode_varint(out, sums.daily.len() as u64);
    let mut before: Option<&DailyKey> = None;
    for (key, counts) in &sums.daily {
        encode_daily_key(out, before, key);
        encode_counts(out, counts);
        before = Some(key);
    }

    encode_varint(out, sums.hourly.len() as u64);
    for (key, counts) in &sums.hourly {
        out.extend_from_slice(&key.site.as_u128().to_le_bytes());
        encode_varint(out, u64::from(key.hour));
        encode_counts(out, counts);
    }

    encode_varint(out, sums.money.len() as u64);
    for (key, (hits, minor)) in &sums.money {
        out.extend_from_slice(&key.site.as_u128().to_le_bytes());
        out.extend_from_slice(&key.day.as_number().to_le_bytes());
        encode_varint(out, u64::from(key.event.0));
        out.extend_from_slice(&key.currency);
        encode_varint(out, u64::from(*hits));
        encode_varint(out, *minor);
    }

    encode_varint(out, sums.drops.len() as u64);
    for (key, hits) in &sums.drops {
        encode_varint(out, u64::from(key.hour));
        out.push(key.reason as u8);
        encode_varint(out, u64::from(*hits));
    }

    encode_varint(out, sums.vitals.len() as u64);
    for (key, hits) in &sums.vitals {
        out.extend_from_slice(&key.site.as_u128().to_le_bytes());
        out.extend_from_slice(&key.day.as_number().to_le_bytes());
        out.extend_from_slice(&[key.metric as u8, key.bucket]);
        encode_varint(out, u64::from(key.path.0));
        encode_varint(out, u64::from(key.device.0));
        encode_varint(out, u64::from(*hits));
    }

    encode_varint(out, sums.faults.len() as u64);
    for (key, hits) in &sums.faults {
        out.extend_from_slice(&key.site.as_u128().to_le_bytes());
        out.extend_from_slice(&key.day.as_number().to_le_bytes());
        out.push(key.kind as u8);
        encode_varint(out, u64::from(key.path.0));
        encode_varint(out, u64::from(key.fault.0));
        encode_varint(out, u64::from(*hits));
    }

    encode_varint(out, sums.mail.len() as u64);
    for (key, (hits, visitors)) in &sums.mail {
        out.extend_from_slice(&key.day.as_number().to_le_bytes());
        out.extend_from_slice(&key.batch.as_number().to_le_bytes());
        out.extend_from_slice(&[key.action as u8, key.reader as u8]);
        for number in [key.template.0, key.link.0, *hits, *visitors] {
            encode_varint(out, u64::from(number));
        }
    }
}

fn encode_daily_key(out: &mut Vec<u8>, before: Option<&DailyKey>, key: &DailyKey) {
    let other_site = before.is_none_or(|before| before.site != key.site);
    let other_day = before.is_none_or(|before| before.day != key.day);
    let flags = (u8::from(other_site) * OTHER_SITE) | (u8::from(other_day) * OTHER_DAY);
    out.push(flags | (key.subject as u8) << 2);

    if other_site {
        out.extend_from_slice(&key.site.as_u128().to_le_bytes());
    }
    if other_day {
        out.extend_from_slice(&key.day.as_number().to_le_bytes());
    }
    if key.subject != Subject::Site {
        encode_varint(out, u64::from(key.item.0));
    }
}

fn encode_counts(out: &mut Vec<u8>, counts: &CounterValues) {
    let mask = counts
        .0
        .iter()
        .enumerate()
        .fold(0, |mask, (n, count)| mask | u8::from(*count != 0) << n);
    out.push(mask);
    counts
        .0
        .iter()
        .filter(|count| **count != 0)
        .for_each(|count| encode_varint(out, u64::from(*count)));
}

pub(super) fn encode_strings(out: &mut Vec<u8>, strings: &[Box<str>]) {
    encode_varint(out, strings.len() as u64);
    for string in strings {
        encode_varint(out, string.len() as u64);
        out.extend_from_slice(string.as_bytes());
    }
}

/// Decodes forward. `None` from any method means that the bytes do not follow the format.
pub(super) struct PayloadReader<'a> {
    payload: &'a [u8],
    offset: usize,
    site_id_width: SiteIdWidth,
}

/// Width of site ids.
#[derive(Clone, Copy)]
pub(super) enum SiteIdWidth {
    /// Version 1.
    Bits64,
    Bits128,
}

impl<'a> PayloadReader<'a> {
    /// Decodes a payload, which `read` must consume completely.
    pub(super) fn decode_all<T>(
        payload: &'a [u8],
        read: impl FnOnce(&mut PayloadReader<'a>) -> Option<T>,
    ) -> Result<T, PayloadError> {
        let mut reader = PayloadReader {
            payload,
            offset: 0,
            site_id_width: SiteIdWidth::Bits128,
        };
        match read(&mut reader) {
            Some(value) if reader.offset == payload.len() => Ok(value),
            _ => Err(PayloadError(reader.offset)),
        }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.offset == self.payload.len()
    }

    /// The remaining bytes, which are consumed; may be empty.
    pub(super) fn read_rest(&mut self) -> &'a [u8] {
        let rest = &self.payload[self.offset..];
        self.offset = self.payload.len();
        rest
    }

    /// The totals of a batch or of a sealed segment.
    pub(super) fn read_totals(&mut self) -> Option<SegmentDelta> {
        let base = self.read_number()?;
        let strings = self.read_list(Self::read_string)?;
        let mut before = None;
        let daily = self.read_list(|read| {
            let (key, counts) = read.read_daily(before)?;
            before = Some(key);
            Some((key, counts))
        })?;
        let sums = SegmentSums {
            strings,
            daily,
            ..self.read_other_totals()?
        };
        Some(SegmentDelta {
            first_string_id: base,
            first_attribute_string_id: 0,
            sums,
        })
    }

    /// The lists after the totals by day, which are the same in both versions.
    pub(super) fn read_other_totals(&mut self) -> Option<SegmentSums> {
        let hourly = self.read_list(|read| {
            let key = HourlyKey {
                site: read.read_site()?,
                hour: read.read_number()?,
            };
            Some((key, read.read_counts()?))
        })?;
        let money = self.read_list(|read| {
            let (site, day) = (read.read_site()?, read.read_day()?);
            let key = MoneyKey {
                site,
                day,
                event: StringId(read.read_number()?),
                currency: read.read_bytes()?,
            };
            Some((key, (read.read_number()?, read.read_varint()?)))
        })?;
        let drops = self.read_list(|read| {
            let key = DropKey {
                hour: read.read_number()?,
                reason: DropReason::from_u8(read.read_byte()?)?,
            };
            Some((key, read.read_number()?))
        })?;
        let vitals = self.read_list(|read| {
            let (site, day) = (read.read_site()?, read.read_day()?);
            let (metric, bucket) = (WebVital::from_u8(read.read_byte()?)?, read.read_byte()?);
            let (path, device) = (StringId(read.read_number()?), StringId(read.read_number()?));
            Some((
                VitalKey {
                    site,
                    day,
                    metric,
                    path,
                    device,
                    bucket,
                },
                read.read_number()?,
            ))
        })?;
        let faults = self.read_list(|read| {
            let (site, day) = (read.read_site()?, read.read_day()?);
            let kind = FaultKind::from_u8(read.read_byte()?)?;
            let (path, fault) = (StringId(read.read_number()?), StringId(read.read_number()?));
            Some((
                FaultKey {
                    site,
                    day,
                    kind,
                    path,
                    fault,
                },
                read.read_number()?,
            ))
        })?;
        let mail = self.read_list(|read| {
            let (day, batch) = (read.read_day()?, read.read_day()?);
            let (action, reader) = (
                MailAction::from_u8(read.read_byte()?)?,
                event::ReaderKind::from_u8(read.read_byte()?)?,
            );
            let (template, link) = (StringId(read.read_number()?), StringId(read.read_number()?));
            let key = MailKey {
                day,
                template,
                batch,
                action,
                link,
                reader,
            };
            Some((key, (read.read_number()?, read.read_number()?)))
        })?;
        Some(SegmentSums {
            hourly,
            money,
            drops,
            vitals,
            faults,
            mail,
            ..SegmentSums::default()
        })
    }

    fn read_daily(&mut self, before: Option<DailyKey>) -> Option<(DailyKey, CounterValues)> {
        let flags = self.read_byte()?;
        let site = if flags & OTHER_SITE != 0 {
            self.read_site()?
        } else {
            before?.site
        };
        let day = if flags & OTHER_DAY != 0 {
            self.read_day()?
        } else {
            before?.day
        };
        let subject = Subject::from_u8(flags >> 2)?;
        let item = if subject == Subject::Site {
            StringId::EMPTY
        } else {
            StringId(self.read_number()?)
        };
        Some((
            DailyKey {
                site,
                day,
                subject,
                item,
            },
            self.read_counts()?,
        ))
    }

    pub(super) fn read_counts(&mut self) -> Option<CounterValues> {
        let mask = self.read_byte()?;
        let mut counts = CounterValues::zeros();
        for n in 0..CounterKind::ALL.len() {
            if mask & 1 << n != 0 {
                counts.0[n] = self.read_number()?;
            }
        }
        (mask >> CounterKind::ALL.len() == 0).then_some(counts)
    }

    pub(super) fn read_list<T>(
        &mut self,
        mut row: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let count = usize::try_from(self.read_varint()?).ok()?;
        // A row takes at least one byte: a larger count is damage, and must not reserve memory.
        let mut rows = Vec::with_capacity(count.min(self.payload.len() - self.offset));
        for _ in 0..count {
            rows.push(row(self)?);
        }
        Some(rows)
    }

    pub(super) fn read_string(&mut self) -> Option<Box<str>> {
        let length = usize::try_from(self.read_varint()?).ok()?;
        let bytes = self
            .payload
            .get(self.offset..self.offset.checked_add(length)?)?;
        self.offset += length;
        std::str::from_utf8(bytes).ok().map(Into::into)
    }

    /// The width of site ids from here on.
    pub(super) fn set_site_id_width(&mut self, ids: SiteIdWidth) {
        self.site_id_width = ids;
    }

    pub(super) fn read_site(&mut self) -> Option<SiteId> {
        let id = match self.site_id_width {
            SiteIdWidth::Bits64 => u64::from_le_bytes(self.read_bytes()?).into(),
            SiteIdWidth::Bits128 => u128::from_le_bytes(self.read_bytes()?),
        };
        Some(SiteId::from_u128(id))
    }

    pub(super) fn read_day(&mut self) -> Option<Day> {
        Some(Day::from_number(u16::from_le_bytes(self.read_bytes()?)))
    }

    pub(super) fn read_number(&mut self) -> Option<u32> {
        u32::try_from(self.read_varint()?).ok()
    }

    pub(super) fn read_varint(&mut self) -> Option<u64> {
        let (n, length) = decode_varint(self.payload.get(self.offset..)?)?;
        self.offset += length;
        Some(n)
    }

    pub(super) fn read_byte(&mut self) -> Option<u8> {
        self.read_bytes::<1>().map(|[byte]| byte)
    }

    pub(super) fn read_bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = self
            .payload
            .get(self.offset..self.offset + N)?
            .try_into()
            .ok()?;
        self.offset += N;
        Some(bytes)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::aggregate::AttributeSums;

    pub fn counts() -> impl Strategy<Value = CounterValues> {
        prop::array::uniform7(prop_oneof![Just(0), 1_u32..300, any::<u32>()])
            .prop_map(CounterValues)
    }

    prop_compose! {
        fn key()(site: u128, day: u16, subject in 0_u8..4, item: u32) -> DailyKey {
            let subject = Subject::from_u8(subject).unwrap();
            let item = if subject == Subject::Site { StringId::EMPTY } else { StringId(item) };
            DailyKey { site: SiteId::from_u128(site % 3), day: Day::from_number(day % 3), subject, item }
        }
    }

    prop_compose! {
        pub(in crate::journal) fn delta()(
            base: u32,
            strings in prop::collection::vec(".{0,20}", 0..5),
            daily in prop::collection::vec((key(), counts()), 0..20),
            hourly in prop::collection::vec(((any::<u128>(), any::<u32>()), counts()), 0..5),
            money in prop::collection::vec(((any::<u128>(), any::<u16>(), any::<u32>()), any::<(u32, u64)>()), 0..5),
            drops in prop::collection::vec(((any::<u32>(), 0_u8..7), any::<u32>()), 0..5),
            vitals in prop::collection::vec(((any::<u128>(), any::<u16>(), 0_u8..5, any::<u8>()), any::<[u32; 3]>()), 0..5),
            faults in prop::collection::vec(((any::<u128>(), any::<u16>(), 0_u8..2), any::<[u32; 3]>()), 0..5),
            mail in prop::collection::vec(((any::<u16>(), any::<u16>(), 0_u8..2, 0_u8..3), any::<[u32; 4]>()), 0..5),
        ) -> SegmentDelta {
            let site = SiteId::from_u128;
            SegmentDelta { first_string_id: base, first_attribute_string_id: 0, sums: SegmentSums {
                attributes: AttributeSums::default(),
                strings: strings.into_iter().map(Into::into).collect(),
                daily,
                hourly: hourly.into_iter().map(|((s, hour), c)| (HourlyKey { site: site(s), hour }, c)).collect(),
                money: money.into_iter().map(|((s, d, e), sum)| {
                    (MoneyKey { site: site(s), day: Day::from_number(d), event: StringId(e), currency: *b"EUR" }, sum)
                }).collect(),
                drops: drops.into_iter().map(|((hour, reason), n)| {
                    (DropKey { hour, reason: DropReason::from_u8(reason).unwrap() }, n)
                }).collect(),
                vitals: vitals.into_iter().map(|((s, d, metric, bucket), [path, device, n])| {
                    let (day, metric) = (Day::from_number(d), WebVital::from_u8(metric).unwrap());
                    (VitalKey { site: site(s), day, metric, path: StringId(path), device: StringId(device), bucket }, n)
                }).collect(),
                faults: faults.into_iter().map(|((s, d, kind), [path, fault, n])| {
                    let (day, kind) = (Day::from_number(d), FaultKind::from_u8(kind).unwrap());
                    (FaultKey { site: site(s), day, kind, path: StringId(path), fault: StringId(fault) }, n)
                }).collect(),
                mail: mail.into_iter().map(|((d, b, action, reader), [template, link, hits, visitors])| {
                    let (day, batch) = (Day::from_number(d), Day::from_number(b));
                    let (action, reader) = (MailAction::from_u8(action).unwrap(), event::ReaderKind::from_u8(reader).unwrap());
                    let key = MailKey { day, template: StringId(template), batch, action, link: StringId(link), reader };
                    (key, (hits, visitors))
                }).collect(),
            }}
        }
    }

    proptest! {
        #[test]
        fn totals_read_back_as_they_were(delta in delta()) {
            let mut bytes = Vec::new();
            encode_totals(delta.first_string_id, &delta.sums, &mut bytes);
            prop_assert_eq!(PayloadReader::decode_all(&bytes, PayloadReader::read_totals), Ok(delta));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = PayloadReader::decode_all(&bytes, PayloadReader::read_totals);
        }
    }
}
